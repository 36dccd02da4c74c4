//! From paths and selectors to embeddings and labels: one file per format.
//!
//! [`FORMATS`] lists the formats; a file's format is determined by its content, then by its extension. A format opens a
//! file as arrays, a table or lines of text, and each of these is read the same way for every format. An input may
//! consist of several files, which are read as one.

mod array;
mod arrow;
mod batched;
mod cells;
mod checks;
mod choice;
mod compressed;
mod csv;
mod faiss;
mod hdf5;
mod inspect;
mod joins;
mod json_document;
mod json_lines;
mod npy;
mod npz;
mod pair_list;
mod parquet;
mod pasted;
mod refused;
mod safetensors;
mod safetensors_index;
mod scipy;
mod shards;
mod source;
mod sparse;
mod spill;
pub mod state;
mod statistics;
mod table;
mod text;
mod vector_text;
mod vectors;
mod word2vec;

pub use inspect::{Chosen, Inspection, Item, LabelCount, Refused, inspect};

use ndarray::Array2;

use array::ArrayFile;
use embq_core::data::{Embeddings, LabelColumn, MappedBytes, RowWeights};
use embq_core::error::{Error, Result};
use joins::Joins;
pub use pair_list::pair_list;
pub use pasted::quoted;
use shards::Opened;
pub use source::{Header, Hints, checkpoints_in, sort_naturally};
use source::{Location, Source};
pub use statistics::{Statistics, statistics};
use table::Table;

/// Every format, in the order in which their contents are tried.
const FORMATS: &[Format] = &[
    npy::FORMAT,
    npz::FORMAT,
    safetensors::FORMAT,
    parquet::FORMAT,
    arrow::FORMAT,
    hdf5::FORMAT,
    safetensors_index::FORMAT,
    json_lines::FORMAT,
    csv::FORMAT,
    csv::TSV,
    vectors::FORMAT,
    faiss::VECS,
    faiss::BIN,
    word2vec::FORMAT,
    word2vec::RAW,
    text::FORMAT,
    refused::PICKLE,
    refused::COMPRESSED,
    refused::TAR,
    refused::MATLAB,
    refused::TFRECORD,
    refused::LANCE,
];

/// The tip of the error for an unknown format.
const SUPPORTED: &str = "embq reads .npy, .npz, .safetensors, HDF5 (.h5ad, .h5), Parquet (.parquet), Arrow (.arrow, .feather), CSV \
                         (.csv), TSV (.tsv), JSON and JSON lines (.json, .jsonl), .fvecs, .fbin, and word vectors (.vec, \
                         .bin, .txt), each also compressed with gzip or Zstandard, and labels and weights \
                         also from text files of one value per line";

/// A format: how it is recognised and opened.
struct Format {
    /// The name shown by `embq inspect`.
    name: &'static str,
    /// Extensions in lower case, the most common first.
    extensions: &'static [&'static str],
    /// Whether a file's content alone shows that it has this format.
    recognises: fn(&[u8]) -> bool,
    open: fn(&Source, Role) -> Result<Contents>,
}

/// What an input is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Embeddings,
    Labels,
    Weights,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Embeddings => "embeddings",
            Role::Labels => "labels",
            Role::Weights => "row weights",
        }
    }
}

/// The content of an opened file.
enum Contents {
    Arrays(Box<dyn ArrayFile>),
    Table(Box<dyn Table>),
    Lines(text::Lines),
}

impl Contents {
    /// The names of the columns or arrays that can be selected.
    fn names(&self) -> Vec<String> {
        match self {
            Contents::Arrays(file) => file.names().to_vec(),
            Contents::Table(table) => table.columns().iter().map(|column| column.name.clone()).collect(),
            Contents::Lines(_) => Vec::new(),
        }
    }

    /// Whether the file says that it has no rows.
    fn is_empty(&self) -> bool {
        match self {
            Contents::Arrays(file) => {
                file.names().is_empty() && file.shape(0).is_some_and(|shape| shape.first() == Some(&0))
            }
            Contents::Table(table) => table.rows() == Some(0),
            Contents::Lines(_) => false,
        }
    }
}

