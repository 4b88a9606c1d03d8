//! What callers of greeter import: its messages, and what it starts from.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::{Request, Wire};

pub mod v1;

/// What it starts from: nothing.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Start {}

/// Asks for a greeting.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Greeting)]
pub struct Greet {
    /// Whom to greet.
    pub name: String,
}

/// A greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Greeting {
    /// What to say.
    pub text: String,
    /// How many have been greeted, this one included.
    pub greeted: u64,
}

/// Tells it to count from nothing again.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Forget {}

/// What a greeter handles. The enum only wraps the messages: each is a struct of its own.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Asks for a greeting.
    Greet(Greet),
    /// Tells it to count from nothing again.
    Forget(Forget),
}
