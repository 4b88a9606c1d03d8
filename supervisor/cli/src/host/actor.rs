//! `teneral actor`: start, stop, look at and speak to actors.

use super::watch::{self, Next};
use super::{Host, Span, Why, json as parsed, or_dash, selector};
use crate::failure::Failure;
use crate::output::{json_lines, print, print_json, print_on};
use crate::table::{Layout, columns, columns_on};
use semver::Version;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::process::ExitCode;
use teneral::Addr;
use teneral::api::client::part;
use teneral::api::wire::{ActorView, Named, Pause, Say, Start, Stop};
use teneral::api::{ApiError, Client, Watch};
use teneral::upgrade::nearest;

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
    /// Begin an actor anew on the version that it runs, from its start arguments; one that is down is brought back
    Restart(WhoOptions),
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

/// A kind that has no actors.
#[derive(Debug, thiserror::Error)]
#[error("no actor of kind {0}")]
struct Nobody(String);

/// Which actors a verb is for: one, or all of a kind.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// The actor, as kind/key
    #[arg(required_unless_present = "selector")]
    actor: Option<Addr>,
    /// All actors of a kind, one after the other; who fails keeps nobody else
    #[arg(long, short = 'l', value_name = "kind=KIND", value_parser = selector, conflicts_with = "actor")]
    selector: Option<String>,
    #[command(flatten)]
    why: Why,
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
}

/// Whom to hold, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseOptions {
    #[command(flatten)]
    who: Who,
    /// How long at most: then it goes on by itself
    #[arg(long, value_name = "TIME", default_value = "30s")]
    max: Span,
}

/// What to say to which actor.
#[derive(Debug, clap::Args)]
pub(crate) struct SayOptions {
    /// The actor, as kind/key
    actor: Addr,
    /// The message's name, as `teneral artifact inspect` lists it
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
        Command::Restart(WhoOptions { who }) => care(&who, "restart", |actor, reason| json!(Named { actor, reason })),
        Command::Pause(PauseOptions { who, max }) => {
            let max_ms = max.millis();
            care(&who, "pause", |actor, reason| json!(Pause { actor, max_ms, reason }))
        }
        Command::Resume(WhoOptions { who }) => care(&who, "resume", |actor, reason| json!(Named { actor, reason })),
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
    options.host.print(&actors, |actors| columns(&rows(actors, Some(HEAD))))
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
        let is_as_before = |view: &ActorView| before.iter().any(|old| is_same(old, view));
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

fn show(Show { actor, host }: &Show) -> Result<ExitCode, Failure> {
    let path = format!("/v1/actors/{}", part(actor.path()));
    let view: ActorView = host.call(async |client| client.get(&path).await)?;
    host.print(&view, described)
}

fn described(view: &ActorView) -> String {
    let children: Vec<&str> = view.children.iter().map(Addr::path).collect();
    let status = match view.detail.as_str() {
        "" => view.status.clone(),
        detail => format!("{} ({detail})", view.status),
    };
    let rows = [
        ("actor", view.actor.to_string()),
        ("status", status),
        ("desired", or_dash(view.desired.as_ref())),
        ("running", or_dash(view.running.as_ref())),
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
    columns(&rows.map(|(name, value)| vec![name.to_owned(), value]))
}

fn start(StartOptions { actor, args, version, why, host }: StartOptions) -> Result<ExitCode, Failure> {
    let body = Start { actor, version, args, reason: why.reason };
    let view: ActorView = host.call(async |client| client.post("/v1/actors/start", &body).await)?;
    host.print(&view, |view| format!("{} runs {}\n", view.actor, or_dash(view.running.as_ref())))
}

fn stop(StopOptions { mut who }: StopOptions) -> Result<ExitCode, Failure> {
    let timeout_ms = who.host.waits().millis();
    let body = |actor, reason| json!(Stop { actor, reason, timeout_ms });
    each(&who, "stop", body, |actor, stopped: &Value| match stopped["cut_off"].as_bool() {
        Some(true) => format!("{actor} was cut off: its turn did not end in time\n"),
        _ => format!("{actor} has stopped\n"),
    })
}

/// Has the host do something with actors, and shows what each is afterwards.
fn care(who: &Who, act: &str, body: impl Fn(Addr, String) -> Value) -> Result<ExitCode, Failure> {
    each(who, act, body, |_, view: &ActorView| {
        let detail = if view.detail.is_empty() { String::new() } else { format!(" {}", view.detail) };
        format!("{} is {}{detail}, {} messages wait\n", view.actor, view.status, view.queued_messages)
    })
}

/// Has the host do something with one actor, or with all of a kind, one after the other.
fn each<T: Serialize + DeserializeOwned>(
    Who { actor, selector, why, host }: &Who,
    act: &str,
    body: impl Fn(Addr, String) -> Value,
    people: impl Fn(&Addr, &T) -> String,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/actors/{act}");
    let ask = |actor: &Addr| -> Result<T, Failure> {
        let body = body(actor.clone(), why.reason.clone());
        host.call(async |client| client.post(&path, &body).await)
    };
    let Some(kind) = selector else {
        let Some(actor) = actor else { return Ok(ExitCode::SUCCESS) };
        return host.print(&ask(actor)?, |done| people(actor, done));
    };
    let all: Vec<ActorView> = host.call(async |client| client.get("/v1/actors").await)?;
    let (of_kind, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|view| view.actor.kind() == kind);
    if of_kind.is_empty() {
        let hint = nearest::hint(kind, others.iter().map(|view| view.actor.kind()));
        return Err(Failure::new("SYS-NOBODY", &Nobody(kind.clone()), "nothing was done", hint).usage());
    }
    let (mut done, mut failed) = (Vec::new(), None);
    for ActorView { actor, .. } in of_kind {
        match ask(&actor) {
            Ok(answer) if host.json => done.push(answer),
            Ok(answer) => print(people(&actor, &answer))?,
            Err(failure) => {
                eprintln!("{failure}");
                failed = Some(failure.exit_code());
            }
        }
    }
    if host.json {
        print_json(&done)?;
    }
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
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
