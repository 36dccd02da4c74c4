//! Arrays from any file format: NumPy arrays and tensors.

use std::ops::Range;

use half::{bf16, f16};

use crate::input::Role;
use crate::input::cells::{Cell, Place, Visit, no_rows};
use crate::input::choice::{self, Candidate, Choice, Form, Nature};
use crate::input::refused::plain_name;
use embq_core::data::{Chosen, ElementType, Embeddings, LabelType, MappedBytes, MappedMatrix, MatrixLayout, Origin};
use embq_core::error::{Error, Result};

/// A file with one array, or with several named ones.
pub(crate) trait ArrayFile {
    /// What the file's format calls an array.
    fn noun(&self) -> &'static str;

    /// The names in file order; empty if the file is a single array.
    fn names(&self) -> &[String];

    /// The axis lengths of an array, if its header can be read.
    fn shape(&self, index: usize) -> Option<Vec<usize>>;

    /// Reads an array for the given role.
    fn array(&self, index: usize, role: Role) -> Result<Array>;

    /// Describes an array, reading only its header where possible.
    fn outline(&self, index: usize) -> Outline {
        match self.array(index, Role::Embeddings) {
            Ok(array) => Outline::Array { shape: array.shape().to_vec(), elements: array.header.elements },
            Err(error) => Outline::Refused { shape: self.shape(index), error },
        }
    }
}

/// What is known about an array before its data is read.
pub(crate) enum Outline {
    Array {
        shape: Vec<usize>,
        elements: Elements,
    },
    /// Unreadable in any role.
    Refused {
        shape: Option<Vec<usize>>,
        error: Error,
    },
}

impl Outline {
    /// The outline given by an array's header, or by the error from reading it.
    pub fn of_header(header: Result<ArrayHeader>, shape: Option<Vec<usize>>) -> Self {
        match header {
            Ok(header) => Outline::Array { shape: header.shape, elements: header.elements },
            Err(error) => Outline::Refused { shape, error },
        }
    }

    /// The array as a candidate for the embeddings.
    pub fn candidate(&self, name: &str) -> Candidate {
        let shown = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        let (nature, shape) = match self {
            Outline::Array { shape, elements: elements @ Elements::Number(element_type) } => {
                let form = if element_type.is_float() { Form::Floats } else { Form::Integers };
                let nature = match shape[..] {
                    _ if *element_type == ElementType::Bool && shape.len() > 1 => Nature::Other,
                    // A column of single numbers is more often a label.
                    [] => Nature::Other,
                    [_] | [_, 1] => Nature::Values,
                    _ if rows_of_vectors(shape).is_some() => Nature::Vectors(form),
                    _ => Nature::Unreadable {
                        why: format!("has {} axes ({})", shape.len(), shown(shape)),
                        tip: POOLING.to_owned(),
                        integers: form == Form::Integers,
                    },
                };
                (nature, format!("{} {}", shown(shape), elements.dtype()))
            }
            Outline::Array { shape, elements } => {
                let nature = if shape.len() == 1 { Nature::Values } else { Nature::Other };
                (nature, format!("{} {}", shown(shape), elements.dtype()))
            }
            Outline::Refused { shape, error } => {
                let found = match error {
                    Error::Pickle { .. } => "objects".to_owned(),
                    Error::ElementType { found, .. } => found.clone(),
                    _ => "unreadable".to_owned(),
                };
                let why = match error {
                    Error::Pickle { .. } => "contains pickled Python objects, which embq does not read".to_owned(),
                    Error::ElementType { found, .. } => format!("is of type {found}"),
                    Error::Malformed { problem, .. } => format!("cannot be read: {problem}"),
                    other => format!("cannot be read: {other}"),
                };
                let nature = match shape.as_deref() {
                    Some([]) => Nature::Other,
                    _ => Nature::Unreadable { why, tip: error.tip().unwrap_or_default(), integers: false },
                };
                (nature, shape.as_deref().map(|shape| format!("{} {found}", shown(shape))).unwrap_or(found))
            }
        };
        Candidate { name: name.to_owned(), nature, shape, is_index: false }
    }
}

/// The numbers of rows and dimensions of an array with one vector per row, which may have axes of length 1 besides, such
/// as the 1 x 1 pixels of pooled images.
pub(crate) fn rows_of_vectors(shape: &[usize]) -> Option<(usize, usize)> {
    let (&rows, axes) = shape.split_first()?;
    let longer = axes.iter().filter(|&&length| length != 1).count();
    (!axes.is_empty() && longer <= 1).then(|| (rows, axes.iter().product()))
}

