//! The caller's end of the control socket: one request, one connection.

use crate::api::{ApiError, HEALTH, REASON_HEADER, SOCKET, Watch};
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, Parts, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Largest answer: a state of 64 MiB in JSON.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Largest refusal of a request that was not read whole, and how long it may take.
const EARLY_BYTES_MAX: u64 = 64 << 10;
const EARLY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a host may take for an answer to what only looks, and how long it may show no life while it does something.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often, in parts of the silence that it may keep, a host is asked whether it lives.
const LOOKS: u32 = 5;

/// Speaks to the host of one directory.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    agent: String,
    reason: String,
    silence_max: Duration,
}

impl Client {
    /// For the host in `dir`. Nothing is connected yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let agent = concat!("teneral/", env!("CARGO_PKG_VERSION")).to_owned();
        Self { socket: dir.join(SOCKET), agent, reason: String::new(), silence_max: SILENCE_MAX }
    }

    /// Says which command it asks for, for the host's audit.
    #[must_use]
    pub fn on_behalf_of(mut self, command: &str) -> Self {
        self.agent = format!(concat!("teneral/", env!("CARGO_PKG_VERSION"), " ({})"), command);
        self
    }

    /// Says why, for the host's audit.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Says how long the host may be silent, instead of [`SILENCE_MAX`].
    #[must_use]
    pub fn with_silence_max(mut self, silence_max: Duration) -> Self {
        self.silence_max = silence_max;
        self
    }

    /// Asks for something, and waits for the answer for as long as the host may be silent.
    ///
    /// # Errors
    /// What the host says; `CTL-SILENT` when it says nothing in time; `CTL-DOWN` when there is none, `CTL-BETWEEN` when
    /// it does not listen yet or any more,
    /// `CTL-CONNECT` when it cannot be reached, `CTL-LOST` when it went away before it answered, `CTL-ANSWER` for an
    /// answer that is none.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        read(&self.in_time(self.call(Method::GET, path, &[], Vec::new())).await?)
    }

    /// Asks for something to be done, and waits for as long as that takes and the host shows that it lives: it is
    /// asked for its health meanwhile. Dropped, the future takes nothing back.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        let unwritten = |error: serde_json::Error| {
            ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", &error, "nothing was sent", "report this")
        };
        let body = serde_json::to_vec(body).map_err(unwritten)?;
        read(&self.while_alive(self.call(Method::POST, path, &[], body)).await?)
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
        read(&self.while_alive(self.call(Method::POST, path, headers, bytes)).await?)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::time::timeout(self.silence_max, work).await.unwrap_or_else(|_| Err(silent(self.silence_max)))
    }

    async fn while_alive<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let mut work = pin!(work);
        let every = self.silence_max / LOOKS;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(every) => {}
            }
            let look = self.call(Method::GET, HEALTH, &[], Vec::new());
            tokio::select! {
                biased;
                done = &mut work => return done,
                // Whatever it says, it lives; if it is gone, the work knows.
                looked = tokio::time::timeout(self.silence_max - every, look) => if looked.is_err() {
                    return Err(silent(self.silence_max));
                },
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        let request = self.request(method, path, headers, body)?;
        let (mut sender, mut connection) = self.connect().await?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
            let answered = whole(answer).await;
            drop(sender);
            Ok(answered)
        };
        // Taken apart at its end, not shut down: an answer may lie in it still.
        let driven = poll_fn(|cx| connection.poll_without_shutdown(cx));
        match tokio::join!(talk, driven).0 {
            Ok(answered) => answered,
            Err(lost) => Err(early(connection.into_parts()).await.unwrap_or(lost)),
        }
    }

    /// Begins to watch what happens; `path` is `/v1/events` with what is wanted. When this returns, nothing from then
    /// on is missed. Must be called within a tokio runtime, which drives the connection.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        self.in_time(self.begin_watch(path)).await
    }

    async fn begin_watch(&self, path: &str) -> Result<Watch, ApiError> {
        let request = self.request(Method::GET, path, &[], Vec::new())?;
        let (mut sender, connection) = self.connect().await?;
        // It ends with the watch, whose sender it is.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(Watch::new(answer.into_body(), sender)),
            // A refusal, which says why; any other answer is none to this.
            _ => Err(match whole(answer).await {
                Err(refused) => refused,
                Ok(other) => read::<ApiError>(&other)?,
            }),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Request<Body>, ApiError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "teneral");
        request = request.header(header::USER_AGENT, &self.agent);
        if !self.reason.is_empty() {
            request = request.header(REASON_HEADER, part(&self.reason));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Body::from(body)).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", &error, "nothing was sent", "report this")
        })
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Connection<TokioIo<UnixStream>, Body>), ApiError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.down(&error))?;
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))
    }

    fn down(&self, error: &io::Error) -> ApiError {
        let dir = self.socket.parent().unwrap_or(&self.socket).display();
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            let hint = "run the command as the host's user; mend what the cause says";
            return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CTL-CONNECT", error, "nothing was sent", hint)
                .after(format!("cannot reach the host in {dir}"));
        }
        if let Some(pid) = self.socket.parent().and_then(teneral_store::holder_of) {
            let hint = "wait until it serves: teneral status --wait 1m";
            return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CTL-BETWEEN", error, "nothing was sent", hint)
                .after(format!("the host in {dir}, process {pid}, does not listen: it starts or it stops"));
        }
        let hint = format!("start it: teneral serve --dir {dir}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "CTL-DOWN", error, "nothing was sent", hint)
            .after(format!("no host serves in {dir}"))
    }
}

/// What the host said before it stopped to listen: a body over its bound is refused unread, so that writing it fails
/// while the reason waits to be read.
async fn early(parts: Parts<TokioIo<UnixStream>>) -> Option<ApiError> {
    let mut bytes = parts.read_buf.to_vec();
    let mut rest = parts.io.into_inner().take(EARLY_BYTES_MAX);
    // An end that is none: what came before it counts.
    let _ = tokio::time::timeout(EARLY_TIMEOUT, rest.read_to_end(&mut bytes)).await;
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let refused: ApiError = serde_json::from_str(body).ok()?;
    Some(ApiError { status, ..refused })
}

/// The body of a good answer.
async fn whole(answer: Response<Incoming>) -> Result<Vec<u8>, ApiError> {
    let status = answer.status();
    let whole = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = whole.map_err(|error| lost(&*error))?.to_bytes().to_vec();
    if status.is_success() {
        return Ok(bytes);
    }
    let mut refused: ApiError = read(&bytes)?;
    refused.status = status.as_u16();
    Err(refused)
}

pub(super) fn lost(error: &(dyn std::error::Error + 'static)) -> ApiError {
    let now = "the request may have been done, or be at work";
    ApiError::new(StatusCode::BAD_GATEWAY, "CTL-LOST", error, now, "look before it is asked for again")
        .after("the host went away before it answered")
}

/// Nothing was heard, and nobody knows whether anything will be.
pub(super) fn silent(silence: Duration) -> ApiError {
    let now = "what was asked for may be done, or be at work, or never be";
    let hint = "look whether its process is stopped or starved, and what became of it, before it is asked for again";
    ApiError {
        now: now.into(),
        ..ApiError::request(
            StatusCode::GATEWAY_TIMEOUT,
            "CTL-SILENT",
            format!("the host said nothing for {silence:?}"),
            hint,
        )
    }
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

/// A text that [`part`] wrote. What is no UTF-8 in it becomes a replacement character.
#[must_use]
pub fn text_of(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}
