//! A state on its way through the ladder: one walk, in the live process under the pause and in the trial on a copy.

use crate::plan::{Climb, Hop, ReleaseRef};
use std::sync::Arc;
use teneral_contract::Digest;
use teneral_runtime::ports::{Behaviour, Fault, Provider};

/// Whose code there is, and who wants to know what it is about to do.
pub(crate) trait Codes {
    /// The code of a release.
    ///
    /// # Errors
    /// [`Fault`]: it is not at hand.
    fn code(&self, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault>;

    /// This code is about to move a state that way.
    fn enters(&mut self, climb: Climb, code: &Arc<dyn Provider>);
}

/// From which schema, over which hops, to whose code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) from_schema: u32,
    pub(crate) hops: &'a [Hop],
    pub(crate) to: Digest,
    /// Largest state in between.
    pub(crate) bytes_max: usize,
}

/// An instance, and the state that it was made of, where that is not the snapshot itself.
pub(crate) type Made = (Box<dyn Behaviour>, Option<(u32, Vec<u8>)>);

impl Way<'_> {
    /// Walks it to a new instance of `new`.
    ///
    /// # Errors
    /// [`Fault`] of the code that was entered last.
    pub(crate) fn walk(&self, snapshot: &[u8], new: &Arc<dyn Provider>, codes: &mut dyn Codes) -> Result<Made, Fault> {
        let mut schema = self.from_schema;
        let mut written: Option<Vec<u8>> = None;
        for hop in self.hops {
            // The new code's own step up is part of its restore.
            if hop.climb == Climb::Up && hop.by.digest == self.to {
                break;
            }
            if cfg!(feature = "bug-u12") && hop.climb == Climb::Down {
                schema = hop.to_schema;
                continue;
            }
            let bytes = hop.step(written.as_deref().unwrap_or(snapshot), self.bytes_max, codes)?;
            (written, schema) = (Some(bytes), hop.to_schema);
        }
        codes.enters(Climb::Up, new);
        let made = new.restore(schema, written.as_deref().unwrap_or(snapshot))?;
        Ok((made, written.map(|bytes| (schema, bytes))))
    }
}

impl Hop {
    /// One hop of a state.
    pub(crate) fn step(&self, bytes: &[u8], bytes_max: usize, codes: &mut dyn Codes) -> Result<Vec<u8>, Fault> {
        let code = codes.code(&self.by)?;
        codes.enters(self.climb, &code);
        match self.climb {
            Climb::Down => code.downgrade(bytes, self.to_schema),
            Climb::Up => code.restore(self.from_schema, bytes)?.save(bytes_max),
        }
    }
}
