//! The files of one input, read as if they were one.

use crate::input::cells::{self, LabelCollector, Place, no_rows};
use crate::input::source::{Location, Source};
use crate::input::table::{self, Kind};
use crate::input::{Contents, Role, SUPPORTED, array, open_source};
use embq_core::data::{Embeddings, LabelColumn, LabelType, Origin, RowWeights};
use embq_core::error::{Error, Result};

/// The opened files of an input.
pub(crate) struct Opened {
    /// The input as the user wrote it.
    path: String,
    files: Vec<(String, Contents)>,
}

/// A file of labels and the number of its rows.
pub(crate) type FileRows = (String, usize);

impl Opened {
    /// Opens every file.
    pub fn new(location: &Location, role: Role) -> Result<Self> {
        let mut files = Vec::new();
        for path in &location.files {
            let source = Source::open(path)?;
            files.push((path.clone(), open_source(&source, role, location.selector.as_deref())?));
        }
        let opened = Opened { path: location.path.clone(), files };
        let mut names = opened.files.iter().map(|(path, contents)| (path, contents.names()));
        if let Some((first, expected)) = names.next()
            && let Some((other, _)) = names.find(|(_, names)| *names != expected)
        {
            return Err(Error::Malformed {
                name: other.clone(),
                problem: format!("it holds other columns than {first}"),
                tip: Some("shards of one input have the same columns in the same order".to_owned()),
            });
        }
        Ok(opened)
    }

    /// What can be selected, which is the same in every file.
    pub fn names(&self) -> Vec<String> {
        self.files.first().map(|(_, contents)| contents.names()).unwrap_or_default()
    }

    pub fn is_table(&self) -> bool {
        matches!(self.files.first(), Some((_, Contents::Table(_))))
    }

    fn views(&self) -> Vec<(&str, &Contents)> {
        self.files.iter().map(|(path, contents)| (path.as_str(), contents)).collect()
    }

    /// The embeddings of each file; `taken` are columns that hold labels or weights.
    pub fn embeddings(&self, selector: Option<&str>, taken: &[String]) -> Result<Vec<Embeddings>> {
        self.files.iter().map(|(path, contents)| embeddings(contents, path, selector, taken)).collect()
    }

    /// The labels of all files, and how many each file has.
    pub fn labels(&self, selector: Option<&str>) -> Result<(LabelColumn, Vec<FileRows>)> {
        labels(&self.path, &self.views(), selector)
    }

    /// The row weights of all files.
    pub fn weights(&self, selector: Option<&str>) -> Result<RowWeights> {
        weights(&self.path, &self.views(), selector)
    }
}

/// The embeddings of all files as one matrix.
pub(crate) fn joined(location: &Location, parts: Vec<Embeddings>) -> Result<Embeddings> {
    let selector = parts.first().and_then(|part| part.origin().selector.clone());
    Embeddings::of_shards(Origin { path: location.path.clone(), selector }, parts)
}

/// Checks that shards of embeddings and as many shards of labels belong together.
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

/// The embeddings in a file.
pub(crate) fn embeddings(
    contents: &Contents,
    path: &str,
    selector: Option<&str>,
    taken: &[String],
) -> Result<Embeddings> {
    match contents {
        Contents::Arrays(file) => array::select(file.as_ref(), path, selector, Role::Embeddings)?.embeddings(),
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

/// The labels of the files of an input, and how many each has.
pub(crate) fn labels(
    path: &str,
    files: &[(&str, &Contents)],
    selector: Option<&str>,
) -> Result<(LabelColumn, Vec<FileRows>)> {
    let mut collector: Option<(LabelType, LabelCollector)> = None;
    // Formats without types hold integers as text.
    let mut typed = false;
    let mut rows = Vec::new();
    let mut origin = Origin::new(path);
    for &(path, contents) in files {
        let place = Place { path, column: None };
        let mut collector_of = |label_type: LabelType| match collector.take() {
            Some((first, _)) if first != label_type => Err(Error::Malformed {
                name: path.to_owned(),
                problem: format!("its labels are of type {}, those before {}", label_type.name(), first.name()),
                tip: Some("shards of one input have labels of one type".to_owned()),
            }),
            Some((_, collector)) => Ok(collector),
            None => Ok(LabelCollector::new(label_type)),
        };
        let (label_type, labels) = match contents {
            Contents::Arrays(file) => {
                let array = array::select(file.as_ref(), path, selector, Role::Labels)?;
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
                (LabelType::Text, labels)
            }
            Contents::Table(table) => {
                let position = column_of(table.as_ref(), path, selector, Role::Labels)?;
                let label_type = table::label_type(table.as_ref(), path, position)?;
                let column = &table.columns()[position];
                let place = Place { path, column: Some(&column.name) };
                let mut labels = collector_of(label_type)?;
                let read =
                    labels.read(place, |visit| table.cells(&[position], &mut |_, row, cell| visit(row, cell)))?;
                rows.push((path.to_owned(), read));
                origin.selector = Some(column.name.clone());
                typed |= column.kind != Kind::Numeral;
                (label_type, labels)
            }
        };
        collector = Some((label_type, labels));
    }
    let Some((_, collector)) = collector else {
        return Err(no_rows(path));
    };
    let labels = collector.finish(origin)?;
    Ok((if typed { labels } else { labels.with_integers_recognised() }, rows))
}

/// The row weights of the files of an input.
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

fn column_of(table: &dyn table::Table, path: &str, selector: Option<&str>, role: Role) -> Result<usize> {
    match selector {
        Some(name) => table::find(path, table.columns(), name),
        None => table::only_column(path, table.columns(), role),
    }
}

pub(crate) fn no_selector(path: &str, selector: Option<&str>) -> Result<()> {
    match selector {
        None => Ok(()),
        Some(selector) => Err(Error::Malformed {
            name: path.to_owned(),
            problem: format!("it is one value a line: there is nothing to select with ':{selector}'"),
            tip: Some(format!("write {path}")),
        }),
    }
}
