//! `teneral actor`: start, stop, look at and speak to actors.

use super::down::downs;
use super::probation::{on_probation, phase};
use super::several::{self, Ask, Who};
use super::watch::{self, Next};
use super::{Host, Span, Why, json as parsed, lasting, or_dash, selector};
use crate::failure::Failure;
use crate::output::{json_lines, print_json, print_on};
use crate::table::{Layout, columns, columns_on};
use clap::ValueEnum;
use semver::Version;
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::process::ExitCode;
use teneral::api::client::part;
use teneral::api::wire::{
    self, ActorView, Checkpoint, Down, HasStopped, Lost, Named, Pause, Restart, Say, Start, Stop,
};
use teneral::api::{ApiError, Client, Watch};
use teneral::{Addr, OnProbation};

/// What to do with actors.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the actors: the version that each comes back on, the one that it runs, and its state's schema
    List(List),
    /// Show all that is known of an actor without asking it
    Show(Show),
    /// Start an actor; it comes back when the host does
    Start(StartOptions),
    /// Stop an actor; its state, and that it was ever started, are forgotten
    Stop(StopOptions),
    /// Begin an actor again on the version that it runs, with its state; one that is down is brought back
    Restart(RestartOptions),
    /// Hold an actor: what is sent to it waits; a second time prolongs it
    Pause(PauseOptions),
    /// Let an actor go on that was held by `actor pause`
    Resume(WhoOptions),
    /// Send an actor a message
    Tell(SayOptions),
    /// Send an actor a request, and print its answer
    Ask(SayOptions),
    /// Print an actor's state
    State(Show),
    /// Show what happens to actors, and to all that they depend on, a line an event, until ^C
    Watch(watch::Options),
}

/// Which actors.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only actors of this kind; the same as -l kind=KIND
    #[arg(long, short = 'k', value_name = "KIND", conflicts_with = "selector")]
    kind: Option<String>,
    /// Only these
    #[arg(long, short = 'l', value_name = "kind=KIND", value_parser = selector)]
    selector: Option<String>,
    /// Go on with a row for each actor that changes, until ^C
    #[arg(long, short = 'w')]
    watch: bool,
    #[command(flatten)]
    host: Host,
}

/// Which actors.
#[derive(Debug, clap::Args)]
pub(crate) struct WhoOptions {
    #[command(flatten)]
    who: Who,
}

/// Which actor.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The actor, as kind/key
    actor: Addr,
    #[command(flatten)]
    host: Host,
}

/// Which actor to start, and from what.
#[derive(Debug, clap::Args)]
pub(crate) struct StartOptions {
    /// The actor, as kind/key
    actor: Addr,
    /// Its start arguments
    #[arg(value_parser = parsed, value_name = "JSON", default_value = "{}")]
    args: Value,
    /// Its version; without it the kind's default
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Which actors to stop; --timeout is how long to wait for a turn to end before the actor is cut off.
#[derive(Debug, clap::Args)]
pub(crate) struct StopOptions {
    #[command(flatten)]
    who: Who,
    /// Stop several without asking
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Which actors to begin again, and from what.
#[derive(Debug, clap::Args)]
pub(crate) struct RestartOptions {
    #[command(flatten)]
    who: Who,
    /// From what it begins
    #[arg(long, value_enum, default_value = "keep")]
    state: BeginFrom,
    /// Give several states up without asking
    #[arg(long, short = 'y')]
    yes: bool,
}

/// From what an actor begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BeginFrom {
    /// From its state as it is, or as it was kept; refused, and the actor as it was, where its code cannot save it
    Keep,
    /// From its start arguments: the state is given up
    Init,
}

/// Whom to hold, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseOptions {
    #[command(flatten)]
    who: Who,
    /// How long at most: then it goes on by itself
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = lasting)]
    max: Span,
}

