//! A module's side: serves a provider that was loaded in this process.
//!
//! One thread speaks gRPC; the turns are taken on threads of their own, an instance always on the same one, in the
//! order in which they came. So a turn that hangs keeps nobody from asking how the process is.

mod effects;
mod workers;

use crate::convert::{fingerprint, to_fault, to_fingerprint, to_tag};
use crate::proto::module_server::{Module as Service, ModuleServer};
use crate::proto::{self, json_reply, json_request, state_reply};
use crate::queue::Queue;
use crate::{MESSAGE_BYTES_MAX, PROTOCOLS};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use teneral_contract::Digest;
use teneral_runtime::ports::{Body, Fault, Json, JsonDone, Provider};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use workers::{Job, Make, Workers};

/// Who comes to a socket, as tonic serves them.
pub fn incoming(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    stream::unfold(listener, async |listener| {
        let came = listener.accept().await.map(|(stream, _)| stream);
        Some((came, listener))
    })
}

/// A module that is about to serve.
pub struct Module {
    provider: Arc<dyn Provider>,
    manifest: String,
    workers: Workers,
    /// Spreads what needs no instance over the threads.
    others: AtomicU64,
}

impl Module {
    /// Takes turns on so many threads.
    ///
    /// # Errors
    /// A thread that could not be started, or a manifest that is no JSON.
    pub fn new(provider: Arc<dyn Provider>, threads: usize) -> io::Result<Self> {
        let manifest = serde_json::to_string(provider.manifest())?;
        let workers = Workers::start(&provider, threads)?;
        Ok(Self { provider, manifest, workers, others: AtomicU64::new(0) })
    }

    /// Serves until the future ends. To be called within a tokio runtime; a single thread is enough.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn serve(self, listener: UnixListener, until: impl Future<Output = ()>) -> io::Result<()> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<ModuleServer<Self>>().await;
        let module = ModuleServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let served = Server::builder().add_service(health_service).add_service(module);
        served.serve_with_incoming_shutdown(incoming(listener), until).await.map_err(io::Error::other)
    }

    async fn make(&self, instance: u64, make: Make) -> Result<Response<proto::MadeReply>, Status> {
        let (made, is_made) = oneshot::channel();
        self.workers.give(instance, Job::Make { instance, make, made });
        let fault = is_made.await.map_err(no_thread)?.err().map(to_fault);
        Ok(Response::new(proto::MadeReply { fault }))
    }

    /// Runs what needs no instance beside the turns: it is the author's code, and may take its time.
    async fn other<T: Send + 'static>(
        &self,
        other: impl FnOnce(&dyn Provider) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let (done, is_done) = oneshot::channel();
        let run = move |provider: &dyn Provider| drop(done.send(other(provider)));
        self.workers.give(self.others.fetch_add(1, Ordering::Relaxed), Job::Other(Box::new(run)));
        is_done.await.map_err(no_thread)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_thread(error: oneshot::error::RecvError) -> Status {
    Status::internal(format!("the thread of the instance is gone: {error}"))
}

fn state_reply(done: Result<Vec<u8>, Fault>) -> Response<proto::StateReply> {
    let done = match done {
        Ok(state) => state_reply::Done::State(state.into()),
        Err(fault) => state_reply::Done::Fault(to_fault(fault)),
    };
    Response::new(proto::StateReply { done: Some(done) })
}

#[tonic::async_trait]
impl Service for Module {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<proto::TurnsDone, Status>> + Send>>;

