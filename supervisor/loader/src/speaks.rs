//! Which code was called on this thread without a turn of an actor: when an instance is made, saved or moved.
//!
//! What a library logs then carries its kind and its version at least. A turn is noted by the runtime, for all turns
//! that a thread takes in a row; here nothing is on a message's way. Without a destructor, for the reason that the
//! runtime's own note has none: meeting one takes the dynamic loader's lock.

use crate::code::Code;
use semver::Version;
use std::cell::RefCell;
use std::mem::ManuallyDrop;

thread_local! {
    static CALLED: RefCell<ManuallyDrop<Option<(String, Version)>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Kind and version of the code that was called.
pub(crate) fn called() -> Option<(String, Version)> {
    CALLED.with(|called| (**called.borrow()).clone())
}

/// Notes it until it is dropped.
pub(crate) struct Called;

impl Called {
    pub(crate) fn of(code: &Code) -> Self {
        let manifest = code.manifest();
        note(Some((manifest.kind.clone(), manifest.version.clone())));
        Self
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        note(None);
    }
}

fn note(code: Option<(String, Version)>) {
    drop(ManuallyDrop::into_inner(CALLED.with(|called| called.replace(ManuallyDrop::new(code)))));
}
