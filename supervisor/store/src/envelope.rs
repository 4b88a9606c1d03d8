//! Every record on disk in one envelope: magic, format, length, checksum, JSON.
//!
//! The format number stands in front of everything, so that an older teneral says "newer" instead of misreading. JSON,
//! because a journal is read by people years later; the checksum, because JSON with a flipped digit is still JSON.

use crate::StoreError;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// Format of what this teneral writes, and the newest it reads.
pub(crate) const FORMAT: u16 = 1;

const MAGIC: [u8; 4] = *b"TNLS";
const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + 2 + 4 + CHECKSUM_BYTES;

/// A record in its envelope.
pub(crate) fn seal<T: Serialize>(what: &str, record: &T) -> Result<Vec<u8>, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: what.to_owned(), why };
    let body = serde_json::to_vec(record).map_err(|error| corrupt(error.to_string()))?;
    let length = u32::try_from(body.len()).map_err(|_| corrupt("over 4 GiB".to_owned()))?;
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(&body));
    out.extend_from_slice(&body);
    Ok(out)
}

/// The record in an envelope; `what` names it in errors.
pub(crate) fn open<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt { what: what.to_owned(), why: why.to_owned() };
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| corrupt("it does not begin with the store's magic"))?;
    let (format, rest) = rest.split_first_chunk::<2>().ok_or_else(|| corrupt("it ends inside its header"))?;
    let found = u16::from_le_bytes(*format);
    // Before the checksum: a later format may well compute it in another way.
    if found > FORMAT {
        return Err(StoreError::Newer { what: what.to_owned(), found, supported: FORMAT });
    }
    if found == 0 {
        return Err(corrupt("its format is 0, which was never written"));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| corrupt("it ends inside its header"))?;
    let (sum, body) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(|| corrupt("it ends inside its header"))?;
    if u32::from_le_bytes(*length) as usize != body.len() {
        return Err(corrupt("its length is not what its header says"));
    }
    if checksum(body) != *sum {
        return Err(corrupt("its checksum is wrong"));
    }
    serde_json::from_slice(body).map_err(|error| corrupt(&error.to_string()))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let whole: [u8; 32] = Sha256::digest(body).into();
    std::array::from_fn(|i| whole[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_and_every_flipped_bit_is_noticed() {
        let sealed = seal("it", &("text", 7)).unwrap();
        assert_eq!(open::<(String, u32)>("it", &sealed).unwrap(), ("text".to_owned(), 7));
        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let code = open::<(String, u32)>("it", &bent).unwrap_err().code();
            let in_format = (32..48).contains(&bit);
            assert_eq!(code == "STORE-NEWER", in_format && u16::from_le_bytes([bent[4], bent[5]]) > FORMAT);
        }
        for end in 0..sealed.len() {
            assert_eq!(open::<(String, u32)>("it", &sealed[..end]).unwrap_err().code(), "STORE-CORRUPT");
        }
    }
}
