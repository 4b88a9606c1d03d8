//! Bytes of a message: short ones lie in the envelope, so that most messages allocate nothing.

use std::fmt;
use std::ops::Deref;

const SHORT_BYTES_MAX: usize = 22;

/// Encoded bytes.
pub(crate) enum Body {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
}

impl Body {
    #[inline]
    pub(crate) fn copy(from: &[u8]) -> Self {
        Self::short(from).unwrap_or_else(|| Self::Long(from.into()))
    }

    #[inline]
    fn short(from: &[u8]) -> Option<Self> {
        let len = u8::try_from(from.len()).ok().filter(|len| usize::from(*len) <= SHORT_BYTES_MAX)?;
        let mut bytes = [0; SHORT_BYTES_MAX];
        // In two overlapping halves of a fixed length: a copy whose length is not known is a call.
        if let (Some(first), Some(last)) = (from.first_chunk::<16>(), from.last_chunk::<8>()) {
            bytes[..16].copy_from_slice(first);
            bytes[from.len() - 8..from.len()].copy_from_slice(last);
        } else {
            bytes[..from.len()].copy_from_slice(from);
        }
        Some(Self::Short { len, bytes })
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Short { .. } => self.to_vec(),
            Self::Long(bytes) => bytes.into_vec(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::short(&bytes).unwrap_or_else(|| Self::Long(bytes.into_boxed_slice()))
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        Self::copy(self)
    }
}

impl Deref for Body {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}
