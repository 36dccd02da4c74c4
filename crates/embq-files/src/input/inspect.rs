//! Describes the content of a file: the plain data behind `embq inspect`.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::input::array::{self, Array, ArrayFile};
use crate::input::cells::{Cell, Place, integral, number};
use crate::input::choice::{self, Candidate, Choice, Nature};
use crate::input::shards::no_selector;
use crate::input::source::{Hints, Location, Source};
use crate::input::table::{self, Kind, Table};
use crate::input::{Contents, Format, Role, format_of, text};
use embq_core::data::{Chosen as How, Embeddings, LabelColumnBuilder, LabelType, Labels, Origin};
use embq_core::error::{Error, Result};

/// The maximum number of labels in a histogram.
const SHOWN_LABELS: usize = 20;

/// Rows scanned at a time.
const SCAN_ROWS: usize = 1024;

/// Values scanned at a time if rows are long.
const SCAN_VALUES: usize = 1 << 22;

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    /// The path as the user wrote it.
    pub path: String,
    /// The name of the format.
    pub format: String,
    /// The size of the file.
    pub bytes: u64,
    /// The arrays or columns, in file order.
    pub items: Vec<Item>,
    /// The embeddings that are read if nothing is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Chosen>,
    /// Why no embeddings are found without a selection, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// The embeddings that are read if nothing is selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chosen {
    /// The equivalent selector, if there is one.
    pub selector: Option<String>,
    /// The columns, in the order of the dimensions, or the one column or array of vectors.
    pub columns: Vec<String>,
    /// How they are found.
    pub chosen: How,
    /// Notes on the choice.
    pub notes: Vec<String>,
}

/// Why no embeddings are found if nothing is selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The error of `embq score`.
    pub problem: String,
    /// Its tip.
    pub tip: Option<String>,
}

/// One array or column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// The name; `None` if the file has a single unnamed array.
    pub name: Option<String>,
    /// The element type as users write it.
    pub dtype: String,
    /// Its role in the choice of the embeddings: vectors, number, index, label, unreadable or other.
    #[serde(default)]
    pub kind: String,
    /// The axis lengths; for a list column, the number of rows and the length of the lists.
    pub shape: Vec<usize>,
    /// The number of null, empty or missing values.
    pub nulls: u64,
    /// The number of NaN values.
    pub nans: u64,
    /// The number of infinite values.
    pub infinities: u64,
    /// The smallest finite number.
    pub minimum: Option<f64>,
    /// The largest finite number.
    pub maximum: Option<f64>,
    /// The number of distinct labels, if the values can be labels.
    pub distinct: Option<usize>,
    /// The most frequent labels, in descending order, at most 20.
    pub histogram: Vec<LabelCount>,
    /// The number of labels left out of the histogram.
    pub more_labels: usize,
    /// Whether it can be embeddings, alone or as one of several columns.
    pub embeddings: bool,
    /// Whether it can be labels.
    pub labels: bool,
    /// Why it can be neither, or which value prevents it.
    pub problem: Option<String>,
}

/// A label and its number of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelCount {
    /// The label as text.
    pub label: String,
    /// The number of rows.
    pub count: usize,
}

/// Describes the content of a file, or of the column selected by `PATH:COLUMN`.
///
/// # Errors
/// Files that are missing or unreadable. Values that prevent use are reported in [`Item::problem`].
pub fn inspect(path_spec: &str, hints: Hints) -> Result<Inspection> {
    let location = Location::require(path_spec)?;
    let [file] = &location.files[..] else {
        let first = location.files.first().map_or("", String::as_str);
        return Err(Error::setting(
            format!("{} names {} files: embq inspect looks at one", location.path, location.files.len()),
            format!("embq inspect {first}"),
        ));
    };
    let source = Source::open(file)?.with_hints(hints);
    let selector = location.selector.as_deref();
    let format = inspected_format(&source, selector)?;
    // As labels, because a text file can be nothing else.
    let contents = (format.open)(&source, Role::Labels)?;
    let items = match &contents {
        Contents::Arrays(file) => of_arrays(file.as_ref(), &source.path, selector)?,
        Contents::Lines(lines) => {
            no_selector(&source.path, selector)?;
            vec![of_lines(lines)?]
        }
        Contents::Table(table) => of_table(table.as_ref(), &source.path, selector)?,
    };
    let (choice, refused) = match selector {
        Some(_) => (None, None),
        None => chosen(&contents, &source.path),
    };
    let bytes = source.bytes.len() as u64;
    Ok(Inspection { path: file.clone(), format: format.name.to_owned(), bytes, items, choice, refused })
}