/// Everything that a command reads.
#[derive(Debug)]
pub struct Loaded {
    /// The embeddings as stored, before the checks of [`Dataset`](embq_core::data::Dataset).
    pub embeddings: Embeddings,
    /// One or more labellings, each with one label per row.
    pub labels: Vec<LabelColumn>,
    /// One weight per row.
    pub weights: Option<RowWeights>,
}

/// Options for reading inputs.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions<'a> {
    /// What files do not say themselves.
    pub hints: Hints,
    /// The column whose values match the rows of two tables, or `index`.
    pub key: Option<&'a str>,
}

/// Reads embeddings, one or more labellings and row weights. Each is given as `PATH` or `PATH:SELECTOR`; labels and
/// weights may also be `:COLUMN` or just a column name of the embeddings' file. A path may be a pattern or a directory,
/// whose files form one input.
///
/// # Errors
/// Anything wrong with a file, a selector or a value; the message names file, row and column.
pub fn load(embeddings: &str, labels: &[&str], weights: Option<&str>) -> Result<Loaded> {
    load_with(embeddings, labels, weights, &ReadOptions::default())
}

/// Like [`load`], with options.
///
/// # Errors
/// Those of [`load`], and rows of two tables with different names.
pub fn load_with(
    embeddings: &str,
    labels: &[&str],
    weights: Option<&str>,
    options: &ReadOptions<'_>,
) -> Result<Loaded> {
    let own = Own::open(embeddings, labels, options.hints)?;
    let label_inputs: Vec<Input> = labels.iter().map(|labels| own.resolve(labels)).collect::<Result<_>>()?;
    let weight_input = weights.map(|weights| own.resolve(weights)).transpose()?;
    let inputs = || label_inputs.iter().chain(&weight_input);
    let reads_stdin = |input: &&Input| matches!(input, Input::Files(location) if location.is_stdin());
    if inputs().filter(reads_stdin).count() + usize::from(own.location.is_stdin()) > 1 {
        return Err(Error::setting("only one input can be standard input ('-')", "save the others as files"));
    }
    let mut taken: Vec<String> = inputs()
        .filter_map(|input| match input {
            Input::Own(name) => Some(name.clone()),
            Input::Folder(_) | Input::Files(_) => None,
        })
        .collect();
    taken.extend(options.key.map(str::to_owned));
    let mut joins = Joins::new(&own, options.key);
    // Labels first: they are quick to read, so a wrong name or value is found before the slow part.
    let mut columns = Vec::new();
    let mut files_of_labels = Vec::new();
    // Kept so that an error about the number of rows can describe their content.
    let mut files_opened = Vec::new();
    for input in &label_inputs {
        let (column, files) = match input {
            Input::Folder(_) => (None, Vec::new()),
            Input::Own(name) => {
                let (column, files) = own.opened.labels(Some(name))?;
                (Some(column), files)
            }
            Input::Files(location) => {
                let opened = Opened::new(location, Role::Labels, options.hints)?;
                let (column, files) = opened.labels(location.selector.as_deref())?;
                match joins.rows(&opened, column.origin())? {
                    // The rows have been reordered, so those of a file are no longer contiguous.
                    Some(rows) => (Some(column.joined(&rows)), Vec::new()),
                    None => {
                        files_opened.push((columns.len(), opened));
                        (Some(column), files)
                    }
                }
            }
        };
        columns.push(column);
        files_of_labels.push(files);
    }
    let weights = match &weight_input {
        None => None,
        Some(Input::Own(name) | Input::Folder(name)) => Some(own.opened.weights(Some(name))?),
        Some(Input::Files(location)) => {
            let opened = Opened::new(location, Role::Weights, options.hints)?;
            let weights = opened.weights(location.selector.as_deref())?;
            let rows = joins.rows(&opened, &weights.origin)?;
            Some(rows.map_or(Ok(weights.clone()), |rows| joins::joined_weights(&weights, &rows))?)
        }
    };
    let parts = own.opened.embeddings(own.location.selector.as_deref(), &taken)?;
    for files in &files_of_labels {
        shards::check_rows(&parts, files)?;
    }
    let all_rows: usize = parts.iter().map(Embeddings::rows).sum();
    for (place, _) in &files_opened {
        columns[*place] = columns[*place].take().map(|column| column.extended_to(all_rows));
    }
    for column in columns.iter().flatten() {
        checks::not_transposed(&own.opened, &parts, column)?;
    }
    for (place, opened) in &files_opened {
        let Some(column) = &columns[*place] else { continue };
        if column.len() != all_rows
            && let Some((problem, tip)) = opened.explained(column, all_rows)
        {
            return Err(Error::RowCountsExplained {
                left: embeddings.to_owned(),
                left_rows: all_rows,
                right: column.origin().to_string(),
                right_rows: column.len(),
                problem,
                tip,
            });
        }
    }
    let rows = own.opened.rows_of_files(&parts);
    let labels = columns.into_iter().zip(&label_inputs).filter_map(|(column, input)| match input {
        Input::Folder(name) => {
            let values = own.opened.folder_column(name)?;
            Some(own.opened.folder_labels(name, &values, &rows))
        }
        Input::Own(_) | Input::Files(_) => column,
    });
    let labels: Vec<LabelColumn> = labels.collect();
    let mut embeddings = shards::joined(&own.location, parts)?;
    let mut notes = embeddings.notes().to_vec();
    notes.extend(labels.iter().find_map(|column| checks::labels_among_dimensions(&embeddings, column)));
    let by_position: Vec<&Opened> = files_opened.iter().map(|(_, opened)| opened).collect();
    notes.extend(checks::out_of_order(&own.opened, &by_position, embeddings.rows()));
    if notes.len() > embeddings.notes().len() {
        let chosen = embeddings.chosen();
        embeddings = embeddings.with_choice(chosen, notes);
    }
    Ok(Loaded { embeddings, labels, weights })
}

