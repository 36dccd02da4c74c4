//! NumPy's `.npy`: one array, memory-mapped.

use half::f16;
use ndarray_npy::npy::header::Header;
use py_literal::Value;

use crate::data::{ElementType, Embeddings, LabelType, MappedBytes, MappedMatrix, MatrixLayout, Origin};
use crate::error::{Error, Result};
use crate::input::cells::{Cell, Place, Visit, no_rows};
use crate::input::refused::{object_array_cure, plain_name};
use crate::input::source::Source;
use crate::input::{Contents, Format, Role};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longer headers belong to structured arrays, which are refused in any case.
const LONGEST_HEADER: usize = 1 << 16;

/// The header of a plain array nests two levels; its parser recurses, so deep ones must not reach it.
const DEEPEST_NESTING: usize = 8;

/// One NumPy array.
pub(crate) const FORMAT: Format = Format {
    name: "npy",
    extensions: &["npy"],
    recognises: |bytes| bytes.starts_with(MAGIC),
    open: |source, role| Array::open(source, role).map(Contents::Array),
};

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elements {
    Number(ElementType),
    /// Text of so many UTF-32 code points.
    Unicode(usize),
    /// Text of so many bytes.
    Bytes(usize),
}

/// An array whose header has been read and whose data are known to be there.
pub(crate) struct Array {
    path: String,
    bytes: MappedBytes,
    offset: usize,
    shape: Vec<usize>,
    column_major: bool,
    big_endian: bool,
    elements: Elements,
}

impl Array {
    /// Reads the header and checks it against the size of the file.
    fn open(source: &Source, role: Role) -> Result<Self> {
        let offset = header_end(source)?;
        let header = Header::from_reader(&mut &source.bytes[..]).map_err(|_| {
            source.malformed("the npy header is not a Python dictionary with descr, fortran_order and shape", None)
        })?;
        let (elements, big_endian) = elements(source, &header.type_descriptor, role)?;
        let array = Array {
            path: source.path.clone(),
            bytes: source.bytes.clone(),
            offset,
            shape: header.shape,
            column_major: header.layout.is_fortran(),
            big_endian,
            elements,
        };
        let count = array.shape.iter().fold(1_u128, |product, &length| product.saturating_mul(length as u128));
        let promised = count.saturating_mul(array.item_size() as u128);
        let held = source.bytes.len().saturating_sub(offset) as u64;
        if promised > u128::from(held) {
            return Err(Error::Truncated { name: source.path.clone(), promised, held });
        }
        Ok(array)
    }

    fn item_size(&self) -> usize {
        match self.elements {
            Elements::Number(element_type) => element_type.size(),
            Elements::Unicode(width) => width.saturating_mul(4),
            Elements::Bytes(width) => width,
        }
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type as people write it.
    pub fn dtype(&self) -> String {
        match self.elements {
            Elements::Number(element_type) => element_type.name().to_owned(),
            Elements::Unicode(width) => format!("text of up to {width} characters"),
            Elements::Bytes(width) => format!("text of up to {width} bytes"),
        }
    }

    /// What labels of this array are.
    pub fn label_type(&self) -> LabelType {
        match self.elements {
            Elements::Number(ElementType::Bool) => LabelType::Boolean,
            Elements::Number(_) => LabelType::Integer,
            Elements::Unicode(_) | Elements::Bytes(_) => LabelType::Text,
        }
    }

    /// The array as embeddings: mapped, never copied.
    pub fn embeddings(&self, origin: Origin) -> Result<Embeddings> {
        let element_type = match self.elements {
            Elements::Number(element_type) if element_type != ElementType::Bool => element_type,
            _ => {
                return Err(Error::ElementType {
                    name: self.path.clone(),
                    found: self.dtype(),
                    role: Role::Embeddings.name(),
                    tip: Some("embeddings are float16, float32, float64 or integers".to_owned()),
                });
            }
        };
        let (rows, dimensions) = match self.shape[..] {
            [0, _] => return Err(no_rows(&self.path)),
            [rows, dimensions] if dimensions > 0 => (rows, dimensions),
            _ => {
                return Err(Error::Shape {
                    name: self.path.clone(),
                    expected: "two axes (rows x dimensions)",
                    shape: self.shape.clone(),
                });
            }
        };
        let layout = MatrixLayout {
            offset: self.offset,
            rows,
            dimensions,
            element_type,
            big_endian: self.big_endian,
            column_major: self.column_major,
        };
        let matrix = MappedMatrix::new(self.bytes.clone(), layout, &self.path)?;
        Ok(Embeddings::new(origin, rows, dimensions, element_type, matrix))
    }

    /// Checks that the array has one axis and can be row weights.
    pub fn require_weights(&self) -> Result<()> {
        match self.elements {
            Elements::Number(element_type) if element_type != ElementType::Bool => Ok(()),
            _ => Err(Error::ElementType {
                name: self.path.clone(),
                found: self.dtype(),
                role: Role::Weights.name(),
                tip: Some("row weights are floats or integers".to_owned()),
            }),
        }
    }

    /// Visits every value of an array with one axis.
    pub fn cells(&self, visit: &mut Visit<'_>) -> Result<()> {
        let [rows] = self.shape[..] else {
            return Err(Error::Shape {
                name: self.path.clone(),
                expected: "one axis (a value for each row)",
                shape: self.shape.clone(),
            });
        };
        let data = &self.bytes[self.offset..self.offset + rows * self.item_size()];
        match self.elements {
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
                // No npy type string means bfloat16.
                ElementType::Bf16 => Ok(()),
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
        let swap = self.big_endian != cfg!(target_endian = "big");
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
                let point = if self.big_endian { u32::from_be_bytes(point) } else { u32::from_le_bytes(point) };
                let character = char::from_u32(point)
                    .ok_or_else(|| self.error(row, format!("{point:#x} is not a Unicode character")))?;
                text.push(character);
            }
            visit(row, Cell::Text(&text))?;
        }
        Ok(())
    }