    async fn describe(
        &self,
        request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeReply>, Status> {
        let proto::DescribeRequest { protocol_min, protocol_max, nonce } = request.into_inner();
        let (own_min, own_max) = PROTOCOLS;
        let protocol = protocol_max.min(own_max);
        if protocol < protocol_min.max(own_min) {
            let asked = format!("protocols {protocol_min} to {protocol_max} are asked for");
            return Err(Status::failed_precondition(format!("{asked}, {own_min} to {own_max} are spoken here")));
        }
        let Digest(digest) = self.provider.digest();
        Ok(Response::new(proto::DescribeReply {
            protocol,
            nonce,
            digest: Bytes::copy_from_slice(&digest),
            manifest: self.manifest.clone(),
            pid: std::process::id(),
        }))
    }

    async fn create(&self, request: Request<proto::CreateRequest>) -> Result<Response<proto::MadeReply>, Status> {
        let proto::CreateRequest { instance, shape, args } = request.into_inner();
        let shape = fingerprint("create.shape", shape.as_ref()).map_err(invalid)?;
        self.make(instance, Make::Args(shape, args)).await
    }

    async fn restore(&self, request: Request<proto::RestoreRequest>) -> Result<Response<proto::MadeReply>, Status> {
        let proto::RestoreRequest { instance, schema, state } = request.into_inner();
        self.make(instance, Make::State(schema, state)).await
    }

    async fn save(&self, request: Request<proto::SaveRequest>) -> Result<Response<proto::StateReply>, Status> {
        let proto::SaveRequest { instance, bytes_max } = request.into_inner();
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (saved, is_saved) = oneshot::channel();
        self.workers.give(instance, Job::Save { instance, bytes_max, saved });
        Ok(state_reply(is_saved.await.map_err(no_thread)?))
    }

    async fn discard(&self, request: Request<proto::DiscardRequest>) -> Result<Response<proto::DiscardReply>, Status> {
        let proto::DiscardRequest { instance } = request.into_inner();
        self.workers.give(instance, Job::Discard { instance });
        Ok(Response::new(proto::DiscardReply {}))
    }

    async fn downgrade(
        &self,
        request: Request<proto::DowngradeRequest>,
    ) -> Result<Response<proto::StateReply>, Status> {
        let proto::DowngradeRequest { state, to_schema } = request.into_inner();
        Ok(state_reply(self.other(move |provider| provider.downgrade(&state, to_schema)).await?))
    }

    async fn json(&self, request: Request<proto::JsonRequest>) -> Result<Response<proto::JsonReply>, Status> {
        let job = request.into_inner().job.ok_or_else(|| Status::invalid_argument("json.job is missing"))?;
        if let json_request::Job::Reply(reply) = &job {
            fingerprint("json.reply.shape", reply.shape.as_ref()).map_err(invalid)?;
        }
        let done = self.other(move |provider| provider.json(of_job(&job))).await?;
        Ok(Response::new(proto::JsonReply { done: Some(to_done(done)) }))
    }

    async fn work(&self, request: Request<Streaming<proto::Turns>>) -> Result<Response<Self::WorkStream>, Status> {
        let (mut turns, workers, done) = (request.into_inner(), self.workers.clone(), Queue::new());
        let frames = done.clone().frames();
        tokio::spawn(async move {
            // The end of the stream, however it comes, is the end of what is asked here.
            while let Some(Ok(frame)) = turns.next().await {
                for turn in frame.turns {
                    workers.give(turn.instance, Job::Turn { turn: Box::new(turn), done: done.clone() });
                }
            }
        });
        // Before the first turn is read: the supervisor's call begins when the headers of the reply are there.
        Ok(Response::new(Box::pin(frames.map(|turns| Ok(proto::TurnsDone { turns })))))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: crate::convert::Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn of_job(job: &json_request::Job) -> Json<'_> {
    match job {
        json_request::Job::Message(proto::JsonMessage { name, json }) => Json::Message { name, json },
        json_request::Job::Args(json) => Json::Args(json),
        json_request::Job::Reply(proto::JsonReplyTo { variant, shape, body }) => {
            let shape = fingerprint("json.reply.shape", shape.as_ref()).unwrap_or(teneral_contract::Fingerprint::NONE);
            Json::Reply { variant: *variant, body: Body { shape, bytes: body } }
        }
        json_request::Job::State(state) => Json::State(state),
        json_request::Job::StateFrom(json) => Json::StateFrom(json),
    }
}

fn to_done(done: Result<JsonDone, Fault>) -> json_reply::Done {
    match done {
        Ok(JsonDone::Message { tag, body, reply }) => json_reply::Done::Message(proto::EncodedMessage {
            tag: Some(to_tag(tag)),
            body: body.into(),
            reply: reply.map(to_fingerprint),
        }),
        Ok(JsonDone::Args { shape, bytes }) => {
            json_reply::Done::Args(proto::EncodedArgs { shape: Some(to_fingerprint(shape)), bytes: bytes.into() })
        }
        Ok(JsonDone::Text(text)) => json_reply::Done::Text(text),
        Ok(JsonDone::State(state)) => json_reply::Done::State(state.into()),
        Err(fault) => json_reply::Done::Fault(to_fault(fault)),
    }
}