/// What an input looks like, for messages about inputs in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// A matrix, or a table with vectors or a series of numbers.
    Embeddings,
    /// One value per row.
    Labels,
    Unclear,
}

/// What an input looks like from its header; problems with it are not errors here.
pub fn looks_like(spec: &str) -> Looks {
    let look = || -> Result<Looks> {
        let Some(location) = Location::find(spec)? else { return Ok(Looks::Unclear) };
        if location.is_stdin() || location.selector.is_some() {
            return Ok(Looks::Unclear);
        }
        let Some(path) = location.files.first() else { return Ok(Looks::Unclear) };
        let contents = open_source(&Source::open(path)?, Role::Labels, None)?;
        Ok(match &contents {
            Contents::Lines(_) => Looks::Labels,
            Contents::Arrays(file) if file.names().is_empty() => match file.shape(0).as_deref() {
                Some([_] | [_, 1] | [1, _]) => Looks::Labels,
                Some([_, _, ..]) => Looks::Embeddings,
                _ => Looks::Unclear,
            },
            Contents::Arrays(file) => match array::choose(file.as_ref(), path, &[]) {
                Ok(_) => Looks::Embeddings,
                Err(_) => Looks::Unclear,
            },
            Contents::Table(table) => match table::choose(table.as_ref(), path, None, &[]) {
                Ok(_) => Looks::Embeddings,
                Err(_) if table.columns().iter().any(|column| column.kind.label_type().is_some()) => Looks::Labels,
                Err(_) => Looks::Unclear,
            },
        })
    };
    look().unwrap_or(Looks::Unclear)
}

/// Whether a file, a directory or a pattern of this name exists.
pub fn is_there(spec: &str) -> bool {
    Location::find(spec).is_ok_and(|location| location.is_some_and(|location| !location.is_stdin()))
}