/// Tip for several vectors per row.
pub(crate) const POOLING: &str =
    "reduce each row to one vector first, for example array.mean(1), which pools its tokens";

/// The array of the embeddings: the selected one, or else the one that contains vectors. `taken` are names used by
/// other options.
pub(crate) fn embeddings(
    file: &dyn ArrayFile,
    path: &str,
    selector: Option<&str>,
    taken: &[String],
) -> Result<Embeddings> {
    if file.names().is_empty() {
        return select(file, path, selector, Role::Embeddings)?.embeddings();
    }
    if let Some(selector) = selector {
        let embeddings = select(file, path, Some(selector), Role::Embeddings)?.embeddings()?;
        let notes = embeddings.notes().to_vec();
        return Ok(embeddings.with_choice(Chosen::Selector, notes));
    }
    let names = file.names();
    let taken: Vec<usize> = taken.iter().filter_map(|name| names.iter().position(|own| own == name)).collect();
    let Choice { columns, chosen, mut notes, .. } = choose(file, path, &taken)?;
    let index = columns.first().copied().unwrap_or(0);
    let embeddings = file.array(index, Role::Embeddings)?.embeddings()?;
    notes.extend(embeddings.notes().iter().cloned());
    Ok(embeddings.with_choice(chosen, notes))
}

/// Chooses the embeddings among several arrays.
pub(crate) fn choose(file: &dyn ArrayFile, path: &str, taken: &[usize]) -> Result<Choice> {
    let outlined = file.names().iter().enumerate().map(|(index, name)| file.outline(index).candidate(name));
    let candidates: Vec<Candidate> = outlined.collect();
    let place = choice::Place { path, noun: file.noun(), positional: false };
    choice::choose(place, &candidates, None, taken)
}

/// The selected array, or the only one with the right number of axes.
pub(crate) fn select(file: &dyn ArrayFile, path: &str, selector: Option<&str>, role: Role) -> Result<Array> {
    let (names, noun) = (file.names(), file.noun());
    if names.is_empty() {
        return match selector {
            None => file.array(0, role),
            Some(selector) => Err(Error::Malformed {
                name: path.to_owned(),
                problem: format!("it is a single {noun}: there is nothing to select with ':{selector}'"),
                tip: Some(format!("write {path}")),
            }),
        };
    }
    if let Some(wanted) = selector {
        let index = names.iter().position(|name| name == wanted).ok_or_else(|| Error::UnknownSelector {
            path: path.to_owned(),
            kind: noun,
            wanted: wanted.to_owned(),
            available: names.to_vec(),
        })?;
        return file.array(index, role);
    }
    if names.len() == 1 {
        return file.array(0, role);
    }
    let axes = if role == Role::Embeddings { 2 } else { 1 };
    let fitting = |index: &usize| file.shape(*index).is_some_and(|shape| shape.len() == axes);
    let candidates: Vec<usize> = (0..names.len()).filter(fitting).collect();
    let several = |candidates: &[usize]| candidates.iter().map(|&index| names[index].clone()).collect();
    match candidates[..] {
        [only] => file.array(only, role),
        [] => Err(Error::SelectorNeeded {
            path: path.to_owned(),
            problem: format!("no {noun} with {axes} {}", if axes == 1 { "axis" } else { "axes" }),
            available: names.to_vec(),
        }),
        _ => Err(Error::SelectorNeeded {
            path: path.to_owned(),
            problem: format!("several {noun}s could be the {}; write {path}:NAME", role.name()),
            available: several(&candidates),
        }),
    }
}

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    Number(ElementType),
    /// Text of this many UTF-32 code points.
    Unicode(usize),
    /// Text of this many bytes.
    Bytes(usize),
}

impl Elements {
    /// The type as users write it.
    pub fn dtype(self) -> String {
        match self {
            Elements::Number(element_type) => element_type.name().to_owned(),
            Elements::Unicode(width) => format!("text of up to {width} characters"),
            Elements::Bytes(width) => format!("text of up to {width} bytes"),
        }
    }

    /// Bytes per element.
    fn size(self) -> usize {
        match self {
            Elements::Number(element_type) => element_type.size(),
            Elements::Unicode(width) => width.saturating_mul(4),
            Elements::Bytes(width) => width,
        }
    }
}

/// The header of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayHeader {
    pub shape: Vec<usize>,
    pub elements: Elements,
    pub big_endian: bool,
    pub column_major: bool,
}

