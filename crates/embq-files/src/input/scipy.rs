//! Sparse matrices written by `scipy.sparse.save_npz`.

use std::ops::Range;

use crate::input::Role;
use crate::input::array::{Array, ArrayFile};
use crate::input::cells::{Cell, Place, number};
use crate::input::refused::plain_name;
use crate::input::source::Source;
use crate::input::sparse::{Entries, SparseRows};
use crate::input::table::{Column, Kind, Table, VisitColumns};
use embq_core::data::{ElementType, Embeddings, Origin};
use embq_core::error::{Error, Result};

/// The name of the only column.
const MATRIX: &str = "matrix";

/// Whether array names in an archive are those of a sparse matrix.
pub(crate) fn is_sparse(names: &[String]) -> bool {
    ["format", "shape", "data"].iter().all(|part| names.iter().any(|name| name == part))
}

/// An archive whose arrays have been located; the matrix is assembled on demand.
pub(crate) struct SparseMatrix {
    source: Source,
    columns: Vec<Column>,
    form: Form,
    rows: usize,
    dimensions: usize,
    element_type: ElementType,
    values: Array,
    /// `indptr` and `indices` of rows or columns; `row` and `col` of coordinates.
    places: [Array; 2],
}

/// The storage format of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Rows,
    Columns,
    Coordinates,
}

impl SparseMatrix {
    /// Opens an archive for which [`is_sparse`] returned true.
    ///
    /// # Errors
    /// Other sparse formats, and damaged files.
    pub fn open(source: &Source, file: &dyn ArrayFile) -> Result<Self> {
        let array = |wanted: &str| match file.names().iter().position(|name| name == wanted) {
            Some(index) => file.array(index, Role::Labels),
            None => Err(source.malformed(format!("it is a sparse matrix without '{wanted}'"), Some(cure(source)))),
        };
        let format = text_of(&array("format")?)?;
        let (form, places) = match format.as_str() {
            "csr" => (Form::Rows, ["indptr", "indices"]),
            "csc" => (Form::Columns, ["indptr", "indices"]),
            "coo" if file.names().iter().any(|name| name == "row") => (Form::Coordinates, ["row", "col"]),
            _ => {
                let problem = format!("it is a sparse matrix of the form '{format}', which embq does not read");
                return Err(source.malformed(problem, Some(cure(source))));
            }
        };
        let mut shape = Vec::new();
        array("shape")?.cells(&mut |row, cell| {
            let length = number(Place { path: &source.path, column: Some("shape") }, row, cell)?;
            shape.push(length as usize);
            Ok(())
        })?;
        let [rows, dimensions] = shape[..] else {
            return Err(Error::Shape { name: source.path.clone(), expected: "two axes (rows x dimensions)", shape });
        };
        let values = array("data")?;
        let element_type = match values.element_type() {
            Some(element_type) if element_type != ElementType::Bool => element_type,
            _ => {
                return Err(Error::ElementType {
                    name: source.path.clone(),
                    found: values.dtype(),
                    role: Role::Embeddings.name(),
                    tip: Some(cure(source)),
                });
            }
        };
        let dtype = format!("list of {dimensions} {} (sparse, {format})", element_type.name());
        let column = Column::new(MATRIX, Kind::List(element_type), dtype);
        let places = [array(places[0])?, array(places[1])?];
        let source = source.clone();
        Ok(SparseMatrix { source, columns: vec![column], form, rows, dimensions, element_type, values, places })
    }

    fn damaged(&self) -> Error {
        let tip = "save or copy the file again".to_owned();
        self.source.malformed("the sparse matrix is damaged: its arrays do not fit together", Some(tip))
    }
}

/// A line of Python that makes the matrix dense.
fn cure(source: &Source) -> String {
    let path = &source.path;
    let output = plain_name(path);
    format!(
        "make it dense: import scipy.sparse; numpy.save({output}, scipy.sparse.load_npz({path:?}).toarray().astype(\"float32\"))"
    )
}

/// The text in an array with a single value.
fn text_of(array: &Array) -> Result<String> {
    let mut text = String::new();
    if let Some(first) = array.window(0..1) {
        first.cells(&mut |_, cell| {
            if let Cell::Text(found) = cell {
                text = found.to_owned();
            }
            Ok(())
        })?;
    }
    Ok(text)
}

/// Indices and values stored in two arrays.
struct ArrayEntries {
    indices: Array,
    values: Array,
}

fn length(array: &Array) -> usize {
    match array.shape() {
        [length] => *length,
        _ => 0,
    }
}

/// Appends a range of an array's values.
fn read(array: &Array, range: Range<usize>, mut add: impl FnMut(f64)) -> Result<()> {
    let origin = array.origin();
    let window = array.window(range).ok_or_else(|| SparseRows::damaged(origin, 0))?;
    window.cells(&mut |_, cell| {
        add(match cell {
            Cell::Integer(value) => value as f64,
            Cell::Float(value) => value,
            Cell::Missing | Cell::Boolean(_) | Cell::Text(_) => f64::NAN,
        });
        Ok(())
    })
}

/// A number as an index; an invalid one becomes larger than any index.
fn index(value: f64) -> usize {
    if value >= 0.0 && value.fract() == 0.0 { value as usize } else { usize::MAX }
}

impl Entries for ArrayEntries {
    fn len(&self) -> usize {
        length(&self.indices).min(length(&self.values))
    }

    fn read(&self, range: Range<usize>, indices: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
        read(&self.indices, range.clone(), |value| indices.push(index(value)))?;
        read(&self.values, range, |value| values.push(value))
    }
}

impl Table for SparseMatrix {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, _columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let (rows, dimensions) = (self.rows, self.dimensions);
        let [first, second] = &self.places;
        let entries = ArrayEntries { indices: second.clone(), values: self.values.clone() };
        let all_of = |array: &Array| -> Result<Vec<usize>> {
            let mut all = Vec::new();
            read(array, 0..length(array), |value| all.push(index(value)))?;
            Ok(all)
        };
        let blocks = match self.form {
            Form::Rows => SparseRows::new(&origin, rows, dimensions, all_of(first)?, entries)?,
            Form::Columns => SparseRows::of_columns(&origin, rows, dimensions, &all_of(first)?, &entries)?,
            Form::Coordinates => {
                let (row, column) = (all_of(first)?, all_of(second)?);
                if row.len() != column.len() || row.len() != length(&self.values) {
                    return Err(self.damaged());
                }
                let mut values = Vec::with_capacity(row.len());
                read(&self.values, 0..row.len(), |value| values.push(value))?;
                SparseRows::of_coordinates(&origin, rows, dimensions, &row, &column, &values)?
            }
        };
        Ok(Embeddings::new(origin, rows, dimensions, self.element_type, blocks))
    }

    /// Cells of a matrix are never requested.
    fn cells(&self, _columns: &[usize], _visit: &mut VisitColumns<'_>) -> Result<()> {
        Ok(())
    }
}
