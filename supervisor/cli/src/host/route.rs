//! `teneral route`: two versions of a kind side by side.

use super::progress::Of;
use super::upgrade::bounds::Bounds;
use super::{Host, Why, or_dash, when};
use crate::failure::Failure;
use crate::table::{columns, harmless, words};
use semver::Version;
use std::process::ExitCode;
use std::str::FromStr;
use teneral::Addr;
use teneral::api::client::part;
use teneral::api::wire::{
    EndRoute, Refusal, Rerouted, RouteChange, RouteExplained, RouteHistory, RouteRule, RouteView, RouteWeight, SetRoute,
};

/// What to do with routes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say how many percent of a kind's actors get which of two versions, and move those whose version changes
    ///
    /// Each moves with its state, by an upgrade, within the bounds below. An actor that a growing canary took stays
    /// with it. The same again moves those who were left.
    Set(Box<Set>),
    /// Show who gets which version, how far the actors are, and how both versions do
    Status(OfKind),
    /// Give the whole kind to the canary, and make it the default when all are there
    Promote(Box<End>),
    /// Give the whole kind back to the stable version, whatever moves
    ///
    /// Who is on probation goes back with the work that it did; all others by the newer code's own step down.
    Abort(Box<End>),
    /// Say which version an actor gets, and which rule or bucket decided; it need not be there
    Explain(Explain),
    /// List what was done to a kind's route: who, when, why
    History(OfKind),
}

/// What is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The kind
    kind: String,
    /// One version or two with their percent, together 100
    #[arg(required = true, value_name = "VERSION=PERCENT")]
    weights: Vec<Typed>,
    /// The actor of this key gets the canary, whatever the weights are; the rules stand in place of those before
    #[arg(long = "match", value_name = "key=KEY", value_parser = matched)]
    matches: Vec<(String, String)>,
    /// The salt of another host's rollout, to have the same actors go first [default: one of its own]
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    host: Host,
}

/// Whose rollout ends.
#[derive(Debug, clap::Args)]
pub(crate) struct End {
    /// The kind
    kind: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    host: Host,
}

/// Which kind.
#[derive(Debug, clap::Args)]
pub(crate) struct OfKind {
    /// The kind
    kind: String,
    #[command(flatten)]
    host: Host,
}

/// Which actor.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The actor, as kind/key
    actor: Addr,
    #[command(flatten)]
    host: Host,
}

/// A weight as it is typed: `2.0.0=10`.
#[derive(Debug, Clone)]
struct Typed(RouteWeight);

impl FromStr for Typed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write a version and its percent, as in 2.0.0=10".to_owned();
        let (version, percent) = text.rsplit_once('=').ok_or_else(form)?;
        let version: Version = version.parse().map_err(|error| format!("{error}: {}", form()))?;
        let percent = percent.trim_end_matches('%').parse().map_err(|_| form())?;
        Ok(Self(RouteWeight { version, percent }))
    }
}

fn matched(text: &str) -> Result<(String, String), String> {
    let (attribute, value) = text.split_once('=').ok_or("write key=KEY, as in key=ann")?;
    Ok((attribute.to_owned(), value.to_owned()))
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Set(options) => set(*options),
        Command::Status(OfKind { kind, host }) => {
            let path = format!("/v1/routes/{}", part(&kind));
            let view: RouteView = host.call(async |client| client.get(&path).await)?;
            host.print(&view, stands)
        }
        Command::Promote(options) => end("/v1/routes/promote", *options),
        Command::Abort(options) => end("/v1/routes/abort", *options),
        Command::Explain(Explain { actor, host }) => {
            let path = format!("/v1/actors/{}/route", part(actor.path()));
            let said: RouteExplained = host.call(async |client| client.get(&path).await)?;
            host.print(&said, explained)
        }
        Command::History(OfKind { kind, host }) => {
            let path = format!("/v1/routes/{}/history", part(&kind));
            let history: RouteHistory = host.call(async |client| client.get(&path).await)?;
            host.print(&history, told)
        }
    }
}

fn set(Set { kind, weights, matches, salt, why, bounds, host }: Set) -> Result<ExitCode, Failure> {
    let weights: Vec<RouteWeight> = weights.into_iter().map(|Typed(weight)| weight).collect();
    let mut rules = Vec::new();
    if !matches.is_empty() {
        // Which of the two came for a try, the host knows: it is the one that is not there yet.
        let path = format!("/v1/routes/{}", part(&kind));
        let now: RouteView = host.call(async |client| client.get(&path).await)?;
        let canary = weights.iter().find(|weight| weight.version != now.stable).map(|weight| weight.version.clone());
        let canary = canary.unwrap_or(now.stable);
        let rule = |(attribute, value)| RouteRule { attribute, value, version: canary.clone() };
        rules.extend(matches.into_iter().map(rule));
    }
    let options = Some(bounds.choices());
    let body = SetRoute { kind: kind.clone(), weights, rules, salt, options, reason: why.reason };
    rerouted(&host, host.at_work(Of::Target(kind), async |client| client.post("/v1/routes/set", &body).await)?)
}

