//! Several files of one input, read as one.

use crate::input::cells::{self, Cell, LabelCollector, Place, excerpt, no_rows};
use crate::input::choice::{self, Candidate, Nature};
use crate::input::pasted::quoted;
use crate::input::source::{FolderValue, Hints, Location, Source};
use crate::input::table::{self, Kind};
use crate::input::vector_text;
use crate::input::{Contents, Role, SUPPORTED, array, open_source};
use embq_core::data::{
    ElementType, Embeddings, LabelColumn, LabelColumnBuilder, LabelType, Origin, RowFaults, RowWeights,
};
use embq_core::error::{Error, Result};

/// The opened files of an input.
pub(crate) struct Opened {
    /// The input as the user wrote it.
    path: String,
    files: Vec<(String, Contents)>,
    /// The values that folder names give to the rows of each file.
    folders: Vec<Vec<FolderValue>>,
}

/// A file of labels and its number of rows.
pub(crate) type FileRows = (String, usize);

impl Opened {
    /// Opens every file.
    pub fn new(location: &Location, role: Role, hints: Hints) -> Result<Self> {
        let mut files = Vec::new();
        for path in &location.files {
            let source = Source::open(path)?.with_hints(hints);
            files.push((path.clone(), open_source(&source, role, location.selector.as_deref())?));
        }
        let mut opened = Opened { path: location.path.clone(), files, folders: location.folders.clone() };
        let mut names = opened.files.iter().map(|(path, contents)| (path, contents.names()));
        if let Some((first, expected)) = names.next()
            && let Some((other, _)) = names.find(|(_, names)| *names != expected)
        {
            return Err(Error::Malformed {
                name: other.clone(),
                problem: format!("its columns differ from those of {first}"),
                tip: Some("shards of one input have the same columns in the same order".to_owned()),
            });
        }
        opened.leave_out_empty();
        Ok(opened)
    }

    /// Leaves out the files without rows among others: engines write one for each task, whether it has rows or not.
    fn leave_out_empty(&mut self) {
        let has_rows: Vec<bool> = self.files.iter().map(|(_, contents)| !contents.is_empty()).collect();
        if has_rows.contains(&true) {
            let mut kept = has_rows.iter();
            self.files.retain(|_| kept.next() != Some(&false));
            let mut kept = has_rows.iter();
            self.folders.retain(|_| kept.next() != Some(&false));
        }
    }

    /// The names that can be selected; they are the same in every file.
    pub fn names(&self) -> Vec<String> {
        self.files.first().map(|(_, contents)| contents.names()).unwrap_or_default()
    }

