//! From paths and selectors to embeddings and labels: one file a format.
//!
//! [`FORMATS`] is the list of formats; a file's content decides which one it is, then its extension. A format opens a
//! file as an array, a table or lines of text, and what can be read from each of these is the same for every format.

mod cells;
mod csv;
mod inspect;
mod npy;
mod parquet;
mod refused;
mod source;
mod table;
mod text;

pub use inspect::{Inspection, Item, LabelCount, inspect};

use crate::data::{Embeddings, LabelColumn, LabelType, Origin, RowWeights};
use crate::error::{Error, Result};
use cells::Place;
use source::{Location, Source};
use table::Table;

/// Every format, in the order in which their contents are looked for.
const FORMATS: &[Format] = &[
    npy::FORMAT,
    parquet::FORMAT,
    csv::FORMAT,
    text::FORMAT,
    refused::ZIP,
    refused::PICKLE,
    refused::SAFETENSORS,
    refused::ARROW,
    refused::JSON,
    refused::TSV,
    refused::COMPRESSED,
];

/// What an error about an unknown format says.
const SUPPORTED: &str = "embq reads .npy, Parquet (.parquet) and CSV (.csv), and labels and weights also from text \
                         files of one value a line";

/// One format: how it is recognised and opened.
struct Format {
    /// The name that `embq inspect` shows.
    name: &'static str,
    /// Extensions in lower case, the usual one first.
    extensions: &'static [&'static str],
    /// Whether a file is of this format by its content alone.
    recognises: fn(&[u8]) -> bool,
    open: fn(&Source, Role) -> Result<Contents>,
}

/// What an input is to be used as.
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

/// What an opened file holds.
enum Contents {
    Array(npy::Array),
    Table(Box<dyn Table>),
    Lines(text::Lines),
}

/// Everything that a command reads.
#[derive(Debug)]
pub struct Loaded {
    /// The embeddings, as stored: nothing is checked yet that [`Dataset`](crate::data::Dataset) checks.
    pub embeddings: Embeddings,
    /// A label for each row.
    pub labels: LabelColumn,
    /// A weight for each row.
    pub weights: Option<RowWeights>,
}

/// Reads embeddings, their labels and row weights; each is `PATH`, `PATH:SELECTOR`, and for labels and weights also
/// `:COLUMN` or a bare column name of the embeddings' file.
///
/// # Errors
/// Whatever is wrong with a file, a selector or a value in it; the message names file, row and column.
pub fn load(embeddings: &str, labels: &str, weights: Option<&str>) -> Result<Loaded> {
    let own = Own::open(embeddings)?;
    let label_input = own.resolve(labels)?;
    let weight_input = weights.map(|weights| own.resolve(weights)).transpose()?;
    let reads_stdin = [Some(&label_input), weight_input.as_ref()]
        .into_iter()
        .flatten()
        .filter(|input| matches!(input, Input::File(location) if location.is_stdin()))
        .count();
    if reads_stdin + usize::from(own.location.is_stdin()) > 1 {
        return Err(Error::setting("only one input can be standard input ('-')", "save the others as files"));
    }
    let taken: Vec<usize> = [Some(&label_input), weight_input.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|input| match input {
            Input::OwnColumn(column) => Some(*column),
            Input::File(_) => None,
        })
        .collect();
    // Labels first: they are quick to read, so a wrong name or value is found before the long part.
    let labels = own.read(&label_input, Role::Labels, labels_of)?;
    let weights = weight_input.map(|input| own.read(&input, Role::Weights, weights_of)).transpose()?;
    let embeddings = embeddings_of(&own.contents, &own.location.path, own.location.selector.as_deref(), &taken)?;
    Ok(Loaded { embeddings, labels, weights })
}

/// The path in `PATH` or `PATH:SELECTOR`; the whole text if there is no such file.
pub fn path_of(spec: &str) -> String {
    match Location::find(spec) {
        Ok(Some(location)) => location.path,
        _ => spec.to_owned(),
    }
}

/// The embeddings' file, in which labels and weights may lie too.
struct Own {
    location: Location,
    contents: Contents,
}

/// Where labels or weights are.
enum Input {
    /// A column of the embeddings' file.
    OwnColumn(usize),
    File(Location),
}

impl Own {
    fn open(spec: &str) -> Result<Self> {
        let location = Location::require(spec)?;
        let contents = open(&location, Role::Embeddings)?;
        Ok(Own { location, contents })
    }

    fn table(&self) -> Option<&dyn Table> {
        match &self.contents {
            Contents::Table(table) => Some(table.as_ref()),
            Contents::Array(_) | Contents::Lines(_) => None,
        }
    }

