//! The protocol over HTTP, with bodies in JSON: for a module that has nothing but the standard library of its language.
//!
//! One request after the other, each on a connection of its own: so a server that takes one connection at a time, and
//! one that closes each, serve as well as any. The kernel says each time who answers.

mod answer;
mod asked;

use crate::MESSAGE_BYTES_MAX;
use crate::convert::Malformed;
use crate::proto;
use answer::Answer;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tonic::Status;

/// Of an answer that says why it is none, so much is said again, in characters.
const SAID_CHARS_MAX: usize = 200;

/// See the module. A cheap clone.
#[derive(Clone)]
pub(super) struct Client(Arc<Peer>);

struct Peer {
    socket: PathBuf,
    pid: i32,
    /// Held while a request is away.
    one: Mutex<()>,
}

fn failed(path: &str, why: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("{path}: {why}"))
}

fn refused(path: &str, error: &Malformed) -> Status {
    Status::invalid_argument(format!("its answer to {path} is refused: {error}"))
}

impl Client {
    pub(super) fn new(socket: PathBuf, pid: i32) -> Self {
        Self(Arc::new(Peer { socket, pid, one: Mutex::new(()) }))
    }

    /// Whether it says that it serves.
    pub(super) async fn is_healthy(&self) -> bool {
        self.request(Method::GET, "/healthz", Bytes::new()).await.is_ok()
    }

    /// One request, and the body of its answer.
    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Status> {
        let _one = self.0.one.lock().await;
        let stream = UnixStream::connect(&self.0.socket).await.map_err(|error| failed(path, error))?;
        let found = stream.peer_cred().map_err(|error| failed(path, error))?.pid().unwrap_or(0);
        if found != self.0.pid {
            return Err(failed(path, format!("process {found} answers, process {} was started", self.0.pid)));
        }
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| failed(path, error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "module")
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| failed(path, error))?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|error| {
                let why = if error.is_incomplete_message() {
                    "it closed the connection without an answer".to_owned()
                } else {
                    error.to_string()
                };
                failed(path, why)
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MESSAGE_BYTES_MAX).collect().await;
            let body = body.map_err(|error| failed(path, error))?.to_bytes();
            match status {
                StatusCode::OK => Ok(body),
                status => {
                    let said: String = String::from_utf8_lossy(&body).chars().take(SAID_CHARS_MAX).collect();
                    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
                    Err(failed(path, format!("it answers {status}: {said}")))
                }
            }
        };
        let answer = answered.await;
        connection.abort();
        answer
    }

    async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, Status> {
        let answer = self.request(Method::POST, path, body.into()).await?;
        Answer::read(&answer).map_err(|error| refused(path, &error))
    }

    pub(super) async fn describe(&self, asked: proto::DescribeRequest) -> Result<proto::DescribeReply, Status> {
        let proto::DescribeRequest { protocol_min, protocol_max, nonce } = asked;
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let asked = json!({ "protocol_min": protocol_min, "protocol_max": protocol_max, "nonce": nonce });
        let answer = self.post("/v1/describe", asked.to_string()).await?;
        answer.described().map_err(|error| refused("/v1/describe", &error))
    }

    pub(super) async fn create(&self, asked: proto::CreateRequest) -> Result<proto::MadeReply, Status> {
        let proto::CreateRequest { instance, args, .. } = asked;
        let args = asked::raw("args", &args)?;
        let answer = self.post("/v1/create", asked::text(&asked::Create { instance, args })?).await?;
        answer.made().map_err(|error| refused("/v1/create", &error))
    }

    pub(super) async fn restore(&self, asked: proto::RestoreRequest) -> Result<proto::MadeReply, Status> {
        let proto::RestoreRequest { instance, schema, state } = asked;
        let state = asked::raw("the state", &state)?;
        let answer = self.post("/v1/restore", asked::text(&asked::Restore { instance, schema, state })?).await?;
        answer.made().map_err(|error| refused("/v1/restore", &error))
    }

    pub(super) async fn save(&self, asked: proto::SaveRequest) -> Result<proto::StateReply, Status> {
        let proto::SaveRequest { instance, bytes_max } = asked;
        let answer = self.post("/v1/save", json!({ "instance": instance, "bytes_max": bytes_max }).to_string()).await?;
        answer.state().map_err(|error| refused("/v1/save", &error))
    }

    pub(super) async fn discard(&self, asked: proto::DiscardRequest) -> Result<proto::DiscardReply, Status> {
        self.post("/v1/discard", json!({ "instance": asked.instance }).to_string()).await?;
        Ok(proto::DiscardReply {})
    }

    pub(super) async fn downgrade(&self, asked: proto::DowngradeRequest) -> Result<proto::StateReply, Status> {
        let proto::DowngradeRequest { state, to_schema } = asked;
        let state = asked::raw("the state", &state)?;
        let answer = self.post("/v1/downgrade", asked::text(&asked::Downgrade { state, to_schema })?).await?;
        answer.state().map_err(|error| refused("/v1/downgrade", &error))
    }

    #[expect(clippy::unused_async, reason = "as the others are")]
    pub(super) async fn json(&self, _: proto::JsonRequest) -> Result<proto::JsonReply, Status> {
        Err(Status::unimplemented("what is JSON already is not asked of the module"))
    }

    /// Has turns taken, and what they did in the same order.
    pub(super) async fn deliver(&self, turns: &[proto::Turn]) -> Result<Vec<proto::TurnDone>, Status> {
        let asked = turns.iter().map(asked::turn).collect::<Result<Vec<_>, _>>()?;
        let answer = self.post("/v1/deliver", asked::text(&asked::Turns { turns: asked })?).await?;
        answer.turns(turns).map_err(|error| refused("/v1/deliver", &error))
    }
}
