//! The peers: each a [`Counter`](crate::work::Counter), or, in another language, a program that prints figures.

mod bare;
pub mod erlang;
mod kameo;
mod ractor;

pub use self::{bare::Bare, kameo::Kameo, ractor::Ractor};
