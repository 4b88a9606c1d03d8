//! A service's own routes and the host's metrics, beside the control socket: listened for where the configuration says.

use crate::config::Serving;
use crate::failure::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use teneral::System;
use teneral::ingress::{HttpListener, ListenError, Router};

/// Descriptors that are left to libraries, the store and what actors open.
const DESCRIPTORS_KEPT: usize = 256;

/// Scrapers at a time; their descriptors are among those that are left to the rest.
const SCRAPERS_MAX: usize = 16;

/// What listens, and what it answers with.
type Door = (HttpListener, Router);

/// Where a service is asked, and where its host is looked at, if anywhere.
pub(crate) struct Listening {
    service: Option<Door>,
    metrics: Option<Door>,
}

impl Listening {
    /// Has the addresses. Nobody is answered yet, and whoever connects waits.
    ///
    /// # Errors
    /// [`Failure`]: one cannot be had.
    pub(crate) async fn begin(system: &System, serving: &Serving) -> Result<Self, Failure> {
        let descriptors = descriptors();
        let failed =
            |error: ListenError| Failure::new(error.code(), &error, "this command serves nothing", error.hint());
        let metrics = match serving.metrics_listen {
            Some(address) => Some((HttpListener::bind(address, SCRAPERS_MAX).await.map_err(failed)?, system.metrics())),
            None => None,
        };
        let Some(mut ingress) = serving.ingress() else { return Ok(Self { service: None, metrics }) };
        let room = room(descriptors, serving.connections_max);
        if room < ingress.connections_max {
            let wanted = ingress.connections_max;
            tracing::warn!(room, wanted, descriptors, "http.connections_max is more than ulimit -Hn leaves");
            ingress.connections_max = room;
        }
        let service = Some(system.listen(ingress).await.map_err(failed)?);
        Ok(Self { service, metrics })
    }

    /// Answers until the future is dropped.
    pub(crate) async fn serve(&self) -> Infallible {
        tokio::join!(answers(&self.service, "listening"), answers(&self.metrics, "metrics are listening")).0
    }

    /// Lets nobody in any more, and waits at most so long until everybody has the answer that is owed.
    pub(crate) async fn close(self, timeout: Duration) {
        let close = |door: Option<Door>| async move {
            if let Some((listener, _)) = door {
                listener.close(timeout).await;
            }
        };
        tokio::join!(close(self.service), close(self.metrics));
    }
}

async fn answers(door: &Option<Door>, what: &str) -> Infallible {
    let Some((listener, router)) = door else { return pending().await };
    tracing::info!(address = %listener.address(), "{what}");
    listener.serve(router.clone()).await
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
