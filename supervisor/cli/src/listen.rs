//! A service's own routes, beside the control socket: listened for where the configuration says.

use crate::config::Serving;
use crate::failure::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use teneral::System;
use teneral::ingress::{HttpListener, Router};

/// Descriptors that are left to libraries, the store and what actors open.
const DESCRIPTORS_KEPT: usize = 256;

/// Where a service is asked, if anywhere.
pub(crate) struct Listening(Option<(HttpListener, Router)>);

impl Listening {
    /// Has the address. Nobody is answered yet, and whoever connects waits.
    ///
    /// # Errors
    /// [`Failure`]: it cannot be had.
    pub(crate) async fn begin(system: &System, serving: &Serving) -> Result<Self, Failure> {
        let descriptors = descriptors();
        let Some(mut ingress) = serving.ingress() else { return Ok(Self(None)) };
        let room = room(descriptors, serving.connections_max);
        if room < ingress.connections_max {
            let wanted = ingress.connections_max;
            tracing::warn!(room, wanted, descriptors, "http.connections_max is more than ulimit -Hn leaves");
            ingress.connections_max = room;
        }
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

/// As many descriptors as this user may have; how many that is. The usual number is less than the usual connections.
fn descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}

/// Connections over HTTP for which there are descriptors, besides those of the control socket; at least one.
fn room(descriptors: usize, control: usize) -> usize {
    descriptors.saturating_sub(DESCRIPTORS_KEPT).saturating_sub(control).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_the_rest() {
        assert_eq!(room(1024, 64), 704);
        assert_eq!(room(100, 64), 1);
        assert_eq!(room(usize::MAX, 64), usize::MAX - 256 - 64);
    }
}