    /// The number of rows, from the headers of the files; where these do not say it, they are read if `is_short`.
    pub fn row_count(&self, selector: Option<&str>, is_short: bool) -> Option<usize> {
        if selector.is_none() && self.are_rows() {
            return Some(self.files.len());
        }
        let rows = |(path, contents): &(String, Contents)| match contents {
            Contents::Arrays(file) => {
                let index = match selector {
                    _ if file.names().is_empty() => 0,
                    Some(name) => file.names().iter().position(|own| own == name)?,
                    None => *array::choose(file.as_ref(), path, &[]).ok()?.columns.first()?,
                };
                file.shape(index)?.first().copied()
            }
            Contents::Table(table) if table.rows().is_some() => table.rows(),
            Contents::Table(table) if is_short => {
                let choice = table::choose(table.as_ref(), path, selector, &[]).ok()?;
                let mut rows = None;
                let mut count = |_: usize, row: usize, _: Cell<'_>| {
                    rows = Some(row + 1);
                    Ok(())
                };
                table.cells(choice.columns.get(..1)?, &mut count).ok()?;
                rows
            }
            Contents::Table(_) | Contents::Lines(_) => None,
        };
        self.files.iter().map(rows).sum()
    }

    /// The values of a column made from folder names, one per file.
    pub fn folder_column(&self, name: &str) -> Option<Vec<&str>> {
        let value = |values: &'_ Vec<FolderValue>| values.iter().position(|(column, _)| column == name);
        let place = self.folders.first().and_then(value)?;
        self.folders.iter().map(|values| values.get(place).map(|(_, value)| value.as_str())).collect()
    }

    /// The labels made from folder names, for files with these numbers of rows.
    pub fn folder_labels(&self, name: &str, values: &[&str], rows: &[usize]) -> LabelColumn {
        let mut labels = LabelColumnBuilder::new(LabelType::Text);
        for (value, &rows) in values.iter().zip(rows) {
            for _ in 0..rows {
                if value.is_empty() { labels.push_missing() } else { labels.push_text(value) }
            }
        }
        labels.finish(Origin::with_selector(&self.path, name)).with_integers_recognised()
    }

    /// The column that names the rows: the table's index, or the column called `key`.
    pub fn key_column(&self, key: Option<&str>) -> Option<String> {
        let (_, Contents::Table(table)) = self.files.first()? else { return None };
        let columns = table.columns();
        if let Some(key) = key
            && let Some(column) = columns.iter().find(|column| column.name == key)
        {
            return Some(column.name.clone());
        }
        let is_index = |position: &usize| choice::is_index(&columns[*position].candidate(), *position);
        let mut found = (0..columns.len()).filter(is_index);
        // The levels of a multi-level index name a row only together.
        found.next().filter(|_| found.next().is_none()).map(|position| columns[position].name.clone())
    }

    /// For a number of labels that differs from the number of rows: an explanation from the first or the last line.
    pub fn explained(&self, labels: &LabelColumn, rows: usize) -> Option<(String, String)> {
        let [(path, contents)] = &self.files[..] else { return None };
        let shown = |row: usize| labels.get(row).map(|label| excerpt(&label.to_string())).unwrap_or_default();
        let found = labels.len();
        let (header, name) = match contents {
            Contents::Lines(lines) => (lines.has_header(), None),
            Contents::Table(table) => (!table.is_positional(), labels.origin().selector.clone()),
            Contents::Arrays(_) => return None,
        };
        let path = quoted(path);
        if found == rows + 1 && !header {
            return Some((
                format!("line 1 is '{}': is it a header?", shown(0)),
                format!("if it is, add --header yes; else {path} has one row too many"),
            ));
        }
        if let (true, Some(name)) = (found + 1 == rows && header, &name) {
            return Some((
                format!("its first line ('{}') was taken for the names of its columns", excerpt(name)),
                "if it is a row, add --header no".to_owned(),
            ));
        }
        if let (1, Contents::Lines(_)) = (found, contents) {
            let text = labels.get(0)?.to_string();
            for (separator, name) in [(',', ","), (' ', " "), (';', ";"), ('\t', "\\t")] {
                if text.split(separator).filter(|part| !part.trim().is_empty()).count() == rows {
                    return Some((
                        format!("it is one line with {rows} values, but labels are one per line"),
                        format!("write one per line: tr -s '{name}' '\\n' < {path} > labels.lines.txt"),
                    ));
                }
            }
        }
        if let (true, Contents::Lines(_)) = (found > rows, contents) {
            let more = found - rows;
            let last = format!("the last line is '{}'", shown(found - 1));
            let tip = "every row of the embeddings needs exactly one label, in the same order".to_owned();
            return Some((format!("there are {more} lines too many; line 1 is '{}', {last}", shown(0)), tip));
        }
        None
    }

    /// The columns that could contain labels, for messages.
    pub fn label_like(&self) -> Vec<String> {
        match self.files.first() {
            Some((_, Contents::Table(table))) => {
                let all = table.columns().iter().enumerate().map(|(position, column)| (position, column.candidate()));
                let is_label = |position: usize, candidate: &Candidate| match candidate.nature {
                    Nature::Values => true,
                    Nature::Number { whole } => {
                        choice::is_label_name(&candidate.name) || whole && !choice::is_index(candidate, position)
                    }
                    _ => false,
                };
                let mut found: Vec<Candidate> = all
                    .filter(|(position, candidate)| is_label(*position, candidate))
                    .map(|(_, candidate)| candidate)
                    .collect();
                // Columns named like labels first, then text and categories, then integers.
                found.sort_by_key(|candidate| {
                    let is_number = matches!(candidate.nature, Nature::Number { .. });
                    (!choice::is_label_name(&candidate.name), is_number)
                });
                found.into_iter().map(|candidate| candidate.name).collect()
            }
            Some((_, Contents::Arrays(file))) => {
                let names = file.names().iter().enumerate();
                let mut found: Vec<String> = names
                    .filter(|(index, name)| file.outline(*index).candidate(name).nature == Nature::Values)
                    .map(|(_, name)| name.clone())
                    .collect();
                found.sort_by_key(|name| !choice::is_label_name(name));
                found
            }
            _ => Vec::new(),
        }
    }

    pub fn is_table(&self) -> bool {
        matches!(self.files.first(), Some((_, Contents::Table(_))))
    }

    /// The file of an input that is only one.
    pub fn only_file(&self) -> Option<(&str, &Contents)> {
        match &self.files[..] {
            [(path, contents)] => Some((path, contents)),
            _ => None,
        }
    }

    /// Whether it is one `.npy` or `.npz` file.
    pub fn is_of_numpy(&self) -> bool {
        self.only_file().is_some_and(|(path, contents)| {
            matches!(contents, Contents::Arrays(_)) && (path.ends_with(".npy") || path.ends_with(".npz"))
        })
    }

    fn views(&self) -> Vec<(&str, &Contents)> {
        self.files.iter().map(|(path, contents)| (path.as_str(), contents)).collect()
    }

    /// The embeddings of each file; `taken` are columns that contain labels or weights.
    pub fn embeddings(&self, selector: Option<&str>, taken: &[String]) -> Result<Vec<Embeddings>> {
        if selector.is_none() && self.are_rows() {
            return Ok(vec![self.rows()?]);
        }
        self.files.iter().map(|(path, contents)| embeddings(contents, path, selector, taken)).collect()
    }

    /// Whether there are several files, each a one-dimensional array, and so one row.
    fn are_rows(&self) -> bool {
        let is_row = |(_, contents): &(String, Contents)| match contents {
            Contents::Arrays(file) => file.names().is_empty() && file.shape(0).is_some_and(|shape| shape.len() == 1),
            Contents::Table(_) | Contents::Lines(_) => false,
        };
        self.files.len() > 1 && self.files.iter().all(is_row)
    }

    /// The files as one row each.
    fn rows(&self) -> Result<Embeddings> {
        let mut values = Vec::new();
        let mut dimensions = None;
        let mut element_type = None;
        for (path, contents) in &self.files {
            let Contents::Arrays(file) = contents else { continue };
            let array = file.array(0, Role::Weights)?;
            array.require_weights()?;
            let found = array.number_type().unwrap_or(ElementType::F64);
            element_type = match element_type {
                Some(known) if known != found => Some(ElementType::F64),
                _ => Some(found),
            };
            let before = values.len();
            cells::weights(Place { path, column: None }, &mut values, |visit| array.cells(visit))?;
            let length = values.len() - before;
            let expected = *dimensions.get_or_insert(length);
            if length != expected || length == 0 {
                return Err(Error::Malformed {
                    name: path.clone(),
                    problem: format!("it has {length} values, {} has {expected}", self.files[0].0),
                    tip: Some("each file is a row, and all rows must have the same number of values".to_owned()),
                });
            }
        }
        let (dimensions, element_type) = (dimensions.unwrap_or(0), element_type.unwrap_or(ElementType::F64));
        Ok(vector_text::embeddings(Origin::new(&self.path), values, dimensions, element_type, RowFaults::default()))
    }

    /// The number of label rows that each folder gives, for embeddings read file by file.
    pub fn rows_of_files(&self, parts: &[Embeddings]) -> Vec<usize> {
        if self.are_rows() {
            return vec![1; self.files.len()];
        }
        parts.iter().map(Embeddings::rows).collect()
    }

    /// The labels of all files, and the number of labels in each.
    pub fn labels(&self, selector: Option<&str>) -> Result<(LabelColumn, Vec<FileRows>)> {
        labels(&self.path, &self.views(), selector)
    }

    pub fn weights(&self, selector: Option<&str>) -> Result<RowWeights> {
        weights(&self.path, &self.views(), selector)
    }
}

