//! The caller's end of the control socket: one request, one connection.

use crate::api::{ApiError, SOCKET};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Largest answer: a state of 64 MiB in JSON.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Speaks to the host of one directory.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the host in `dir`. Nothing is connected yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { socket: dir.join(SOCKET) }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// What the host says; `CTL-DOWN` when none listens, `CTL-CONNECT` when it cannot be reached, `CTL-LOST` when it
    /// went away before it answered, `CTL-ANSWER` for an answer that is none.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        read(&self.call(Method::GET, path, &[], Vec::new()).await?)
    }

    /// Asks for something to be done. Dropped, the future takes nothing back.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        let unwritten = |error: serde_json::Error| {
            ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", &error, "nothing was sent", "report this")
        };
        read(&self.call(Method::POST, path, &[], serde_json::to_vec(body).map_err(unwritten)?).await?)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, String)],
        bytes: Vec<u8>,
    ) -> Result<T, ApiError> {
        read(&self.call(Method::POST, path, headers, bytes).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.down(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        let talk = async {
            let mut request = Request::builder().method(method).uri(path).header(header::HOST, "teneral");
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let request = request.body(Body::from(body)).map_err(|error| {
                ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", &error, "nothing was sent", "report this")
            })?;
            let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
            let status = answer.status();
            let whole = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = whole.map_err(|error| lost(&*error))?.to_bytes().to_vec();
            drop(sender);
            Ok((status, bytes))
        };
        let (talked, _) = tokio::join!(talk, connection);
        let (status, bytes) = talked?;
        if status.is_success() {
            return Ok(bytes);
        }
        let mut refused: ApiError = read(&bytes)?;
        refused.status = status.as_u16();
        Err(refused)
    }

    fn down(&self, error: &io::Error) -> ApiError {
        let dir = self.socket.parent().unwrap_or(&self.socket).display();
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            let hint = "run the command as the host's user; mend what the cause says";
            return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CTL-CONNECT", error, "nothing was sent", hint)
                .after(format!("cannot reach the host in {dir}"));
        }
        let hint = format!("start it: teneral serve --dir {dir}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CTL-DOWN", error, "nothing was sent", hint)
            .after(format!("no host serves in {dir}"))
    }
}

fn lost(error: &(dyn std::error::Error + 'static)) -> ApiError {
    let now = "the request may have been done, or be at work";
    ApiError::new(StatusCode::BAD_GATEWAY, "CTL-LOST", error, now, "look before it is asked for again")
        .after("the host went away before it answered")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let now = "the request may have been done";
        ApiError::new(StatusCode::BAD_GATEWAY, "CTL-ANSWER", &error, now, "look whether the host is of this version")
            .after("the host's answer makes no sense")
    })
}

/// A text as one part of a request's path.
#[must_use]
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
