//! Formats that embq recognises but does not read: the error says how to convert them.

use std::path::Path;

use crate::input::pasted::{python, quoted};
use crate::input::source::Source;
use crate::input::{Contents, Format, Role};
use embq_core::data::Origin;
use embq_core::error::{Error, Result};

/// Python's own serialisation, and PyTorch's before version 1.6.
pub(crate) const PICKLE: Format = Format {
    name: "pickle",
    extensions: &["pt", "pth", "ckpt", "pkl", "pickle", "joblib"],
    recognises: |bytes| matches!(bytes, [0x80, 2..=5, ..]),
    open: pickle,
};

/// Compressed files that embq does not decompress.
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
            "embq does not read files compressed this way (it reads gzip and Zstandard)",
            Some(format!("unpack it: {tool} {}", quoted(&source.path))),
        ))
    },
};

/// Archives of several files; gzip around them is undone before.
pub(crate) const TAR: Format = Format {
    name: "tar",
    extensions: &["tar", "tgz"],
    recognises: |bytes| bytes.get(257..262) == Some(b"ustar"),
    open: |source, _| {
        let tip = format!("unpack it and name a file or a folder of it: tar -xf {}", quoted(&source.path));
        Err(source.malformed("it is an archive of files, which embq does not read", Some(tip)))
    },
};

/// MATLAB files. Version 7.3 is HDF5 after a text header, with all axes reversed.
pub(crate) const MATLAB: Format = Format {
    name: "matlab",
    extensions: &["mat"],
    recognises: |bytes| bytes.starts_with(b"MATLAB 5.0 MAT-file") || bytes.starts_with(b"MATLAB 7.3 MAT-file"),
    open: |source, _| {
        let (path, output) = (&source.path, converted_name(&source.path, "npz"));
        let code = if source.bytes.starts_with(b"MATLAB 7.3") {
            format!(
                "import h5py, numpy; f = h5py.File({path:?}); \
                 numpy.savez({output}, **{{k: f[k][()].T for k in f if isinstance(f[k], h5py.Dataset)}})"
            )
        } else {
            format!(
                "import numpy, scipy.io; m = scipy.io.loadmat({path:?}); \
                 numpy.savez({output}, **{{k: v for k, v in m.items() if k[0] != \"_\"}})"
            )
        };
        Err(source.malformed("embq does not read MATLAB files", Some(converting(&code))))
    },
};

/// TensorFlow records, which do not describe their content.
pub(crate) const TFRECORD: Format = Format {
    name: "tfrecord",
    extensions: &["tfrecord", "tfrecords"],
    recognises: |_| false,
    open: |source, _| {
        let (path, output) = (&source.path, converted_name(&source.path, "npz"));
        Err(source.malformed(
            "embq does not read TFRecord files: they do not describe their records",
            Some(format!(
                "convert it, with the names of its features: {}",
                python(&format!(
                    "import numpy, tensorflow as tf; \
                 f = {{\"embedding\": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True), \
                 \"label\": tf.io.FixedLenFeature([], tf.int64)}}; \
                 r = [tf.io.parse_single_example(x, f) for x in tf.data.TFRecordDataset({path:?})]; \
                 numpy.savez({output}, **{{k: numpy.stack([x[k] for x in r]) for k in f}})"
                ))
            )),
        ))
    },
};

/// Files of Lance. Their rows are in a dataset, which says which of them are deleted and in which version.
pub(crate) const LANCE: Format = Format {
    name: "lance",
    extensions: &["lance"],
    recognises: |_| false,
    open: |source, _| {
        let folder = Path::new(&source.path).parent().and_then(Path::parent).and_then(Path::to_str);
        Err(lance(folder.filter(|folder| is_lance(folder)).unwrap_or(&source.path)))
    },
};

/// Whether a directory is a dataset of Lance.
fn is_lance(path: &str) -> bool {
    Path::new(path).join("_versions").is_dir()
}

/// The error for a dataset of Lance.
fn lance(path: &str) -> Error {
    let output = converted_name(path, "parquet");
    Error::Malformed {
        name: path.to_owned(),
        problem: "it is a Lance dataset, which embq does not read".to_owned(),
        tip: Some(converting(&format!(
            "import lance, pyarrow.parquet; \
             pyarrow.parquet.write_table(lance.dataset({path:?}).to_table(), {output})"
        ))),
    }
}

/// The error for a directory that is a single dataset in a format that embq does not read.
pub(crate) fn directory(path: &str) -> Option<Error> {
    let holds = |name: &str| Path::new(path).join(name).exists();
    if is_lance(path) {
        return Some(lance(path.trim_end_matches('/')));
    }
    if ![".zgroup", ".zarray", "zarr.json"].into_iter().any(holds) {
        return None;
    }
    let path = path.trim_end_matches('/');
    let is_anndata = holds("obs") || holds("obsm");
    let code = if is_anndata {
        let output = converted_name(path, "h5ad");
        format!("import anndata; anndata.read_zarr({path:?}).write_h5ad({output})")
    } else if holds(".zarray")
        || !holds(".zgroup")
            && !Path::new(path).read_dir().is_ok_and(|mut d| {
                d.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir() && entry.path().join("zarr.json").exists()))
            })
    {
        let output = converted_name(path, "npy");
        format!("import numpy, zarr; numpy.save({output}, zarr.open({path:?})[:])")
    } else {
        let output = converted_name(path, "npz");
        format!("import numpy, zarr; numpy.savez({output}, **{{k: v[:] for k, v in zarr.open({path:?}).arrays()}})")
    };
    Some(Error::Malformed {
        name: path.to_owned(),
        problem: "it is a zarr store, which embq does not read".to_owned(),
        tip: Some(converting(&code)),
    })
}