fn end(path: &str, End { kind, why, bounds, host }: End) -> Result<ExitCode, Failure> {
    let body = EndRoute { kind: kind.clone(), options: Some(bounds.choices()), reason: why.reason };
    rerouted(&host, host.at_work(Of::Target(kind), async |client| client.post(path, &body).await)?)
}

/// Ends with 1 when somebody did not get where the route says.
fn rerouted(host: &Host, done: Rerouted) -> Result<ExitCode, Failure> {
    host.print(&done, |Rerouted { route, reports, refused }| {
        let mut text: String = reports.iter().map(|report| format!("{report}\n")).collect();
        if let Some(Refusal { code, cause, hint }) = refused {
            text.push_str(&format!("not moved: [{code}] {}\n  hint:  {}\n", harmless(cause), harmless(hint)));
        }
        text + &stands(route)
    })?;
    let well = done.refused.is_none() && done.route.astray == 0;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stands(view: &RouteView) -> String {
    let kind = harmless(&view.kind);
    let by = match (view.revision, view.why.is_empty()) {
        (0, _) => ": nobody has set a route".to_owned(),
        (revision, true) => format!(", revision {revision} by {}", harmless(&view.who)),
        (revision, false) => format!(", revision {revision} by {}: {}", harmless(&view.who), harmless(&view.why)),
    };
    let phase = view.toward.as_ref().map_or_else(|| view.phase.clone(), |toward| format!("moving, then {toward}"));
    let mut text = format!("{kind} is {phase}{by}\n");
    let head =
        ["VERSION", "STATUS", "PERCENT", "ACTORS", "ON PROBATION", "HANDLED", "FAILED", "PANICS", "MEAN", "RESTARTS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(view.versions.iter().map(|of| {
        let role = match (of.percent, of.version == view.stable) {
            (_, true) => "stable",
            (Some(_), false) => "canary",
            (None, false) => "astray",
        };
        vec![
            of.version.to_string(),
            role.to_owned(),
            or_dash(of.percent),
            of.actors.to_string(),
            of.on_probation.to_string(),
            of.handled.to_string(),
            of.failed.to_string(),
            of.panics.to_string(),
            or_dash(of.mean_ns.map(|ns| format!("{}.{} us", ns / 1000, ns % 1000 / 100))),
            of.restarts.to_string(),
        ]
    }));
    text.push_str(&columns(&rows));
    for (number, rule) in view.rules.iter().enumerate() {
        let RouteRule { attribute, value, version } = rule;
        text.push_str(&format!("rule {}: {}={} gets {version}\n", number + 1, harmless(attribute), harmless(value)));
    }
    if view.astray > 0 {
        text.push_str(&format!("{} actors are not where the route says: give the command again\n", view.astray));
    }
    if view.frozen > 0 {
        let frozen = view.frozen;
        text.push_str(&format!(
            "{frozen} instances are kept for a way back: teneral upgrade status; finalise ends that\n"
        ));
    }
    text
}

fn explained(said: &RouteExplained) -> String {
    let RouteExplained { actor, version, running, bucket, rule, range } = said;
    let why = match (rule, range) {
        (Some(found), _) => {
            let RouteRule { attribute, value, .. } = &found.rule;
            format!("by rule {}, {}={}; its bucket is {bucket}", found.number, harmless(attribute), harmless(value))
        }
        (None, Some(range)) => format!("by its bucket {bucket}, of {} to {}", range.first, range.last),
        (None, None) => format!("its bucket is {bucket}"),
    };
    let now = match running {
        None => "it is not there".to_owned(),
        Some(running) if running == version => "it runs that".to_owned(),
        Some(running) => format!("it runs {running}"),
    };
    format!("{} gets {version}, {why}; {now}\n", harmless(actor.path()))
}

fn told(history: &RouteHistory) -> String {
    let head = ["REVISION", "ACT", "WHEN", "FROM", "TO", "SETTLED", "WHO", "WHY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let weights = |weights: &[RouteWeight]| -> String {
        weights.iter().map(|weight| format!("{}={}", weight.version, weight.percent)).collect::<Vec<_>>().join(" ")
    };
    rows.extend(history.changes.iter().map(|change| {
        let RouteChange { revision, act, who, at, why, from, to, settled, .. } = change;
        vec![
            revision.to_string(),
            act.clone(),
            when(*at),
            weights(from),
            weights(to),
            when(*settled),
            who.clone(),
            or_dash(Some(why).filter(|why| !why.is_empty())),
        ]
    }));
    let dropped = match history.dropped {
        0 => String::new(),
        dropped => format!("{dropped} older changes are kept no longer\n"),
    };
    dropped + &words(&rows)
}
