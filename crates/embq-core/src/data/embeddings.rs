//! Embeddings: N rows of d numbers, read in blocks of rows.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, ArrayView2, s};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The origin of an array or column: a path and the selection in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The path as the user wrote it; `-` is standard input.
    pub path: String,
    /// The array, tensor or column selected in the file, if there is a choice.
    pub selector: Option<String>,
}

impl Origin {
    /// An origin without a selector.
    pub fn new(path: impl Into<String>) -> Self {
        Origin { path: path.into(), selector: None }
    }

    /// An origin with a selector.
    pub fn with_selector(path: impl Into<String>, selector: impl Into<String>) -> Self {
        Origin { path: path.into(), selector: Some(selector.into()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Some(selector) => write!(formatter, "{}:{selector}", self.path),
            None => formatter.write_str(&self.path),
        }
    }
}

/// The element type of an array as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl ElementType {
    /// The type of numbers in memory.
    pub fn of<T: Element>() -> Self {
        match T::PRECISION {
            Precision::F32 => ElementType::F32,
            Precision::F64 => ElementType::F64,
        }
    }

    /// The name used in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F16 => "f16",
            ElementType::Bf16 => "bf16",
            ElementType::F32 => "f32",
            ElementType::F64 => "f64",
            ElementType::I8 => "i8",
            ElementType::I16 => "i16",
            ElementType::I32 => "i32",
            ElementType::I64 => "i64",
            ElementType::U8 => "u8",
            ElementType::U16 => "u16",
            ElementType::U32 => "u32",
            ElementType::U64 => "u64",
            ElementType::Bool => "bool",
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            ElementType::I8 | ElementType::U8 | ElementType::Bool => 1,
            ElementType::F16 | ElementType::Bf16 | ElementType::I16 | ElementType::U16 => 2,
            ElementType::F32 | ElementType::I32 | ElementType::U32 => 4,
            ElementType::F64 | ElementType::I64 | ElementType::U64 => 8,
        }
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64)
    }

    /// The arithmetic that represents this type exactly: float32 if it has every value of the type, float64 otherwise.
    pub fn precision(self) -> Precision {
        match self {
            ElementType::F64 | ElementType::I32 | ElementType::I64 | ElementType::U32 | ElementType::U64 => {
                Precision::F64
            }
            ElementType::F16
            | ElementType::Bf16
            | ElementType::F32
            | ElementType::I8
            | ElementType::I16
            | ElementType::U8
            | ElementType::U16
            | ElementType::Bool => Precision::F32,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The arithmetic of the matrix products; sums are always float64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F64,
}

impl Precision {
    /// The name used in options, JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
        }
    }
}

/// A source of rows. Implementations must have a fixed shape and a fixed order of rows.
pub trait RowBlocks: Send + Sync {
    /// Copies `rows` into `out`, in row order; `out` has `rows.len() * dimensions` elements.
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()>;

    /// Like [`RowBlocks::read_f32`] in float64.
    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()>;

    /// The whole matrix in row order, if it is in memory (or in a memory map) as float32.
    fn as_f32(&self) -> Option<&[f32]> {
        None
    }

    /// The whole matrix in row order, if it is in memory (or in a memory map) as float64.
    fn as_f64(&self) -> Option<&[f64]> {
        None
    }

    /// Whether rows are as fast to read in any order as in sequence. If not, callers that need random access copy all
    /// rows to memory first.
    fn is_random_access(&self) -> bool {
        true
    }

    /// Announces that these rows are read next, so that they can be prefetched.
    fn announce(&self, _rows: Range<usize>) {}

    /// The file that contains a row and the row's number there, if the rows come from several files.
    fn place_of(&self, _row: usize) -> Option<(String, usize)> {
        None
    }
}

/// float32 or float64, the types of the kernels.
pub trait Element: Copy + Default + PartialOrd + Send + Sync + fmt::Debug + 'static {
    /// The precision of this type.
    const PRECISION: Precision;

    /// Rounds to this type.
    fn from_f64(value: f64) -> Self;

    /// Widens to float64.
    fn to_f64(self) -> f64;

    /// This number plus 0 times another: itself, or NaN if the other is not finite.
    fn plus_zero_times(self, other: Self) -> Self;

    /// Appends the bytes of the number, least significant first.
    fn write_little_endian(self, bytes: &mut Vec<u8>);

    /// [`RowBlocks::read_f32`] or [`RowBlocks::read_f64`].
    fn read(blocks: &dyn RowBlocks, rows: Range<usize>, out: &mut [Self]) -> Result<()>;

    /// [`RowBlocks::as_f32`] or [`RowBlocks::as_f64`].
    fn view(blocks: &dyn RowBlocks) -> Option<&[Self]>;

    /// A slice of this type as float32, if that is the type.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;

    /// A slice of this type as float64, if that is the type.
    fn as_f64(values: &[Self]) -> Option<&[f64]>;
}