/// The embeddings that are read without a selector, or why none are; neither for a file with a single array or lines of
/// text.
fn chosen(contents: &Contents, path: &str) -> (Option<Chosen>, Option<Refused>) {
    let (chosen, names) = match contents {
        Contents::Arrays(file) if !file.names().is_empty() => {
            (array::choose(file.as_ref(), path, &[]), file.names().to_vec())
        }
        Contents::Table(table) => {
            let names = table.columns().iter().map(|column| column.name.clone()).collect();
            (table::choose(table.as_ref(), path, None, &[]), names)
        }
        Contents::Arrays(_) | Contents::Lines(_) => return (None, None),
    };
    match chosen {
        Ok(Choice { columns, chosen, selector, notes }) => {
            let columns = columns.into_iter().filter_map(|position| names.get(position).cloned()).collect();
            (Some(Chosen { selector, columns, chosen, notes }), None)
        }
        Err(error) => (None, Some(Refused { problem: error.to_string(), tip: error.tip() })),
    }
}

fn inspected_format(source: &Source, selector: Option<&str>) -> Result<&'static Format> {
    if source.is_stdin() {
        // A table shows more than lines do, and a file of one value per line is a table with one column.
        return format_of(source, Role::Embeddings, selector);
    }
    format_of(source, Role::Labels, selector)
}

/// The selected array, or all of them; an unreadable array is reported as such.
fn of_arrays(file: &dyn ArrayFile, path: &str, selector: Option<&str>) -> Result<Vec<Item>> {
    if selector.is_some() || file.names().is_empty() {
        let array = array::select(file, path, selector, Role::Labels)?;
        return Ok(vec![of_array(&array)?]);
    }
    let items = file.names().iter().enumerate().map(|(index, name)| match file.array(index, Role::Labels) {
        Ok(array) => {
            let kind = kind_of(&file.outline(index).candidate(name), index).to_owned();
            Ok(Item { kind, ..of_array(&array)? })
        }
        Err(error) => Ok(Item {
            kind: kind_of(&file.outline(index).candidate(name), index).to_owned(),
            name: Some(name.clone()),
            dtype: "unknown".to_owned(),
            shape: file.shape(index).unwrap_or_default(),
            problem: Some(error.to_string()),
            ..Item::default()
        }),
    });
    items.collect()
}

/// The name of a column's or an array's role in the choice of the embeddings.
fn kind_of(candidate: &Candidate, position: usize) -> &'static str {
    match candidate.nature {
        _ if choice::left_out(candidate, position).is_some() => {
            if choice::is_index(candidate, position) {
                "index"
            } else {
                "label"
            }
        }
        Nature::Vectors(_) => "vectors",
        Nature::Number { .. } => "number",
        Nature::Values => "label",
        Nature::Unreadable { .. } => "unreadable",
        Nature::Other => "other",
    }
}

fn of_array(array: &Array) -> Result<Item> {
    let mut item = Item {
        name: array.origin().selector.clone(),
        dtype: array.dtype(),
        shape: array.shape().to_vec(),
        ..Item::default()
    };
    match array.shape() {
        [0, ..] => item.problem = Some("it has no rows".to_owned()),
        [_] => {
            let mut summary = Summary::new(array.label_type());
            array.cells(&mut |_, cell| {
                summary.add(cell);
                Ok(())
            })?;
            summary.write_to(&mut item);
        }
        _ => match array.embeddings() {
            Ok(embeddings) => scan(&embeddings, &mut item)?,
            Err(error) => item.problem = Some(error.to_string()),
        },
    }
    Ok(item)
}

fn of_lines(lines: &text::Lines) -> Result<Item> {
    // Lines can be labels whatever they contain, so numbers among them count as text unless all are integers.
    let mut summary = Summary::new(LabelType::Text);
    let mut rows = 0;
    lines.cells(&mut |_, cell| {
        rows += 1;
        summary.add(cell);
        Ok(())
    })?;
    let mut item = Item { dtype: "text".to_owned(), shape: vec![rows], ..Item::default() };
    summary.write_to(&mut item);
    Ok(item)
}

