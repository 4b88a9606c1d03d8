//! Whose code runs on this thread: what is logged meanwhile is about that actor.
//!
//! Noted once for all turns that a thread takes in a row, and read only when something is logged. Without a destructor:
//! a thread that first meets a thread-local with one takes the dynamic loader's lock, which a library's constructor
//! that hangs never lets go. What is noted is taken back by [`Speaking`], so nothing is left for a destructor to do.

use crate::cell::Cell;
use crate::config::Generation;
use semver::Version;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use teneral_contract::Addr;

thread_local! {
    static SPEAKING: RefCell<ManuallyDrop<Option<Arc<Cell>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// An actor whose code runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Who.
    pub addr: Addr,
    /// The version that runs.
    pub version: Version,
    /// Its upgrades so far.
    pub generation: Generation,
}

/// The actor whose turn this thread runs, if it runs one.
#[must_use]
pub fn speaking() -> Option<Speaker> {
    let cell = SPEAKING.with(|speaking| (**speaking.borrow()).clone())?;
    Some(cell.speaker())
}

/// Notes it until it is dropped.
pub(crate) struct Speaking;

impl Speaking {
    pub(crate) fn of(cell: &Arc<Cell>) -> Self {
        note(Some(Arc::clone(cell)));
        Self
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        note(None);
    }
}

/// What was noted before is dropped outside of the borrow: it may be the last that holds its cell.
fn note(cell: Option<Arc<Cell>>) {
    let before = SPEAKING.with(|speaking| speaking.replace(ManuallyDrop::new(cell)));
    drop(ManuallyDrop::into_inner(before));
}
