//! Whose code runs on this thread: what is logged meanwhile is about that actor.
//!
//! Noted once for all turns that a thread takes in a row, and read only when something is logged.

use crate::cell::Cell;
use crate::config::Generation;
use semver::Version;
use std::cell::RefCell;
use std::sync::Arc;
use teneral_contract::Addr;

thread_local! {
    static SPEAKING: RefCell<Option<Arc<Cell>>> = const { RefCell::new(None) };
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
    // None also while a thread ends.
    let cell = SPEAKING.try_with(|speaking| speaking.borrow().clone()).ok().flatten()?;
    Some(cell.speaker())
}

/// Notes it until it is dropped.
pub(crate) struct Speaking;

impl Speaking {
    pub(crate) fn of(cell: &Arc<Cell>) -> Self {
        let cell = Arc::clone(cell);
        let _ = SPEAKING.try_with(|speaking| speaking.replace(Some(cell)));
        Self
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        let before = SPEAKING.try_with(RefCell::take);
        // Outside of the borrow: it may be the last that holds the cell.
        drop(before);
    }
}