pub(crate) fn joined(location: &Location, parts: Vec<Embeddings>) -> Result<Embeddings> {
    let selector = parts.first().and_then(|part| part.origin().selector.clone());
    Embeddings::of_shards(Origin { path: location.path.clone(), selector }, parts)
}

/// Checks that shards of embeddings match the same number of shards of labels.
pub(crate) fn check_rows(parts: &[Embeddings], files: &[FileRows]) -> Result<()> {
    if parts.len() < 2 || parts.len() != files.len() {
        return Ok(());
    }
    match parts.iter().zip(files).find(|(part, (_, rows))| part.rows() != *rows) {
        Some((part, (right, right_rows))) => Err(Error::RowCounts {
            left: part.origin().to_string(),
            left_rows: part.rows(),
            right: right.clone(),
            right_rows: *right_rows,
            what: "label",
        }),
        None => Ok(()),
    }
}

pub(crate) fn embeddings(
    contents: &Contents,
    path: &str,
    selector: Option<&str>,
    taken: &[String],
) -> Result<Embeddings> {
    match contents {
        Contents::Arrays(file) => array::embeddings(file.as_ref(), path, selector, taken),
        Contents::Table(table) => {
            let columns = table.columns();
            let taken: Vec<usize> =
                taken.iter().filter_map(|name| columns.iter().position(|column| column.name == **name)).collect();
            table::embeddings(table.as_ref(), path, selector, &taken)
        }
        Contents::Lines(_) => Err(Error::ElementType {
            name: path.to_owned(),
            found: "text".to_owned(),
            role: Role::Embeddings.name(),
            tip: Some(SUPPORTED.to_owned()),
        }),
    }
}