fn of_table(table: &dyn Table, path: &str, selector: Option<&str>) -> Result<Vec<Item>> {
    let columns = table.columns();
    let chosen: Vec<usize> = match selector {
        None => (0..columns.len()).collect(),
        Some(name) => match table::named(columns.iter().map(|column| column.name.as_str()), name) {
            Some(position) => vec![position],
            None => table::choose(table, path, Some(name), &[])?.columns,
        },
    };
    let mut items: Vec<Item> = chosen
        .iter()
        .map(|&position| Item {
            name: Some(columns[position].name.clone()),
            dtype: columns[position].dtype.clone(),
            kind: kind_of(&columns[position].candidate(), position).to_owned(),
            embeddings: columns[position].kind.is_number(),
            ..Item::default()
        })
        .collect();
    // All single values at once, so that a CSV file is read only once.
    let (places, singles): (Vec<usize>, Vec<usize>) =
        chosen.iter().enumerate().filter(|(_, position)| columns[**position].kind.label_type().is_some()).unzip();
    let mut summaries: Vec<Summary> = singles
        .iter()
        .map(|&position| match columns[position].kind {
            Kind::Numeral { .. } => Summary::new(LabelType::Integer),
            kind => Summary::new(kind.label_type().unwrap_or(LabelType::Text)),
        })
        .collect();
    table.cells(&singles, &mut |position, row, cell| {
        let summary = &mut summaries[position];
        let column = &columns[singles[position]];
        if matches!(column.kind, Kind::Numeral { .. })
            && let Cell::Text(text) = cell
        {
            summary.add_numeral(text, row, &column.name, path);
        } else {
            summary.add(cell);
        }
        Ok(())
    })?;
    for (place, summary) in places.into_iter().zip(summaries) {
        items[place].shape = vec![summary.rows];
        summary.write_to(&mut items[place]);
    }
    for (item, &position) in items.iter_mut().zip(&chosen) {
        match columns[position].kind {
            kind if kind.is_vectors() => {
                match table.matrix(&[position], Origin::with_selector(path, &columns[position].name)) {
                    Ok(embeddings) => {
                        item.shape = vec![embeddings.rows(), embeddings.dimensions()];
                        scan(&embeddings, item)?;
                    }
                    Err(error) => item.problem = Some(error.to_string()),
                }
            }
            Kind::Other => {
                item.problem = Some(match &columns[position].unreadable {
                    Some(unreadable) => format!("it {}: {}", unreadable.why, unreadable.tip),
                    None => "its type can be neither embeddings nor labels".to_owned(),
                });
            }
            _ => {}
        }
    }
    Ok(items)
}

/// Counts the special values in a matrix.
fn scan(embeddings: &Embeddings, item: &mut Item) -> Result<()> {
    item.embeddings = true;
    let mut numbers = Numbers::default();
    let step = (SCAN_VALUES / embeddings.dimensions().max(1)).clamp(1, SCAN_ROWS).min(embeddings.rows());
    let mut buffer = vec![0.0; step * embeddings.dimensions()];
    for start in (0..embeddings.rows()).step_by(step) {
        let end = embeddings.rows().min(start + step);
        let block = &mut buffer[..(end - start) * embeddings.dimensions()];
        embeddings.blocks().read_f64(start..end, block)?;
        block.iter().for_each(|&value| numbers.add(value));
    }
    numbers.write_to(item);
    Ok(())
}

#[derive(Default)]
struct Numbers {
    nans: u64,
    infinities: u64,
    range: Option<(f64, f64)>,
}

impl Numbers {
    fn add(&mut self, value: f64) {
        if value.is_nan() {
            self.nans += 1;
        } else if value.is_infinite() {
            self.infinities += 1;
        } else {
            let (low, high) = self.range.unwrap_or((value, value));
            self.range = Some((low.min(value), high.max(value)));
        }
    }

    fn write_to(&self, item: &mut Item) {
        item.nans = self.nans;
        item.infinities = self.infinities;
        item.minimum = self.range.map(|range| range.0);
        item.maximum = self.range.map(|range| range.1);
    }
}

/// A summary of single values: as numbers, and as labels while all of them can be.
struct Summary {
    rows: usize,
    nulls: u64,
    numbers: Numbers,
    labels: Option<LabelColumnBuilder>,
    problem: Option<String>,
}

impl Summary {
    fn new(label_type: LabelType) -> Self {
        Summary {
            rows: 0,
            nulls: 0,
            numbers: Numbers::default(),
            labels: Some(LabelColumnBuilder::new(label_type)),
            problem: None,
        }
    }

    fn add(&mut self, cell: Cell<'_>) {
        self.rows += 1;
        match cell {
            Cell::Missing | Cell::Text("") => self.nulls += 1,
            Cell::Integer(value) => self.numbers.add(value as f64),
            Cell::Float(value) => self.numbers.add(value),
            Cell::Boolean(_) | Cell::Text(_) => {}
        }
        let Some(labels) = &mut self.labels else { return };
        match cell {
            Cell::Missing | Cell::Text("") => labels.push_missing(),
            Cell::Integer(value) => labels.push_integer(value),
            Cell::Boolean(value) => labels.push_boolean(value),
            Cell::Text(value) => labels.push_text(value),
            Cell::Float(value) if value.is_nan() => labels.push_missing(),
            Cell::Float(value) => match integral(value) {
                Some(value) => labels.push_integer(value),
                None => self.labels = None,
            },
        }
    }