    fn path(&self) -> &str {
        &self.location.path
    }

    /// Decides between a file and a column of the embeddings' file.
    fn resolve(&self, spec: &str) -> Result<Input> {
        if let Some(column) = spec.strip_prefix(':') {
            let Some(table) = self.table() else {
                return Err(Error::setting(
                    format!("'{spec}' means a column of {}, which is not a table", self.path()),
                    "name a file, for example labels.npy",
                ));
            };
            return table::find(self.path(), table.columns(), column).map(Input::OwnColumn);
        }
        let own_column = |name: &str| {
            let columns = self.table()?.columns();
            columns.iter().position(|column| column.name == name)
        };
        match (Location::find(spec)?, own_column(spec)) {
            (Some(Location { selector: None, .. }), Some(_)) => {
                Err(Error::AmbiguousName { name: spec.to_owned(), embeddings: self.path().to_owned() })
            }
            (Some(location), _) => match (&location.selector, self.table()) {
                (Some(column), Some(table)) if location.is_same_file(&self.location) => {
                    table::find(self.path(), table.columns(), column).map(Input::OwnColumn)
                }
                _ => Ok(Input::File(location)),
            },
            (None, Some(column)) => Ok(Input::OwnColumn(column)),
            (None, None) => match self.table() {
                // A word without a dot or a slash is a slip in a column's name rather than in a file's.
                Some(table) if !spec.contains(['.', '/', '\\', ':']) => {
                    Err(table::unknown(self.path(), table.columns(), spec))
                }
                _ => Err(source::not_found(spec)),
            },
        }
    }

    fn read<T>(
        &self,
        input: &Input,
        role: Role,
        read: impl FnOnce(&Contents, &str, Option<Selection<'_>>) -> Result<T>,
    ) -> Result<T> {
        match input {
            Input::OwnColumn(column) => read(&self.contents, self.path(), Some(Selection::Column(*column))),
            Input::File(location) => {
                read(&open(location, role)?, &location.path, location.selector.as_deref().map(Selection::Name))
            }
        }
    }
}

/// What is chosen in a file of labels or weights.
#[derive(Clone, Copy)]
enum Selection<'a> {
    Column(usize),
    Name(&'a str),
}

fn open(location: &Location, role: Role) -> Result<Contents> {
    let source = Source::open(&location.path)?;
    open_source(&source, role, location.selector.as_deref())
}

/// Opens a source in the format of its content, else of its extension, else what is usual for the role.
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
        // What comes down a pipe has no name: a table if a column of it is wanted, else a value a line.
        Role::Embeddings if source.is_stdin() => Ok(&csv::FORMAT),
        Role::Labels | Role::Weights if source.is_stdin() && selector.is_some() => Ok(&csv::FORMAT),
        Role::Labels | Role::Weights => Ok(&text::FORMAT),
        Role::Embeddings => Err(source
            .malformed("its format is not known, neither by content nor by extension", Some(SUPPORTED.to_owned()))),
    }
}

fn no_selector(path: &str, selector: Option<&str>, what: &'static str) -> Result<()> {
    match selector {
        None => Ok(()),
        Some(selector) => Err(Error::Malformed {
            name: path.to_owned(),
            problem: format!("it is {what}: there is nothing to select with ':{selector}'"),
            tip: Some(format!("write {path}")),
        }),
    }
}

const ONE_ARRAY: &str = "a single array";
const LINES: &str = "one value a line";

/// The embeddings in an opened file; `taken` are columns that hold labels or weights.
fn embeddings_of(contents: &Contents, path: &str, selector: Option<&str>, taken: &[usize]) -> Result<Embeddings> {
    match contents {
        Contents::Array(array) => {
            no_selector(path, selector, ONE_ARRAY)?;
            array.embeddings(Origin::new(path))
        }
        Contents::Table(table) => table::embeddings(table.as_ref(), path, selector, taken),
        Contents::Lines(_) => Err(Error::ElementType {
            name: path.to_owned(),
            found: "text".to_owned(),
            role: Role::Embeddings.name(),
            tip: Some(SUPPORTED.to_owned()),
        }),
    }
}

impl Selection<'_> {
    fn column(self, path: &str, table: &dyn Table) -> Result<usize> {
        match self {
            Selection::Column(column) => Ok(column),
            Selection::Name(name) => table::find(path, table.columns(), name),
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Selection::Column(_) => None,
            Selection::Name(name) => Some(name.to_owned()),
        }
    }
}

