//! A message on its way out: what it is called, which it is, and its bytes.

use crate::cell::body::Body;
use std::cell::RefCell;
use teneral_contract::{EncodeError, Tag, Wire};

/// A message on its way out: anything that crosses between actors.
pub trait Outgoing: Send {
    /// What it is called: by this errors name it.
    fn name(&self) -> &str;

    /// Which message, in which shape.
    fn tag(&self) -> Tag;

    /// Appends the body.
    ///
    /// # Errors
    /// What the codec says.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

impl<M: Wire> Outgoing for M {
    fn name(&self) -> &str {
        M::NAME
    }

    fn tag(&self) -> Tag {
        <M as Wire>::tag()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_as(M::FINGERPRINT, out)
    }
}

thread_local! {
    /// Where messages are written before their size is known.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Scratch memory that a thread keeps.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

pub(crate) fn encode<M: Outgoing>(message: &M) -> Result<Body, EncodeError> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        message.encode(scratch)?;
        let body = Body::copy(scratch);
        if scratch.capacity() > SCRATCH_BYTES_MAX {
            *scratch = Vec::new();
        }
        Ok(body)
    })
}