impl Element for f32 {
    const PRECISION: Precision = Precision::F32;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn plus_zero_times(self, other: Self) -> Self {
        self + other * 0.0
    }

    fn write_little_endian(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn read(blocks: &dyn RowBlocks, rows: Range<usize>, out: &mut [Self]) -> Result<()> {
        blocks.read_f32(rows, out)
    }

    fn view(blocks: &dyn RowBlocks) -> Option<&[Self]> {
        blocks.as_f32()
    }

    fn as_f32(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }

    fn as_f64(_values: &[Self]) -> Option<&[f64]> {
        None
    }
}

impl Element for f64 {
    const PRECISION: Precision = Precision::F64;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn plus_zero_times(self, other: Self) -> Self {
        self + other * 0.0
    }

    fn write_little_endian(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn read(blocks: &dyn RowBlocks, rows: Range<usize>, out: &mut [Self]) -> Result<()> {
        blocks.read_f64(rows, out)
    }

    fn view(blocks: &dyn RowBlocks) -> Option<&[Self]> {
        blocks.as_f64()
    }

    fn as_f32(_values: &[Self]) -> Option<&[f32]> {
        None
    }

    fn as_f64(values: &[Self]) -> Option<&[f64]> {
        Some(values)
    }
}

/// A matrix in memory, in row order: an owned `Vec`, or a slice or shared buffer.
pub struct InMemory<T, V = Vec<T>> {
    values: V,
    dimensions: usize,
    element: PhantomData<T>,
}

impl<T: Element> InMemory<T> {
    /// A matrix; any layout other than row order is copied.
    pub fn new(matrix: Array2<T>) -> Self {
        let dimensions = matrix.ncols();
        let values = if matrix.is_standard_layout() {
            let (values, offset) = matrix.into_raw_vec_and_offset();
            match offset {
                Some(offset) if offset > 0 => values[offset..].to_vec(),
                _ => values,
            }
        } else {
            matrix.iter().copied().collect()
        };
        InMemory::of_rows(values, dimensions)
    }
}

impl<T: Element, V: AsRef<[T]>> InMemory<T, V> {
    /// A matrix from values in row order; their number is a multiple of `dimensions`.
    pub fn of_rows(values: V, dimensions: usize) -> Self {
        InMemory { values, dimensions, element: PhantomData }
    }

    fn copy<U: Element>(&self, rows: Range<usize>, out: &mut [U]) {
        let block = &self.values.as_ref()[rows.start * self.dimensions..rows.end * self.dimensions];
        for (target, value) in out.iter_mut().zip(block) {
            *target = U::from_f64(value.to_f64());
        }
    }
}

impl<T: Element, V: AsRef<[T]> + Send + Sync> RowBlocks for InMemory<T, V> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn as_f32(&self) -> Option<&[f32]> {
        T::as_f32(self.values.as_ref())
    }

    fn as_f64(&self) -> Option<&[f64]> {
        T::as_f64(self.values.as_ref())
    }
}

/// A borrowed matrix whose rows are not contiguous in memory: they are gathered block by block.
struct Strided<'a, T>(ArrayView2<'a, T>);

impl<T: Element> Strided<'_, T> {
    fn copy<U: Element>(&self, rows: Range<usize>, out: &mut [U]) {
        for (target, value) in out.iter_mut().zip(self.0.slice(s![rows, ..])) {
            *target = U::from_f64(value.to_f64());
        }
    }
}

impl<T: Element> RowBlocks for Strided<'_, T> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }
}

/// How the columns or the array of the embeddings were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Chosen {
    /// The user named them.
    Selector,
    /// Nothing else in the file contains vectors.
    #[default]
    Only,
    /// They are a series of numbered columns.
    Series,
    /// They are all columns of floating-point numbers.
    Floats,
}

impl Chosen {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Chosen::Selector => "selector",
            Chosen::Only => "only",
            Chosen::Series => "series",
            Chosen::Floats => "floats",
        }
    }
}

