//! `native/http-client`: requests to servers elsewhere.
//!
//! One request, one answer; a redirect is an answer, since where it leads may not be granted. A status of 500 is an
//! answer, too: an ask fails only when there is none.

use serde::{Deserialize, Serialize};
use teneral_contract::{Addr, Bytes, Request, Shape, Wire};

/// Whom to ask.
pub const NAME: &str = "http-client";

/// Largest body of an answer where the request does not say, in bytes.
pub const BODY_BYTES_MAX: u32 = 256 << 10;

/// The HTTP client's address.
#[must_use]
pub fn addr() -> Addr {
    super::native(NAME)
}

/// Asks for a request to be made.
///
/// It is given up when the ask's own time is over, or `timeout_ms` before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Response)]
pub struct Fetch {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// `http://` or `https://`, with host and path.
    pub url: String,
    /// In order; host and length are added.
    pub headers: Vec<Header>,
    /// Empty for none.
    pub body: Bytes,
    /// How long until the whole answer is there.
    pub timeout_ms: Option<u64>,
    /// Largest body that is taken as an answer; [`BODY_BYTES_MAX`] where it is not said. The host has a bound of its
    /// own.
    pub body_bytes_max: Option<u32>,
}

/// One line of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Header {
    /// Its name, in lower case in an answer.
    pub name: String,
    /// Its value; what is no UTF-8 is replaced.
    pub value: String,
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Response {
    /// 200, 404, 503.
    pub status: u16,
    /// Its head.
    pub headers: Vec<Header>,
    /// Its whole body.
    pub body: Bytes,
}

/// What the HTTP client handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Asks for a request to be made.
    Fetch(Fetch),
}

impl Fetch {
    /// A request without a body.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::with("GET", url, Vec::new())
    }

    /// A request with a body.
    #[must_use]
    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::with("POST", url, body.into())
    }

    /// A request of that method.
    #[must_use]
    pub fn with(method: &str, url: &str, body: Vec<u8>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Bytes(body),
            timeout_ms: None,
            body_bytes_max: None,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        self
    }
}
