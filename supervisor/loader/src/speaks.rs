//! Which code was called on this thread without a turn of an actor: when an instance is made, saved or moved.
//!
//! What a library logs then carries its kind and its version at least. A turn is noted by the runtime, for all turns
//! that a thread takes in a row; here nothing is on a message's way.

use crate::code::Code;
use semver::Version;
use std::cell::RefCell;

thread_local! {
    static CALLED: RefCell<Option<(String, Version)>> = const { RefCell::new(None) };
}

/// Kind and version of the code that was called.
pub(crate) fn called() -> Option<(String, Version)> {
    CALLED.try_with(|called| called.borrow().clone()).ok().flatten()
}

/// Notes it until it is dropped.
pub(crate) struct Called;

impl Called {
    pub(crate) fn of(code: &Code) -> Self {
        let manifest = code.manifest();
        let which = (manifest.kind.clone(), manifest.version.clone());
        let _ = CALLED.try_with(|called| called.replace(Some(which)));
        Self
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let _ = CALLED.try_with(RefCell::take);
    }
}
