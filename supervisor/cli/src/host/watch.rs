//! `--watch` and `teneral actor watch`: what happens at a host, a line at a time, until somebody has seen enough.
//!
//! ^C ends a watch with 130 and no word; a reader that leaves ends it well; a host that goes ends it with 3, one that
//! shows no life any more and the time of `--timeout` with 4.

use super::Host;
use crate::failure::Failure;
use crate::output::print_on;
use serde_json::{Value, json};
use std::fmt;
use std::future::pending;
use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use teneral::Addr;
use teneral::api::client::part;
use teneral::api::event::{Event, Gap, Happened, Since};
use teneral::api::wire::{ActorView, KindView};
use teneral::api::{ApiError, Client, Told, Watch};
use teneral::upgrade::nearest;

/// What a shell says of a command that ^C ended.
const INTERRUPTED: u8 = 130;

/// How long to wait for more of what happens at once, before the host is asked how things stand.
const TOGETHER: Duration = Duration::from_millis(50);

/// What of it is taken together at most.
const TOGETHER_MAX: usize = 256;

/// What to watch.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this actor, as kind/key
    actor: Option<Addr>,
    /// Only this kind and its actors
    #[arg(long = "selector", short = 'l', value_name = "kind=KIND", conflicts_with = "actor")]
    kind: Option<OfKind>,
    /// Also watch an actor or a kind that is not there yet, or not any more
    #[arg(long)]
    wait: bool,
    /// Begin after this event, whose id `--json` shows as boot and seq: SEQ, or BOOT-SEQ; 0 is all that is kept
    #[arg(long, value_name = "ID")]
    since: Option<Since>,
    #[command(flatten)]
    host: Host,
}

/// A selector: `kind=KIND`.
#[derive(Debug, Clone)]
pub(crate) struct OfKind(pub(crate) String);

impl FromStr for OfKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("kind", kind)) if !kind.is_empty() => Ok(Self(kind.to_owned())),
            _ => Err("write kind=KIND, as in kind=counter".to_owned()),
        }
    }
}

/// What a watch goes on from: whether it goes on, or how it ends.
pub(super) type Next = ControlFlow<ExitCode>;

/// Shows what happens.
///
/// # Errors
/// [`Failure`]: what the host says; that it is gone.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { actor, kind, since, host, .. } = options;
    let mut wanted = Vec::new();
    wanted.extend(actor.as_ref().map(|actor| format!("actor={}", part(actor.path()))));
    wanted.extend(kind.as_ref().map(|OfKind(kind)| format!("kind={}", part(kind))));
    wanted.extend(since.map(|since| format!("since={since}")));
    host.watch(&format!("/v1/events?{}", wanted.join("&")), async |client, mut watch| {
        // Watched by now: who comes between the two is known, or is seen to come.
        if !options.wait {
            known(options, &client).await?;
        }
        while let Some(told) = watch.next().await? {
            if let ControlFlow::Break(end) = print_on(line(&told, host))? {
                return Ok(end);
            }
        }
        Err(stopped())
    })
}

/// That there is somebody to watch: a slip in a name would be a watch that never says anything.
async fn known(Options { actor, kind, .. }: &Options, client: &Client) -> Result<(), Failure> {
    if let Some(actor) = actor {
        let found = client.get::<ActorView>(&format!("/v1/actors/{}", part(actor.path()))).await;
        found.map_err(|error| match &*error.code {
            "SYS-ACTOR" => {
                let hint = format!("{}; or wait for it: teneral actor watch {actor} --wait", error.hint);
                ApiError { hint: hint.into(), ..error }
            }
            _ => error,
        })?;
    }
    let Some(OfKind(kind)) = kind else { return Ok(()) };
    let kinds: Vec<KindView> = client.get("/v1/kinds").await?;
    let actors: Vec<ActorView> = client.get("/v1/actors").await?;
    let mut known: Vec<&str> = kinds.iter().map(|view| view.kind.as_str()).collect();
    known.extend(actors.iter().map(|view| view.actor.kind()));
    if known.contains(&kind.as_str()) {
        return Ok(());
    }
    let hint = format!("{}; or wait for it: --wait", nearest::hint(kind, known));
    Err(Failure::new("SYS-KIND", &Stranger(kind.clone()), "nothing is watched", hint).usage())
}

