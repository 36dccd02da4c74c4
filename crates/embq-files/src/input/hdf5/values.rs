//! Interprets the bytes of HDF5 arrays.

use half::f16;
use hdf5_reader::error::Error;
use hdf5_reader::{ByteOrder, Dataset, Datatype, EnumMember, H5Type, StringPadding, dtype_element_size};

use crate::input::table::Kind;
use embq_core::data::ElementType;

/// A number in the type that the caller needs.
pub(super) trait Wanted: Copy + Send {
    fn of_integer(value: i128) -> Self;
    fn of_float(value: f64) -> Self;
}

impl Wanted for f32 {
    fn of_integer(value: i128) -> Self {
        value as f32
    }

    fn of_float(value: f64) -> Self {
        value as f32
    }
}

impl Wanted for f64 {
    fn of_integer(value: i128) -> Self {
        value as f64
    }

    fn of_float(value: f64) -> Self {
        value
    }
}

/// A number with all of its digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Wanted for Number {
    fn of_integer(value: i128) -> Self {
        Number::Integer(value)
    }

    fn of_float(value: f64) -> Self {
        Number::Float(value)
    }
}

/// A stored number of any type, converted on reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<T>(pub T);

impl<T: Wanted> H5Type for Stored<T> {
    /// Only writers call this.
    fn hdf5_type() -> Datatype {
        Datatype::FloatingPoint { size: 8, byte_order: ByteOrder::LittleEndian }
    }

    fn element_size(dtype: &Datatype) -> usize {
        dtype_element_size(dtype).unwrap_or(0)
    }

    fn from_bytes(bytes: &[u8], dtype: &Datatype) -> Result<Self, Error> {
        let one = Self::decode_vec(bytes, dtype, 1).transpose()?.and_then(|values| values.first().copied());
        one.ok_or_else(|| not_numbers(dtype))
    }

    fn decode_vec(raw: &[u8], dtype: &Datatype, count: usize) -> Option<Result<Vec<Self>, Error>> {
        let decoded = match plain(dtype) {
            Datatype::FixedPoint { size, signed, byte_order } => {
                let big = *byte_order == ByteOrder::BigEndian;
                match (size, signed) {
                    (1, true) => decode(raw, count, big, |b| T::of_integer(i8::from_le_bytes(b).into())),
                    (2, true) => decode(raw, count, big, |b| T::of_integer(i16::from_le_bytes(b).into())),
                    (4, true) => decode(raw, count, big, |b| T::of_integer(i32::from_le_bytes(b).into())),
                    (8, true) => decode(raw, count, big, |b| T::of_integer(i64::from_le_bytes(b).into())),
                    (1, false) => decode(raw, count, big, |b| T::of_integer(u8::from_le_bytes(b).into())),
                    (2, false) => decode(raw, count, big, |b| T::of_integer(u16::from_le_bytes(b).into())),
                    (4, false) => decode(raw, count, big, |b| T::of_integer(u32::from_le_bytes(b).into())),
                    (8, false) => decode(raw, count, big, |b| T::of_integer(u64::from_le_bytes(b).into())),
                    _ => None,
                }
            }
            Datatype::FloatingPoint { size, byte_order } => {
                let big = *byte_order == ByteOrder::BigEndian;
                match size {
                    2 => decode(raw, count, big, |b| T::of_float(f16::from_le_bytes(b).to_f64())),
                    4 => decode(raw, count, big, |b| T::of_float(f32::from_le_bytes(b).into())),
                    8 => decode(raw, count, big, |b| T::of_float(f64::from_le_bytes(b))),
                    _ => None,
                }
            }
            _ => None,
        };
        Some(decoded.ok_or_else(|| not_numbers(dtype)))
    }
}

fn not_numbers(dtype: &Datatype) -> Error {
    Error::TypeMismatch { expected: "numbers".to_owned(), actual: format!("{dtype:?}") }
}

fn decode<T, const SIZE: usize>(
    raw: &[u8],
    count: usize,
    big_endian: bool,
    number: impl Fn([u8; SIZE]) -> T,
) -> Option<Vec<Stored<T>>> {
    let elements = raw.as_chunks::<SIZE>().0.get(..count)?;
    let value = |element: &[u8; SIZE]| {
        let mut bytes = *element;
        if big_endian {
            bytes.reverse();
        }
        Stored(number(bytes))
    };
    Some(elements.iter().map(value).collect())
}

/// The bytes of one element as stored.
#[derive(Clone, Debug)]
pub(super) struct Raw(pub Box<[u8]>);

impl H5Type for Raw {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque { size: 1, tag: String::new() }
    }

    fn element_size(dtype: &Datatype) -> usize {
        dtype_element_size(dtype).unwrap_or(0)
    }

    fn from_bytes(bytes: &[u8], _dtype: &Datatype) -> Result<Self, Error> {
        Ok(Raw(bytes.into()))
    }
}

/// The base type of an enumeration, or the type itself.
fn plain(dtype: &Datatype) -> &Datatype {
    match dtype {
        Datatype::Enum { base, .. } => base,
        other => other,
    }
}