    fn add_numeral(&mut self, text: &str, row: usize, column: &str, path: &str) {
        let cell = Cell::Text(text);
        let place = Place { path, column: Some(column) };
        match (text.parse::<i64>(), number(place, row, cell)) {
            (Ok(value), _) => self.add(Cell::Integer(value.into())),
            (_, Ok(value)) => self.add(Cell::Float(value)),
            (_, Err(error)) => {
                self.rows += 1;
                self.labels = None;
                if let (None, Error::Cell { .. }) = (&self.problem, &error) {
                    self.problem = Some(error.to_string());
                }
            }
        }
    }

    fn write_to(self, item: &mut Item) {
        self.numbers.write_to(item);
        item.nulls = self.nulls;
        item.problem = match self.nulls {
            0 => self.problem,
            nulls => self.problem.or_else(|| Some(format!("{nulls} value(s) are missing"))),
        };
        item.embeddings &= item.problem.is_none();
        let Some(labels) = self.labels else { return };
        let column = labels.finish(Origin::new("")).with_integers_recognised();
        let present = (0..column.len()).filter(|&row| column.get(row).is_some());
        let Ok(labels) = Labels::from_column(&column, present) else {
            return;
        };
        let mut order: Vec<usize> = (0..labels.classes()).collect();
        order.sort_by_key(|&class| Reverse(labels.counts()[class]));
        item.histogram = order
            .iter()
            .take(SHOWN_LABELS)
            .map(|&class| LabelCount { label: labels.names()[class].to_string(), count: labels.counts()[class] })
            .collect();
        item.distinct = Some(labels.classes());
        item.more_labels = labels.classes().saturating_sub(SHOWN_LABELS);
        item.labels = labels.classes() > 0;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, arr2};
    use ndarray_npy::write_npy;

    use super::*;

    fn inspected(name: &str, write: impl FnOnce(&std::path::Path)) -> Inspection {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        write(&path);
        inspect(path.to_str().unwrap(), Hints::default()).unwrap()
    }

    #[test]
    fn a_matrix_can_be_embeddings() {
        let matrix = arr2(&[[1.0_f32, f32::NAN], [-3.0, f32::INFINITY]]);
        let found = inspected("m.npy", |path| write_npy(path, &matrix).unwrap());
        assert_eq!(found.format, "npy");
        let item = &found.items[0];
        assert_eq!((item.shape.as_slice(), item.dtype.as_str()), (&[2, 2][..], "f32"));
        assert_eq!((item.nans, item.infinities), (1, 1));
        assert_eq!((item.minimum, item.maximum), (Some(-3.0), Some(1.0)));
        assert!(item.embeddings && !item.labels);
    }

    #[test]
    fn labels_have_a_histogram_of_the_most_frequent() {
        let labels: Array1<i64> = (0..50).map(|row| if row < 10 { 7 } else { row }).collect();
        let found = inspected("l.npy", |path| write_npy(path, &labels).unwrap());
        let item = &found.items[0];
        assert_eq!(item.distinct, Some(41));
        assert_eq!((item.histogram.len(), item.more_labels), (20, 21));
        assert_eq!((item.histogram[0].label.as_str(), item.histogram[0].count), ("7", 10));
        assert_eq!((item.minimum, item.maximum), (Some(7.0), Some(49.0)));
        assert!(item.labels && !item.embeddings);
    }

    #[test]
    fn every_column_of_a_table_is_told() {
        let found = inspected("t.csv", |path| {
            std::fs::write(path, "x,y,l,n\n1.5,1,a,3\n2.5,,b,3\n,oops,a,\n").unwrap();
        });
        let [x, y, l, n] = &found.items[..] else { panic!("four columns") };
        assert!(!x.embeddings && !x.labels && x.nulls == 1, "{x:?}");
        assert!(y.problem.as_ref().unwrap().contains("row 2, column 'y'"), "{y:?}");
        assert!(l.labels && l.distinct == Some(2), "{l:?}");
        assert!(n.labels && n.distinct == Some(1) && n.nulls == 1, "{n:?}");
    }

    #[test]
    fn text_files_and_cubes_are_told() {
        let found = inspected("l.txt", |path| std::fs::write(path, "a\n\nb\na\n").unwrap());
        let item = &found.items[0];
        assert_eq!((found.format.as_str(), item.shape.as_slice(), item.nulls), ("text", &[4][..], 1));
        assert!(item.labels);
        let cube = ndarray::Array3::<f32>::zeros((1, 2, 3));
        let found = inspected("c.npy", |path| write_npy(path, &cube).unwrap());
        assert!(found.items[0].problem.is_some() && !found.items[0].embeddings);
    }

    #[test]
    fn an_inspection_goes_through_json() {
        let found = inspected("l.txt", |path| std::fs::write(path, "1\n2\n").unwrap());
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Inspection>(&text).unwrap(), found);
    }
}
