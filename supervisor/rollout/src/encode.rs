//! A rollout as bytes: what a store keeps.
//!
//! One byte of format, sixteen of SHA-256 over what follows, JSON. The format stands first, so that an older teneral
//! says "newer" instead of misreading; the checksum, because JSON with a flipped digit is still JSON, and a weight with
//! one would move actors.

use crate::{Rollout, RouteError};
use sha2::{Digest, Sha256};

/// Format of what this teneral writes, and the newest that it reads.
const FORMAT: u8 = 1;

const CHECKSUM_BYTES: usize = 16;

impl Rollout {
    /// What a store keeps of it: at most about half a megabyte, with the longest history.
    ///
    /// # Errors
    /// [`RouteError::Corrupt`], which nothing that this crate made can be.
    pub fn encode(&self) -> Result<Vec<u8>, RouteError> {
        let body = serde_json::to_vec(self).map_err(|error| RouteError::Corrupt { why: error.to_string() })?;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&checksum(&body));
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// What [`Rollout::encode`] gave. Allocates no more than a few times `bytes`.
    ///
    /// # Errors
    /// [`RouteError::Newer`] for a later teneral's, [`RouteError::Corrupt`] for what nobody wrote like this.
    pub fn decode(bytes: &[u8]) -> Result<Self, RouteError> {
        let corrupt = |why: &str| RouteError::Corrupt { why: why.to_owned() };
        let (format, rest) = bytes.split_first().ok_or_else(|| corrupt("it is empty"))?;
        // Before the checksum: a later format may well compute it in another way.
        if *format > FORMAT {
            return Err(RouteError::Newer { found: *format, supported: FORMAT });
        }
        if *format == 0 {
            return Err(corrupt("its format is 0, which was never written"));
        }
        let (sum, body) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(|| corrupt("it ends in its header"))?;
        if checksum(body) != *sum && !cfg!(feature = "bug-c5") {
            return Err(corrupt("its checksum is wrong"));
        }
        serde_json::from_slice(body).map_err(|error| corrupt(&error.to_string()))
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let whole: [u8; 32] = Sha256::digest(body).into();
    std::array::from_fn(|i| whole[i])
}
