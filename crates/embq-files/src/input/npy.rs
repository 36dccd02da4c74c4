//! NumPy's `.npy`: one array, memory-mapped.

use ndarray_npy::npy::header::Header;
use py_literal::Value;

use crate::input::array::{Array, ArrayFile, ArrayHeader, Elements};
use crate::input::refused::{object_array_cure, plain_name, single_object_cure};
use crate::input::{Contents, Format, Hints, Role};
use embq_core::data::{ElementType, MappedBytes, Origin};
use embq_core::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longer headers belong to structured arrays, which are refused anyway.
pub(crate) const LONGEST_HEADER: usize = 1 << 16;

/// The header of a plain array has two levels of nesting; the parser recurses, so deeper ones must not reach it.
const DEEPEST_NESTING: usize = 8;

pub(crate) const FORMAT: Format = Format {
    name: "npy",
    extensions: &["npy"],
    recognises: |bytes| bytes.starts_with(MAGIC),
    open: |source, role| {
        let origin = Origin::new(&source.path);
        let (header, offset) = read_header(&origin, &source.bytes, role, source.hints)?;
        let bytes: MappedBytes = source.bytes.clone();
        Ok(Contents::Arrays(Box::new(NpyFile(Array::new(origin, header, bytes, offset)?))))
    },
};

struct NpyFile(Array);

impl ArrayFile for NpyFile {
    fn noun(&self) -> &'static str {
        "array"
    }

    fn names(&self) -> &[String] {
        &[]
    }

    fn shape(&self, _index: usize) -> Option<Vec<usize>> {
        Some(self.0.shape().to_vec())
    }

    fn array(&self, _index: usize, _role: Role) -> Result<Array> {
        Ok(self.0.clone())
    }
}

/// Parses the header at the start of `bytes` and returns it with the offset of the data, without checking that all of
/// the data is present.
pub(crate) fn read_header(origin: &Origin, bytes: &[u8], role: Role, hints: Hints) -> Result<(ArrayHeader, usize)> {
    let offset = header_end(origin, bytes)?;
    let header = Header::from_reader(&mut &bytes[..]).map_err(|_| {
        malformed(origin, "the npy header is not a Python dictionary with descr, fortran_order and shape", None)
    })?;
    let (elements, big_endian) = elements(origin, &header.type_descriptor, &header.shape, offset, role, hints)
        .map_err(|error| match error {
            // A single object with no axes is usually a dictionary.
            Error::Pickle { name, what, .. } if header.shape.is_empty() => {
                Error::Pickle { name, what, cure: single_object_cure(origin) }
            }
            error => error,
        })?;
    let header = ArrayHeader { shape: header.shape, elements, big_endian, column_major: header.layout.is_fortran() };
    Ok((header, offset))
}

/// The axis lengths in a header, whatever the element type.
pub(crate) fn read_shape(origin: &Origin, bytes: &[u8]) -> Option<Vec<usize>> {
    header_end(origin, bytes).ok()?;
    Some(Header::from_reader(&mut &bytes[..]).ok()?.shape)
}

fn malformed(origin: &Origin, problem: impl Into<String>, tip: Option<&str>) -> Error {
    Error::Malformed { name: origin.to_string(), problem: problem.into(), tip: tip.map(str::to_owned) }
}

/// The offset of the data; checks everything about the header that its parser trusts.
fn header_end(origin: &Origin, bytes: &[u8]) -> Result<usize> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(malformed(
            origin,
            "it is not an npy file: it does not begin with \\x93NUMPY",
            Some("write it with numpy.save"),
        ));
    };
    let cut = || malformed(origin, "it ends within the npy header", Some("save or copy the file again"));
    let (length, start) = match *rest {
        [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 10),
        [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
        [_, _, _, _, _, _, ..] => {
            let problem = format!("npy format version {}.{} is unknown", rest[0], rest[1]);
            return Err(malformed(origin, problem, Some("write it with numpy.save")));
        }
        _ => return Err(cut()),
    };
    if length > LONGEST_HEADER {
        let problem = format!("its npy header declares {length} bytes, too many for a plain array");
        return Err(malformed(origin, problem, None));
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
            return Err(malformed(origin, "its npy header is nested too deeply for a plain array", None));
        }
    }
    Ok(end)
}

