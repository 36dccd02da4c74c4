//! LZF, the compression that comes with h5py: literal runs, and copies of earlier output.

/// Decompresses to at most `limit` bytes; `None` if the input is damaged or longer.
pub(super) fn unpacked(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit.min(input.len().saturating_mul(4)));
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        rest = tail;
        if control < 32 {
            let (run, tail) = rest.split_at_checked(usize::from(control) + 1)?;
            out.extend_from_slice(run);
            rest = tail;
        } else {
            let mut length = usize::from(control >> 5);
            if length == 7 {
                let (&more, tail) = rest.split_first()?;
                length += usize::from(more);
                rest = tail;
            }
            let (&low, tail) = rest.split_first()?;
            rest = tail;
            let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
            let start = out.len().checked_sub(distance)?;
            // A copy may overlap its own output.
            for at in start..start + length + 2 {
                out.push(*out.get(at)?);
            }
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_copies_are_unpacked() {
        // "ab", then 9 bytes copied from 2 bytes back.
        assert_eq!(unpacked(b"\x01ab\xe0\x00\x01", 64).unwrap(), b"abababababa");
        assert_eq!(unpacked(b"\x00x", 64).unwrap(), b"x");
        assert_eq!(unpacked(b"", 64).unwrap(), b"");
    }

    #[test]
    fn what_is_damaged_or_too_long_is_refused() {
        for damaged in [&b"\x05ab"[..], b"\x00x\x20", b"\x00x\x20\x05", b"\xe0", b"\x01ab\xe0\xff\x01"] {
            assert_eq!(unpacked(damaged, 64), None, "{damaged:?}");
        }
    }
}
