//! Checks every value, in the first pass that reads the rows.

use rayon::prelude::*;

use crate::data::{Element, Precision, RowFault, SelectedRows};
use crate::distance::Distance;
use crate::error::{Error, Result};

/// In float64 rows whose squares are taken, some value must be at least this large: squares of smaller ones
/// lose digits.
const SMALLEST: f64 = 1e-140;

/// The same for float64 rows that are computed in float32, under any distance: smaller values lose digits themselves.
const SMALLEST_F32: f64 = 1e-30;

/// Rows scanned at a time by one task.
const SCAN_ROWS: usize = 128;

/// Finds values that have no distance: NaN, infinite values, zero vectors under cosine, and values whose distances
/// overflow or underflow float64.
pub(crate) struct ValueScan<'a> {
    rows: &'a SelectedRows<'a>,
    distance: Distance,
    found: Found,
}

/// A problem of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NotFinite,
    Zero,
    Overflow,
}

#[derive(Default)]
struct Found {
    first_invalid: Option<usize>,
    invalid: usize,
    first_zero: Option<usize>,
    zeros: usize,
    first_overflow: Option<usize>,
    /// The largest absolute value of the blocks that were scanned, if values can be too small.
    largest: Option<f64>,
}

impl Found {
    fn add(&mut self, row: usize, fault: Fault) {
        match fault {
            Fault::NotFinite => {
                self.first_invalid.get_or_insert(row);
                self.invalid += 1;
            }
            Fault::Zero => {
                self.first_zero.get_or_insert(row);
                self.zeros += 1;
            }
            Fault::Overflow => {
                self.first_overflow.get_or_insert(row);
            }
        }
    }
}

impl<'a> ValueScan<'a> {
    pub(crate) fn new(rows: &'a SelectedRows<'a>, distance: Distance) -> Self {
        ValueScan { rows, distance, found: Found::default() }
    }

    /// Scans a block whose first row is row `start`. Blocks come in order.
    pub(crate) fn add<T: Element>(&mut self, start: usize, block: &[T]) {
        let faults = faults(block, self.rows.dimensions(), self.distance);
        for (position, fault) in faults {
            self.found.add(start + position, fault);
        }
        if self.smallest::<T>().is_some() {
            let largest =
                |values: &[T]| values.iter().fold(0.0_f64, |largest, value| largest.max(value.to_f64().abs()));
            let of_block = block.par_chunks(1 << 14).map(largest).reduce(|| 0.0, f64::max);
            self.found.largest = Some(self.found.largest.map_or(of_block, |largest| largest.max(of_block)));
        }
    }

    /// How large some value must be at least, if values can be too small.
    fn smallest<T: Element>(&self) -> Option<f64> {
        let takes_squares = match self.distance {
            // Variances are squares under any distance.
            Distance::Euclidean | Distance::SqEuclidean | Distance::Manhattan => true,
            Distance::Cosine | Distance::Hamming | Distance::Precomputed => false,
        };
        match T::PRECISION {
            Precision::F64 => takes_squares.then_some(SMALLEST),
            // Squares of float32 values never underflow in float64.
            Precision::F32 => {
                (self.rows.embeddings().element_type().precision() == Precision::F64).then_some(SMALLEST_F32)
            }
        }
    }

    /// The first fault as an error.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::ZeroVector`] or [`Error::Overflow`] for the first such row, or
    /// [`Error::Underflow`].
    pub(crate) fn finish<T: Element>(self) -> Result<()> {
        let smallest = self.smallest::<T>();
        let ValueScan { rows, distance, found } = self;
        let embeddings = rows.embeddings();
        let value_of = |row: usize, wanted: &dyn Fn(f64) -> bool| -> Result<Option<(usize, f64)>> {
            let mut buffer = Vec::new();
            let values = rows.rows::<f64>(row..row + 1, &mut buffer)?;
            Ok(values.iter().position(|&value| wanted(value)).map(|column| (column, values[column])))
        };
        if let Some(position) = found.first_invalid {
            let source_row = rows.source_row(position);
            let (name, row) = embeddings.place_of(source_row);
            if let Some(fault) = embeddings.fault(source_row) {
                let RowFault { column, problem } = fault;
                // The origin of a table includes the selection; the column is more specific.
                let name = match &embeddings.origin().selector {
                    Some(selector) if column.is_some() => {
                        name.strip_suffix(&format!(":{selector}")).unwrap_or(&name).to_owned()
                    }
                    _ => name,
                };
                return Err(Error::UnusableRow { name, row, column, problem, rows: found.invalid });
            }
            return Err(match value_of(position, &|value| !value.is_finite())? {
                Some((column, value)) => Error::NonFinite { name, value, row, column, rows: found.invalid },
                // Finite as stored, but too large for the requested precision.
                None => {
                    let value = value_of(position, &|value| value.abs() > f64::from(f32::MAX))?;
                    let value = value.map_or(0.0, |(_, value)| value);
                    Error::Overflow { name, row, value, precision: "float32" }
                }
            });
        }
        let is_small = |value: f64| smallest.is_some_and(|smallest| value < smallest);
        if T::PRECISION == Precision::F32 && found.largest.is_some_and(is_small) {
            // They may have become 0, and blocks without faults may not have been scanned.
            let value = largest_value(rows)?;
            if value > 0.0 && is_small(value) {
                return Err(Error::Underflow { name: embeddings.origin().to_string(), value, precision: "float32" });
            }
        }
        if let Some(row) = found.first_zero {
            let (name, row) = embeddings.place_of(rows.source_row(row));
            return Err(Error::ZeroVector { name, row, rows: found.zeros });
        }
        if let Some(position) = found.first_overflow {
            let largest = upper_limit(distance, rows.dimensions());
            let value = value_of(position, &|value| value.abs() > largest)?.map_or(0.0, |(_, value)| value);
            let (name, row) = embeddings.place_of(rows.source_row(position));
            return Err(Error::Overflow { name, row, value, precision: "float64" });
        }
        if T::PRECISION == Precision::F64
            && let Some(value) = found.largest.filter(|&value| value > 0.0 && is_small(value))
        {
            return Err(Error::Underflow { name: embeddings.origin().to_string(), value, precision: "float64" });
        }
        Ok(())
    }
}