impl ArrayHeader {
    /// The size of the data in bytes.
    pub fn data_bytes(&self) -> u128 {
        let count = self.shape.iter().fold(1_u128, |product, &length| product.saturating_mul(length as u128));
        count.saturating_mul(self.elements.size() as u128)
    }
}

/// An array whose data is known to be present.
#[derive(Clone)]
pub(crate) struct Array {
    origin: Origin,
    bytes: MappedBytes,
    offset: usize,
    header: ArrayHeader,
}

impl Array {
    /// An array whose data begins at `offset` of `bytes`.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the data extends past the end.
    pub fn new(origin: Origin, header: ArrayHeader, bytes: MappedBytes, offset: usize) -> Result<Self> {
        let promised = header.data_bytes();
        let held = bytes.len().saturating_sub(offset) as u64;
        if promised > u128::from(held) {
            return Err(Error::Truncated { name: origin.to_string(), promised, held });
        }
        Ok(Array { origin, bytes, offset, header })
    }

    /// The file and selector that the array came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn name(&self) -> String {
        self.origin.to_string()
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The number type, if the array has one.
    pub fn number_type(&self) -> Option<ElementType> {
        match self.header.elements {
            Elements::Number(element_type) => Some(element_type),
            Elements::Unicode(_) | Elements::Bytes(_) => None,
        }
    }

    /// The element type as users write it.
    pub fn dtype(&self) -> String {
        self.header.elements.dtype()
    }

    /// The number type; `None` for text.
    pub fn element_type(&self) -> Option<ElementType> {
        match self.header.elements {
            Elements::Number(element_type) => Some(element_type),
            Elements::Unicode(_) | Elements::Bytes(_) => None,
        }
    }