/// The labels of an input's files, and the number of labels in each.
pub(crate) fn labels(
    path: &str,
    files: &[(&str, &Contents)],
    selector: Option<&str>,
) -> Result<(LabelColumn, Vec<FileRows>)> {
    let mut collector: Option<(LabelType, LabelCollector)> = None;
    // Untyped formats store integers as text.
    let mut typed = false;
    let mut rows = Vec::new();
    let mut origin = Origin::new(path);
    let mut blank_end = 0;
    let mut has_classes = false;
    for &(path, contents) in files {
        let place = Place { path, column: None };
        let mut collector_of = |label_type: LabelType| match collector.take() {
            Some((first, _)) if first != label_type => Err(Error::Malformed {
                name: path.to_owned(),
                problem: format!(
                    "its labels are of type {}, those before it of type {}",
                    label_type.name(),
                    first.name()
                ),
                tip: Some("shards of one input have labels of one type".to_owned()),
            }),
            Some((_, collector)) => Ok(collector),
            None => Ok(LabelCollector::new(label_type)),
        };
        let (label_type, labels) = match contents {
            Contents::Arrays(file) => {
                let array = array::select(file.as_ref(), path, selector, Role::Labels)?;
                array.require_labels()?;
                let place = Place { path, column: array.origin().selector.as_deref() };
                let mut labels = collector_of(array.label_type())?;
                rows.push((array.origin().to_string(), labels.read(place, |visit| array.cells(visit))?));
                origin.selector.clone_from(&array.origin().selector);
                typed = true;
                (array.label_type(), labels)
            }
            Contents::Lines(lines) => {
                no_selector(path, selector)?;
                let mut labels = collector_of(LabelType::Text)?;
                rows.push((path.to_owned(), labels.read(place, |visit| lines.cells(visit))?));
                blank_end = lines.blank_end();
                (LabelType::Text, labels)
            }
            Contents::Table(table) => {
                let position = column_of(table.as_ref(), path, selector, Role::Labels)?;
                let label_type = table::label_type(table.as_ref(), path, position)?;
                let column = &table.columns()[position];
                let place = Place { path, column: Some(&column.name) };
                let mut labels = collector_of(label_type)?;
                let read = labels.read(place, |visit| {
                    table.cells(&[position], &mut |_, row, cell| match (&column.classes, cell) {
                        (Some(classes), Cell::Integer(code)) => visit(row, class_of(classes, code, place, row)?),
                        _ => visit(row, cell),
                    })
                })?;
                rows.push((path.to_owned(), read));
                origin.selector = Some(column.name.clone());
                typed |= !matches!(column.kind, Kind::Numeral { .. });
                has_classes |= column.classes.is_some();
                (label_type, labels)
            }
        };
        collector = Some((label_type, labels));
    }
    let Some((_, collector)) = collector else {
        return Err(no_rows(path));
    };
    let name = origin.to_string();
    let labels = collector.finish(origin)?.with_blank_end(if files.len() == 1 { blank_end } else { 0 });
    if has_classes && labels.dictionary().is_empty() {
        return Err(Error::Malformed {
            name,
            problem: format!("all {} labels are -1, which stands for a row without a label", labels.len()),
            tip: Some("the labels of this split are withheld: use another one, such as train or validation".to_owned()),
        });
    }
    Ok((if typed { labels } else { labels.with_integers_recognised() }, rows))
}