/// Why a reader could not decode a row as a vector; its values are NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The column of the table, if there is one.
    pub column: Option<String>,
    /// The problem, such as "the list is null".
    pub problem: String,
}

/// The rows that could not be read, by number. A reader that decodes on demand adds to them in every pass.
#[derive(Debug, Default)]
pub struct RowFaults {
    rows: Mutex<BTreeMap<usize, RowFault>>,
    /// The faults of shards, each with its first row.
    parts: Vec<(usize, Arc<RowFaults>)>,
}

impl RowFaults {
    /// The limit on recorded faults; more do not help with a file full of them.
    const TOLD: usize = 1 << 16;

    /// Records a fault of a row.
    pub fn add(&self, row: usize, fault: impl FnOnce() -> RowFault) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() < Self::TOLD {
            rows.entry(row).or_insert_with(fault);
        }
    }

    /// The fault of a row, if a reader found one.
    pub fn get(&self, row: usize) -> Option<RowFault> {
        if let Some((start, part)) = self.parts.iter().rev().find(|(start, _)| *start <= row) {
            return part.get(row - start);
        }
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(&row).cloned()
    }

    /// The faults of consecutive shards, each with its first row.
    pub fn of_parts(parts: Vec<(usize, Arc<RowFaults>)>) -> Self {
        RowFaults { rows: Mutex::default(), parts }
    }
}

/// N x d embeddings: in a file, in owned memory, or in memory borrowed for `'a`.
///
/// ```
/// use embq_core::data::EmbeddingRows;
/// use ndarray::{array, s};
///
/// let matrix = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
/// let borrowed = EmbeddingRows::from(matrix.view());
/// assert_eq!((borrowed.rows(), borrowed.dimensions()), (2, 3));
/// // Any layout works; here, only blocks of rows are copied.
/// let some_columns = EmbeddingRows::from(matrix.slice(s![.., ..2]));
/// assert_eq!(some_columns.dimensions(), 2);
/// ```
pub struct EmbeddingRows<'a> {
    origin: Origin,
    rows: usize,
    dimensions: usize,
    element_type: ElementType,
    columns: Vec<String>,
    chosen: Chosen,
    notes: Vec<String>,
    faults: Arc<RowFaults>,
    blocks: Box<dyn RowBlocks + 'a>,
}

/// Embeddings that do not borrow.
pub type Embeddings = EmbeddingRows<'static>;

/// The name of embeddings that do not come from a file.
const IN_MEMORY: &str = "embeddings";

impl<'a, T: Element> From<ArrayView2<'a, T>> for EmbeddingRows<'a> {
    /// Borrows the matrix.
    fn from(matrix: ArrayView2<'a, T>) -> Self {
        let (rows, dimensions) = matrix.dim();
        let blocks: Box<dyn RowBlocks + 'a> = match matrix.to_slice() {
            Some(values) => Box::new(InMemory::<T, &'a [T]>::of_rows(values, dimensions)),
            None => Box::new(Strided(matrix)),
        };
        EmbeddingRows::of_blocks(Origin::new(IN_MEMORY), rows, dimensions, ElementType::of::<T>(), blocks)
    }
}

impl<'a, T: Element> From<&'a Array2<T>> for EmbeddingRows<'a> {
    /// Borrows the matrix.
    fn from(matrix: &'a Array2<T>) -> Self {
        EmbeddingRows::from(matrix.view())
    }
}

impl<T: Element> From<Array2<T>> for Embeddings {
    /// Takes the matrix; any layout other than row order is copied.
    fn from(matrix: Array2<T>) -> Self {
        Embeddings::of_matrix(Origin::new(IN_MEMORY), matrix)
    }
}

impl Embeddings {
    /// Embeddings from a float32 matrix in memory.
    pub fn from_f32(origin: Origin, matrix: Array2<f32>) -> Self {
        Embeddings::of_matrix(origin, matrix)
    }

    /// Embeddings from a float64 matrix in memory.
    pub fn from_f64(origin: Origin, matrix: Array2<f64>) -> Self {
        Embeddings::of_matrix(origin, matrix)
    }

    /// Embeddings from a matrix in memory.
    pub fn of_matrix<T: Element>(origin: Origin, matrix: Array2<T>) -> Self {
        let (rows, dimensions) = matrix.dim();
        Embeddings::new(origin, rows, dimensions, ElementType::of::<T>(), InMemory::new(matrix))
    }
}

