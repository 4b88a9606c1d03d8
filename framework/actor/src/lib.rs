//! How an author writes an actor: a struct of state, an enum of messages, and [`export_actor!`].
//!
//! ```
//! use teneral_actor::prelude::*;
//!
//! #[derive(Serialize, Deserialize, Wire)]
//! struct Start { total: i64 }
//!
//! #[derive(Serialize, Deserialize, Wire)]
//! struct Add { amount: i64 }
//!
//! #[derive(Serialize, Deserialize, Request)]
//! #[reply(Total)]
//! struct Get {}
//!
//! #[derive(Serialize, Deserialize, Wire)]
//! struct Total { total: i64 }
//!
//! #[derive(Message)]
//! enum Message { Add(Add), Get(Get) }
//!
//! #[derive(Serialize, Deserialize, State)]
//! #[state(schema = 1)]
//! struct Counter { total: i64 }
//!
//! impl Actor for Counter {
//!     type Message = Message;
//!     type Args = Start;
//!
//!     fn init(start: Start) -> Result<Self> {
//!         Ok(Self { total: start.total })
//!     }
//!
//!     fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
//!         match message {
//!             Message::Add(Add { amount }) => self.total += amount,
//!             Message::Get(Get {}) => ctx.reply(&Total { total: self.total }),
//!         }
//!         Ok(())
//!     }
//! }
//! export_actor!(Counter, kind = "counter");
//! # fn main() {}
//! ```
//!
//! The layout: [`actor`] and [`context`] are what an author sees; [`host`] is the seam to whoever runs the actor;
//! [`engine`] is the calls between them; [`export`] carries them across the C ABI and is the crate's only unsafe.
#![deny(unsafe_code)]

pub mod about;
pub mod actor;
pub mod context;
pub mod engine;
pub mod error;
pub mod export;
pub mod host;
pub mod json;
pub mod wall;

pub use about::About;
pub use actor::{Actor, Why, millis, secs};
pub use context::{Cause, Context, ReplyHandle};
pub use error::{ActorError, Fault, FaultKind, Result};
pub use host::TimerId;
pub use teneral_contract as contract;
pub use teneral_contract::{
    Addr, Answer, AskError, Downgrade, Message, Migrate, MigrateError, Request, Shape, State, Upcast, Wire,
    wire::Downcast,
};

/// What an author imports.
pub mod prelude {
    pub use crate::{
        Actor, ActorError, Addr, Answer, AskError, Cause, Context, Downcast, Downgrade, Message, Migrate, MigrateError,
        ReplyHandle, Request, Result, Shape, State, TimerId, Upcast, Why, Wire, export_actor, fail, millis, secs,
    };
    pub use serde::{Deserialize, Serialize};
}