/// The error for a network address, with the command that fetches it.
pub(crate) fn address(spec: &str) -> Option<Error> {
    let (scheme, rest) = spec.split_once("://")?;
    let file = rest.split(['?', '#']).next().and_then(|path| path.rsplit('/').find(|part| !part.is_empty()))?;
    let command = match scheme {
        "s3" => format!("aws s3 cp {} .", quoted(spec)),
        "gs" => format!("gcloud storage cp {} .", quoted(spec)),
        "az" | "abfs" | "abfss" => format!("azcopy copy {} .", quoted(spec)),
        "hf" => match rest.strip_prefix("datasets/").map(|rest| rest.splitn(3, '/').collect::<Vec<_>>())?[..] {
            [owner, name] => format!("hf download --repo-type dataset {owner}/{name} --local-dir {name}"),
            [owner, name, file] => {
                format!("hf download --repo-type dataset {owner}/{name} {file} --local-dir .")
            }
            _ => return None,
        },
        "http" | "https" | "ftp" => format!("curl -L -o {} '{spec}'", quoted(file)),
        "file" => format!("embq inspect {}", quoted(rest)),
        _ => return None,
    };
    let tip = if scheme == "file" {
        format!("name it without file://: {command}")
    } else {
        format!("fetch it first: {command}")
    };
    Some(Error::Malformed {
        name: spec.to_owned(),
        problem: "embq reads local files, not addresses".to_owned(),
        tip: Some(tip),
    })
}

fn converting(code: &str) -> String {
    format!("convert it: {}", python(code))
}

/// The file name that a conversion writes: never the one that it reads.
pub(crate) fn converted_path(path: &str, extension: &str) -> String {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
    let stem = stem.filter(|stem| *stem != "-").unwrap_or("converted");
    format!("{stem}.{extension}")
}

/// The same as a Python string.
pub(crate) fn converted_name(path: &str, extension: &str) -> String {
    format!("{:?}", converted_path(path, extension))
}

/// Like [`converted_name`], for an array that is already in a `.npy` file.
pub(crate) fn plain_name(path: &str) -> String {
    converted_name(path, "plain.npy")
}

/// A line of Python that converts an array of objects to a plain array.
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

/// A line of Python that saves one value of a dictionary that was saved as an array.
pub(crate) fn single_object_cure(origin: &Origin) -> String {
    let output = plain_name(&origin.path);
    let key = origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
    let load = format!("numpy.load({:?}, allow_pickle=True){key}.item()", origin.path);
    format!("it is one object; if that is a dictionary, save the value of a key: numpy.save({output}, {load}[\"KEY\"])")
}

/// The error for a file written by PyTorch.
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
    // The pickled number that every PyTorch file from before version 1.6 starts with.
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
        let source = Source::new(path, MappedBytes::from_memory(bytes.to_vec()));
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
    fn addresses_are_answered_with_the_command_that_fetches() {
        for (spec, wanted) in [
            ("s3://bucket/a/emb.npy", "aws s3 cp s3://bucket/a/emb.npy ."),
            ("https://example.org/a/emb.npy?x=1", "curl -L -o emb.npy 'https://example.org/a/emb.npy?x=1'"),
            ("gs://b/emb.npy", "gcloud storage cp gs://b/emb.npy ."),
            ("hf://datasets/a/b", "hf download --repo-type dataset a/b --local-dir b"),
            ("hf://datasets/a/b/data/train.parquet", "dataset a/b data/train.parquet --local-dir ."),
            ("file:///tmp/emb.npy", "embq inspect /tmp/emb.npy"),
        ] {
            let tip = address(spec).unwrap().tip().unwrap();
            assert!(tip.contains(wanted), "{spec}: {tip}");
        }
        assert!(address("emb.npy").is_none() && address("x://y/z").is_none() && address("s3://").is_none());
    }

    #[test]
    fn matlab_and_tensorflow_files_are_refused_with_the_line_that_converts_them() {
        for (path, bytes, wanted) in [
            ("x.mat", &b"MATLAB 5.0 MAT-file, Platform"[..], "scipy.io.loadmat"),
            ("x.mat", b"MATLAB 7.3 MAT-file, Platform", "h5py.File"),
            ("x.tfrecord", b"\x10\0\0\0", "TFRecordDataset"),
        ] {
            let error = refusal(path, bytes, Role::Embeddings);
            assert!(error.tip().unwrap().contains(wanted), "{path}: {:?}", error.tip());
        }
    }

    #[test]
    fn compressed_files_are_refused_with_the_cure() {
        for (path, bytes, tool) in [("a.csv.bz2", &b"BZh9"[..], "bunzip2"), ("a.npy.xz", b"\xfd7zXZ\0", "unxz")] {
            let error = refusal(path, bytes, Role::Labels);
            assert!(error.tip().unwrap().contains(tool), "{path}: {:?}", error.tip());
        }
    }
}
