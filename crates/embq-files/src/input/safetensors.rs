//! Hugging Face's safetensors: named tensors, memory-mapped.

use ::safetensors::{Dtype, SafeTensors};

use crate::input::array::{Array, ArrayFile, ArrayHeader, Elements};
use crate::input::source::Source;
use crate::input::{Contents, Format, Role};
use embq_core::data::{ElementType, Origin};
use embq_core::error::{Error, Result};

pub(crate) const FORMAT: Format = Format {
    name: "safetensors",
    extensions: &["safetensors"],
    recognises: |bytes| match bytes.split_first_chunk::<8>() {
        Some((length, [b'{', ..])) => u64::from_le_bytes(*length) < bytes.len() as u64,
        _ => false,
    },
    open: |source, _| Ok(Contents::Arrays(Box::new(TensorFile::open(source)?))),
};

/// A safetensors file whose header has been read.
pub(crate) struct TensorFile {
    source: Source,
    names: Vec<String>,
    tensors: Vec<Tensor>,
}

struct Tensor {
    shape: Vec<usize>,
    element_type: Option<ElementType>,
    dtype: String,
    offset: usize,
}

impl TensorFile {
    pub fn open(source: &Source) -> Result<Self> {
        let (header, metadata) = SafeTensors::read_metadata(&source.bytes).map_err(|error| {
            let tip = "save or copy the file again".to_owned();
            source.malformed(format!("it cannot be read as safetensors: {error}"), Some(tip))
        })?;
        // The length of the header is stored in the first 8 bytes.
        let data = header + 8;
        let names: Vec<String> = metadata.offset_keys();
        let tensors = names.iter().filter_map(|name| {
            let info = metadata.info(name)?;
            Some(Tensor {
                shape: info.shape.clone(),
                element_type: element_type(info.dtype),
                dtype: format!("{:?}", info.dtype),
                offset: data.saturating_add(info.data_offsets.0),
            })
        });
        let tensors: Vec<Tensor> = tensors.collect();
        if tensors.is_empty() {
            return Err(source.malformed("it has no tensors", None));
        }
        Ok(TensorFile { source: source.clone(), tensors, names })
    }
}

impl ArrayFile for TensorFile {
    fn noun(&self) -> &'static str {
        "tensor"
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn shape(&self, index: usize) -> Option<Vec<usize>> {
        Some(self.tensors[index].shape.clone())
    }

    fn array(&self, index: usize, role: Role) -> Result<Array> {
        let tensor = &self.tensors[index];
        let origin = Origin::with_selector(&self.source.path, &self.names[index]);
        let Some(element_type) = tensor.element_type else {
            return Err(Error::ElementType {
                name: origin.to_string(),
                found: tensor.dtype.clone(),
                role: role.name(),
                tip: Some("convert it before saving: tensor.float() for embeddings, tensor.long() for labels".into()),
            });
        };
        let header = ArrayHeader {
            shape: tensor.shape.clone(),
            elements: Elements::Number(element_type),
            big_endian: false,
            column_major: false,
        };
        Array::new(origin, header, self.source.bytes.clone(), tensor.offset)
    }
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::F32 => ElementType::F32,
        Dtype::F64 => ElementType::F64,
        Dtype::I8 => ElementType::I8,
        Dtype::I16 => ElementType::I16,
        Dtype::I32 => ElementType::I32,
        Dtype::I64 => ElementType::I64,
        Dtype::U8 => ElementType::U8,
        Dtype::U16 => ElementType::U16,
        Dtype::U32 => ElementType::U32,
        Dtype::U64 => ElementType::U64,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::input::{embeddings_of, labels_of};
    use embq_core::data::{Element, Embeddings, Label, MappedBytes};

    /// A file with this header and data.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn open(bytes: Vec<u8>) -> Result<Contents> {
        let source = Source::new("t.safetensors", MappedBytes::from_memory(bytes));
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn embeddings(bytes: Vec<u8>, selector: Option<&str>) -> Result<Embeddings> {
        embeddings_of(&open(bytes)?, "t.safetensors", selector, &[])
    }

    fn one(dtype: &str, data: &[u8]) -> Vec<u8> {
        let header = format!(r#"{{"e":{{"dtype":"{dtype}","shape":[1,2],"data_offsets":[0,{}]}}}}"#, data.len());
        file(&header, data)
    }

    #[test]
    fn every_floating_point_type_is_read() {
        let types: [(&str, Vec<u8>); 4] = [
            ("F16", [1.5, -2.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
            ("BF16", [1.5, -2.0].iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
            ("F32", [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
            ("F64", [1.5_f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ];
        for (dtype, data) in types {
            let read = embeddings(one(dtype, &data), None).unwrap();
            assert_eq!(read.element_type().name(), dtype.to_lowercase());
            let mut out = [0.0; 2];
            f64::read(read.blocks(), 0..1, &mut out).unwrap();
            assert_eq!(out, [1.5, -2.0], "{dtype}");
        }
    }

    #[test]
    fn tensors_are_found_by_name_and_by_shape() {
        let header = r#"{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
            "y":{"dtype":"I64","shape":[2],"data_offsets":[16,32]},"__metadata__":{"a":"b"}}"#;
        let data: Vec<u8> = [1f32, 2.0, 3.0, 4.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .chain([5_i64, 6].iter().flat_map(|v| v.to_le_bytes()))
            .collect();
        let bytes = file(header, &data);
        assert!((FORMAT.recognises)(&bytes));
        let contents = open(bytes).unwrap();
        let read = embeddings_of(&contents, "t.safetensors", None, &[]).unwrap();
        assert_eq!(read.origin().to_string(), "t.safetensors:x");
        let labels = labels_of(&contents, "t.safetensors", Some("y")).unwrap();
        assert_eq!(labels.get(1), Some(&Label::Integer(6)));
        let error = embeddings_of(&contents, "t.safetensors", Some("z"), &[]).unwrap_err();
        assert!(matches!(&error, Error::UnknownSelector { kind: "tensor", available, .. } if available.len() == 2));
    }

    #[test]
    fn damaged_files_and_other_types_are_refused() {
        let error = embeddings(one("F8_E4M3", &[0, 1]), None).unwrap_err();
        assert!(error.to_string().contains("it is of type F8_E4M3"), "{error}");
        let whole = one("F32", &[0; 8]);
        for bytes in [whole[..whole.len() - 1].to_vec(), whole[..12].to_vec(), file("{}", &[]), vec![255; 20]] {
            assert!(matches!(open(bytes), Err(Error::Malformed { .. })));
        }
    }
}
