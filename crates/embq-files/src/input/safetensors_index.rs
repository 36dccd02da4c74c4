//! Tensors in several safetensors files, located by the index beside them (`model.safetensors.index.json`).

use std::cell::OnceCell;
use std::path::Path;

use indexmap::{IndexMap, IndexSet};
use serde::Deserialize;

use embq_core::error::{Error, Result};

use crate::input::array::{Array, ArrayFile};
use crate::input::safetensors::TensorFile;
use crate::input::source::Source;
use crate::input::{Contents, Format, Role};

pub(crate) const FORMAT: Format = Format {
    name: "safetensors index",
    extensions: &[],
    recognises: |bytes| {
        let beginning = &bytes[..bytes.len().min(BEGINNING)];
        beginning.trim_ascii_start().starts_with(b"{") && beginning.windows(MAP.len()).any(|part| part == MAP)
    },
    open: |source, _| Ok(Contents::Arrays(Box::new(Shards::open(source)?))),
};

/// The key of the tensor names, and the offset before which it must begin.
const MAP: &[u8] = b"\"weight_map\"";
const BEGINNING: usize = 4096;

#[derive(Deserialize)]
struct Index {
    weight_map: IndexMap<String, String>,
}

/// An index that has been read; shards are opened on demand.
struct Shards {
    source: Source,
    names: Vec<String>,
    /// The shard of each tensor.
    places: Vec<usize>,
    files: IndexSet<String>,
    opened: Vec<OnceCell<TensorFile>>,
}

impl Shards {
    fn open(source: &Source) -> Result<Self> {
        let again = || Some("save or copy the file again".to_owned());
        let index: Index = serde_json::from_slice(&source.bytes).map_err(|error| {
            source.malformed(format!("it cannot be read as an index of safetensors: {error}"), again())
        })?;
        let mut files = IndexSet::new();
        let mut names = Vec::new();
        let mut places = Vec::new();
        for (name, file) in index.weight_map {
            // Shards are in the same folder as their index; no library writes a path to another folder.
            if file.contains(['/', '\\']) || file == ".." {
                return Err(
                    source.malformed(format!("'{name}' should be in '{file}', which is not beside it"), again())
                );
            }
            let (place, _) = files.insert_full(file);
            names.push(name);
            places.push(place);
        }
        if names.is_empty() {
            return Err(source.malformed("it lists no tensors", None));
        }
        let opened = files.iter().map(|_| OnceCell::new()).collect();
        Ok(Shards { source: source.clone(), names, places, files, opened })
    }

    fn shard(&self, place: usize) -> Result<&TensorFile> {
        let (Some(cell), Some(file)) = (self.opened.get(place), self.files.get_index(place)) else {
            return Err(self.source.malformed("it names a missing shard", None));
        };
        if let Some(opened) = cell.get() {
            return Ok(opened);
        }
        let path = Path::new(&self.source.path).with_file_name(file);
        let Some(path) = path.to_str().filter(|_| path.is_file()) else {
            return Err(self.source.malformed(
                format!("its shard '{file}' is not beside it"),
                Some("copy all shards into the folder of the index".to_owned()),
            ));
        };
        let opened = TensorFile::open(&Source::open(path)?)?;
        Ok(cell.get_or_init(|| opened))
    }

    /// The shard of a tensor, and the tensor's index there.
    fn find(&self, index: usize) -> Result<(&TensorFile, usize)> {
        let shard = self.shard(self.places[index])?;
        match shard.names().iter().position(|name| *name == self.names[index]) {
            Some(position) => Ok((shard, position)),
            None => Err(Error::Malformed {
                name: self.source.path.clone(),
                problem: format!("'{}' is not in the shard that it names", self.names[index]),
                tip: Some("save or copy index and shards again: they do not belong together".to_owned()),
            }),
        }
    }
}

impl ArrayFile for Shards {
    fn noun(&self) -> &'static str {
        "tensor"
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn shape(&self, index: usize) -> Option<Vec<usize>> {
        let (shard, position) = self.find(index).ok()?;
        shard.shape(position)
    }

    fn array(&self, index: usize, role: Role) -> Result<Array> {
        let (shard, position) = self.find(index)?;
        shard.array(position, role)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::input::load;

    fn shard(name: &str, values: [f32; 2]) -> Vec<u8> {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn tensors_are_found_in_their_shards() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("m-1.safetensors", &shard("a", [1.0, 2.0]));
        write("m-2.safetensors", &shard("b", [3.0, 4.0]));
        write("y.txt", b"p\nq\n");
        let map = r#"{"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-3.safetensors", "d": "m-1.safetensors"}"#;
        write("m.safetensors.index.json", format!("{{\"metadata\": {{}}, \"weight_map\": {map}}}").as_bytes());
        let index = folder.path().join("m.safetensors.index.json");
        let labels = folder.path().join("y.txt");
        let read = |name: &str| load(&format!("{}:{name}", index.display()), &[labels.to_str().unwrap()], None);
        let loaded = read("b").unwrap();
        let mut out = [0.0; 2];
        loaded.embeddings.blocks().read_f64(0..2, &mut out).unwrap();
        assert_eq!(out, [3.0, 4.0]);
        assert!(read("c").unwrap_err().to_string().contains("its shard 'm-3.safetensors' is not beside it"));
        assert!(read("d").unwrap_err().to_string().contains("not in the shard"));
        assert!(read("e").unwrap_err().to_string().contains("no tensor 'e'"));
    }

    #[test]
    fn an_index_that_leads_elsewhere_is_refused() {
        for file in ["../x.safetensors", "/etc/passwd", "a/b.safetensors", ".."] {
            let bytes = format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#).into_bytes();
            let source = Source::of_bytes("i.json", embq_core::data::MappedBytes::from_memory(bytes)).unwrap();
            assert!((FORMAT.open)(&source, Role::Embeddings).is_err(), "{file}");
        }
    }
}
