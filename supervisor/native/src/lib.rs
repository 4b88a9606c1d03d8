//! The host's own actors: asynchronous, in the host, and spoken to as any actor is.
//!
//! A handler of a loaded actor is synchronous (DESIGN D4), so whatever waits for the world is an actor of the host:
//! `native/http-client`, `native/file`, `native/clock`, and those that a service registers itself. It has a cell with
//! a bounded mailbox; a turn of its only hands the work to tokio, with the way back to the asker, and the answer comes
//! to the asker as a message through the contract map, whatever version runs there by then.
//!
//! ```
//! use teneral_contract::{Message, Request, Wire};
//! use teneral_native::{Call, Native, Refused};
//!
//! #[derive(serde::Serialize, serde::Deserialize, Request)]
//! #[reply(Sent)]
//! struct Mail { to: String, text: String }
//! #[derive(serde::Serialize, serde::Deserialize, Wire)]
//! struct Sent { id: u64 }
//! #[derive(Message)]
//! enum Post { Mail(Mail) }
//!
//! struct Mailer { /* a pool of connections */ }
//!
//! impl Native for Mailer {
//!     type Message = Post;
//!
//!     async fn handle(&self, Post::Mail(mail): Post, call: &mut Call) -> Result<(), Refused> {
//!         if mail.to.is_empty() {
//!             return Err(Refused::failed("a letter without an address"));
//!         }
//!         // .. awaits whatever it needs ..
//!         call.reply(&Sent { id: 7 });
//!         Ok(())
//!     }
//! }
//! ```
//!
//! * [`host`]: how one becomes an actor, and the tokio that they work on
//! * [`call`]: what a message's work may do; `line`: what it waits for
//! * [`grants`]: which kinds may use what
//! * [`routes`]: which request from outside is which message
//! * `http`, `file`, `clock`: those that are built in; `tls`: which certificates `http` takes
#![forbid(unsafe_code)]

pub mod call;
mod clock;
mod file;
pub mod grants;
pub mod host;
mod http;
mod line;
pub mod routes;
mod streams;
mod tls;

pub use call::{Call, Refused};
pub use grants::{FileAct, Grant, GrantError, Grants};
pub use host::{Host, Limits, Native, NotNative};
pub use line::{Order, Turn};
pub use streams::{Gone, Sink};

use std::path::Path;
use std::sync::Arc;
use teneral_native_api as api;
use teneral_runtime::Start;

/// Every code of this crate with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("NATIVE-CA", "a file of CA certificates that is none"),
    ("NATIVE-DENIED", "an actor may not do what it asked for"),
    ("NATIVE-FOLLOW", "a file that cannot be followed for the moment"),
];

/// The native actors that every host has, with what is granted to whom. `message_bytes_max` is the runtime's bound: an
/// answer is no larger. `ca_file` has certificates, in PEM, of CAs that the HTTP client trusts besides the machine's.
///
/// # Errors
/// [`NotNative::Ended`], [`NotNative::CaFile`].
pub fn built_in(
    host: &Host,
    grants: Grants,
    message_bytes_max: usize,
    ca_file: Option<&Path>,
) -> Result<[Start; 3], NotNative> {
    let (grants, roots) = (Arc::new(grants), tls::Roots::of(ca_file)?);
    Ok([
        host.start_of(api::http::NAME, http::HttpClient::new(Arc::clone(&grants), message_bytes_max, roots))?,
        host.start_of(api::file::NAME, file::Files { grants: Arc::clone(&grants) })?,
        host.start_of(api::clock::NAME, clock::Clock { grants })?,
    ])
}
