//! Checks MessagePack before it is read: every length holds, nothing follows, and nesting has a bound.
//!
//! The reader itself reserves up to 1 MiB for each length that the bytes claim, and bounds the depth of lists and maps
//! but not of enums. This walk needs neither types nor recursion.

use super::{DEPTH_MAX, DecodeError};

/// Walks over one value that is all of `bytes`.
pub(super) fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut rest = bytes;
    // How many values are still to come at each level.
    let mut levels: Vec<u64> = Vec::new();
    loop {
        let (skipped, values) = head(&mut rest)?;
        rest = rest.get(skipped..).ok_or_else(|| ends(skipped, rest.len()))?;
        if values > 0 {
            if levels.len() == DEPTH_MAX {
                return Err(DecodeError::Depth);
            }
            if values > rest.len() as u64 {
                return Err(DecodeError::Malformed(format!("{values} values claimed, {} bytes left", rest.len())));
            }
            levels.push(values);
            continue;
        }
        while let Some(left) = levels.last_mut() {
            *left -= 1;
            if *left > 0 {
                break;
            }
            levels.pop();
        }
        if levels.is_empty() {
            return super::ended(rest.len());
        }
    }
}

/// Reads a value's marker and length: how many bytes of it follow, and how many values stand inside.
fn head(rest: &mut &[u8]) -> Result<(usize, u64), DecodeError> {
    let marker = number::<1>(rest)?;
    Ok(match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0.. => (0, 0),
        0x80..=0x8f => (0, 2 * (marker & 0x0f)),
        0x90..=0x9f => (0, marker & 0x0f),
        0xa0..=0xbf => (bytes(marker & 0x1f), 0),
        0xc4 | 0xd9 => (bytes(number::<1>(rest)?), 0),
        0xc5 | 0xda => (bytes(number::<2>(rest)?), 0),
        0xc6 | 0xdb => (bytes(number::<4>(rest)?), 0),
        // Extensions have a byte of type before their content.
        0xc7 => (bytes(1 + number::<1>(rest)?), 0),
        0xc8 => (bytes(1 + number::<2>(rest)?), 0),
        0xc9 => (bytes(1 + number::<4>(rest)?), 0),
        0xcc | 0xd0 => (1, 0),
        0xcd | 0xd1 => (2, 0),
        0xca | 0xce | 0xd2 => (4, 0),
        0xcb | 0xcf | 0xd3 => (8, 0),
        0xd4..=0xd8 => (1 + (1 << (marker - 0xd4)), 0),
        0xdc => (0, number::<2>(rest)?),
        0xdd => (0, number::<4>(rest)?),
        0xde => (0, 2 * number::<2>(rest)?),
        0xdf => (0, 2 * number::<4>(rest)?),
        0xc1 => return Err(DecodeError::Malformed("the marker 0xc1, which MessagePack never uses".into())),
    })
}

/// A big-endian number of `N` bytes.
fn number<const N: usize>(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| ends(N, rest.len()))?;
    *rest = tail;
    Ok(head.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn ends(wanted: usize, left: usize) -> DecodeError {
    DecodeError::Malformed(format!("the bytes end: {wanted} wanted, {left} left"))
}
