//! c-echo as its callers in Rust know it: the types that `framework/testkit/tests/c_echo.rs` holds its manifest to.

use super::{Absent, libraries};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Start arguments.
#[derive(Debug, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Nothing {}

#[derive(Debug, Serialize, Deserialize, teneral::Request)]
#[reply(Echoed)]
pub(crate) struct Echo {
    pub(crate) text: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Echoed {
    pub(crate) text: String,
    pub(crate) echoes: u64,
}

#[derive(Debug, Serialize, Deserialize, teneral::Request)]
#[reply(Counted)]
pub(crate) struct Count {}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Counted {
    pub(crate) echoes: u64,
}

/// Since 2.0.0.
#[derive(Debug, Serialize, Deserialize, teneral::Request)]
#[reply(Weighed)]
pub(crate) struct Size {}

#[derive(Debug, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Weighed {
    pub(crate) bytes: u64,
}

/// Its library in that major version.
pub(crate) fn library(major: u32) -> Result<&'static Path, Absent> {
    libraries::c_echo(major).ok_or(Absent("C compiler"))
}
