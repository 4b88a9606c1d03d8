//! Where a key falls: the one function that may never change, since actors stay where it put them.
//!
//! SHA-256 of the salt, a zero byte, and the key; the first four bytes, the highest first, modulo 10,000. No hash of a
//! library's own choosing, whose next release may choose another, and no seed of the process. The zero byte keeps
//! `a` + `bc` from being `ab` + `c`; a salt holds no control character. 2^32 is no multiple of 10,000: a bucket is off
//! its share by two millionths at most.

use sha2::{Digest, Sha256};

/// How many buckets there are: a percent is a hundred of them.
pub const BUCKETS: u16 = 10_000;

/// The bucket of a key (the part of an address after the `/`) in the rollout of that salt: below [`BUCKETS`].
#[must_use]
pub fn bucket(salt: &str, key: &str) -> u16 {
    let salt = if cfg!(feature = "bug-c3") { "" } else { salt };
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update([0]);
    hash.update(key);
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    let head = if cfg!(feature = "bug-c2") { [d, c, b, a] } else { [a, b, c, d] };
    (u32::from_be_bytes(head) % u32::from(BUCKETS)) as u16
}