/// Possible labels of embeddings, in the form that `-l` takes: columns of their own file and files beside it with as many
/// rows, the most likely first.
pub fn possible_labels(embeddings: &str) -> Vec<String> {
    const TOLD: usize = 4;
    let mut found = own_labels(embeddings);
    let Ok(Some(location)) = Location::find(embeddings) else { return found };
    if location.is_stdin() {
        return found;
    }
    let rows = Opened::new(&location, Role::Embeddings, Hints::default())
        .ok()
        .and_then(|opened| opened.row_count(location.selector.as_deref(), source::is_short(&location)));
    for path in source::beside(&location.path) {
        if found.len() < TOLD {
            found.extend(labels_in(&path, rows));
        }
    }
    found.truncate(TOLD);
    found
}

/// What a file has labels in, for this many rows if that is known, in the form that `-l` takes.
fn labels_in(path: &str, rows: Option<usize>) -> Vec<String> {
    let Ok(Some(location)) = Location::find(path) else { return Vec::new() };
    let is_short = source::is_short(&location);
    if !is_short && source::is_packed(path) || looks_like(path) != Looks::Labels {
        return Vec::new();
    }
    let Ok(opened) = Opened::new(&location, Role::Labels, Hints::default()) else { return Vec::new() };
    let fits = |found: usize| rows.is_none_or(|rows| rows == found);
    let repeats = |selector: Option<&str>| {
        let column = opened.labels(selector).map(|(column, _)| column);
        column.is_ok_and(|column| fits(column.len()) && is_repeated(&column))
    };
    if !is_short {
        // Too long to read for a tip: its header has to say that it fits.
        let is_whole = opened.row_count(None, false).is_some_and(fits);
        return if is_whole { vec![path.to_owned()] } else { Vec::new() };
    }
    if repeats(None) {
        return vec![path.to_owned()];
    }
    let names = opened.label_like().into_iter().filter(|name| repeats(Some(name)));
    names.map(|name| format!("{path}:{name}")).collect()
}

/// Whether there are several labels, and at most half as many as rows.
fn is_repeated(labels: &LabelColumn) -> bool {
    (2..=labels.len() / 2).contains(&labels.dictionary().len())
}

/// Columns and arrays of the embeddings' own file, and the names of its folders, that look like labels: there are several
/// values, and at most half as many as rows. Problems with the file are no error here.
pub fn own_labels(embeddings: &str) -> Vec<String> {
    let Ok(Some(location)) = Location::find(embeddings) else { return Vec::new() };
    if location.is_stdin() {
        return Vec::new();
    }
    let mut found = location.folder_columns();
    let Ok(opened) = Opened::new(&location, Role::Embeddings, Hints::default()) else { return found };
    let repeats = |name: &String| opened.labels(Some(name)).is_ok_and(|(column, _)| is_repeated(&column));
    let others = opened.label_like().into_iter().filter(|name| location.selector.as_deref() != Some(name));
    found.extend(others.filter(repeats));
    found
}

/// Reads a matrix that is neither embeddings nor labels of the data set, such as the weights of a linear head, as
/// float64.
///
/// # Errors
/// Those of [`load`].
pub fn matrix(spec: &str) -> Result<Array2<f64>> {
    let location = Location::require(spec)?;
    let opened = Opened::new(&location, Role::Embeddings, Hints::default())?;
    let embeddings = shards::joined(&location, opened.embeddings(location.selector.as_deref(), &[])?)?;
    let (rows, columns) = (embeddings.rows(), embeddings.dimensions());
    let mut values = vec![0.0; rows * columns];
    embeddings.blocks().read_f64(0..rows, &mut values)?;
    Array2::from_shape_vec((rows, columns), values).map_err(|_| Error::Shape {
        name: embeddings.origin().to_string(),
        expected: "rows x columns",
        shape: vec![rows, columns],
    })
}

/// Reads one number per row, such as the bias of a linear head.
///
/// # Errors
/// Those of [`load`].
pub fn numbers(spec: &str) -> Result<Vec<f64>> {
    let location = Location::require(spec)?;
    Ok(Opened::new(&location, Role::Weights, Hints::default())?.weights(location.selector.as_deref())?.values)
}

/// Reads labels that do not belong to rows, such as the classes of the columns of logits.
///
/// # Errors
/// Those of [`load`].
pub fn labels(spec: &str) -> Result<LabelColumn> {
    let location = Location::require(spec)?;
    Ok(Opened::new(&location, Role::Labels, Hints::default())?.labels(location.selector.as_deref())?.0)
}

