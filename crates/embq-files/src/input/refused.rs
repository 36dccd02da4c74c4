//! Formats that embq knows and does not read: the error says how to convert them.

use std::path::Path;

use crate::input::source::Source;
use crate::input::{Contents, Format, Role};
use embq_core::data::Origin;
use embq_core::error::{Error, Result};

/// Python's own serialisation, and PyTorch's before 1.6.
pub(crate) const PICKLE: Format = Format {
    name: "pickle",
    extensions: &["pt", "pth", "ckpt", "pkl", "pickle", "joblib"],
    recognises: |bytes| matches!(bytes, [0x80, 2..=5, ..]),
    open: pickle,
};

/// Compressed files that are not unpacked.
pub(crate) const COMPRESSED: Format = Format {
    name: "compressed",
    extensions: &["bz2", "xz", "lz4"],
    recognises: |bytes| [&b"BZh"[..], b"\xfd7zXZ", b"\x04\x22\x4d\x18"].iter().any(|magic| bytes.starts_with(magic)),
    open: |source, _| {
        let tool = match &source.bytes[..] {
            [b'B', ..] => "bunzip2 -k",
            [0xfd, ..] => "unxz -k",
            _ => "unlz4 -k",
        };
        Err(source.malformed(
            "files compressed in this way are not read (those of gzip and Zstandard are)",
            Some(format!("unpack it: {tool} {}", source.path)),
        ))
    },
};

/// The name, as a Python string, of the file that a conversion writes: never the one it reads.
fn converted_name(path: &str, extension: &str) -> String {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
    let stem = stem.filter(|stem| *stem != "-").unwrap_or("converted");
    format!("{:?}", format!("{stem}.{extension}"))
}

/// Like [`converted_name`] for an array that is in a `.npy` file already.
pub(crate) fn plain_name(path: &str) -> String {
    converted_name(path, "plain.npy")
}

/// The line of Python that makes a plain array of an array of objects.
pub(crate) fn object_array_cure(origin: &Origin, role: Role) -> String {
    let output = plain_name(&origin.path);
    let key = origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
    let load = format!("numpy.load({:?}, allow_pickle=True){key}", origin.path);
    match role {
        Role::Embeddings => format!("convert it: numpy.save({output}, numpy.stack({load}).astype(\"float32\"))"),
        Role::Labels => format!("convert it: numpy.save({output}, {load}.astype(str))"),
        Role::Weights => format!("convert it: numpy.save({output}, {load}.astype(float))"),
    }
}

/// The refusal of a file that PyTorch wrote.
pub(crate) fn torch(source: &Source, role: Role) -> Error {
    let float = if role == Role::Labels { "" } else { ".float()" };
    Error::Pickle {
        name: source.path.clone(),
        what: "PyTorch files",
        cure: format!(
            "convert it in Python: numpy.save({}, torch.load({:?}, map_location=\"cpu\").detach(){float}.numpy())",
            converted_name(&source.path, "npy"),
            source.path
        ),
    }
}

fn pickle(source: &Source, role: Role) -> Result<Contents> {
    // The number that begins every PyTorch file from before version 1.6.
    const TORCH_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    if matches!(source.extension().as_str(), "pt" | "pth" | "ckpt") || source.bytes.starts_with(TORCH_MAGIC) {
        return Err(torch(source, role));
    }
    let load = if source.extension() == "joblib" {
        format!("joblib.load({:?})", source.path)
    } else {
        format!("pickle.load(open({:?}, \"rb\"))", source.path)
    };
    let output = converted_name(&source.path, "npy");
    Err(Error::Pickle {
        name: source.path.clone(),
        what: "pickle files",
        cure: format!("convert it in Python: numpy.save({output}, numpy.asarray({load}))"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::open_source;
    use embq_core::data::MappedBytes;

    fn refusal(path: &str, bytes: &[u8], role: Role) -> Error {
        let source = Source { path: path.into(), bytes: MappedBytes::from_memory(bytes.to_vec()) };
        open_source(&source, role, None).err().unwrap()
    }

    #[test]
    fn pickles_are_refused_by_content_and_by_name() {
        for (path, bytes) in [("emb.npy", &b"\x80\x04\x95"[..]), ("emb.pkl", b"(lp0"), ("emb.pickle", b"\x80\x02")] {
            let error = refusal(path, bytes, Role::Embeddings);
            assert!(matches!(error, Error::Pickle { what: "pickle files", .. }), "{path}");
            assert!(error.tip().unwrap().contains("pickle.load"));
        }
    }

    #[test]
    fn pytorch_files_are_refused_with_the_line_that_converts_them() {
        for (path, bytes) in [("emb.pt", b"\x80\x02".to_vec()), ("emb.pth", b"\x80\x02\x8a\x0a".to_vec())] {
            let error = refusal(path, &bytes, Role::Embeddings);
            assert!(matches!(error, Error::Pickle { what: "PyTorch files", .. }), "{path}");
            let tip = error.tip().unwrap();
            let wanted = format!(
                "numpy.save(\"emb.npy\", torch.load(\"{path}\", map_location=\"cpu\").detach().float().numpy())"
            );
            assert!(tip.contains(&wanted), "{tip}");
        }
        let tip = refusal("y.pt", b"\x80\x02", Role::Labels).tip().unwrap();
        assert!(!tip.contains("float"), "{tip}");
    }

    #[test]
    fn compressed_files_are_refused_with_the_cure() {
        for (path, bytes, tool) in [("a.csv.bz2", &b"BZh9"[..], "bunzip2"), ("a.npy.xz", b"\xfd7zXZ\0", "unxz")] {
            let error = refusal(path, bytes, Role::Labels);
            assert!(error.tip().unwrap().contains(tool), "{path}: {:?}", error.tip());
        }
    }
}
