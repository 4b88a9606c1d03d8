//! `teneral serve`: a host of one directory, from the moment that it answers until it is told to stop.
//!
//! What is defined is back before the socket answers, so that whoever reaches the host finds it whole. At a signal it
//! listens no more, lets the actors empty their mailboxes, keeps their states and ends; a second signal ends it at
//! once, as kill -9 would: what is defined comes back from its start arguments.

use crate::config::{self, Flags, Serving};
use crate::failure::{Failure, chain};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use teneral::served::{Socket, SocketError};
use teneral::{AfterProduction, Options, System, SystemError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long between two looks at upgrades that come to their end.
const LOOK: Duration = Duration::from_millis(10);

/// How to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// Let a directory that was served as production be a development one from now on
    #[arg(long)]
    leave_production: bool,
}

/// Serves until a signal.
///
/// # Errors
/// [`Failure`]: the directory is in use or not this user's, the socket cannot be had, or states were not kept.
pub(crate) fn run(options: &Serve) -> Result<ExitCode, Failure> {
    let serving = config::load(&options.flags)?.serving;
    crate::log::of_host(&serving.log_level, serving.log_format);
    let mut system = serving.options();
    if options.leave_production {
        system.after_production = AfterProduction::Leave;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| machine(&error))?;
    let done = runtime.block_on(serve(&serving, system));
    // A turn that hangs keeps a thread; the process does not wait for it.
    runtime.shutdown_background();
    done
}

async fn serve(serving: &Serving, options: Options) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let dir = &serving.dir;
    let system = open(options).await?;
    // Had before anybody comes back, whose state is used up by that; it answers after.
    let socket = Socket::listen(dir).map_err(|error| of_socket(&error))?;
    let socket = socket.with_connections_max(serving.connections_max);
    for defined in system.start_defined().await.map_err(|error| of_system(&error))? {
        let actor = &defined.addr;
        match defined.outcome {
            Ok(back) => {
                let version = back.actor.info().version;
                tracing::info!(%actor, %version, with_state = back.with_state, "came back");
            }
            Err(error) => {
                let code = error.code();
                tracing::error!(%actor, code, cause = chain(&error), hint = error.hint(), "did not come back");
            }
        }
    }
    let (pid, actors, profile) = (std::process::id(), system.actors().len(), serving.profile.as_str());
    tracing::info!(dir = %dir.display(), pid, actors, profile, "ready");
    say_ready();
    tokio::select! {
        never = socket.serve(system.routes()) => match never {},
        () = signals.next() => {}
    }
    tracing::info!(actors = system.actors().len(), "stopping");
    tokio::select! {
        stopped = stop(&system, socket, serving.stop_timeout) => stopped,
        () = signals.next() => {
            let error = std::io::Error::other("a second signal");
            let hint = "let it stop by itself, as --stop-timeout says";
            Err(Failure::new("CLI-CUT-OFF", &error, "states were not kept", hint))
        }
    }
}

async fn open(mut options: Options) -> Result<System, Failure> {
    options.who = std::env::var("USER").map_or_else(|_| own_uid(), |name| format!("user {name}"));
    let opened = tokio::task::spawn_blocking(move || System::open_with(options)).await;
    opened.map_err(|error| machine(&error))?.map_err(|error| of_system(&error))
}

/// Who asks for upgrades, where the environment has no name: only this user reaches the socket.
fn own_uid() -> String {
    std::fs::metadata("/proc/self").map_or_else(|_| "this user".to_owned(), |own| format!("uid {}", own.uid()))
}

/// Lets nobody in any more, answers who is inside, lets upgrades come to their end, empties mailboxes, keeps states.
async fn stop(system: &System, socket: Socket, timeout: Duration) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    socket.close(timeout / 3).await;
    while !system.running().is_empty() && begun.elapsed() < timeout / 2 {
        tokio::time::sleep(LOOK).await;
    }
    let closed = system.close(timeout.saturating_sub(begun.elapsed())).await.map_err(|error| {
        Failure::new(error.code(), &error, "the host has ended, and states were not kept", error.hint())
    })?;
    let mut lost = 0;
    for defined in &closed {
        if let Err(error) = &defined.outcome {
            let (actor, code) = (&defined.addr, error.code());
            tracing::error!(%actor, code, cause = chain(error), "its state was not kept");
            lost += 1;
        }
    }
    tracing::info!(kept = closed.len() - lost, lost, "stopped");
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells systemd, if it asked (`Type=notify`).
fn say_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let said = UnixDatagram::unbound().and_then(|socket| match path.as_bytes() {
        [b'@', name @ ..] => socket.send_to_addr(b"READY=1", &SocketAddr::from_abstract_name(name)?),
        _ => socket.send_to(b"READY=1", &path),
    });
    if let Err(error) = said {
        tracing::warn!(%error, "NOTIFY_SOCKET was not told");
    }
}

/// What asks a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| machine(&error));
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn machine(error: &dyn std::error::Error) -> Failure {
    Failure::new("CLI-MACHINE", error, "this command serves nothing", "mend what the cause says, and try again")
}

fn of_socket(error: &SocketError) -> Failure {
    Failure::new(error.code(), error, "this command serves nothing", error.hint())
}

fn of_system(error: &SystemError) -> Failure {
    Failure::new(error.code(), error, "this command serves nothing", error.hint())
}