/// Reads embeddings from the bytes of a file in memory. The format is determined by the bytes, then by the extension of
/// `name`. Formats and selectors are those of [`load`].
///
/// # Errors
/// Anything wrong with the bytes or the selector; the message refers to them as `name`.
pub fn embeddings_from_bytes(name: &str, bytes: Vec<u8>, selector: Option<&str>) -> Result<Embeddings> {
    let contents = from_bytes(name, bytes, Role::Embeddings, selector)?;
    shards::embeddings(&contents, name, selector, &[])
}

/// Reads labels from the bytes of a file in memory, like [`embeddings_from_bytes`].
///
/// # Errors
/// Anything wrong with the bytes or the selector; the message refers to them as `name`.
pub fn labels_from_bytes(name: &str, bytes: Vec<u8>, selector: Option<&str>) -> Result<LabelColumn> {
    let contents = from_bytes(name, bytes, Role::Labels, selector)?;
    Ok(shards::labels(name, &[(name, &contents)], selector)?.0)
}

fn from_bytes(name: &str, bytes: Vec<u8>, role: Role, selector: Option<&str>) -> Result<Contents> {
    open_source(&Source::of_bytes(name, MappedBytes::from_memory(bytes))?, role, selector)
}

/// The files named by `PATH` or `PATH:SELECTOR`; the whole text if there are none.
pub fn paths_of(spec: &str) -> Vec<String> {
    match Location::find(spec) {
        Ok(Some(location)) => location.files,
        _ => vec![spec.to_owned()],
    }
}

/// The labellings named by `COLUMN,COLUMN` (of the embeddings' own file) or `PATH:COLUMN,COLUMN`.
///
/// # Errors
/// A path that cannot be accessed.
pub fn labels_from(spec: &str) -> Result<Vec<String>> {
    let (path, columns) = match Location::find(spec)? {
        Some(Location { path, selector: Some(columns), .. }) => (path, columns),
        _ => (String::new(), spec.trim_start_matches(':').to_owned()),
    };
    Ok(columns.split(',').map(|column| format!("{path}:{}", column.trim())).collect())
}

/// The embeddings' file, which may contain labels and weights too.
struct Own {
    location: Location,
    opened: Opened,
    /// The names that can be selected in it.
    names: Vec<String>,
}

/// The location of labels or weights.
enum Input {
    /// A column or array of the embeddings' file.
    Own(String),
    /// The column formed by the folder names of the embeddings' files.
    Folder(String),
    Files(Location),
}

impl Own {
    fn open(spec: &str, labels: &[&str], hints: Hints) -> Result<Self> {
        let location = Location::find(spec)?.ok_or_else(|| source::not_found(spec))?;
        location.check_folders(labels)?;
        let opened = Opened::new(&location, Role::Embeddings, hints)?;
        let names = opened.names();
        Ok(Own { location, opened, names })
    }

    fn path(&self) -> &str {
        &self.location.path
    }

