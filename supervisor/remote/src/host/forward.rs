//! What is said to a module passes through as it is: heads, streams and trailers, in both directions.

use super::gate::Peer;
use super::sessions::Sessions;
use crate::SESSION;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tower::ServiceExt;

/// See the module. A cheap clone.
#[derive(Clone)]
pub(super) struct Forward(pub(super) Sessions);

impl NamedService for Forward {
    const NAME: &'static str = "teneral.module.v1.Module";
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Service<http::Request<Body>> for Forward {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Answer {
        let peer = request.extensions().get::<Peer>().cloned();
        let session = request.headers_mut().remove(SESSION);
        let channel = session.and_then(|id| self.0.channel(id.to_str().ok()?, &peer?));
        Box::pin(async move {
            let Some(channel) = channel else {
                return Ok(Status::unauthenticated("there is no such session of this supervisor's").into_http());
            };
            Ok(channel.oneshot(request).await.unwrap_or_else(|error| {
                // What is behind it stands at the end.
                let why = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source()).last();
                let why = why.map_or_else(|| error.to_string(), ToString::to_string);
                Status::unavailable(format!("the module does not answer: {why}")).into_http()
            }))
        })
    }
}