    /// NumPy says nothing about the encoding of `|S`. UTF-8 (and so ASCII) is what people store; where one value is
    /// not, all are read as Latin-1, so that two spellings never become one label.
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
        let place = Place { path: &self.path, column: None };
        place.error(row, problem, Some("the file is damaged: save it again"))
    }
}

/// Where the data begin; checks everything about the header that its parser trusts.
fn header_end(source: &Source) -> Result<usize> {
    let bytes: &[u8] = &source.bytes;
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(source.malformed(
            "it is not an npy file: it does not begin with \\x93NUMPY",
            Some("write it with numpy.save".to_owned()),
        ));
    };
    let cut = || source.malformed("it ends within the npy header", Some("save or copy the file again".to_owned()));
    let (length, start) = match *rest {
        [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 10),
        [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
        [_, _, _, _, _, _, ..] => {
            let problem = format!("npy format version {}.{} is unknown", rest[0], rest[1]);
            return Err(source.malformed(problem, Some("write it with numpy.save".to_owned())));
        }
        _ => return Err(cut()),
    };
    if length > LONGEST_HEADER {
        let problem = format!("its npy header promises {length} bytes, too many for a plain array");
        return Err(source.malformed(problem, None));
    }
    let end = start + length;
    let header = bytes.get(start..end).ok_or_else(cut)?;
    let mut depth = 0_usize;
    for byte in header {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_NESTING {
            return Err(source.malformed("its npy header is nested too deeply for a plain array", None));
        }
    }
    Ok(end)
}