    fn find(&self, name: &str) -> Result<Input> {
        if let Some(place) = table::named(self.names.iter().map(String::as_str), name) {
            return Ok(Input::Own(self.names[place].clone()));
        }
        if self.opened.folder_column(name).is_some() {
            return Ok(Input::Folder(name.to_owned()));
        }
        Err(self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let is_table = self.opened.is_table();
        Error::UnknownSelector {
            path: self.path().to_owned(),
            kind: if is_table { "column" } else { "array" },
            wanted: name.to_owned(),
            available: self.names.iter().cloned().chain(self.location.folder_columns()).collect(),
        }
    }

    /// Decides between a file and a column of the embeddings' file.
    fn resolve(&self, spec: &str) -> Result<Input> {
        if let Some(column) = spec.strip_prefix(':') {
            if self.names.is_empty() && self.location.folders.is_empty() {
                return Err(Error::setting(
                    format!("'{spec}' means a column of {}, which is not a table", self.path()),
                    "name a file, for example labels.npy",
                ));
            }
            return self.find(column);
        }
        match (Location::find(spec)?, self.find(spec)) {
            (Some(Location { selector: None, .. }), Ok(_)) => {
                Err(Error::AmbiguousName { name: spec.to_owned(), embeddings: self.path().to_owned() })
            }
            (Some(location), _) => match &location.selector {
                _ if !location.folders.is_empty() => {
                    location.check_folders(&[])?;
                    Ok(Input::Files(location))
                }
                Some(name) if !self.names.is_empty() && location.is_same(&self.location) => self.find(name),
                _ => Ok(Input::Files(location)),
            },
            (None, Ok(own)) => Ok(own),
            // A word without a dot or a slash is more likely a misspelled column than a misspelled file.
            (None, Err(unknown)) if !self.names.is_empty() && !spec.contains(['.', '/', '\\', ':']) => Err(unknown),
            (None, Err(_)) => Err(source::not_found(spec)),
        }
    }
}

/// Opens a source by the format of its content, else by its extension, else by the default for the role.
fn open_source(source: &Source, role: Role, selector: Option<&str>) -> Result<Contents> {
    (format_of(source, role, selector)?.open)(source, role)
}

fn format_of(source: &Source, role: Role, selector: Option<&str>) -> Result<&'static Format> {
    let extension = source.extension();
    let by_content = FORMATS.iter().find(|format| (format.recognises)(&source.bytes));
    let by_extension = || FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str()));
    if let Some(format) = by_content.or_else(by_extension) {
        return Ok(format);
    }
    match role {
        // Data from a pipe has no name: it is a table if a column is selected, else one value per line.
        Role::Embeddings if source.is_stdin() => Ok(&csv::FORMAT),
        Role::Labels | Role::Weights if source.is_stdin() && selector.is_some() => Ok(&csv::FORMAT),
        Role::Labels | Role::Weights => Ok(&text::FORMAT),
        Role::Embeddings => Err(source
            .malformed("its format is not known, neither by content nor by extension", Some(SUPPORTED.to_owned()))),
    }
}

#[cfg(test)]
fn embeddings_of(contents: &Contents, path: &str, selector: Option<&str>, taken: &[&str]) -> Result<Embeddings> {
    let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
    shards::embeddings(contents, path, selector, &taken)
}

#[cfg(test)]
fn labels_of(contents: &Contents, path: &str, selector: Option<&str>) -> Result<LabelColumn> {
    Ok(shards::labels(path, &[(path, contents)], selector)?.0)
}

