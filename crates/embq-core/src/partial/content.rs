//! What a part holds, as a number that tells it from other parts, and rows that are chosen by what they hold.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::data::{Dataset, Label, LabelType, Precision, RowWatch};
use crate::error::Result;
use crate::kernels::SAMPLE;

/// Rows that one task hashes at a time.
const HASHED_ROWS: usize = 64;

/// The rows of smallest hash, by it. The same rows give the same sample in any order and in any parts.
pub(crate) type Sample = BTreeMap<u64, SampledRow>;

/// A row as it is stored, with its label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SampledRow {
    pub(crate) label: Label,
    pub(crate) values: Vec<f64>,
}

/// Keeps the rows of smallest hash.
pub(crate) fn shorten(sample: &mut Sample) {
    while sample.len() > SAMPLE {
        sample.pop_last();
    }
}

/// Hashes the rows of a data set with their labels in the first whole pass that comes by.
#[derive(Debug)]
pub(crate) struct RowHashes {
    precision: Precision,
    dimensions: usize,
    /// The class of each row, and a number for each class.
    codes: Vec<u32>,
    seeds: Vec<u64>,
    /// The labels of the classes, where rows are kept.
    labels: Vec<Label>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    rows: usize,
    content: u128,
    sample: Sample,
}

impl RowHashes {
    /// For rows that are read in this precision. `samples` also keeps the rows of smallest hash.
    pub(crate) fn new(dataset: &Dataset, precision: Precision, samples: bool) -> Self {
        RowHashes {
            precision,
            dimensions: dataset.dimensions(),
            codes: dataset.labels().codes().to_vec(),
            seeds: dataset.labels().names().iter().map(seed).collect(),
            labels: if samples { dataset.labels().names().to_vec() } else { Vec::new() },
            found: Mutex::default(),
        }
    }

    /// The sum of the hashes of all rows, in which their order does not count, and the sample. Reads the rows if no pass
    /// in their precision has.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn finish(&self, dataset: &Dataset) -> Result<(String, Sample)> {
        if self.found().rows < self.codes.len() {
            match self.precision {
                Precision::F32 => dataset.selected().for_each_window::<f32>(|_| Ok(()))?,
                Precision::F64 => dataset.selected().for_each_window::<f64>(|_| Ok(()))?,
            }
        }
        let mut found = self.found();
        Ok((format!("{:032x}", found.content), std::mem::take(&mut found.sample)))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see<T: Copy + Sync + bytemuck::Pod>(&self, first: usize, rows: &[T], widen: impl Fn(T) -> f64) {
        let seen = self.found().rows;
        let Some(codes) = self.codes.get(first..).filter(|_| first == seen) else { return };
        let rows: Vec<&[T]> = rows.chunks_exact(self.dimensions.max(1)).collect();
        let hash = |(row, code): (&&[T], &u32)| {
            let seed = self.seeds.get(*code as usize).copied().unwrap_or_default();
            xxh3_128_with_seed(bytemuck::cast_slice(row), seed)
        };
        let hashes: Vec<u128> = rows.par_iter().zip(codes.par_iter()).with_min_len(HASHED_ROWS).map(hash).collect();
        let mut found = self.found();
        for ((row, &code), hash) in rows.iter().zip(codes).zip(hashes) {
            found.content = found.content.wrapping_add(hash);
            found.rows += 1;
            let short = hash as u64;
            let is_small =
                found.sample.len() < SAMPLE || found.sample.last_key_value().is_some_and(|(&last, _)| short < last);
            if is_small && let Some(label) = self.labels.get(code as usize) {
                let values = row.iter().map(|&value| widen(value)).collect();
                found.sample.insert(short, SampledRow { label: label.clone(), values });
                shorten(&mut found.sample);
            }
        }
    }
}

impl RowWatch for RowHashes {
    fn see_f32(&self, first: usize, rows: &[f32]) {
        if self.precision == Precision::F32 {
            self.see(first, rows, f64::from);
        }
    }

    fn see_f64(&self, first: usize, rows: &[f64]) {
        if self.precision == Precision::F64 {
            self.see(first, rows, |value| value);
        }
    }
}

/// A number for a label, so that equal rows of two classes have two hashes.
fn seed(label: &Label) -> u64 {
    let kind = match label.kind() {
        LabelType::Integer => 0,
        LabelType::Text => 1,
        LabelType::Boolean => 2,
    };
    xxh3_64_with_seed(label.to_string().as_bytes(), kind)
}
