//! `native/clock`: wall time, and being woken by it.
//!
//! `ctx.now()` and `ctx.after(..)` need none of this. Here are times of the wall clock: at midnight, every full minute.
//! A wake-up belongs to the actor's name and has a name itself, so it survives every upgrade, and asking for it again
//! replaces it. It ends with the actor and with the host: an actor asks for it in `started`.

use serde::{Deserialize, Serialize};
use teneral_contract::{Addr, Request, Shape, Wire};

/// Whom to ask.
pub const NAME: &str = "clock";

/// Shortest period, in milliseconds.
pub const PERIOD_MS_MIN: u64 = 10;

/// The clock's address.
#[must_use]
pub fn addr() -> Addr {
    super::native(NAME)
}

/// Asks what time it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Time)]
pub struct Now {}

/// What time it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Time {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: u64,
}

/// Asks to be told [`Woken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Waking)]
pub struct Wake {
    /// What the wake-up is called; one of the same name is replaced.
    pub name: String,
    /// When.
    pub when: When,
}

/// When to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum When {
    /// Once; at once, if that time is over.
    At {
        /// Milliseconds since 1970, UTC.
        unix_ms: u64,
    },
    /// Again and again, at whole multiples of the period since 1970: 60,000 is every full minute, UTC.
    Every {
        /// At least [`PERIOD_MS_MIN`].
        period_ms: u64,
    },
}

/// The wake-up is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Waking {
    /// The next time that it is due.
    pub due_unix_ms: u64,
}

/// Takes a wake-up back; one that is not there is a no-op.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Forget {
    /// Which one.
    pub name: String,
}

/// Told when a wake-up is due: one of the asker's own messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Woken {
    /// Which one.
    pub name: String,
    /// When it was due.
    pub due_unix_ms: u64,
    /// How many before it were not told, because there was no room or the machine slept.
    pub missed: u64,
}

/// What the clock handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Asks what time it is.
    Now(Now),
    /// Asks to be woken.
    Wake(Wake),
    /// Takes a wake-up back.
    Forget(Forget),
}
