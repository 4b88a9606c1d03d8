//! The order of one sender's messages: each waits for the one before it, and for nobody else's.
//!
//! The work of several messages goes on side by side, so that a slow one keeps no other sender waiting. Among one
//! sender's that would break what every actor promises (M18), so each has a turn that the next one waits for. A turn is
//! over when its last copy is dropped: a thread that works on for a message holds one as well.

use std::collections::HashMap;
use std::sync::Arc;
use teneral_contract::Addr;
use tokio::sync::watch;

/// When the next message of the same sender may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// When this one's work has ended: messages are handled in the order they were sent.
    Finished,
    /// When this one's work waits for the first time: messages begin in the order they were sent, and go on side by
    /// side.
    Begun,
}

/// While one is kept, the next message of the same sender waits.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Never sent to: its end is what the next one hears.
    _end: Option<Arc<watch::Sender<()>>>,
}

/// A turn that is waited for.
#[derive(Debug, Clone)]
pub(crate) struct Before(watch::Receiver<()>);

/// The last turn of each sender whose messages are under way; `None` for whoever is outside of all actors.
#[derive(Debug)]
pub(crate) struct Lines {
    last: HashMap<Option<Addr>, Before>,
    /// At so many, those whose turns are over are forgotten.
    sweep_at: usize,
}

impl Turn {
    /// One that nobody waits for.
    pub(crate) const fn nobodys() -> Self {
        Self { _end: None }
    }

    fn begun() -> (Self, Before) {
        let end = watch::Sender::new(());
        let before = Before(end.subscribe());
        (Self { _end: Some(Arc::new(end)) }, before)
    }
}

impl Before {
    /// Waits until it is over.
    pub(crate) async fn over(&mut self) {
        while self.0.changed().await.is_ok() {}
    }

    fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

impl Lines {
    const SWEEP_AT_MIN: usize = 64;

    pub(crate) fn new() -> Self {
        Self { last: HashMap::new(), sweep_at: Self::SWEEP_AT_MIN }
    }

    /// Gets in line: what to wait for, if anybody is before, and what the next one waits for.
    pub(crate) fn of_actor(&mut self, sender: &Addr) -> (Option<Before>, Turn) {
        self.next(Some(sender.clone()))
    }

    /// The same of what is told from outside of all actors.
    pub(crate) fn told(&mut self) -> (Option<Before>, Turn) {
        self.next(None)
    }

    /// What is asked from outside comes after what was told there, and keeps nobody waiting: those who ask are many,
    /// and each waits for his answer himself before he goes on.
    pub(crate) fn asked(&self) -> (Option<Before>, Turn) {
        (self.last.get(&None).cloned(), Turn::nobodys())
    }

    fn next(&mut self, sender: Option<Addr>) -> (Option<Before>, Turn) {
        if self.last.len() >= self.sweep_at {
            self.last.retain(|_, before| !before.is_over());
            self.sweep_at = (self.last.len() * 2).max(Self::SWEEP_AT_MIN);
        }
        let (turn, end) = Turn::begun();
        (self.last.insert(sender, end), turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_is_forgotten_and_who_has_not_is_waited_for() {
        let mut lines = Lines::new();
        let slow = Addr::new("errand/slow").expect("an address");
        let (first, kept) = lines.of_actor(&slow);
        assert!(first.is_none(), "nobody was before");
        for number in 0..10_000 {
            let sender = Addr::new(&format!("errand/{number}")).expect("an address");
            let (before, turn) = lines.of_actor(&sender);
            assert!(before.is_none(), "each sender has a line of its own");
            drop(turn);
        }
        assert!(lines.last.len() <= Lines::SWEEP_AT_MIN, "{}", lines.last.len());
        let (before, _turn) = lines.of_actor(&slow);
        let before = before.expect("it has not ended");
        assert!(!before.is_over());
        let copy = kept.clone();
        drop(kept);
        assert!(!before.is_over(), "a copy keeps it");
        drop(copy);
        assert!(before.is_over());
    }
}
