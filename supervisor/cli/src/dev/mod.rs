//! `teneral dev`: a host for one author, which builds what the author saves and moves the running actors to it.
//!
//! * `sources`: what was saved, and whether a library is made of it
//! * `host`: actors and what they run: a build is pushed, and every actor of its kind goes to it with its state
//! * `shelf`: which builds are kept
//! * `saying`: what the author reads, or a program
//!
//! What goes wrong is said and waited out: the code that served serves on, and the next save is another try. At a
//! signal the host stops in order; the next `teneral dev` goes on with the states.

mod host;
mod saying;
mod shelf;
mod sources;

use crate::cargo::{CargoError, Library, Workspace};
use crate::config::{self, Flags, Serving};
use crate::failure::Failure;
use crate::host::json;
use crate::listen::Listening;
use crate::serve::{self, Signals};
use host::{Host, Round};
use saying::Saying;
use serde_json::Value;
use sources::{Changes, Sources};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use teneral::served::{Phase, Socket};
use teneral::trust::Profile;

/// How to develop.
#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    flags: Flags,
    /// Start arguments of the actor that is started for a kind that has none, where no system.toml names any
    #[arg(long, value_parser = json, value_name = "JSON", default_value = "{}")]
    args: Value,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Why it is over.
enum End {
    /// Somebody said so.
    Stop,
    /// The process holds all the libraries that it may: they leave it only with it.
    Anew,
}

/// A host that may not do what this command does.
#[derive(Debug, thiserror::Error)]
#[error("{dir} is to be served as production, where nothing is built and signed on the way")]
struct Production {
    dir: String,
}

/// Serves, and builds at every save, until a signal.
///
/// # Errors
/// [`Failure`]: a production host, no workspace, or what keeps a host from serving.
pub(crate) fn run(options: &Dev) -> Result<ExitCode, Failure> {
    let now = "nothing was built, nobody serves";
    let serving = config::load(&options.flags)?.serving;
    if serving.profile == Profile::Production {
        let error = Production { dir: serving.dir.display().to_string() };
        let hint = "develop in a directory of its own: teneral dev --profile development --dir .teneral-dev";
        return Err(Failure::new("DEV-PRODUCTION", &error, now, hint).usage());
    }
    crate::log::usual("warn,teneral_loader::host=info");
    let workspace = Workspace::find(Path::new(".")).map_err(|error| error.failure(now))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| serve::machine(&error))?;
    let done = runtime.block_on(develop(options, &serving, workspace));
    // A turn that hangs keeps a thread; the process does not wait for it.
    runtime.shutdown_background();
    match done? {
        (End::Stop, code) => Ok(code),
        (End::Anew, _) => Err(anew()),
    }
}

/// This process again, without the libraries that it holds. Returns when that cannot be.
fn anew() -> Failure {
    // Also when the file that it was started from has been built anew.
    let error = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec();
    Failure::new("CLI-MACHINE", &error, "the host has ended; its states are kept", "run teneral dev again")
}

async fn develop(options: &Dev, serving: &Serving, workspace: Workspace) -> Result<(End, ExitCode), Failure> {
    let mut signals = Signals::new()?;
    let says = Saying { json: options.json };
    let mut system = serving.options();
    system.loader.images_warn = system.loader.images_max;
    let system = serve::open(system).await?;
    let socket = Socket::listen(&serving.dir).map_err(|error| serve::of_socket(&error))?;
    let socket = socket.with_connections_max(serving.connections_max);
    let listening = Listening::begin(&system, serving).await?;
    let changes = Changes::watch(&workspace.root)?;
    let upgrade = serving.options().upgrade;
    let (args, root) = (options.args.to_string(), workspace.root.clone());
    let host = Host { system: system.clone(), args, root, upgrade, says };
    system.enter(Phase::Starting);
    let done = tokio::select! {
        never = socket.serve(system.routes()) => match never {},
        done = live(&host, (serving, listening), workspace, changes, &mut signals) => done,
    };
    // Whoever cut it off does not wait for callers.
    if done.is_ok() {
        socket.close(serve::LAST_WORDS).await;
    }
    done
}

/// From the first actor that comes back to the last one that is kept.
async fn live(
    host: &Host,
    (serving, listening): (&Serving, Listening),
    workspace: Workspace,
    changes: Changes,
    signals: &mut Signals,
) -> Result<(End, ExitCode), Failure> {
    let work = async {
        host.come_back().await?;
        host.system.enter(Phase::Serving);
        tokio::select! {
            never = listening.serve() => match never {},
            ended = rounds(host, workspace, changes) => ended,
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        () = signals.next() => Ok(End::Stop),
    };
    listening.close(serve::LAST_WORDS).await;
    let stopped = serve::end(&host.system, serving.stop_timeout, signals).await;
    let ended = ended?;
    match ended {
        End::Stop => host.says.note("stopped", "stopped; the next teneral dev goes on from here")?,
        End::Anew => {
            host.says
                .note("anew", "this process holds as many libraries as it may: it begins anew, with the states")?;
        }
    }
    Ok((ended, stopped?))
}

/// One build after the other, each for a save.
async fn rounds(host: &Host, workspace: Workspace, mut changes: Changes) -> Result<End, Failure> {
    let root = workspace.root.clone();
    let mut sources = Sources::new(root.clone());
    let (mut saved, mut workspace, mut first) = (None, Some(workspace), true);
    loop {
        // Before the build: what is saved while it runs is built after it.
        let seen = sources.look();
        let libraries = build(host, &root, workspace.take(), first).await?;
        sources.made_of(libraries.as_ref().map(|(libraries, _)| &**libraries));
        if let Some((libraries, built)) = libraries
            && host.serve(&libraries, built, saved).await? == Round::Full
        {
            if !first {
                return Ok(End::Anew);
            }
            host.too_few_libraries()?;
        }
        first = false;
        host.sweep()?;
        changes.forget();
        host.says.note("waiting", "waiting for the next save")?;
        // What was saved during the build waited for cargo, and from here on for this host.
        let mut since = Instant::now();
        while !sources.differ(&seen) {
            since = changes.next().await?;
        }
        saved = Some(since);
    }
}

/// What there is, built under a number of its own, and how long that took; says what is in the way.
async fn build(
    host: &Host,
    root: &Path,
    known: Option<Workspace>,
    first: bool,
) -> Result<Option<(Vec<Library>, Duration)>, Failure> {
    let begun = Instant::now();
    let last = match host.last_build() {
        Ok(last) => last,
        Err(failure) => return host.says.failure(&failure).map(|()| None),
    };
    let next = last.map_or(1, |last| last + 1);
    host.says.building(next)?;
    let built = async {
        let workspace = match known {
            Some(workspace) => workspace,
            None => find(root).await?,
        };
        // What was there at the end of the last `teneral dev` need not be another build.
        if let Some(last) = last.filter(|_| first) {
            let libraries = workspace.build(Some(last)).await?;
            if host.knows(&libraries) {
                return Ok(libraries);
            }
        }
        workspace.build(Some(next)).await
    };
    match built.await {
        Ok(libraries) => Ok(Some((libraries, begun.elapsed()))),
        Err(error) => host.says.failure(&error.failure(&host.who_serves())).map(|()| None),
    }
}

async fn find(root: &Path) -> Result<Workspace, CargoError> {
    let root = root.to_owned();
    let found = tokio::task::spawn_blocking(move || Workspace::find(&root)).await;
    found.map_err(|error| CargoError::Output { source: std::io::Error::other(error) })?
}
