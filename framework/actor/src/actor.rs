//! What an author implements.

use crate::context::Context;
use crate::error::Result;
use std::time::Duration;
use teneral_contract::{Message, State, Wire};

/// An actor: state, and what it does with a message.
///
/// `init` and the ladder's steps are pure: they have no effects, so that a host may rehearse them on a copy. The first
/// effects belong into [`Actor::started`], which runs before any queued message.
///
/// A turn is a transaction for effects: `Ok` releases them in order, an error or a panic drops them. Plain state is not
/// rolled back on an error: compute first, then assign.
pub trait Actor: State {
    /// What it handles: an enum that wraps one struct a variant.
    type Message: Message;
    /// What it starts from.
    type Args: Wire;

    /// A new actor.
    ///
    /// # Errors
    /// Why it cannot start from these arguments; the start fails with that sentence.
    fn init(args: Self::Args) -> Result<Self>;

    /// The instance goes live: new, upgraded, rolled back or restarted.
    ///
    /// # Errors
    /// Why it cannot; the host treats it as a failed start.
    fn started(&mut self, why: Why, ctx: &mut Context<Self>) -> Result<()> {
        let (_, _) = (why, ctx);
        Ok(())
    }

    /// An effect of an earlier turn reached nobody: the target had no room in time, or a child did not start. `why`
    /// says which and why.
    ///
    /// # Errors
    /// A sentence for the host's log; the turn's effects are dropped.
    fn undelivered(&mut self, why: &str, ctx: &mut Context<Self>) -> Result<()> {
        let (_, _) = (why, ctx);
        Ok(())
    }

    /// One message, one turn.
    ///
    /// # Errors
    /// A sentence for whoever asked; the turn's effects are dropped.
    fn handle(&mut self, message: Self::Message, ctx: &mut Context<Self>) -> Result<()>;
}

/// Why an instance goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The actor is new, or was reset to its start arguments.
    Fresh,
    /// An upgrade or a downgrade.
    Upgraded,
    /// A rollback after commit.
    RolledBack,
    /// Its supervisor restarted it.
    Restarted,
}

/// So many seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many milliseconds.
#[must_use]
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