/// A kind of which there is nothing.
#[derive(Debug, thiserror::Error)]
#[error("no artifact and no actor of kind {0}")]
struct Stranger(String);

/// What is told, as one line.
pub(super) fn line(told: &Told, host: &Host) -> String {
    match told {
        Told::Event(_, json) if host.json => format!("{json}\n"),
        Told::Event(event, _) => format!("{}\n", Line(event)),
        Told::Gap(gap) if host.json => format!("{}\n", gap_json(gap)),
        Told::Gap(Gap { missed: Some(missed) }) => format!("-- {missed} events were missed\n"),
        Told::Gap(Gap { missed: None }) => "-- the host began anew: what was missed is not known\n".to_owned(),
    }
}

fn gap_json(gap: &Gap) -> Value {
    json!({ "event": "gap", "missed": gap.missed })
}

/// An event as one line.
pub(super) struct Line<'a>(pub(super) &'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, what, .. } = self.0;
        let actor = what.actor().map_or("-", Addr::path);
        write!(f, "{at:.3}  {actor:<20}  {what}")
    }
}

impl Host {
    /// Watches what happens, and has `show` make of it what it shows.
    ///
    /// # Errors
    /// [`Failure`]: what `show` and the host say; that the host is gone.
    pub(super) fn watch(
        &self,
        path: &str,
        show: impl AsyncFnOnce(Client, Watch) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        self.goes_on(async |client| {
            let watch = client.watch(path).await?;
            show(client, watch).await
        })
    }

    /// Shows what goes on until it ends, its time is over or somebody has seen enough.
    ///
    /// # Errors
    /// [`Failure`]: what `show` says; that the host is gone.
    pub(super) fn goes_on(
        &self,
        show: impl AsyncFnOnce(Client) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        let (runtime, client) = (super::runtime()?, self.client()?);
        let over = async {
            match self.within() {
                Some(within) => {
                    tokio::time::sleep(within).await;
                    within
                }
                None => pending().await,
            }
        };
        runtime.block_on(async {
            tokio::select! {
                shown = show(client) => shown.map_err(|failure| match failure.code() {
                    "CTL-LOST" => failure.down(),
                    _ => failure,
                }),
                _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
                within = over => Err(enough(within)),
            }
        })
    }
}

/// Waits until something happens that `matters`, and lets what happens with it pass. `None`: the host stops.
pub(super) async fn something(
    watch: &mut Watch,
    mut matters: impl FnMut(&Happened) -> bool,
) -> Result<Option<()>, Failure> {
    let mut counts = |told: &Told| match told {
        Told::Event(event, _) => matters(&event.what),
        Told::Gap(_) => true,
    };
    loop {
        let Some(told) = watch.next().await? else { return Ok(None) };
        if counts(&told) {
            break;
        }
    }
    for _ in 0..TOGETHER_MAX {
        match tokio::time::timeout(TOGETHER, watch.next()).await {
            Ok(told) => {
                if told?.is_none() {
                    return Ok(None);
                }
            }
            Err(_) => break,
        }
    }
    Ok(Some(()))
}

/// A watch that was to last so long.
#[derive(Debug, thiserror::Error)]
#[error("the watch is over after {0:?}, as --timeout says")]
struct Enough(Duration);

fn enough(within: Duration) -> Failure {
    let hint = "watch longer, or leave --timeout out: then ^C ends it";
    Failure::new("CLI-TIMEOUT", &Enough(within), "what was watched goes on", hint).late()
}

/// The host has said its last word.
pub(super) fn stopped() -> Failure {
    let error = io::Error::other("the host stops");
    Failure::new("CTL-STOPPING", &error, "nothing happens there any more", "start it again: teneral serve").down()
}