/// The type of a single value of an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Number(ElementType),
    /// h5py's booleans.
    Boolean,
    /// An enumeration: names for integers.
    Names(Vec<EnumMember>),
    /// Text of fixed width.
    Text(StringPadding),
    /// Text of variable length, stored elsewhere in the file.
    Strings,
    /// Anything else, described in words.
    Other(String),
}

impl Values {
    pub fn of(dataset: &Dataset) -> Self {
        match dataset.dtype() {
            Datatype::Enum { members, base } => {
                let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
                names.sort_unstable();
                match (element_type(dataset, base), &names[..]) {
                    (None, _) => Values::Other("enumeration".to_owned()),
                    (_, ["FALSE", "TRUE"]) => Values::Boolean,
                    _ => Values::Names(members.clone()),
                }
            }
            Datatype::String { size: hdf5_reader::StringSize::Fixed(_), padding, .. } => Values::Text(*padding),
            Datatype::String { .. } => Values::Strings,
            dtype @ Datatype::VarLen { .. } if is_text(dtype) => Values::Strings,
            dtype => match element_type(dataset, dtype) {
                Some(element_type) => Values::Number(element_type),
                None => Values::Other(in_words(dtype)),
            },
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Values::Number(element_type) if element_type.is_float() => Kind::Float(*element_type),
            Values::Number(element_type) => Kind::Integer(*element_type),
            Values::Boolean => Kind::Boolean,
            Values::Names(_) | Values::Text(_) | Values::Strings => Kind::Text,
            Values::Other(_) => Kind::Other,
        }
    }

    /// The type as users write it.
    pub fn name(&self) -> String {
        match self {
            Values::Number(element_type) => element_type.name().to_owned(),
            Values::Boolean => "bool".to_owned(),
            Values::Names(_) => "enumeration".to_owned(),
            Values::Text(_) | Values::Strings => "text".to_owned(),
            Values::Other(name) => name.clone(),
        }
    }
}

fn is_text(dtype: &Datatype) -> bool {
    match dtype {
        Datatype::VarLen { base, kind: hdf5_reader::VarLenKind::String, .. } => base.is_vlen_string_base(),
        _ => false,
    }
}

/// The type of a number. The reader distinguishes types only by size; other types of the same size (fewer bits,
/// bfloat16) are recognised from the datatype message in the file.
fn element_type(dataset: &Dataset, dtype: &Datatype) -> Option<ElementType> {
    // Class and flags, size, then the first bit, the number of bits and, for a float, the position and length of the
    // exponent.
    const BITS: usize = 8;
    const EXPONENT: usize = 13;
    let raw = dataset.raw_datatype().ok()?;
    let is_enum = matches!(dataset.dtype(), Datatype::Enum { .. });
    let description = if is_enum { raw.get(BITS..)? } else { &raw[..] };
    let whole = |size: u8| {
        let bits = u16::from(size) * 8;
        description.get(BITS..BITS + 4).is_some_and(|at| at[..2] == [0, 0] && at[2..] == bits.to_le_bytes())
    };
    match dtype {
        Datatype::FixedPoint { size, signed, .. } if whole(*size) => Some(match (size, signed) {
            (1, true) => ElementType::I8,
            (2, true) => ElementType::I16,
            (4, true) => ElementType::I32,
            (8, true) => ElementType::I64,
            (1, false) => ElementType::U8,
            (2, false) => ElementType::U16,
            (4, false) => ElementType::U32,
            (8, false) => ElementType::U64,
            _ => return None,
        }),
        Datatype::FloatingPoint { size, .. } if whole(*size) => Some(match (size, description.get(EXPONENT)?) {
            (2, 5) => ElementType::F16,
            (4, 8) => ElementType::F32,
            (8, 11) => ElementType::F64,
            _ => return None,
        }),
        _ => None,
    }
}

fn in_words(dtype: &Datatype) -> String {
    match dtype {
        Datatype::FixedPoint { size, .. } => format!("integers of {size} bytes and fewer bits"),
        Datatype::FloatingPoint { size, .. } => format!("floats of {size} bytes that are not IEEE 754's"),
        Datatype::Compound { .. } => "compound (several named fields)".to_owned(),
        Datatype::Array { base, dims } => format!("arrays of {dims:?} {}", in_words(base)),
        Datatype::VarLen { .. } => "sequences of any length".to_owned(),
        Datatype::Opaque { size, .. } => format!("{size} raw bytes"),
        Datatype::Reference { .. } => "references".to_owned(),
        Datatype::Bitfield { size, .. } => format!("bits ({size} bytes)"),
        Datatype::String { .. } => "text".to_owned(),
        Datatype::Enum { .. } => "enumeration".to_owned(),
    }
}

/// Text without its padding.
pub(super) fn trimmed(bytes: &[u8], padding: StringPadding) -> &[u8] {
    let until =
        |is_padding: fn(&u8) -> bool| bytes.iter().rposition(|byte| !is_padding(byte)).map_or(0, |last| last + 1);
    let end = match padding {
        StringPadding::NullTerminate => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        StringPadding::NullPad => until(|&byte| byte == 0),
        StringPadding::SpacePad => until(|&byte| byte == b' '),
    };
    &bytes[..end]
}