pub(crate) fn weights(path: &str, files: &[(&str, &Contents)], selector: Option<&str>) -> Result<RowWeights> {
    let mut values = Vec::new();
    let mut origin = Origin::new(path);
    for &(path, contents) in files {
        let place = Place { path, column: None };
        match contents {
            Contents::Arrays(file) => {
                let array = array::select(file.as_ref(), path, selector, Role::Weights)?;
                array.require_weights()?;
                let place = Place { path, column: array.origin().selector.as_deref() };
                cells::weights(place, &mut values, |visit| array.cells(visit))?;
                origin.selector.clone_from(&array.origin().selector);
            }
            Contents::Lines(lines) => {
                no_selector(path, selector)?;
                cells::weights(place, &mut values, |visit| lines.cells(visit))?;
            }
            Contents::Table(table) => {
                let position = column_of(table.as_ref(), path, selector, Role::Weights)?;
                table::require_weights(table.as_ref(), path, position)?;
                let name = &table.columns()[position].name;
                let place = Place { path, column: Some(name) };
                cells::weights(place, &mut values, |visit| {
                    table.cells(&[position], &mut |_, row, cell| visit(row, cell))
                })?;
                origin.selector = Some(name.clone());
            }
        }
    }
    if values.is_empty() {
        return Err(no_rows(path));
    }
    Ok(RowWeights { origin, values })
}

/// The class name for a code; -1 means that the row has no label.
fn class_of<'c>(classes: &'c [String], code: i128, place: Place<'_>, row: usize) -> Result<Cell<'c>> {
    if code == -1 {
        return Ok(Cell::Missing);
    }
    match usize::try_from(code).ok().and_then(|code| classes.get(code)) {
        Some(name) => Ok(Cell::Text(name)),
        None => Err(place.error(
            row,
            format!("{code} is not one of the {} classes that the file names", classes.len()),
            None,
        )),
    }
}

fn column_of(table: &dyn table::Table, path: &str, selector: Option<&str>, role: Role) -> Result<usize> {
    match selector {
        Some(name) => table::find(path, table.columns(), name),
        None => table::only_column(path, table.columns(), role)
            .map_err(|error| if role == Role::Labels { matrix_of_labels(table, path).unwrap_or(error) } else { error }),
    }
}

/// The error for a table with only numbers: one column per class, the largest of which is the label.
fn matrix_of_labels(table: &dyn table::Table, path: &str) -> Option<Error> {
    let columns = table.columns();
    let numbers = columns
        .iter()
        .enumerate()
        .filter(|(position, column)| column.kind.is_number() && !choice::is_index(&column.candidate(), *position));
    let extension = path.rsplit('.').next().unwrap_or_default();
    if columns.len() < 2 || numbers.count() < columns.len() || !matches!(extension, "csv" | "tsv" | "tab") {
        return None;
    }
    let delimiter = if extension == "csv" { "," } else { "\\t" };
    let skipped = if table.is_positional() { "" } else { ", skiprows=1" };
    let output = format!("{}.labels.txt", path.strip_suffix(&format!(".{extension}"))?);
    Some(Error::Choice {
        path: path.to_owned(),
        problem: format!(
            "it has {} columns of numbers, and a silhouette needs one label per row; write {path}:COLUMN for one of them",
            columns.len()
        ),
        tip: format!(
            "if they are one-hot or probabilities: numpy.savetxt({output:?}, numpy.loadtxt({path:?}, \
             delimiter=\"{delimiter}\"{skipped}).argmax(1), fmt=\"%d\")"
        ),
    })
}

pub(crate) fn no_selector(path: &str, selector: Option<&str>) -> Result<()> {
    match selector {
        None => Ok(()),
        Some(selector) => Err(Error::Malformed {
            name: path.to_owned(),
            problem: format!("it has one value per line: there is nothing to select with ':{selector}'"),
            tip: Some(format!("write {path}")),
        }),
    }
}
