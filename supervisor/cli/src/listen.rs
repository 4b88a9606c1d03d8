//! A service's own routes, beside the control socket: listened for where the configuration says.

use crate::config::Serving;
use crate::failure::Failure;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use teneral::System;
use teneral::ingress::{HttpListener, Router};

/// Where a service is asked, if anywhere.
pub(crate) struct Listening(Option<(HttpListener, Router)>);

impl Listening {
    /// Has the address. Nobody is answered yet, and whoever connects waits.
    ///
    /// # Errors
    /// [`Failure`]: it cannot be had.
    pub(crate) async fn begin(system: &System, serving: &Serving) -> Result<Self, Failure> {
        let Some(ingress) = serving.ingress() else { return Ok(Self(None)) };
        let listening = system
            .listen(ingress)
            .await
            .map_err(|error| Failure::new(error.code(), &error, "this command serves nothing", error.hint()))?;
        Ok(Self(Some(listening)))
    }

    /// Answers until the future is dropped.
    pub(crate) async fn serve(&self) -> Infallible {
        let Some((listener, router)) = &self.0 else { return pending().await };
        tracing::info!(address = %listener.address(), "listening");
        listener.serve(router.clone()).await
    }

    /// Lets nobody in any more, and waits at most so long until everybody has the answer that is owed.
    pub(crate) async fn close(self, timeout: Duration) {
        if let Some((listener, _)) = self.0 {
            listener.close(timeout).await;
        }
    }
}