    /// A range of elements in file order as a one-dimensional array; `None` past the end.
    pub fn window(&self, range: Range<usize>) -> Option<Array> {
        let count = self.header.shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))?;
        if range.start > range.end || range.end > count {
            return None;
        }
        let offset = self.offset + range.start * self.header.elements.size();
        let header = ArrayHeader { shape: vec![range.len()], ..self.header.clone() };
        Some(Array { origin: self.origin.clone(), bytes: self.bytes.clone(), offset, header })
    }

    /// The type of labels read from this array.
    pub fn label_type(&self) -> LabelType {
        match self.header.elements {
            Elements::Number(ElementType::Bool) => LabelType::Boolean,
            Elements::Number(_) => LabelType::Integer,
            Elements::Unicode(_) | Elements::Bytes(_) => LabelType::Text,
        }
    }

    /// The array as embeddings: mapped, never copied.
    pub fn embeddings(&self) -> Result<Embeddings> {
        let element_type = match self.header.elements {
            Elements::Number(element_type) if element_type != ElementType::Bool => element_type,
            _ => {
                return Err(Error::ElementType {
                    name: self.name(),
                    found: self.dtype(),
                    role: Role::Embeddings.name(),
                    tip: Some("embeddings are float16, float32, float64 or integers".to_owned()),
                });
            }
        };
        let (rows, dimensions) = match rows_of_vectors(&self.header.shape) {
            Some((0, _)) => return Err(no_rows(&self.name())),
            Some((rows, dimensions)) if dimensions > 0 => (rows, dimensions),
            _ => {
                return Err(Error::Shape {
                    name: self.name(),
                    expected: "two axes (rows x dimensions)",
                    shape: self.header.shape.clone(),
                });
            }
        };
        let layout = MatrixLayout {
            offset: self.offset,
            rows,
            dimensions,
            element_type,
            big_endian: self.header.big_endian,
            column_major: self.header.column_major,
        };
        let matrix = MappedMatrix::new(self.bytes.clone(), layout, &self.name())?;
        let embeddings = Embeddings::new(self.origin.clone(), rows, dimensions, element_type, matrix);
        let notes = self.packed_bits(dimensions);
        Ok(if notes.is_empty() { embeddings } else { embeddings.with_choice(Chosen::Only, notes) })
    }

    /// A note if bytes look like packed bits: few per row, with values up to the maximum.
    fn packed_bits(&self, dimensions: usize) -> Vec<String> {
        const WIDEST: usize = 64;
        const SEEN: usize = 1 << 16;
        if self.header.elements != Elements::Number(ElementType::U8) || dimensions > WIDEST {
            return Vec::new();
        }
        let data = self.bytes.get(self.offset..).unwrap_or_default();
        let largest = data.iter().take(SEEN.min(data.len())).max();
        if largest.is_none_or(|&largest| largest < 0xf0) {
            return Vec::new();
        }
        vec![format!(
            "{}: {dimensions} unsigned bytes per row with values up to 255 may be packed bits; --distance hamming \
             counts the bits that differ",
            self.name()
        )]
    }

    /// Checks that the array's shape allows labels. A matrix with one column per class is refused with a tip that
    /// converts it.
    ///
    /// # Errors
    /// More than one axis.
    pub fn require_labels(&self) -> Result<()> {
        let (rows, classes) = match self.header.shape[..] {
            [rows, classes] if classes > 1 && rows > 1 => (rows, classes),
            _ => return Ok(()),
        };
        let Elements::Number(_) = self.header.elements else { return Ok(()) };
        // A few rows are enough to tell what the matrix is.
        const SEEN: usize = 1000;
        let mut values = Vec::new();
        let flat = Array {
            header: ArrayHeader { shape: vec![rows.saturating_mul(classes)], ..self.header.clone() },
            ..self.clone()
        };
        if !self.header.column_major {
            flat.first_numbers(SEEN.min(rows) * classes, &mut values)?;
        }
        let mut all = values.chunks_exact(classes);
        let is_positive = |row: &[f64]| row.iter().filter(|&&value| value > 0.0).count();
        let several = !values.is_empty()
            && values.iter().all(|&value| value == 0.0 || value == 1.0)
            && all.clone().any(|row| is_positive(row) != 1);
        let what = if several {
            "it marks several classes per row (multi-hot): a silhouette needs one label per row"
        } else if !values.is_empty() && values.iter().all(|&value| value == 0.0 || value == 1.0) {
            "it is one-hot: a silhouette needs one label per row"
        } else if !values.is_empty() && all.all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-3) {
            "it contains probabilities: a silhouette needs one label per row"
        } else {
            "it is a matrix: a silhouette needs one label per row"
        };
        let key = self.origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
        let line =
            format!("numpy.save({}, numpy.load({:?}){key}.argmax(1))", plain_name(&self.origin.path), self.origin.path);
        let tip = if several {
            "choose one label per row, or score the columns one by one".to_owned()
        } else {
            format!("take the position of the largest value: {line}")
        };
        let shape = format!("{rows} x {classes}");
        Err(Error::Malformed { name: self.name(), problem: format!("{what} (its shape is {shape})"), tip: Some(tip) })
    }

    /// The first values of a one-dimensional array.
    fn first_numbers(&self, count: usize, values: &mut Vec<f64>) -> Result<()> {
        let shape = vec![count.min(self.header.shape.first().copied().unwrap_or(0))];
        let first = Array { header: ArrayHeader { shape, ..self.header.clone() }, ..self.clone() };
        first.cells(&mut |_, cell| {
            values.push(match cell {
                Cell::Integer(value) => value as f64,
                Cell::Float(value) => value,
                Cell::Boolean(value) => f64::from(u8::from(value)),
                Cell::Missing | Cell::Text(_) => f64::NAN,
            });
            Ok(())
        })
    }

    /// Checks that the array is one-dimensional and can be row weights.
    pub fn require_weights(&self) -> Result<()> {
        match self.header.elements {
            Elements::Number(element_type) if element_type != ElementType::Bool => Ok(()),
            _ => Err(Error::ElementType {
                name: self.name(),
                found: self.dtype(),
                role: Role::Weights.name(),
                tip: Some("row weights are floats or integers".to_owned()),
            }),
        }
    }

    /// Visits every value of a one-dimensional array, or of a single column.
    pub fn cells(&self, visit: &mut Visit<'_>) -> Result<()> {
        let ([rows] | [rows, 1]) = self.header.shape[..] else {
            return Err(Error::Shape {
                name: self.name(),
                expected: "one axis (a value for each row)",
                shape: self.header.shape.clone(),
            });
        };
        let data = &self.bytes[self.offset..self.offset + rows * self.header.elements.size()];
        match self.header.elements {
            Elements::Number(element_type) => match element_type {
                ElementType::F16 => self.numbers(data, visit, |b| Cell::Float(f16::from_ne_bytes(b).to_f64())),
                ElementType::F32 => self.numbers(data, visit, |b| Cell::Float(f32::from_ne_bytes(b).into())),
                ElementType::F64 => self.numbers(data, visit, |b| Cell::Float(f64::from_ne_bytes(b))),
                ElementType::I8 => self.numbers(data, visit, |b| Cell::Integer(i8::from_ne_bytes(b).into())),
                ElementType::I16 => self.numbers(data, visit, |b| Cell::Integer(i16::from_ne_bytes(b).into())),
                ElementType::I32 => self.numbers(data, visit, |b| Cell::Integer(i32::from_ne_bytes(b).into())),
                ElementType::I64 => self.numbers(data, visit, |b| Cell::Integer(i64::from_ne_bytes(b).into())),
                ElementType::U8 => self.numbers(data, visit, |b| Cell::Integer(u8::from_ne_bytes(b).into())),
                ElementType::U16 => self.numbers(data, visit, |b| Cell::Integer(u16::from_ne_bytes(b).into())),
                ElementType::U32 => self.numbers(data, visit, |b| Cell::Integer(u32::from_ne_bytes(b).into())),
                ElementType::U64 => self.numbers(data, visit, |b| Cell::Integer(u64::from_ne_bytes(b).into())),
                ElementType::Bool => self.numbers(data, visit, |[byte]| Cell::Boolean(byte != 0)),
                ElementType::Bf16 => self.numbers(data, visit, |b| Cell::Float(bf16::from_ne_bytes(b).to_f64())),
            },
            Elements::Unicode(width) => self.unicode(data, width, visit),
            Elements::Bytes(width) => self.byte_text(data, width, visit),
        }
    }

    fn numbers<const SIZE: usize>(
        &self,
        data: &[u8],
        visit: &mut Visit<'_>,
        cell: impl Fn([u8; SIZE]) -> Cell<'static>,
    ) -> Result<()> {
        let swap = self.header.big_endian != cfg!(target_endian = "big");
        let (elements, _) = data.as_chunks::<SIZE>();
        for (row, element) in elements.iter().enumerate() {
            let mut bytes = *element;
            if swap {
                bytes.reverse();
            }
            visit(row, cell(bytes))?;
        }
        Ok(())
    }

    fn unicode(&self, data: &[u8], width: usize, visit: &mut Visit<'_>) -> Result<()> {
        let (points, _) = data.as_chunks::<4>();
        let mut text = String::new();
        for (row, points) in points.chunks_exact(width).enumerate() {
            let used = points.iter().rposition(|point| *point != [0; 4]).map_or(0, |last| last + 1);
            text.clear();
            for &point in &points[..used] {
                let point = if self.header.big_endian { u32::from_be_bytes(point) } else { u32::from_le_bytes(point) };
                let character = char::from_u32(point)
                    .ok_or_else(|| self.error(row, format!("{point:#x} is not a Unicode character")))?;
                text.push(character);
            }
            visit(row, Cell::Text(&text))?;
        }
        Ok(())
    }

    /// NumPy does not record the encoding of `|S`. People store UTF-8 (and so ASCII); if any value is not valid UTF-8,
    /// all are read as Latin-1, so that two spellings never become one label.
    fn byte_text(&self, data: &[u8], width: usize, visit: &mut Visit<'_>) -> Result<()> {
        let values = || {
            data.chunks_exact(width).map(|value| {
                let used = value.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                &value[..used]
            })
        };
        let utf8 = values().all(|value| std::str::from_utf8(value).is_ok());
        for (row, value) in values().enumerate() {
            match std::str::from_utf8(value) {
                Ok(text) if utf8 => visit(row, Cell::Text(text))?,
                _ => {
                    let text: String = value.iter().copied().map(char::from).collect();
                    visit(row, Cell::Text(&text))?;
                }
            }
        }
        Ok(())
    }

    fn error(&self, row: usize, problem: String) -> Error {
        let place = Place { path: &self.origin.path, column: self.origin.selector.as_deref() };
        place.error(row, problem, Some("the file is damaged: save it again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_length_1_change_no_vectors() {
        for (shape, expected) in [
            (&[5, 3][..], Some((5, 3))),
            (&[5, 1, 3], Some((5, 3))),
            (&[5, 3, 1, 1], Some((5, 3))),
            (&[5, 1], Some((5, 1))),
            (&[0, 3], Some((0, 3))),
            (&[5, 0], Some((5, 0))),
            (&[5, 2, 3], None),
            (&[1, 2, 3], None),
            (&[5], None),
            (&[], None),
        ] {
            assert_eq!(rows_of_vectors(shape), expected, "{shape:?}");
        }
    }
}
