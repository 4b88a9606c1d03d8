//! What a process is asked that is no turn, in whichever protocol it speaks.

use super::http;
use crate::proto;
use crate::proto::module_client::ModuleClient;
use tonic::Status;
use tonic::transport::Channel;

/// The way to a process. A cheap clone.
#[derive(Clone)]
pub(super) enum Control {
    Grpc(ModuleClient<Channel>),
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