#[cfg(test)]
fn weights_of(contents: &Contents, path: &str, selector: Option<&str>) -> Result<RowWeights> {
    shards::weights(path, &[(path, contents)], selector)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use embq_core::data::{Element, Label};

    /// A directory of small inputs that the tests create by name.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Files(tempfile::tempdir().unwrap());
            let matrix = ndarray::Array2::from_shape_fn((3, 2), |(i, j)| (i * 2 + j) as f32);
            ndarray_npy::write_npy(files.path("emb.npy"), &matrix).unwrap();
            ndarray_npy::write_npy(files.path("labels.npy"), &ndarray::arr1(&[1_i64, 0, 1])).unwrap();
            files.write("t.csv", "x,y,label,w\n1.0,2.0,a,0.5\n3.0,4.0,b,1\n5.0,6.0,a,2\n");
            files.write("labels.txt", "1\n0\n1\n");
            files
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }
    }

    fn values(embeddings: &Embeddings) -> Vec<f64> {
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        f64::read(embeddings.blocks(), 0..embeddings.rows(), &mut out).unwrap();
        out
    }

    #[test]
    fn embeddings_labels_and_weights_come_from_three_files() {
        let files = Files::new();
        let weights = files.path("t.csv:w");
        let loaded = load(&files.path("emb.npy"), &[&files.path("labels.npy")], Some(&weights)).unwrap();
        assert_eq!(values(&loaded.embeddings), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(loaded.labels[0].get(2), Some(&Label::Integer(1)));
        assert_eq!(loaded.weights.unwrap().values, [0.5, 1.0, 2.0]);
    }

    #[test]
    fn labels_beside_embeddings_have_as_many_rows() {
        let files = Files::new();
        let matrix = ndarray::Array2::from_shape_fn((4, 2), |(i, j)| (i * 2 + j) as f32);
        ndarray_npy::write_npy(files.path("four.npy"), &matrix).unwrap();
        files.write("labels.txt", "a\na\nb\nb\n");
        files.write("classes.txt", "a\na\nb\nb\nc\nc\n");
        files.write("metadata.csv", "name,kind\nw,a\nx,a\ny,b\nz,b\n");
        // Of three rows, as labels.npy.
        files.write("species.csv", "name,kind\nw,a\nx,a\ny,b\n");
        let expected = [files.path("labels.txt"), format!("{}:kind", files.path("metadata.csv"))];
        assert_eq!(possible_labels(&files.path("four.npy")), expected);
        files.write("four.csv", "f0,f1\n1,2\n3,4\n5,6\n7,8\n");
        assert_eq!(possible_labels(&files.path("four.csv")), expected);
    }

    #[test]
    fn columns_of_the_own_table_are_named_in_three_ways() {
        let files = Files::new();
        let table = files.path("t.csv");
        for label in ["label", ":label", &format!("{table}:label"), &files.path("./t.csv:label")] {
            let loaded = load(&table, &[label], Some("w")).unwrap();
            assert_eq!(loaded.embeddings.columns(), ["x", "y"], "{label}");
            assert_eq!(loaded.labels[0].origin().to_string(), format!("{table}:label"));
            assert_eq!(loaded.weights.unwrap().values, [0.5, 1.0, 2.0]);
        }
    }

    #[test]
    fn a_selector_chooses_the_embeddings() {
        let files = Files::new();
        let loaded = load(&files.path("t.csv:y"), &["label"], None).unwrap();
        assert_eq!(values(&loaded.embeddings), [2.0, 4.0, 6.0]);
        assert_eq!(loaded.embeddings.origin().selector.as_deref(), Some("y"));
        let loaded = load(&files.path("t.csv:x..y"), &["label"], None).unwrap();
        assert_eq!(loaded.embeddings.dimensions(), 2);
    }

    #[test]
    fn a_text_file_is_one_label_a_line_whatever_its_extension() {
        let files = Files::new();
        files.write("labels.classes", "b\r\na\r\n\r\n");
        let loaded = load(&files.path("emb.npy"), &[&files.path("labels.classes")], None).unwrap();
        assert_eq!(loaded.labels[0].get(0), Some(&Label::Text("b".into())));
        assert_eq!((loaded.labels[0].len(), loaded.labels[0].get(2)), (3, None));
        let weights = files.path("labels.txt");
        let loaded = load(&files.path("emb.npy"), &[&weights], Some(&weights)).unwrap();
        assert_eq!(loaded.labels[0].get(0), Some(&Label::Integer(1)));
        assert_eq!(loaded.weights.unwrap().values, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_name_that_is_file_and_column_is_ambiguous() {
        let files = Files::new();
        let name = files.path("both");
        files.write("both", "1\n0\n");
        files.write("own.csv", &format!("x,y,{name}\n1.5,1.0,a\n2.5,1.0,b\n"));
        let error = load(&files.path("own.csv"), &[&name], None).unwrap_err();
        assert!(matches!(&error, Error::AmbiguousName { name: found, .. } if *found == name));
        let loaded = load(&files.path("own.csv"), &[&format!(":{name}")], None).unwrap();
        assert_eq!(loaded.labels[0].get(0), Some(&Label::Text("a".into())));
        let (directory, file) = name.rsplit_once('/').unwrap();
        let loaded = load(&files.path("own.csv"), &[&format!("{directory}/./{file}")], None).unwrap();
        assert_eq!(loaded.labels[0].get(0), Some(&Label::Integer(1)));
    }

    #[test]
    fn unknown_names_are_answered_with_what_is_there() {
        let files = Files::new();
        let error = load(&files.path("t.csv"), &["lable"], None).unwrap_err();
        assert!(matches!(&error, Error::UnknownSelector { wanted, .. } if wanted == "lable"));
        assert!(error.tip().unwrap().contains("did you mean 'label'?"));
        let error = load(&files.path("t.csv"), &[":lable"], None).unwrap_err();
        assert!(matches!(error, Error::UnknownSelector { .. }));
        let error = load(&files.path("t.csv:z"), &["label"], None).unwrap_err();
        assert!(matches!(error, Error::UnknownSelector { kind: "column", .. }));
        let error = load(&files.path("t.csv"), &[&files.path("lables.txt")], None).unwrap_err();
        assert!(matches!(&error, Error::NotFound { closest: Some(name), .. } if name.ends_with("labels.txt")));
        let error = load(&files.path("emb.npy"), &["label"], None).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }));
        let error = load(&files.path("t.csv"), &[&files.path("t.csv")], None).unwrap_err();
        assert!(matches!(error, Error::SelectorNeeded { .. }));
    }

    #[test]
    fn a_selector_needs_something_to_select_in() {
        let files = Files::new();
        let error = load(&files.path("emb.npy:x"), &[&files.path("labels.npy")], None).unwrap_err();
        assert!(error.to_string().contains("a single array"), "{error}");
        let error = load(&files.path("emb.npy"), &[&files.path("labels.txt:x")], None).unwrap_err();
        assert!(error.to_string().contains("one value per line"), "{error}");
        let error = load(&files.path("emb.npy"), &[":x"], None).unwrap_err();
        assert!(error.to_string().contains("not a table"), "{error}");
    }

    #[test]
    fn unknown_formats_are_refused_as_embeddings() {
        let files = Files::new();
        files.write("emb.xyz", "1 2 3\n");
        let error = load(&files.path("emb.xyz"), &[&files.path("labels.npy")], None).unwrap_err();
        assert!(error.to_string().contains("format is not known"), "{error}");
        assert!(error.tip().unwrap().contains("embq reads .npy, .npz"));
        files.write("words.txt", "a\nb\na\n");
        let error = load(&files.path("words.txt"), &[&files.path("labels.npy")], None).unwrap_err();
        assert!(error.to_string().contains("one value per line"), "{error}");
    }

    #[test]
    fn content_wins_over_the_extension() {
        let files = Files::new();
        fs::copy(files.path("emb.npy"), files.path("emb.csv")).unwrap();
        let loaded = load(&files.path("emb.csv"), &[&files.path("labels.txt")], None).unwrap();
        assert_eq!(loaded.embeddings.dimensions(), 2);
        files.write("text.npy", "not an array");
        let error = load(&files.path("text.npy"), &[&files.path("labels.txt")], None).unwrap_err();
        assert!(error.to_string().contains("not an npy file"), "{error}");
    }

    #[test]
    fn every_format_is_documented_and_every_extension_has_one_format() {
        let documentation = include_str!("../../../../docs/formats.md");
        let mut seen = std::collections::HashSet::new();
        for format in FORMATS {
            for extension in format.extensions {
                assert!(seen.insert(extension), "{extension} belongs to two formats");
                let written = format!("`.{extension}`");
                assert!(documentation.contains(&written), "{written} of {} is not documented", format.name);
            }
        }
    }

    #[test]
    fn only_one_input_is_standard_input() {
        let files = Files::new();
        let error = load(&files.path("emb.npy"), &["-"], Some("-")).unwrap_err();
        assert!(error.to_string().contains("only one input"), "{error}");
    }

    #[test]
    fn a_pipe_is_a_table_where_a_column_is_wanted() {
        let pipe = Source::new("-", MappedBytes::from_memory(b"x,l\n1,a\n".to_vec()));
        let name = |role, selector| format_of(&pipe, role, selector).unwrap().name;
        assert_eq!(name(Role::Embeddings, None), "csv");
        assert_eq!(name(Role::Labels, Some("l")), "csv");
        assert_eq!(name(Role::Labels, None), "text");
    }
}
