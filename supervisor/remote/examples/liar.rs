//! A module that breaks the protocol, in the way that its argument says: what the client is held against.
#![forbid(unsafe_code)]

use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use std::time::Duration;
use teneral_contract::manifest::{BodyEntry, StateEntry};
use teneral_contract::{Fingerprint, Manifest};
use teneral_remote::proto::module_server::{Module, ModuleServer};
use teneral_remote::serve::incoming;
use teneral_remote::{LISTEN, proto};
use tonic::{Request, Response, Status, Streaming};

#[derive(Clone)]
struct Liar {
    how: String,
}

type Frames = Pin<Box<dyn Stream<Item = Result<proto::TurnsDone, Status>> + Send>>;

fn manifest() -> Manifest {
    let body = || BodyEntry { fingerprint: Fingerprint(7), shape: serde_json::Value::Null, also: Vec::new() };
    Manifest {
        format: 1,
        abi: [1, 0],
        target: "test".into(),
        panic: "none".into(),
        compiler: "test".into(),
        kind: "liar".into(),
        version: semver::Version::new(1, 0, 0),
        state: StateEntry {
            schema: 1,
            fingerprint: Fingerprint(1),
            shape: serde_json::Value::Null,
            from: Vec::new(),
            down: Vec::new(),
        },
        args: body(),
        messages: Vec::new(),
        requires: Vec::new(),
        capabilities: Vec::new(),
        deterministic: false,
        blocking: false,
        program: None,
    }
}

fn done(turn: &proto::Turn, number: u64) -> proto::TurnDone {
    proto::TurnDone { instance: turn.instance, number, ..proto::TurnDone::default() }
}

impl Liar {
    /// What it answers to a frame.
    fn answer(&self, turns: &[proto::Turn]) -> Vec<proto::TurnDone> {
        let well = || turns.iter().map(|turn| done(turn, turn.number)).collect::<Vec<_>>();
        match self.how.as_str() {
            "order" => turns.iter().rev().map(|turn| done(turn, turn.number + 1)).collect(),
            "twice" => well().into_iter().chain(well()).collect(),
            "unasked" => vec![proto::TurnDone { instance: 999, number: 1, ..proto::TurnDone::default() }],
            "field" => turns
                .iter()
                .map(|turn| {
                    let tell = proto::Tell { to: "nowhere".into(), ..proto::Tell::default() };
                    let effects = vec![proto::Effect { effect: Some(proto::effect::Effect::Tell(tell)) }];
                    proto::TurnDone { effects, ..done(turn, turn.number) }
                })
                .collect(),
            "dies" => std::process::exit(3),
            "silent" => Vec::new(),
            _ => well(),
        }
    }
}

#[tonic::async_trait]
impl Module for Liar {
    type WorkStream = Frames;

    async fn describe(
        &self,
        request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeReply>, Status> {
        let proto::DescribeRequest { nonce, .. } = request.into_inner();
        let digest = if self.how == "digest" { vec![1; 32] } else { vec![7; 32] };
        let nonce = if self.how == "nonce" { bytes::Bytes::from_static(b"0123456789abcdef") } else { nonce };
        let protocol = if self.how == "protocol" { 99 } else { 1 };
        let manifest = match self.how.as_str() {
            "manifest" => "{}".to_owned(),
            _ => serde_json::to_string(&manifest()).unwrap_or_default(),
        };
        let pid = std::process::id();
        Ok(Response::new(proto::DescribeReply { protocol, nonce, digest: digest.into(), manifest, pid }))
    }

    async fn create(&self, _: Request<proto::CreateRequest>) -> Result<Response<proto::MadeReply>, Status> {
        Ok(Response::new(proto::MadeReply { fault: None }))
    }

    async fn restore(&self, _: Request<proto::RestoreRequest>) -> Result<Response<proto::MadeReply>, Status> {
        Ok(Response::new(proto::MadeReply { fault: None }))
    }

    async fn save(&self, _: Request<proto::SaveRequest>) -> Result<Response<proto::StateReply>, Status> {
        match self.how.as_str() {
            "exits in save" => std::process::exit(4),
            "hangs in save" => std::future::pending().await,
            "saves nothing" => Ok(Response::new(proto::StateReply { done: None })),
            _ => Ok(Response::new(proto::StateReply {
                done: Some(proto::state_reply::Done::State(bytes::Bytes::from_static(b"state"))),
            })),
        }
    }

    async fn discard(&self, _: Request<proto::DiscardRequest>) -> Result<Response<proto::DiscardReply>, Status> {
        Ok(Response::new(proto::DiscardReply {}))
    }

    async fn downgrade(&self, _: Request<proto::DowngradeRequest>) -> Result<Response<proto::StateReply>, Status> {
        Err(Status::unimplemented("a liar has no way down"))
    }

    async fn json(&self, _: Request<proto::JsonRequest>) -> Result<Response<proto::JsonReply>, Status> {
        Err(Status::unimplemented("a liar speaks no JSON"))
    }

    async fn work(&self, request: Request<Streaming<proto::Turns>>) -> Result<Response<Frames>, Status> {
        let turns = request.into_inner();
        let frames: Frames = match self.how.as_str() {
            // Nothing is ever read.
            "stops reading" => Box::pin(stream::pending()),
            "floods" => Box::pin(stream::repeat_with(|| {
                let turn = proto::TurnDone { instance: 1, number: 1, ..proto::TurnDone::default() };
                Ok(proto::TurnsDone { turns: vec![turn; 100] })
            })),
            "ends its stream" => Box::pin(stream::empty()),
            _ => {
                let liar = self.clone();
                Box::pin(turns.filter_map(move |frame| {
                    let answer = frame.map(|frame| proto::TurnsDone { turns: liar.answer(&frame.turns) });
                    std::future::ready(Some(answer))
                }))
            }
        };
        Ok(Response::new(frames))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let how = std::env::args().nth(1).unwrap_or_default();
    match how.as_str() {
        "ends" => {
            println!("it has no wish to");
            std::process::exit(5);
        }
        "never ready" => tokio::time::sleep(Duration::from_secs(3600)).await,
        _ => {}
    }
    let listen = std::env::var(LISTEN)?;
    let listener = tokio::net::UnixListener::bind(listen.strip_prefix("unix:").ok_or("a unix: path")?)?;
    tonic::transport::Server::builder()
        .add_service(ModuleServer::new(Liar { how }))
        .serve_with_incoming(incoming(listener))
        .await?;
    Ok(())
}
