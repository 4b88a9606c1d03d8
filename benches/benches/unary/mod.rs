//! The peer: one unary call of tonic over a unix socket, which sends back what it was sent. The message is one of the
//! module protocol's, so that nothing need be generated for it.

use benches::work::Counter;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use teneral_remote::proto::module_client::ModuleClient;
use teneral_remote::proto::module_server::{Module, ModuleServer};
use teneral_remote::proto::{self, state_reply::Done};
use teneral_remote::serve::incoming;
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status, Streaming};

/// Where to serve, in the environment of the process that does.
pub(crate) const SERVE: &str = "TENERAL_BENCH_UNARY";

struct Echo;

/// Serves for ever, on one thread, as a module does.
pub(crate) fn serve(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).expect("the name is free");
        let served =
            Server::builder().add_service(ModuleServer::new(Echo)).serve_with_incoming(incoming(listener)).await;
        served.expect("it serves until it is killed");
    });
}

/// Its client.
#[derive(Clone)]
pub(crate) struct Unary(ModuleClient<Channel>);

impl Unary {
    pub(crate) async fn connect(socket: &Path) -> Self {
        loop {
            let socket = socket.to_owned();
            let connect = move |_: Uri| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            };
            let channel =
                Endpoint::from_static("http://unary").connect_with_connector(tower::service_fn(connect)).await;
            match channel {
                Ok(channel) => return Self(ModuleClient::new(channel)),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn echo(&self, bytes: &'static [u8]) -> Bytes {
        let request = proto::DowngradeRequest { state: Bytes::from_static(bytes), to_schema: 0 };
        let reply = self.0.clone().downgrade(request).await.expect("it echoes").into_inner();
        match reply.done {
            Some(Done::State(state)) => state,
            other => unreachable!("it echoes: {other:?}"),
        }
    }
}

impl Counter for Unary {
    async fn add(&self) {
        self.echo(&[1; 16]).await;
    }

    async fn echo(&self) -> [u8; 16] {
        Self::echo(self, &[1; 16]).await.as_ref().try_into().expect("16 bytes")
    }

    async fn count(&self) -> u64 {
        unreachable!("it is not told")
    }
}

fn no<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("it echoes"))
}

#[tonic::async_trait]
impl Module for Echo {
    type WorkStream = Pin<Box<dyn futures_util::Stream<Item = Result<proto::TurnsDone, Status>> + Send>>;

    async fn downgrade(
        &self,
        request: Request<proto::DowngradeRequest>,
    ) -> Result<Response<proto::StateReply>, Status> {
        Ok(Response::new(proto::StateReply { done: Some(Done::State(request.into_inner().state)) }))
    }

    async fn describe(&self, _: Request<proto::DescribeRequest>) -> Result<Response<proto::DescribeReply>, Status> {
        no()
    }

    async fn create(&self, _: Request<proto::CreateRequest>) -> Result<Response<proto::MadeReply>, Status> {
        no()
    }

    async fn restore(&self, _: Request<proto::RestoreRequest>) -> Result<Response<proto::MadeReply>, Status> {
        no()
    }

    async fn save(&self, _: Request<proto::SaveRequest>) -> Result<Response<proto::StateReply>, Status> {
        no()
    }

    async fn discard(&self, _: Request<proto::DiscardRequest>) -> Result<Response<proto::DiscardReply>, Status> {
        no()
    }

    async fn json(&self, _: Request<proto::JsonRequest>) -> Result<Response<proto::JsonReply>, Status> {
        no()
    }

    async fn work(&self, _: Request<Streaming<proto::Turns>>) -> Result<Response<Self::WorkStream>, Status> {
        no()
    }
}
