//! `teneral serve`: a host of one directory, from the moment that it says how it is until it is told to stop.
//!
//! What is defined is back before the socket takes orders, so that whoever commands the host finds it whole. At a
//! signal it takes none any more, lets the actors empty their mailboxes, keeps their states and ends; one that is still
//! starting takes up no further state. A second signal ends it at once, as kill -9 would: what is defined comes back
//! from its start arguments, unless nobody was let in yet.

use crate::config::{self, Flags, Serving};
use crate::failure::Failure;
use crate::listen::Listening;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use teneral::served::{Phase, Socket, SocketError};
use teneral::upgrade::chain;
use teneral::{AfterProduction, CameBack, Defined, Options, System, SystemError};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals within this time of one another are one wish to stop.
const ONE_WISH: Duration = Duration::from_secs(2);

/// How long between two looks at upgrades that come to their end.
const LOOK: Duration = Duration::from_millis(10);

/// How long callers have for the answer that they are owed when all is done.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

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
    let system = tokio::select! {
        opened = open(options) => opened?,
        () = signals.next() => {
            tracing::info!("stopped before the directory was open");
            return Ok(ExitCode::SUCCESS);
        }
    };
    system.enter(Phase::Starting);
    // Had before anybody comes back: a host that cannot be asked would have no use for them.
    let socket = Socket::listen(&serving.dir).map_err(|error| of_socket(&error))?;
    let socket = socket.with_connections_max(serving.connections_max);
    let listening = Listening::begin(&system, serving).await?;
    let done = tokio::select! {
        never = socket.serve(system.routes()) => match never {},
        done = live(&system, serving, listening, &mut signals) => done,
    };
    // Whoever cut it off does not wait for callers.
    if done.is_ok() {
        socket.close(LAST_WORDS).await;
    }
    done
}

/// From the first actor that comes back to the last one that is kept.
async fn live(
    system: &System,
    serving: &Serving,
    listening: Listening,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let whole = tokio::select! {
        back = system.start_defined() => Some(back.map_err(|error| of_system(&error))?),
        () = signals.next() => None,
    };
    if let Some(back) = whole {
        // Not kept: who holds an actor that stops holds its process.
        back.into_iter().for_each(|one| say_back(&one));
        system.enter(Phase::Serving);
        let (pid, actors, profile) = (std::process::id(), system.actors().len(), serving.profile.as_str());
        tracing::info!(dir = %serving.dir.display(), pid, actors, profile, "ready");
        notify(b"READY=1");
        tokio::select! {
            never = listening.serve() => match never {},
            () = signals.next() => {}
        }
    }
    // Before the actors stop: whoever is inside has an answer.
    listening.close(serving.stop_timeout / 6).await;
    end(system, serving.stop_timeout, signals).await
}

/// Stops in order, unless another signal comes.
pub(crate) async fn end(system: &System, timeout: Duration, signals: &mut Signals) -> Result<ExitCode, Failure> {
    // From here on nobody is let in, and no state is taken up.
    system.enter(Phase::Stopping);
    tracing::info!(actors = system.actors().len(), "stopping");
    notify(b"STOPPING=1");
    tokio::select! {
        stopped = stop(system, timeout) => stopped,
        () = signals.next() => {
            let error = std::io::Error::other("a second signal");
            let hint = "let it stop by itself, as --stop-timeout says";
            Err(Failure::new("CLI-CUT-OFF", &error, "states were not kept", hint))
        }
    }
}

fn say_back(defined: &Defined<CameBack>) {
    let actor = &defined.addr;
    match &defined.outcome {
        Ok(back) => {
            let info = back.actor.info();
            let (kind, version, generation) = (actor.kind(), info.version, info.generation.0);
            if back.with_state {
                tracing::info!(%actor, kind, %version, generation, "came back with its state");
            } else {
                let why = "no state was kept";
                tracing::warn!(%actor, kind, %version, generation, why, "began anew from its start arguments");
            }
        }
        Err(error) => {
            let code = error.code();
            tracing::error!(%actor, code, cause = chain(error), hint = error.hint(), "did not come back");
        }
    }
}

pub(crate) async fn open(mut options: Options) -> Result<System, Failure> {
    options.who = std::env::var("USER").map_or_else(|_| own_uid(), |name| format!("user {name}"));
    let opened = tokio::task::spawn_blocking(move || System::open_with(options)).await;
    opened.map_err(|error| machine(&error))?.map_err(|error| of_system(&error))
}

/// Who asks for upgrades, where the environment has no name: only this user reaches the socket.
fn own_uid() -> String {
    std::fs::metadata("/proc/self").map_or_else(|_| "this user".to_owned(), |own| format!("uid {}", own.uid()))
}

/// Answers who was let in, lets upgrades come to their end, empties mailboxes, keeps states.
async fn stop(system: &System, timeout: Duration) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    if !system.answered(timeout / 3).await {
        tracing::warn!("callers of the control socket are left without an answer");
    }
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
fn notify(what: &[u8]) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let said = UnixDatagram::unbound().and_then(|socket| match path.as_bytes() {
        [b'@', name @ ..] => socket.send_to_addr(what, &SocketAddr::from_abstract_name(name)?),
        _ => socket.send_to(what, &path),
    });
    if let Err(error) = said {
        tracing::warn!(%error, "NOTIFY_SOCKET was not told");
    }
}

/// What asks a process to end.
///
/// A hangup is one of them: a host that was started from a terminal keeps its states when that is closed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// When the last one was heeded.
    heeded: Option<Instant>,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| machine(&error));
        let (interrupt, terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: on(SignalKind::hangup())?, heeded: None })
    }

    /// The next one that is meant as one: whoever ends a process often signals its group besides.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.hangup.recv() => {}
            }
            if self.heeded.is_none_or(|heeded| heeded.elapsed() >= ONE_WISH) {
                self.heeded = Some(Instant::now());
                return;
            }
        }
    }
}

pub(crate) fn machine(error: &dyn std::error::Error) -> Failure {
    Failure::new("CLI-MACHINE", error, "this command serves nothing", "mend what the cause says, and try again")
}

pub(crate) fn of_socket(error: &SocketError) -> Failure {
    Failure::new(error.code(), error, "this command serves nothing", error.hint())
}

pub(crate) fn of_system(error: &SystemError) -> Failure {
    Failure::new(error.code(), error, "this command serves nothing", error.hint())
}
