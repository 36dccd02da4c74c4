//! Files compressed with gzip or Zstandard: decompressed when opened, then read like any other.
//!
//! A small file is decompressed in memory. A large one goes to an unnamed temporary file, which is mapped as an
//! uncompressed file would be and takes no more memory.

use std::io::{self, Read};

use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result};

use crate::input::pasted::quoted;
use crate::input::spill::Spill;

/// A file may always decompress to this many bytes.
const UNPACKED: u64 = 1 << 30;

/// A larger file may decompress to this many times its size: numbers as text only shrink to a half or a third.
const EXPANSION: u64 = 100;

/// Bytes decompressed at a time.
const STEP: usize = 1 << 16;

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Some(Packing::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstandard),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstandard => "Zstandard",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Packing::Gzip => "gunzip -k",
            Packing::Zstandard => "zstd -d",
        }
    }

    fn reader<'b>(self, bytes: &'b [u8]) -> io::Result<Box<dyn Read + 'b>> {
        Ok(match self {
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Packing::Zstandard => Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?),
        })
    }
}

/// The name of a file once decompressed: `emb.csv` for `emb.csv.gz`, others unchanged.
pub(crate) fn unpacked_name(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if ["gz", "zst"].iter().any(|known| extension.eq_ignore_ascii_case(known)) => stem,
        _ => name,
    }
}

/// Decompresses bytes, even if compressed twice; other bytes are returned as they are.
///
/// # Errors
/// Damaged files, files that decompress to more than the limit, and a full temporary folder.
pub(crate) fn unpacked(path: &str, mut bytes: MappedBytes) -> Result<MappedBytes> {
    /// A file is compressed once; twice happens by mistake.
    const DEEPEST: usize = 2;
    for _ in 0..DEEPEST {
        let Some(packing) = Packing::of(&bytes) else { break };
        bytes = unpack(path, packing, &bytes)?;
    }
    Ok(bytes)
}

fn unpack(path: &str, packing: Packing, bytes: &[u8]) -> Result<MappedBytes> {
    let limit = (bytes.len() as u64).saturating_mul(EXPANSION).max(UNPACKED);
    let damaged = |error: io::Error| Error::Malformed {
        name: path.to_owned(),
        problem: format!("it cannot be unpacked: {}: {error}", packing.name()),
        tip: Some("save or copy the file again".to_owned()),
    };
    let mut reader = packing.reader(bytes).map_err(damaged)?;
    let mut unpacked = Spill::new(path);
    let mut step = vec![0; STEP];
    let mut length = 0_u64;
    loop {
        let read = match reader.read(&mut step) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        length += read as u64;
        if length > limit {
            return Err(Error::Malformed {
                name: path.to_owned(),
                problem: format!(
                    "it decompresses to more than {limit} bytes, the limit for a file of {} bytes",
                    bytes.len()
                ),
                tip: Some(format!("if that is right, unpack it: {} {}", packing.command(), quoted(path))),
            });
        }
        unpacked.write(&step[..read])?;
    }
    unpacked.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::input::spill::IN_MEMORY;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>> {
        Ok(unpacked("x.csv.gz", MappedBytes::from_memory(bytes))?.to_vec())
    }

    #[test]
    fn both_packings_are_undone_and_plain_bytes_stay() {
        assert_eq!(unpack(gzip(b"a,b\n")).unwrap(), b"a,b\n");
        assert_eq!(unpack(zstd::stream::encode_all(&b"a,b\n"[..], 1).unwrap()).unwrap(), b"a,b\n");
        assert_eq!(unpack(b"a,b\n".to_vec()).unwrap(), b"a,b\n");
        assert_eq!(unpack(gzip(&gzip(b"a"))).unwrap(), b"a");
    }

    #[test]
    fn members_that_follow_one_another_are_one_file() {
        assert_eq!(unpack([gzip(b"a\n"), gzip(b"b\n")].concat()).unwrap(), b"a\nb\n");
        let frame = |text: &[u8]| zstd::stream::encode_all(text, 1).unwrap();
        assert_eq!(unpack([frame(b"a\n"), frame(b"b\n")].concat()).unwrap(), b"a\nb\n");
    }

    #[test]
    fn a_large_file_goes_through_a_temporary_one() {
        let mut large = Vec::new();
        for number in 0_u32..(IN_MEMORY as u32 / 4 + 100) {
            large.extend(number.wrapping_mul(2_654_435_761).to_le_bytes());
        }
        assert_eq!(unpack(gzip(&large)).unwrap(), large);
    }

    #[test]
    fn a_bomb_is_stopped() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..=(UNPACKED >> 20) {
            encoder.write_all(&zeros).unwrap();
        }
        let error = unpack(encoder.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("decompresses to more than 1073741824 bytes"), "{error}");
        assert!(error.tip().unwrap().contains("gunzip -k x.csv.gz"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = gzip(&[7; 1000]);
        for cut in [4, 12, whole.len() - 1] {
            assert!(unpack(whole[..cut].to_vec()).is_err(), "{cut}");
        }
    }

    #[test]
    fn names_lose_what_the_packing_added() {
        assert_eq!(unpacked_name("a/emb.csv.gz"), "a/emb.csv");
        assert_eq!(unpacked_name("emb.jsonl.ZST"), "emb.jsonl");
        assert_eq!(unpacked_name("emb.npy"), "emb.npy");
    }
}
