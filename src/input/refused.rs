//! Formats that embq knows and does not read: the error says how to convert them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::input::source::Source;
use crate::input::{Contents, Format, Role, SUPPORTED};

/// Python's own serialisation, and PyTorch's before 1.6.
pub(crate) const PICKLE: Format = Format {
    name: "pickle",
    extensions: &["pt", "pth", "ckpt", "pkl", "pickle", "joblib"],
    recognises: |bytes| matches!(bytes, [0x80, 2..=5, ..]),
    open: pickle,
};

/// Zip archives: PyTorch's files and NumPy's `.npz`.
pub(crate) const ZIP: Format = Format {
    name: "zip",
    extensions: &["npz"],
    recognises: |bytes| bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06"),
    open: zip,
};

/// Hugging Face's safetensors.
pub(crate) const SAFETENSORS: Format = Format {
    name: "safetensors",
    extensions: &["safetensors"],
    recognises: |bytes| match bytes.split_first_chunk::<8>() {
        Some((length, [b'{', ..])) => u64::from_le_bytes(*length) < bytes.len() as u64,
        _ => false,
    },
    open: |source, _| {
        refuse(
            source,
            "safetensors",
            |input, output| {
                format!(
                    "import numpy, safetensors.numpy; \
                     numpy.save({output}, safetensors.numpy.load_file({input})[\"TENSOR\"])"
                )
            },
            "npy",
        )
    },
};

/// Arrow IPC files, Feather.
pub(crate) const ARROW: Format = Format {
    name: "arrow",
    extensions: &["arrow", "feather", "ipc"],
    recognises: |bytes| bytes.starts_with(b"ARROW1\0\0"),
    open: |source, _| {
        refuse(
            source,
            "Arrow IPC",
            |input, output| format!("import pandas; pandas.read_feather({input}).to_parquet({output})"),
            "parquet",
        )
    },
};

/// JSON and JSON lines.
pub(crate) const JSON: Format = Format {
    name: "json",
    extensions: &["json", "jsonl", "ndjson"],
    recognises: |_| false,
    open: |source, _| {
        let lines = if source.extension() == "json" { "" } else { ", lines=True" };
        refuse(
            source,
            "JSON",
            |input, output| format!("import pandas; pandas.read_json({input}{lines}).to_parquet({output})"),
            "parquet",
        )
    },
};

/// Values separated by tabs.
pub(crate) const TSV: Format = Format {
    name: "tsv",
    extensions: &["tsv", "tab"],
    recognises: |_| false,
    open: |source, _| {
        refuse(
            source,
            "TSV",
            |input, output| {
                format!("import pandas; pandas.read_csv({input}, sep=\"\\t\").to_csv({output}, index=False)")
            },
            "csv",
        )
    },
};

/// Compressed files.
pub(crate) const COMPRESSED: Format = Format {
    name: "compressed",
    extensions: &["gz", "zst", "bz2", "xz"],
    recognises: |bytes| {
        [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ"].iter().any(|magic| bytes.starts_with(magic))
    },
    open: |source, _| {
        Err(source.malformed(
            "compressed files are not read",
            Some("decompress it first, for example with gunzip, or pipe it into embq and write '-'".to_owned()),
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
pub(crate) fn object_array_cure(path: &str, role: Role) -> String {
    let output = plain_name(path);
    match role {
        Role::Embeddings => format!(
            "convert it: numpy.save({output}, numpy.stack(numpy.load({path:?}, allow_pickle=True)).astype(\"float32\"))"
        ),
        Role::Labels => {
            format!("convert it: numpy.save({output}, numpy.load({path:?}, allow_pickle=True).astype(str))")
        }
        Role::Weights => {
            format!("convert it: numpy.save({output}, numpy.load({path:?}, allow_pickle=True).astype(float))")
        }
    }
}

fn refuse(
    source: &Source,
    format: &str,
    line: impl FnOnce(String, String) -> String,
    extension: &str,
) -> Result<Contents> {
    let line = line(format!("{:?}", source.path), converted_name(&source.path, extension));
    Err(source.malformed(
        format!("{format} files are not read yet"),
        Some(format!("{SUPPORTED}; convert it in Python: {line}")),
    ))
}

fn torch(source: &Source, role: Role) -> Error {
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

fn zip(source: &Source, role: Role) -> Result<Contents> {
    let extension = source.extension();
    let first = first_entry(&source.bytes);
    if matches!(extension.as_str(), "pt" | "pth" | "ckpt" | "bin") || first.contains("data.pkl") {
        return Err(torch(source, role));
    }
    if extension == "npz" || first.ends_with(".npy") {
        return refuse(
            source,
            "npz",
            |input, output| format!("numpy.save({output}, numpy.load({input})[\"KEY\"])"),
            "npy",
        );
    }
    Err(source.malformed("zip archives are not read", Some(SUPPORTED.to_owned())))
}

/// The name of the first file in a zip archive, as far as its local header tells.
fn first_entry(bytes: &[u8]) -> String {
    let length = match bytes.get(26..28) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let name = bytes.get(30..30 + length).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MappedBytes;
    use crate::input::open_source;

    fn refusal(path: &str, bytes: &[u8], role: Role) -> Error {
        let source = Source { path: path.into(), bytes: MappedBytes::from_memory(bytes.to_vec()) };
        open_source(&source, role, None).err().unwrap()
    }

    fn zip_with(entry: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend((entry.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(entry.as_bytes());
        bytes
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
        for (path, bytes) in [
            ("emb.pt", zip_with("archive/data.pkl")),
            ("emb.bin", zip_with("emb/data.pkl")),
            ("emb.pth", b"\x80\x02\x8a\x0a".to_vec()),
        ] {
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
    fn formats_of_a_later_step_say_what_to_do() {
        let mut safetensors = 2_u64.to_le_bytes().to_vec();
        safetensors.extend(b"{}");
        for (path, bytes, wanted) in [
            ("a.npz", zip_with("x.npy"), "numpy.load(\"a.npz\")[\"KEY\"]"),
            ("a.dat", zip_with("x.npy"), "[\"KEY\"]"),
            ("a.safetensors", safetensors, "load_file(\"a.safetensors\")[\"TENSOR\"]"),
            ("a.arrow", b"ARROW1\0\0".to_vec(), "read_feather(\"a.arrow\").to_parquet(\"a.parquet\")"),
            ("a.jsonl", b"{}\n".to_vec(), "lines=True"),
            ("a.tsv", b"a\tb\n".to_vec(), "sep=\"\\t\""),
            ("a.csv.gz", b"\x1f\x8b".to_vec(), "gunzip"),
            ("a.xlsx", zip_with("[Content_Types].xml"), "CSV"),
        ] {
            let error = refusal(path, &bytes, Role::Labels);
            assert!(matches!(error, Error::Malformed { .. }), "{path}");
            assert!(error.tip().unwrap().contains(wanted), "{path}: {:?}", error.tip());
        }
    }

    #[test]
    fn a_cut_zip_header_is_no_trouble() {
        assert_eq!(first_entry(b"PK\x03\x04"), "");
        assert_eq!(first_entry(&zip_with("abc")[..31]), "");
    }
}