/// For each row, whether it is NaN, infinite, or a zero vector under cosine, and so left out by `--drop-invalid`.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn invalid_rows<T: Element>(rows: &SelectedRows, distance: Distance) -> Result<Vec<bool>> {
    let mut invalid = vec![false; rows.len()];
    let mut buffer = Vec::new();
    rows.for_each_window::<T>(|window| {
        let start = window.range().start;
        let block = window.rows(window.range(), &mut buffer)?;
        for (position, fault) in faults(block, rows.dimensions(), distance) {
            invalid[start + position] = fault != Fault::Overflow;
        }
        Ok(())
    })?;
    Ok(invalid)
}

/// The rows of a block with a fault, in order.
fn faults<T: Element>(block: &[T], dimensions: usize, distance: Distance) -> Vec<(usize, Fault)> {
    let no_zero = distance.is_of_unit_vectors();
    let largest = upper_limit(distance, dimensions);
    let dimensions = dimensions.max(1);
    let scan = |(task, rows): (usize, &[T])| {
        let faulty = rows.chunks_exact(dimensions).enumerate().filter_map(move |(position, row)| {
            fault(row, no_zero, largest).map(|fault| (task * SCAN_ROWS + position, fault))
        });
        faulty.collect::<Vec<_>>()
    };
    block.par_chunks(SCAN_ROWS * dimensions).enumerate().flat_map_iter(scan).collect()
}

#[inline(always)]
fn fault<T: Element>(row: &[T], no_zero: bool, largest: f64) -> Option<Fault> {
    // v * 0 is 0 for finite v and NaN otherwise, so one sum checks the whole row; its lanes avoid a single chain of
    // additions.
    let mut lanes = [T::default(); 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.plus_zero_times(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = lane.plus_zero_times(value);
    }
    if lanes.iter().any(|lane| lane.to_f64() != 0.0) {
        return Some(Fault::NotFinite);
    }
    if no_zero && row.iter().all(|value| value.to_f64() == 0.0) {
        return Some(Fault::Zero);
    }
    let checks_size = T::PRECISION == Precision::F64 && largest < f64::MAX;
    if checks_size && row.iter().any(|value| value.to_f64().abs() > largest) {
        return Some(Fault::Overflow);
    }
    None
}

/// The largest absolute value of rows, among those that are finite.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn largest_value(rows: &SelectedRows) -> Result<f64> {
    let larger = |left: f64, right: &f64| if right.is_finite() { left.max(right.abs()) } else { left };
    let (mut largest, mut buffer) = (0.0_f64, Vec::new());
    rows.for_each_window::<f64>(|window| {
        let values = window.rows(window.range(), &mut buffer)?;
        largest = largest.max(values.par_iter().fold(|| 0.0, larger).reduce(|| 0.0, f64::max));
        Ok(())
    })?;
    Ok(largest)
}

/// The largest absolute value whose distances are finite in float64.
fn upper_limit(distance: Distance, dimensions: usize) -> f64 {
    let d = dimensions.max(1) as f64;
    match distance {
        Distance::Cosine | Distance::Precomputed => f64::MAX,
        // Sums over up to 2^53 rows of (2 x)^2 d must stay below 2^1024. Variances are squares under any distance.
        Distance::Euclidean | Distance::SqEuclidean | Distance::Manhattan | Distance::Hamming => 1e146 / d.sqrt(),
    }
}
