//! How a process came to its end, for whoever has to say it in other words than those of a message that failed.

use parking_lot::Mutex;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It left, with this status.
    Exit(i32),
    /// It was killed by this signal, by somebody else than its host.
    Signal(i32),
    /// It did not answer for so long, and was ended.
    Hung(Duration),
}

impl Fate {
    pub(super) fn of(status: ExitStatus) -> Option<Self> {
        match (status.code(), status.signal()) {
            (Some(code), _) => Some(Self::Exit(code)),
            (None, Some(signal)) => Some(Self::Signal(signal)),
            (None, None) => None,
        }
    }
}

/// The first that is known of it. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<Option<Fate>>>);

impl Known {
    pub(super) fn is(&self, fate: Fate) {
        self.0.lock().get_or_insert(fate);
    }

    pub(super) fn get(&self) -> Option<Fate> {
        *self.0.lock()
    }
}
