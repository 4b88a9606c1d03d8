//! The gate and dlopen: the host's only unsafe.
//!
//! * [`gate`] decides, from bytes alone, whether a file may become code; [`elf`] reads them; it ends in [`Verified`]
//! * [`Loader`] maps what was verified: one [`Image`] per digest, never unmapped
//! * [`confine()`] binds the hands of a process that tries code first
//! * `instance` and `turn` are the two directions of the ABI: host calls code, code calls host

mod code;
mod confine;
mod dl;
pub mod elf;
pub mod gate;
mod host;
mod image;
mod instance;
mod loader;
mod seal;
mod speaks;
mod turn;
mod verified;
mod writer;

pub use code::LoadError;
pub use confine::{ConfineError, Confinement, confine, confine_program};
pub use gate::{CHECKS, Check, Gate, GateError, Policy, Release, Trust, UnsignedRecord};
pub use image::Image;
pub use loader::{ImageInfo, Loader, LoaderLimits};
pub use seal::Sealed;
pub use verified::Verified;