/// The element type and whether it is big-endian.
fn elements(source: &Source, descriptor: &Value, role: Role) -> Result<(Elements, bool)> {
    let unusable = |found: String, tip: String| Error::ElementType {
        name: source.path.clone(),
        found,
        role: role.name(),
        tip: Some(tip),
    };
    let Value::String(text) = descriptor else {
        let tip = format!(
            "choose one field: numpy.save({}, numpy.load({:?})[\"FIELD\"])",
            plain_name(&source.path),
            source.path
        );
        return Err(unusable("structured (several named fields)".to_owned(), tip));
    };
    let (order, code) = match text.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), code)) => (order, code),
        _ => ("=", text.as_str()),
    };
    let big_endian = match order {
        ">" => true,
        "=" => cfg!(target_endian = "big"),
        _ => false,
    };
    let number = |element_type| Ok((Elements::Number(element_type), big_endian));
    let convert = |dtype: &str| {
        format!("convert it: numpy.save({}, numpy.load({:?}).astype({dtype:?}))", plain_name(&source.path), source.path)
    };
    match code {
        "f2" => number(ElementType::F16),
        "f4" => number(ElementType::F32),
        "f8" => number(ElementType::F64),
        "i1" => number(ElementType::I8),
        "i2" => number(ElementType::I16),
        "i4" => number(ElementType::I32),
        "i8" => number(ElementType::I64),
        "u1" => number(ElementType::U8),
        "u2" => number(ElementType::U16),
        "u4" => number(ElementType::U32),
        "u8" => number(ElementType::U64),
        "b1" | "?" => number(ElementType::Bool),
        "O" | "O8" => Err(Error::Pickle {
            name: source.path.clone(),
            what: "object arrays",
            cure: object_array_cure(&source.path, role),
        }),
        "f12" | "f16" => Err(unusable(format!("extended precision float ({text})"), convert("float64"))),
        "c8" | "c16" | "c24" | "c32" => {
            Err(unusable(format!("complex ({text})"), "use the real part or the absolute value".to_owned()))
        }
        "V2" => Err(unusable(
            format!("{text} (raw bytes; bfloat16 is saved so)"),
            "convert it before saving: array.astype(\"float32\")".to_owned(),
        )),
        _ => match code.split_at_checked(1) {
            Some((kind @ ("U" | "S" | "a"), width)) => match width.parse::<usize>() {
                // A width of 0 would be any number of rows in no bytes at all.
                Ok(0) => Err(unusable(
                    format!("text of width 0 ({text})"),
                    "every value is empty: check what was saved".to_owned(),
                )),
                Ok(width) if kind == "U" => Ok((Elements::Unicode(width), big_endian)),
                Ok(width) => Ok((Elements::Bytes(width), big_endian)),
                Err(_) => Err(source.malformed(format!("'{text}' is no element type of NumPy"), None)),
            },
            Some(("M" | "m", _)) => Err(unusable(format!("date or time ({text})"), convert("int64"))),
            _ => Err(unusable(format!("'{text}'"), "convert it in Python with array.astype(...)".to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, ShapeBuilder};
    use ndarray_npy::WriteNpyExt;

    use super::*;
    use crate::data::{Element, Label};
    use crate::input::{labels_of, weights_of};

    fn source(bytes: Vec<u8>) -> Source {
        Source { path: "a.npy".into(), bytes: MappedBytes::from_memory(bytes) }
    }

    /// An npy file of version 1 with this dictionary.
    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16 + 1).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.push(b'\n');
        bytes.extend(data);
        bytes
    }

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        with_header(&header, data)
    }

    fn embeddings(bytes: Vec<u8>) -> Result<Embeddings> {
        Array::open(&source(bytes), Role::Embeddings)?.embeddings(Origin::new("a.npy"))
    }

    fn rows<T: Element>(embeddings: &Embeddings) -> Vec<T> {
        let mut out = vec![T::default(); embeddings.rows() * embeddings.dimensions()];
        T::read(embeddings.blocks(), 0..embeddings.rows(), &mut out).unwrap();
        out
    }

    fn labels(bytes: Vec<u8>) -> Result<Vec<Option<Label>>> {
        let array = Array::open(&source(bytes), Role::Labels)?;
        let column = labels_of(&Contents::Array(array), "a.npy", None)?;
        Ok((0..column.len()).map(|row| column.get(row).cloned()).collect())
    }

    fn text(value: &str) -> Option<Label> {
        Some(Label::Text(value.into()))
    }

    #[test]
    fn c_and_fortran_order_are_read_alike() {
        let matrix = Array2::from_shape_fn((3, 2), |(i, j)| (10 * i + j) as f32);
        let mut fortran = Array2::zeros((3, 2).f());
        fortran.assign(&matrix);
        for matrix in [matrix, fortran] {
            let mut bytes = Vec::new();
            matrix.write_npy(&mut bytes).unwrap();
            let embeddings = embeddings(bytes).unwrap();
            assert_eq!((embeddings.rows(), embeddings.dimensions()), (3, 2));
            assert_eq!(embeddings.element_type(), ElementType::F32);
            assert_eq!(rows::<f32>(&embeddings), [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        }
    }

    #[test]
    fn every_number_type_in_both_byte_orders_is_read() {
        fn check(descr: &str, one: &[u8], two: &[u8]) {
            let little: Vec<u8> = [one, two].concat();
            let big: Vec<u8> = [one, two].iter().flat_map(|v| v.iter().rev().copied().collect::<Vec<_>>()).collect();
            for (order, data) in [("<", &little), (">", &big)] {
                let embeddings = embeddings(npy(&format!("{order}{descr}"), "(2, 1)", data)).unwrap();
                assert_eq!(rows::<f64>(&embeddings), [1.0, 2.0], "{order}{descr}");
                let labels = labels(npy(&format!("{order}{descr}"), "(2,)", data)).unwrap();
                assert_eq!(labels, [Some(Label::Integer(1)), Some(Label::Integer(2))]);
            }
        }
        check("f2", &f16::ONE.to_le_bytes(), &f16::from_f32(2.0).to_le_bytes());
        check("f4", &1f32.to_le_bytes(), &2f32.to_le_bytes());
        check("f8", &1f64.to_le_bytes(), &2f64.to_le_bytes());
        check("i1", &[1], &[2]);
        check("i2", &1i16.to_le_bytes(), &2i16.to_le_bytes());
        check("i4", &1i32.to_le_bytes(), &2i32.to_le_bytes());
        check("i8", &1i64.to_le_bytes(), &2i64.to_le_bytes());
        check("u1", &[1], &[2]);
        check("u2", &1u16.to_le_bytes(), &2u16.to_le_bytes());
        check("u4", &1u32.to_le_bytes(), &2u32.to_le_bytes());
        check("u8", &1u64.to_le_bytes(), &2u64.to_le_bytes());
    }

    #[test]
    fn the_largest_integers_keep_every_digit() {
        let data: Vec<u8> = [u64::MAX, u64::MAX - 1].iter().flat_map(|v| v.to_le_bytes()).collect();
        let found = labels(npy("<u8", "(2,)", &data)).unwrap();
        assert_eq!(found[0], Some(Label::Integer(u64::MAX.into())));
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn text_labels_are_trimmed_and_decoded_in_both_byte_orders() {
        let points = |text: &str, width: usize| -> Vec<u32> {
            let mut points: Vec<u32> = text.chars().map(u32::from).collect();
            points.resize(width, 0);
            points
        };
        let all: Vec<u32> = [points("é", 3), points("cat", 3), points("", 3)].concat();
        let little: Vec<u8> = all.iter().flat_map(|p| p.to_le_bytes()).collect();
        let big: Vec<u8> = all.iter().flat_map(|p| p.to_be_bytes()).collect();
        let expected = [text("é"), text("cat"), None];
        assert_eq!(labels(npy("<U3", "(3,)", &little)).unwrap(), expected);
        assert_eq!(labels(npy(">U3", "(3,)", &big)).unwrap(), expected);
        assert_eq!(labels(npy("|S3", "(3,)", b"\xc3\xa9\0cat\0\0\0")).unwrap(), expected);
        assert_eq!(labels(npy("|S3", "(3,)", b"\xe9\0\0cat\0\0\0")).unwrap(), expected);
    }

    #[test]
    fn a_code_point_that_is_none_is_named() {
        let data: Vec<u8> = [97_u32, 0xd800].iter().flat_map(|p| p.to_le_bytes()).collect();
        let error = labels(npy("<U1", "(2,)", &data)).unwrap_err();
        assert!(matches!(&error, Error::Row { row: 1, problem, .. } if problem.contains("0xd800")));
    }

    #[test]
    fn booleans_are_labels_but_neither_embeddings_nor_weights() {
        let found = labels(npy("|b1", "(2,)", &[1, 0])).unwrap();
        assert_eq!(found, [Some(Label::Boolean(true)), Some(Label::Boolean(false))]);
        let error = embeddings(npy("|b1", "(2, 1)", &[1, 0])).unwrap_err();
        assert!(matches!(&error, Error::ElementType { found, .. } if found == "bool"));
        let array = Array::open(&source(npy("|b1", "(2,)", &[1, 0])), Role::Weights).unwrap();
        let error = weights_of(&Contents::Array(array), "a.npy", None).unwrap_err();
        assert!(matches!(error, Error::ElementType { role: "row weights", .. }));
    }

    #[test]
    fn float_labels_must_be_integers() {
        let mut bytes = Vec::new();
        Array1::from(vec![1.0, f64::NAN, 2.5]).write_npy(&mut bytes).unwrap();
        let error = labels(bytes).unwrap_err();
        assert!(error.to_string().contains("row 2: the label 2.5 is not an integer"), "{error}");
    }

    #[test]
    fn weights_are_numbers_in_one_axis() {
        let mut bytes = Vec::new();
        Array1::from(vec![0.5_f32, 2.0]).write_npy(&mut bytes).unwrap();
        let array = Array::open(&source(bytes), Role::Weights).unwrap();
        let weights = weights_of(&Contents::Array(array), "a.npy", None).unwrap();
        assert_eq!(weights.values, [0.5, 2.0]);
    }

    #[test]
    fn shapes_that_are_no_matrix_are_refused_with_a_cure() {
        let error = embeddings(npy("|u1", "(3,)", &[0; 3])).unwrap_err();
        assert!(matches!(&error, Error::Shape { shape, .. } if shape[..] == [3]));
        assert!(error.tip().unwrap().contains("reshape(-1, 1)"));
        for shape in ["(1, 2, 3)", "()", "(3, 0)"] {
            let error = embeddings(npy("|u1", shape, &[0; 6])).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{shape}");
        }
        let error = embeddings(npy("|u1", "(0, 3)", &[])).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error}");
        let error = labels(npy("|u1", "(3, 1)", &[0; 3])).unwrap_err();
        assert!(error.tip().unwrap().contains("ravel()"));
        let error = labels(npy("|u1", "(0,)", &[])).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error}");
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_before_any_allocation() {
        for (descr, shape) in
            [("<f4", "(3, 4)"), ("<f4", "(18446744073709551615, 18446744073709551615)"), ("<U999999999999", "(9,)")]
        {
            let error = embeddings(npy(descr, shape, &[0; 47])).unwrap_err();
            assert!(matches!(error, Error::Truncated { held: 47, .. }), "{descr} {shape}");
        }
        let error = labels(npy("<U0", "(1000000000000,)", &[])).unwrap_err();
        assert!(matches!(error, Error::ElementType { .. }));
    }

    #[test]
    fn damaged_headers_are_refused() {
        let nested = "[".repeat(60_000);
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        for (bytes, wanted) in [
            (b"hello".to_vec(), "not an npy file"),
            (b"\x93NUMPY".to_vec(), "ends within"),
            (b"\x93NUMPY\x01\x00\xff".to_vec(), "ends within"),
            (b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(), "ends within"),
            (b"\x93NUMPY\x09\x00\x01\x00\x00\x00".to_vec(), "version 9.0"),
            (long, "too many"),
            (with_header(&nested, &[]), "nested too deeply"),
            (with_header("{'descr': '<f4'}", &[]), "dictionary"),
            (with_header("nonsense", &[]), "dictionary"),
            (npy("<f4", "(-1, 2)", &[]), "dictionary"),
            (npy("<Ux", "(1,)", &[]), "no element type"),
        ] {
            let error = embeddings(bytes).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn unusable_element_types_are_refused_with_a_cure() {
        for (descr, wanted) in [
            ("<c8", "complex"),
            ("<M8[ns]", "date or time"),
            ("<m8[s]", "date or time"),
            ("<f16", "extended"),
            ("|V2", "bfloat16"),
            ("|V7", "V7"),
            ("", "''"),
        ] {
            let error = embeddings(npy(descr, "(1, 1)", &[0; 16])).unwrap_err();
            assert!(matches!(&error, Error::ElementType { found, .. } if found.contains(wanted)), "{error}");
            assert!(error.tip().is_some());
        }
        let structured = "{'descr': [('a', '<f4'), ('b', '<i8', (2,))], 'fortran_order': False, 'shape': (1,), }";
        let error = embeddings(with_header(structured, &[0; 20])).unwrap_err();
        assert!(error.to_string().contains("structured"), "{error}");
        let error = embeddings(npy("<U1", "(1, 1)", &[0; 4])).unwrap_err();
        assert!(matches!(error, Error::ElementType { .. }));
    }

    #[test]
    fn object_arrays_are_refused_with_the_line_that_converts_them() {
        let error = labels(npy("|O", "(2,)", b"\x80\x04")).unwrap_err();
        assert!(matches!(&error, Error::Pickle { what: "object arrays", .. }));
        assert!(error.tip().unwrap().contains("allow_pickle=True"), "{:?}", error.tip());
    }
}