/// The labels in an opened file.
fn labels_of(contents: &Contents, path: &str, selection: Option<Selection<'_>>) -> Result<LabelColumn> {
    let name = selection.and_then(Selection::name);
    let place = Place { path, column: None };
    match contents {
        Contents::Array(array) => {
            no_selector(path, name.as_deref(), ONE_ARRAY)?;
            cells::labels(Origin::new(path), place, array.label_type(), |visit| array.cells(visit))
        }
        Contents::Lines(lines) => {
            no_selector(path, name.as_deref(), LINES)?;
            let labels = cells::labels(Origin::new(path), place, LabelType::Text, |visit| lines.cells(visit))?;
            Ok(labels.with_integers_recognised())
        }
        Contents::Table(table) => {
            let column = column_of(table.as_ref(), path, selection, Role::Labels)?;
            table::labels(table.as_ref(), path, column)
        }
    }
}

/// The row weights in an opened file.
fn weights_of(contents: &Contents, path: &str, selection: Option<Selection<'_>>) -> Result<RowWeights> {
    let name = selection.and_then(Selection::name);
    let place = Place { path, column: None };
    let (origin, values) = match contents {
        Contents::Array(array) => {
            no_selector(path, name.as_deref(), ONE_ARRAY)?;
            array.require_weights()?;
            (Origin::new(path), cells::weights(place, |visit| array.cells(visit))?)
        }
        Contents::Lines(lines) => {
            no_selector(path, name.as_deref(), LINES)?;
            (Origin::new(path), cells::weights(place, |visit| lines.cells(visit))?)
        }
        Contents::Table(table) => {
            let column = column_of(table.as_ref(), path, selection, Role::Weights)?;
            table::weights(table.as_ref(), path, column)?
        }
    };
    Ok(RowWeights { origin, values })
}

