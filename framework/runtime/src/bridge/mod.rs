//! The bridge between cells and ractor: any cell as a ractor actor, any ractor actor as a cell.
//!
//! The control plane and a host's own async code are ractor actors, the actors whose code changes are cells. Each can
//! be handed to the other: [`Stand`] is a ractor actor that stands for a cell, so that ractor code can link to it, and
//! [`Stead`] is the code of a cell whose messages go to a ractor actor, so that an actor can tell it by address.
//! ractor's mailboxes are unbounded, so in both directions a message carries a permit of a bounded semaphore.

mod stand;
mod stead;

pub use stand::{Ask, Forward, Gone, Stand};
pub use stead::{Incoming, Reply, Stead};
