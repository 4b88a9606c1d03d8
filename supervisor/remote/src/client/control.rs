//! What a process is asked that is no turn, in whichever protocol it speaks.

use super::http;
use crate::proto;
use crate::proto::module_client::ModuleClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The way to a process over gRPC.
pub(super) type Way = InterceptedService<Channel, Marked>;

/// Says of each call which session of a host it is of; of a process of this machine nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Marked(pub(super) Option<MetadataValue<Ascii>>);

impl Interceptor for Marked {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(session) = &self.0 {
            request.metadata_mut().insert(crate::SESSION, session.clone());
        }
        Ok(request)
    }
}

/// The way to a process. A cheap clone.
#[derive(Clone)]
pub(super) enum Control {
    Grpc(ModuleClient<Way>),
    Http(http::Client),
}

macro_rules! asks {
    ($($name:ident $request:ident $reply:ident;)*) => {
        impl Control {
            $(pub(super) async fn $name(&mut self, asked: proto::$request) -> Result<proto::$reply, Status> {
                match self {
                    Self::Grpc(client) => client.$name(asked).await.map(tonic::Response::into_inner),
                    Self::Http(client) => client.$name(asked).await,
                }
            })*
        }
    };
}

asks! {
    describe DescribeRequest DescribeReply;
    create CreateRequest MadeReply;
    restore RestoreRequest MadeReply;
    save SaveRequest StateReply;
    discard DiscardRequest DiscardReply;
    downgrade DowngradeRequest StateReply;
    json JsonRequest JsonReply;
}
