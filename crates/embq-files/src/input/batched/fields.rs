//! Struct fields as separate columns, named by their paths: `payload.vector`.

use std::ops::Range;
use std::sync::Arc;

use polars::prelude::{ArrowDataType, ArrowSchema, PolarsError, Series};

use crate::input::batched::{Batches, column};
use crate::input::table::{Column, Kind};

/// The deepest nesting of structs that is followed.
const DEEPEST: usize = 8;

/// A column of the file, and the field names that lead from it to the values.
type Path = (usize, Vec<String>);

/// The location of each column of a table in its file.
#[derive(Default)]
pub(crate) struct Paths(Vec<Path>);

/// The columns of a schema, with structs replaced by their fields.
pub(crate) fn columns(schema: &ArrowSchema) -> (Vec<Column>, Paths) {
    let (mut columns, mut paths) = (Vec::new(), Vec::new());
    for (position, (name, field)) in schema.iter().enumerate() {
        add(&mut columns, &mut paths, (position, Vec::new()), name.to_string(), &field.dtype);
    }
    (columns, Paths(paths))
}

impl Paths {
    /// The same file with its columns numbered by these paths.
    pub(crate) fn within(self, batches: impl Batches + 'static) -> Arc<dyn Batches> {
        let are_all =
            self.0.iter().enumerate().all(|(column, (position, fields))| column == *position && fields.is_empty());
        if are_all { Arc::new(batches) } else { Arc::new(Fields { batches: Arc::new(batches), paths: self.0.into() }) }
    }
}

fn add(columns: &mut Vec<Column>, paths: &mut Vec<Path>, path: Path, name: String, data_type: &ArrowDataType) {
    let found = column(&name, data_type);
    match data_type {
        ArrowDataType::Struct(fields) if found.kind == Kind::Other && !fields.is_empty() && path.1.len() < DEEPEST => {
            for field in fields {
                let (position, mut within) = path.clone();
                within.push(field.name.to_string());
                add(columns, paths, (position, within), format!("{name}.{}", field.name), &field.dtype);
            }
        }
        // A name that contains a dot can look like a path; the first of the two wins.
        _ if columns.iter().any(|column| column.name == name) => {}
        _ => {
            columns.push(found);
            paths.push(path);
        }
    }
}

struct Fields {
    batches: Arc<dyn Batches>,
    paths: Arc<[Path]>,
}

impl Fields {
    /// Reads the file columns that these columns come from, each once, and extracts the fields.
    fn of(
        &self,
        columns: &[usize],
        read: impl FnOnce(&[usize]) -> Result<Vec<Series>, PolarsError>,
    ) -> Result<Vec<Series>, PolarsError> {
        let paths = columns.iter().map(|&column| self.paths.get(column));
        let paths: Vec<&Path> = paths.collect::<Option<_>>().ok_or_else(no_field)?;
        let mut outer: Vec<usize> = paths.iter().map(|(position, _)| *position).collect();
        outer.sort_unstable();
        outer.dedup();
        let series = read(&outer)?;
        let find = |(position, fields): &Path| {
            let place = outer.binary_search(position).ok();
            let series = place.and_then(|place| series.get(place)).ok_or_else(no_field)?;
            fields.iter().try_fold(series.clone(), |series, field| {
                // The fields of a null struct are null.
                let series = series.propagate_nulls().unwrap_or(series);
                series.struct_()?.field_by_name(field)
            })
        };
        paths.into_iter().map(find).collect()
    }
}

fn no_field() -> PolarsError {
    PolarsError::ComputeError("a field of a struct is missing".into())
}

impl Batches for Fields {
    fn sizes(&self) -> &[usize] {
        self.batches.sizes()
    }

    fn group_sizes(&self) -> &[usize] {
        self.batches.group_sizes()
    }

    fn of_vectors(self: Arc<Self>, column: usize, dimensions: usize) -> Option<Arc<dyn Batches>> {
        let (position, fields) = self.paths.get(column)?;
        if !fields.is_empty() {
            return None;
        }
        let batches = Arc::clone(&self.batches).of_vectors(*position, dimensions)?;
        Some(Arc::new(Fields { batches, paths: Arc::clone(&self.paths) }))
    }

    fn head(&self, columns: &[usize], rows: usize) -> Result<Vec<Series>, PolarsError> {
        self.of(columns, |columns| self.batches.head(columns, rows))
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>, PolarsError> {
        self.of(columns, |columns| self.batches.read(rows, columns))
    }
}