/// What to say to which actor.
#[derive(Debug, clap::Args)]
pub(crate) struct SayOptions {
    /// The actor, as kind/key
    actor: Addr,
    /// The message's name, as `teneral kind show KIND` lists it
    message: String,
    /// Its fields
    #[arg(value_parser = parsed, value_name = "JSON", default_value = "{}")]
    body: Value,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(options) => list(&options),
        Command::Show(options) => show(&options),
        Command::Start(options) => start(options),
        Command::Stop(options) => stop(options),
        Command::Restart(options) => restart(options),
        Command::Pause(PauseOptions { who, max }) => {
            let max_ms = NonZeroU64::new(max.millis()).unwrap_or(NonZeroU64::MIN);
            care(&who, "pause", None, |actor, reason| json!(Pause { actor, max_ms, reason }))
        }
        Command::Resume(WhoOptions { who }) => {
            care(&who, "resume", None, |actor, reason| json!(Named { actor, reason }))
        }
        Command::Tell(options) => tell(options),
        Command::Ask(options) => ask(options),
        Command::Watch(options) => watch::run(&options),
        Command::State(Show { actor, host }) => {
            let path = format!("/v1/actors/{}/state", part(actor.path()));
            let state: Value = host.call(async |client| client.get(&path).await)?;
            print_json(&state)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

const HEAD: [&str; 8] = ["ACTOR", "STATUS", "DESIRED", "RUNNING", "STATE", "QUEUED", "HANDLED", "RESTARTS"];

fn list(options: &List) -> Result<ExitCode, Failure> {
    if options.watch {
        return options.host.watch("/v1/events", async |client, watch| list_on(options, &client, watch).await);
    }
    let actors = options.host.call(async |client| listed(options, &client).await)?;
    options.host.print(&actors, |actors| {
        let down: Vec<Down> = actors.iter().filter_map(|view| view.down.clone()).collect();
        let on: Vec<OnProbation> = actors.iter().filter_map(|view| view.probation.clone()).collect();
        columns(&rows(actors, Some(HEAD))) + &downs(down.len(), &down) + &on_probation(on.len(), &on)
    })
}

async fn listed(List { kind, selector, .. }: &List, client: &Client) -> Result<Vec<ActorView>, ApiError> {
    let kind = kind.as_ref().or(selector.as_ref());
    let mut actors: Vec<ActorView> = client.get("/v1/actors").await?;
    actors.retain(|view| kind.is_none_or(|kind| view.actor.kind() == kind));
    Ok(actors)
}

fn rows(actors: &[ActorView], head: Option<[&str; 8]>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = head.into_iter().map(|head| head.map(str::to_owned).to_vec()).collect();
    rows.extend(actors.iter().map(|view| {
        vec![
            view.actor.to_string(),
            view.status.clone(),
            or_dash(view.desired.as_ref()),
            or_dash(view.running.as_ref()),
            or_dash(view.schema),
            view.queued_messages.to_string(),
            view.handled.to_string(),
            view.restarts.to_string(),
        ]
    }));
    rows
}

/// The table, and then a row whenever an actor is another one than before.
async fn list_on(options: &List, client: &Client, mut watch: Watch) -> Result<ExitCode, Failure> {
    let mut layout = Layout::default();
    let mut show = |actors: &[ActorView], head| match options.host.json {
        true => print_on(json_lines(actors)?),
        false => print_on(columns_on(&mut layout, &rows(actors, head))),
    };
    let mut before = listed(options, client).await?;
    if let Next::Break(end) = show(&before, Some(HEAD))? {
        return Ok(end);
    }
    while watch::something(&mut watch, |what| what.actor().is_some()).await?.is_some() {
        let now = listed(options, client).await?;
        let gone = before.iter().filter(|old| !now.iter().any(|view| view.actor == old.actor));
        let gone = gone.map(|old| ActorView { status: "gone".to_owned(), running: None, desired: None, ..old.clone() });
        let is_as_before = |view: &ActorView| {
            before.iter().any(|old| is_same(old, view) && (!options.host.json || is_judged_the_same(old, view)))
        };
        let changed: Vec<ActorView> = now.iter().filter(|view| !is_as_before(view)).cloned().chain(gone).collect();
        before = now;
        if !changed.is_empty()
            && let Next::Break(end) = show(&changed, None)?
        {
            return Ok(end);
        }
    }
    Err(watch::stopped())
}

/// Counts of messages are no news.
fn is_same(old: &ActorView, new: &ActorView) -> bool {
    let counts = |view: &ActorView| (view.restarts, view.panics, view.generation);
    (&old.actor, &old.status, &old.detail) == (&new.actor, &new.status, &new.detail)
        && (&old.desired, &old.running, old.schema) == (&new.desired, &new.running, new.schema)
        && counts(old) == counts(new)
}

/// Whether it is on the same probation, and as well. The table has no column for it.
fn is_judged_the_same(old: &ActorView, new: &ActorView) -> bool {
    let phase = |view: &ActorView| view.probation.as_ref().map(|on| (on.upgrade.clone(), on.phase.clone()));
    phase(old) == phase(new)
}

fn show(Show { actor, host }: &Show) -> Result<ExitCode, Failure> {
    let path = format!("/v1/actors/{}", part(actor.path()));
    let view: ActorView = host.call(async |client| client.get(&path).await)?;
    host.print(&view, described)
}

fn described(view: &ActorView) -> String {
    let children: Vec<&str> = view.children.iter().map(Addr::path).collect();
    let status = match (view.detail.as_str(), &view.down) {
        ("", _) | (_, Some(_)) => view.status.clone(),
        (detail, None) => format!("{} ({detail})", view.status),
    };
    let probation = view.probation.as_ref().map(|on| format!("for {}, {}", on.upgrade, phase(on)));
    let rows = [
        ("actor", view.actor.to_string()),
        ("status", status),
        ("desired", or_dash(view.desired.as_ref())),
        ("running", or_dash(view.running.as_ref())),
        ("default", or_dash(view.default.as_ref())),
        ("probation", or_dash(probation)),
        ("state", view.schema.map_or_else(|| "-".to_owned(), |schema| format!("schema {schema}"))),
        ("upgrades", view.generation.to_string()),
        ("queued", format!("{} messages, {} bytes", view.queued_messages, view.queued_bytes)),
        ("outbox", view.outbox_effects.to_string()),
        ("handled", view.handled.to_string()),
        ("failed", format!("{} turns, {} panics", view.failed, view.panics)),
        ("restarts", view.restarts.to_string()),
        ("parent", or_dash(view.parent.as_ref())),
        ("children", if children.is_empty() { "-".to_owned() } else { children.join(", ") }),
    ];
    let mut rows: Vec<(&str, String)> = rows.into();
    // Of whoever runs in a process of its own.
    if let Some(seen) = &view.checkpoint {
        rows.insert(rows.len() - 2, ("checkpoint", checkpoint(seen)));
    }
    if let Some(Down { code, cause, hint, .. }) = view.down.clone() {
        rows.splice(2..2, [("code", code), ("cause", cause), ("hint", hint)]);
    }
    columns(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

/// What an actor goes on from when its process is gone.
fn checkpoint(seen: &Checkpoint) -> String {
    let Checkpoint { at, state_bytes, messages, kept_bytes, not_replayed } = seen;
    let state = match state_bytes {
        Some(bytes) => format!("{bytes} bytes, of {at}"),
        None => "its start arguments".to_owned(),
    };
    let since = match not_replayed {
        None => format!("{messages} messages since, {kept_bytes} bytes"),
        Some(why) => format!("{messages} messages since, which would be lost: {why}"),
    };
    format!("{state}; {since}")
}

fn start(StartOptions { actor, args, version, why, host }: StartOptions) -> Result<ExitCode, Failure> {
    let body = Start { actor, version, args, reason: why.reason };
    let view: ActorView = host.call(async |client| client.post("/v1/actors/start", &body).await)?;
    host.print(&view, |view| format!("{} runs {}\n", view.actor, or_dash(view.running.as_ref())))
}

fn stop(StopOptions { mut who, yes }: StopOptions) -> Result<ExitCode, Failure> {
    let timeout_ms = who.host.waits().millis();
    let body = |actor, reason| json!(Stop { actor, reason, timeout_ms });
    let ask = Ask { about: "to be stopped: their states, and that they were ever started, are forgotten", yes };
    several::each(&who, "stop", Some(&ask), body, |actor, stopped: &HasStopped| {
        let HasStopped { cut_off, lost: Lost { handled, queued_messages, defined }, .. } = stopped;
        let mut lost = vec![match handled {
            Some(handled) => format!("its state after {handled} messages"),
            None => "what was kept of its state".to_owned(),
        }];
        lost.extend((*queued_messages > 0).then(|| format!("{queued_messages} messages that waited (dead letters)")));
        lost.extend(defined.then(|| "that it comes back with the host".to_owned()));
        let end = if *cut_off { "was cut off: its turn did not end in time" } else { "has stopped" };
        format!("{actor} {end}; lost: {}\n", lost.join(", "))
    })
}

fn restart(RestartOptions { who, state, yes }: RestartOptions) -> Result<ExitCode, Failure> {
    let from = match state {
        BeginFrom::Keep => wire::BeginFrom::Keep,
        BeginFrom::Init => wire::BeginFrom::Init,
    };
    let ask = Ask { about: "to begin from their start arguments: their states are forgotten", yes };
    let ask = (state == BeginFrom::Init).then_some(&ask);
    care(&who, "restart", ask, |actor, reason| json!(Restart { actor, state: Some(from), reason }))
}

/// Has the host do something with actors, and shows what each is afterwards.
fn care(who: &Who, act: &str, ask: Option<&Ask>, body: impl Fn(Addr, String) -> Value) -> Result<ExitCode, Failure> {
    several::each(who, act, ask, body, |_, view: &ActorView| {
        let detail = if view.detail.is_empty() { String::new() } else { format!(" {}", view.detail) };
        format!("{} is {}{detail}, {} messages wait\n", view.actor, view.status, view.queued_messages)
    })
}

fn said(SayOptions { actor, message, body, why, host }: SayOptions) -> (Host, Say) {
    let mut host = host.because(&why);
    let timeout_ms = Some(host.waits().millis());
    (host, Say { actor, message, body, timeout_ms })
}

fn tell(options: SayOptions) -> Result<ExitCode, Failure> {
    let (host, body) = said(options);
    let told: Value = host.call(async |client| client.post("/v1/actors/tell", &body).await)?;
    host.print(&told, |_| String::new())
}

fn ask(options: SayOptions) -> Result<ExitCode, Failure> {
    let (host, body) = said(options);
    let answer: Value = host.call(async |client| client.post("/v1/actors/ask", &body).await)?;
    if host.json {
        return host.print(&answer, |_| String::new());
    }
    print_json(&answer["reply"])?;
    Ok(ExitCode::SUCCESS)
}
