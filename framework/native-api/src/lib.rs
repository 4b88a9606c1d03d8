//! What actors say to the host's own actors: HTTP, files, wall time.
//!
//! An author imports this and asks; the host does the I/O. So a library links no I/O and no tokio, and a conversation
//! with the world survives an upgrade as any other does: the answer comes as a message through the contract map.
//!
//! ```
//! use teneral_contract::{Addr, Answer, Wire};
//! use teneral_native_api::http::{self, Fetch, Response};
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize, Wire)]
//! struct Fetched { answer: Answer<Response> } // one of the actor's own messages
//!
//! let to: Addr = http::addr();
//! let fetch = Fetch::get("https://example.com/");
//! // in a handler: ctx.ask(&to, fetch, secs(5), |answer| Fetched { answer });
//! ```
//!
//! Nothing is granted unless `teneral.toml` says so, by the asker's kind. What is not granted is answered with
//! [`AskError::Denied`](teneral_contract::AskError::Denied), whose text says what to write there.
#![forbid(unsafe_code)]

pub mod clock;
pub mod file;
pub mod http;

/// The kind that all of the host's own actors are of: `native/file`.
pub const KIND: &str = "native";

fn native(name: &str) -> teneral_contract::Addr {
    let addr = teneral_contract::Addr::new(&format!("{KIND}/{name}"));
    addr.expect("the names in this crate are keys of addresses")
}