fn column_of(table: &dyn Table, path: &str, selection: Option<Selection<'_>>, role: Role) -> Result<usize> {
    match selection {
        Some(selection) => selection.column(path, table),
        None => table::only_column(path, table.columns(), role),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{Element, Label};

    /// A directory of small inputs whose names the tests can write.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Files(tempfile::tempdir().unwrap());
            let matrix = ndarray::Array2::from_shape_fn((3, 2), |(i, j)| (i * 2 + j) as f32);
            ndarray_npy::write_npy(files.path("emb.npy"), &matrix).unwrap();
            ndarray_npy::write_npy(files.path("labels.npy"), &ndarray::arr1(&[1_i64, 0, 1])).unwrap();
            files.write("t.csv", "x,y,label,w\n1,2,a,0.5\n3,4,b,1\n5,6,a,2\n");
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
        let loaded = load(&files.path("emb.npy"), &files.path("labels.npy"), Some(&weights)).unwrap();
        assert_eq!(values(&loaded.embeddings), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(loaded.labels.get(2), Some(&Label::Integer(1)));
        assert_eq!(loaded.weights.unwrap().values, [0.5, 1.0, 2.0]);
    }

    #[test]
    fn columns_of_the_own_table_are_named_in_three_ways() {
        let files = Files::new();
        let table = files.path("t.csv");
        for label in ["label", ":label", &format!("{table}:label"), &files.path("./t.csv:label")] {
            let loaded = load(&table, label, Some("w")).unwrap();
            assert_eq!(loaded.embeddings.columns(), ["x", "y"], "{label}");
            assert_eq!(loaded.labels.origin().to_string(), format!("{table}:label"));
            assert_eq!(loaded.weights.unwrap().values, [0.5, 1.0, 2.0]);
        }
    }

    #[test]
    fn a_selector_chooses_the_embeddings() {
        let files = Files::new();
        let loaded = load(&files.path("t.csv:y"), "label", None).unwrap();
        assert_eq!(values(&loaded.embeddings), [2.0, 4.0, 6.0]);
        assert_eq!(loaded.embeddings.origin().selector.as_deref(), Some("y"));
        let loaded = load(&files.path("t.csv:x..y"), "label", None).unwrap();
        assert_eq!(loaded.embeddings.dimensions(), 2);
    }

    #[test]
    fn a_text_file_is_one_label_a_line_whatever_its_extension() {
        let files = Files::new();
        files.write("labels.classes", "b\r\na\r\n\r\n");
        let loaded = load(&files.path("emb.npy"), &files.path("labels.classes"), None).unwrap();
        assert_eq!(loaded.labels.get(0), Some(&Label::Text("b".into())));
        assert_eq!((loaded.labels.len(), loaded.labels.get(2)), (3, None));
        let weights = files.path("labels.txt");
        let loaded = load(&files.path("emb.npy"), &weights, Some(&weights)).unwrap();
        assert_eq!(loaded.labels.get(0), Some(&Label::Integer(1)));
        assert_eq!(loaded.weights.unwrap().values, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_name_that_is_file_and_column_is_ambiguous() {
        let files = Files::new();
        let name = files.path("both");
        files.write("both", "1\n0\n1\n");
        files.write("own.csv", &format!("x,{name}\n1,a\n2,b\n"));
        let error = load(&files.path("own.csv"), &name, None).unwrap_err();
        assert!(matches!(&error, Error::AmbiguousName { name: found, .. } if *found == name));
        let loaded = load(&files.path("own.csv"), &format!(":{name}"), None).unwrap();
        assert_eq!(loaded.labels.get(0), Some(&Label::Text("a".into())));
        let (directory, file) = name.rsplit_once('/').unwrap();
        let loaded = load(&files.path("own.csv"), &format!("{directory}/./{file}"), None).unwrap();
        assert_eq!(loaded.labels.get(0), Some(&Label::Integer(1)));
    }

    #[test]
    fn unknown_names_are_answered_with_what_is_there() {
        let files = Files::new();
        let error = load(&files.path("t.csv"), "lable", None).unwrap_err();
        assert!(matches!(&error, Error::UnknownSelector { wanted, .. } if wanted == "lable"));
        assert!(error.tip().unwrap().contains("did you mean 'label'?"));
        let error = load(&files.path("t.csv"), ":lable", None).unwrap_err();
        assert!(matches!(error, Error::UnknownSelector { .. }));
        let error = load(&files.path("t.csv:z"), "label", None).unwrap_err();
        assert!(matches!(error, Error::UnknownSelector { kind: "column", .. }));
        let error = load(&files.path("t.csv"), &files.path("lables.txt"), None).unwrap_err();
        assert!(matches!(&error, Error::NotFound { closest: Some(name), .. } if name.ends_with("labels.txt")));
        let error = load(&files.path("emb.npy"), "label", None).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }));
        let error = load(&files.path("t.csv"), &files.path("t.csv"), None).unwrap_err();
        assert!(matches!(error, Error::SelectorNeeded { .. }));
    }

    #[test]
    fn a_selector_needs_something_to_select_in() {
        let files = Files::new();
        let error = load(&files.path("emb.npy:x"), &files.path("labels.npy"), None).unwrap_err();
        assert!(error.to_string().contains("a single array"), "{error}");
        let error = load(&files.path("emb.npy"), &files.path("labels.txt:x"), None).unwrap_err();
        assert!(error.to_string().contains("one value a line"), "{error}");
        let error = load(&files.path("emb.npy"), ":x", None).unwrap_err();
        assert!(error.to_string().contains("not a table"), "{error}");
    }

    #[test]
    fn unknown_formats_are_refused_as_embeddings() {
        let files = Files::new();
        files.write("emb.xyz", "1 2 3\n");
        let error = load(&files.path("emb.xyz"), &files.path("labels.npy"), None).unwrap_err();
        assert!(error.to_string().contains("format is not known"), "{error}");
        assert!(error.tip().unwrap().contains(".npy, Parquet"));
        let error = load(&files.path("labels.txt"), &files.path("labels.npy"), None).unwrap_err();
        assert!(error.to_string().contains("cannot be embeddings"), "{error}");
    }

    #[test]
    fn content_wins_over_the_extension() {
        let files = Files::new();
        fs::copy(files.path("emb.npy"), files.path("emb.csv")).unwrap();
        let loaded = load(&files.path("emb.csv"), &files.path("labels.txt"), None).unwrap();
        assert_eq!(loaded.embeddings.dimensions(), 2);
        files.write("text.npy", "not an array");
        let error = load(&files.path("text.npy"), &files.path("labels.txt"), None).unwrap_err();
        assert!(error.to_string().contains("not an npy file"), "{error}");
    }

    #[test]
    fn every_format_is_documented_and_every_extension_has_one_format() {
        let documentation = include_str!("../../docs/formats.md");
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
        let error = load(&files.path("emb.npy"), "-", Some("-")).unwrap_err();
        assert!(error.to_string().contains("only one input"), "{error}");
    }

    #[test]
    fn a_pipe_is_a_table_where_a_column_is_wanted() {
        let pipe = Source { path: "-".into(), bytes: crate::data::MappedBytes::from_memory(b"x,l\n1,a\n".to_vec()) };
        let name = |role, selector| format_of(&pipe, role, selector).unwrap().name;
        assert_eq!(name(Role::Embeddings, None), "csv");
        assert_eq!(name(Role::Labels, Some("l")), "csv");
        assert_eq!(name(Role::Labels, None), "text");
    }
}