impl<'a> EmbeddingRows<'a> {
    /// Embeddings of `rows` x `dimensions` elements, read from `blocks`.
    pub fn new(
        origin: Origin,
        rows: usize,
        dimensions: usize,
        element_type: ElementType,
        blocks: impl RowBlocks + 'a,
    ) -> Self {
        EmbeddingRows::of_blocks(origin, rows, dimensions, element_type, Box::new(blocks))
    }

    fn of_blocks(
        origin: Origin,
        rows: usize,
        dimensions: usize,
        element_type: ElementType,
        blocks: Box<dyn RowBlocks + 'a>,
    ) -> Self {
        EmbeddingRows {
            origin,
            rows,
            dimensions,
            element_type,
            columns: Vec::new(),
            chosen: Chosen::default(),
            notes: Vec::new(),
            faults: Arc::default(),
            blocks,
        }
    }

    /// Names the embeddings in messages and results.
    pub fn named(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Sets the table columns that the dimensions were read from.
    pub fn with_columns(mut self, columns: Vec<String>) -> Self {
        self.columns = columns;
        self
    }

    /// Sets how they were chosen, and notes for the user about it.
    pub fn with_choice(mut self, chosen: Chosen, notes: Vec<String>) -> Self {
        self.chosen = chosen;
        self.notes = notes;
        self
    }

    /// Adds a note for the user.
    pub(crate) fn with_note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// Attaches the faults of rows that could not be read.
    pub fn with_faults(mut self, faults: Arc<RowFaults>) -> Self {
        self.faults = faults;
        self
    }

    /// How the columns or the array were chosen.
    pub fn chosen(&self) -> Chosen {
        self.chosen
    }

    /// Notes for the user about the choice.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The fault of a row that could not be read.
    pub fn fault(&self, row: usize) -> Option<RowFault> {
        self.faults.get(row)
    }

    /// The faults of all rows, for joining shards.
    pub(crate) fn faults(&self) -> &Arc<RowFaults> {
        &self.faults
    }

    /// The origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// d.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The element type as stored.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The table columns that the dimensions were read from; empty if there are none or a single list column.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The file that contains a row and the row's number there.
    pub fn place_of(&self, row: usize) -> (String, usize) {
        self.blocks.place_of(row).unwrap_or_else(|| (self.origin.to_string(), row))
    }

    /// A copy of all values in memory, for random access to a source that only supports sequential reads.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub fn in_memory<T: Element>(&self) -> Result<Embeddings> {
        let mut values = vec![T::default(); self.rows * self.dimensions];
        T::read(self.blocks(), 0..self.rows, &mut values)?;
        Ok(self.with_blocks(InMemory::<T>::of_rows(values, self.dimensions)))
    }

    /// The same rows and dimensions, read from other blocks.
    pub(crate) fn with_blocks<'r>(&self, blocks: impl RowBlocks + 'r) -> EmbeddingRows<'r> {
        EmbeddingRows {
            origin: self.origin.clone(),
            rows: self.rows,
            dimensions: self.dimensions,
            element_type: self.element_type,
            columns: self.columns.clone(),
            chosen: self.chosen,
            notes: self.notes.clone(),
            faults: Arc::clone(&self.faults),
            blocks: Box::new(blocks),
        }
    }

    /// The hash of the values in row order, as little-endian numbers of type `T`.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub fn blake3<T: Element>(&self) -> Result<String> {
        const ROWS: usize = 1024;
        let mut hasher = blake3::Hasher::new();
        let mut block = Vec::new();
        let mut bytes = Vec::new();
        for start in (0..self.rows).step_by(ROWS) {
            let end = (start + ROWS).min(self.rows);
            block.resize((end - start) * self.dimensions, T::default());
            T::read(self.blocks(), start..end, &mut block)?;
            bytes.clear();
            for value in &block {
                value.write_little_endian(&mut bytes);
            }
            hasher.update(&bytes);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The source of the rows.
    pub fn blocks(&self) -> &dyn RowBlocks {
        self.blocks.as_ref()
    }
}

impl fmt::Debug for EmbeddingRows<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddingRows")
            .field("origin", &self.origin)
            .field("rows", &self.rows)
            .field("dimensions", &self.dimensions)
            .field("element_type", &self.element_type)
            .finish_non_exhaustive()
    }
}
