//! The host's own actors: those that every system has, and those that a service registers.

use crate::{System, SystemError};
use std::path::Path;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_native::{Grants, Host, Limits, Native, NotNative};
use teneral_runtime::{ActorRef, Runtime, Start};

/// Starts those that every system has. Blocks for a moment.
pub(crate) fn start(
    runtime: &Runtime,
    limits: Limits,
    grants: Grants,
    ca_file: Option<&Path>,
) -> Result<Host, SystemError> {
    let host = Host::new(limits).map_err(none)?;
    let message_bytes_max = runtime.config().message_bytes_max;
    for start in teneral_native::built_in(&host, grants, message_bytes_max, ca_file).map_err(none)? {
        begin(runtime, start)?;
    }
    Ok(host)
}

fn none(source: NotNative) -> SystemError {
    SystemError::Native(source)
}

fn begin(runtime: &Runtime, start: Start) -> Result<ActorRef, SystemError> {
    let addr = start.addr.clone();
    runtime.start(start).map_err(|source| SystemError::Start { addr, source })
}

/// Who holds them while actors come back.
const STARTING: &str = "start";

/// How long at most.
const STARTING_MAX: Duration = Duration::from_secs(600);

/// The host's own actors, held: what they are asked meanwhile waits. Dropped, they go on.
pub(crate) struct Held(Vec<ActorRef>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(|native| native.resume(STARTING));
    }
}

/// Refuses an order to one of them: nobody would bring it back before the host begins anew.
pub(crate) fn unless_own(addr: &Addr) -> Result<(), SystemError> {
    match addr.kind() == teneral_native_api::KIND {
        true => Err(SystemError::Own { addr: addr.clone() }),
        false => Ok(()),
    }
}

impl System {
    /// Holds the host's own actors. Blocks until each is at a message boundary, which is at once.
    pub(crate) fn hold_natives(&self) -> Held {
        let mut natives = self.runtime().actors_of(teneral_native_api::KIND);
        natives.retain(|native| match native.pause(STARTING, STARTING_MAX) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(actor = %native.addr(), %error, "it is not held while actors come back");
                false
            }
        });
        Held(natives)
    }

    /// Registers an asynchronous actor of the host's own: actors reach it as `native/{name}`, as they reach any actor.
    /// It lives as long as the system; who may use it is its own affair, [`Call::sender`](crate::native::Call::sender)
    /// says who asks. `supervisor/system/examples/native.rs` is one.
    ///
    /// # Errors
    /// [`SystemError::Native`] when it cannot be called so; [`SystemError::Start`] when another one is.
    pub async fn native<N: Native>(&self, name: &str, native: N) -> Result<ActorRef, SystemError> {
        let name = name.to_owned();
        self.blocking("a start", move |inner| {
            let start = inner.natives.start_of(&name, native).map_err(none)?;
            begin(&inner.runtime, start)
        })
        .await
    }
}