/// The element type and whether it is big-endian.
fn elements(
    origin: &Origin,
    descriptor: &Value,
    shape: &[usize],
    offset: usize,
    role: Role,
    hints: Hints,
) -> Result<(Elements, bool)> {
    let unusable = |found: String, tip: String| Error::ElementType {
        name: origin.to_string(),
        found,
        role: role.name(),
        tip: Some(tip),
    };
    let Value::String(text) = descriptor else {
        let tip = format!("choose one field: numpy.save({}, {}[\"FIELD\"])", plain_name(&origin.path), loaded(origin));
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
        format!("convert it: numpy.save({}, {}.astype({dtype:?}))", plain_name(&origin.path), loaded(origin))
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
            name: origin.to_string(),
            what: "object arrays",
            cure: object_array_cure(origin, role),
        }),
        "f12" | "f16" => Err(unusable(format!("extended precision float ({text})"), convert("float64"))),
        "c8" | "c16" | "c24" | "c32" => {
            Err(unusable(format!("complex ({text})"), "use the real part or the absolute value".to_owned()))
        }
        // NumPy writes its own raw bytes as "|V2"; the bfloat16 of ml_dtypes, and so of JAX, writes "<V2".
        "V2" if order == "<" || hints.bf16 => number(ElementType::Bf16),
        "V2" => Err(unusable(
            format!("raw bytes ({text}), perhaps bfloat16"),
            format!(
                "if it is bfloat16, add --dtype bf16, or convert it: import ml_dtypes; numpy.save({}, {}.view(ml_dtypes.bfloat16).astype(\"float32\"))",
                plain_name(&origin.path),
                loaded(origin)
            ),
        )),
        // Of the 8-bit types, only e5m2 has a distinct name in the file, and numpy.load does not know it.
        "f1" => {
            let bytes = match &origin.selector {
                Some(_) => "bytes".to_owned(),
                None => format!("numpy.fromfile({:?}, \"uint8\", offset={offset}).reshape({shape:?})", origin.path),
            };
            let array = format!("{bytes}.view(ml_dtypes.float8_e5m2).astype(\"float32\")");
            Err(unusable(
                format!("float8_e5m2 ({text})"),
                format!("convert it: import ml_dtypes; numpy.save({}, {array})", plain_name(&origin.path)),
            ))
        }
        "V1" => Err(unusable(
            format!("float8 or raw bytes, the file does not say which ({text})"),
            format!(
                "convert it: import ml_dtypes; numpy.save({}, {}.view(ml_dtypes.float8_e4m3fn).astype(\"float32\"))",
                plain_name(&origin.path),
                loaded(origin)
            ),
        )),
        _ => match code.split_at_checked(1) {
            Some((kind @ ("U" | "S" | "a"), width)) => match width.parse::<usize>() {
                // With a width of 0, no bytes at all could declare any number of rows.
                Ok(0) => Err(unusable(
                    format!("text of width 0 ({text})"),
                    "every value is empty: check what was saved".to_owned(),
                )),
                Ok(width) if kind == "U" => Ok((Elements::Unicode(width), big_endian)),
                Ok(width) => Ok((Elements::Bytes(width), big_endian)),
                Err(_) => Err(malformed(origin, format!("'{text}' is not a NumPy element type"), None)),
            },
            Some(("M" | "m", _)) => Err(unusable(format!("date or time ({text})"), convert("int64"))),
            _ => Err(unusable(format!("'{text}'"), "convert it in Python with array.astype(...)".to_owned())),
        },
    }
}

/// A Python expression that loads the array.
fn loaded(origin: &Origin) -> String {
    match &origin.selector {
        Some(key) => format!("numpy.load({:?})[{key:?}]", origin.path),
        None => format!("numpy.load({:?})", origin.path),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, ShapeBuilder};
    use ndarray_npy::WriteNpyExt;

    use half::f16;

    use super::*;
    use crate::input::source::Source;
    use crate::input::{embeddings_of, labels_of, weights_of};
    use embq_core::data::{Element, Embeddings, Label};

    fn source(bytes: Vec<u8>) -> Source {
        Source::new("a.npy", MappedBytes::from_memory(bytes))
    }

    /// An npy file of version 1 with the given header.
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
        embeddings_of(&(FORMAT.open)(&source(bytes), Role::Embeddings)?, "a.npy", None, &[])
    }

    fn rows<T: Element>(embeddings: &Embeddings) -> Vec<T> {
        let mut out = vec![T::default(); embeddings.rows() * embeddings.dimensions()];
        T::read(embeddings.blocks(), 0..embeddings.rows(), &mut out).unwrap();
        out
    }

    fn labels(bytes: Vec<u8>) -> Result<Vec<Option<Label>>> {
        let column = labels_of(&(FORMAT.open)(&source(bytes), Role::Labels)?, "a.npy", None)?;
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
    fn bfloat16_is_what_ml_dtypes_writes() {
        let data: Vec<u8> = [1.5, -2.0].iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
        let embeddings = embeddings(npy("<V2", "(2, 1)", &data)).unwrap();
        assert_eq!(embeddings.element_type(), ElementType::Bf16);
        assert_eq!(rows::<f32>(&embeddings), [1.5, -2.0]);

        let raw = source(npy("|V2", "(2, 1)", &data));
        let hinted = raw.with_hints(Hints { bf16: true, ..Hints::default() });
        let contents = (FORMAT.open)(&hinted, Role::Embeddings).unwrap();
        let embeddings = embeddings_of(&contents, "a.npy", None, &[]).unwrap();
        assert_eq!(rows::<f32>(&embeddings), [1.5, -2.0]);
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
        let array = (FORMAT.open)(&source(npy("|b1", "(2,)", &[1, 0])), Role::Weights).unwrap();
        let error = weights_of(&array, "a.npy", None).unwrap_err();
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
        let array = (FORMAT.open)(&source(bytes), Role::Weights).unwrap();
        let weights = weights_of(&array, "a.npy", None).unwrap();
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
        let error = labels(npy("|u1", "(1, 3)", &[0; 3])).unwrap_err();
        assert!(error.tip().unwrap().contains("ravel()"));
        assert_eq!(labels(npy("|u1", "(3, 1)", &[4, 5, 4])).unwrap().get(1), Some(&Some(Label::Integer(5))));
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
            (npy("<Ux", "(1,)", &[]), "not a NumPy element type"),
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
            ("<V1", "float8"),
            ("<f1", "float8_e5m2"),
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
