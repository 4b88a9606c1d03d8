//! Who may bring code into a host, and who may command one.
//!
//! * [`trust`]: release files, the keys that sign them, and what a host accepts
//! * [`api`]: the control socket, and what is said on it
#![forbid(unsafe_code)]

pub mod api;
pub mod trust;
