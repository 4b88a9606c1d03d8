//! Commands to a host that serves: each is one request on its control socket, and there is no other way in.
//!
//! * `apply`: all of them from one file
//! * `watch`, `progress`: what happens, while somebody looks; `confirm`: yes or no
//! * `several`: a verb for one actor, or for all of a kind; `down`: who does not run, and why, below the tables;
//!   `probation`: who is on probation, in the same place
//! * `actor`, `artifact`, `audit`, `dead_letter`, `key`, `kind`, `marks`, `module`, `route`, `status`, `upgrade`: the
//!   verbs, by what they are about

pub(crate) mod actor;
pub(crate) mod apply;
pub(crate) mod artifact;
pub(crate) mod audit;
mod confirm;
pub(crate) mod dead_letter;
mod down;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod marks;
pub(crate) mod module;
mod probation;
mod progress;
pub(crate) mod route;
mod several;
pub(crate) mod status;
mod unwell;
pub(crate) mod upgrade;
pub(crate) mod watch;

use crate::config::Where;
use crate::failure::Failure;
use crate::output;
use jiff::{SignedDuration, Timestamp};
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};
use teneral::api::client::SILENCE_MAX;
use teneral::api::{ApiError, Client};

/// How long an actor is waited for where nobody says.
const ACTOR_TIMEOUT: Duration = Duration::from_secs(5);

/// What a host may take beyond that.
const GRACE: Duration = Duration::from_secs(5);

/// From when on a person wonders whether anything happens.
const PATIENCE: Duration = Duration::from_millis(500);

/// Which host, and how to print.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Host {
    #[command(flatten)]
    place: Where,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How long to wait for the host at most; what was asked for goes on after it. Ends with 4 [default: 5s where an
    /// actor is waited for, 10s to look; else for as long as the host lives, which shows no life for 10s at most]
    #[arg(long, value_name = "TIME", value_parser = lasting)]
    timeout: Option<Span>,
    /// What the host may take beyond `timeout`, where it heeds that itself.
    #[arg(skip)]
    grace: Duration,
    /// Why it is to change something, for its audit, where the request does not say it by itself.
    #[arg(skip)]
    reason: String,
}

/// Why, for the audit, for logs and journals.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Why {
    /// Why, for the host's audit, log and journals
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

/// One version of a kind, for whoever changes something about it.
#[derive(Debug, clap::Args)]
pub(crate) struct OfVersion {
    /// The kind
    kind: String,
    /// Its version
    version: Version,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Nothing came in time.
#[derive(Debug, thiserror::Error)]
#[error("the host did not answer within {0:?}")]
struct Late(Duration);

impl Host {
    /// The host there, waited for while it lives.
    pub(crate) fn of(place: &Where, json: bool) -> Self {
        Self { place: place.clone(), json, timeout: None, grace: Duration::ZERO, reason: String::new() }
    }

    fn client(&self) -> Result<Client, Failure> {
        let client = Client::new(&self.place.dir()?).on_behalf_of(&typed()).because(&self.reason);
        // What was typed is the longer word where it is longer: whoever waits a minute means to.
        Ok(match self.within() {
            Some(within) => client.with_silence_max(within.max(SILENCE_MAX)),
            None => client,
        })
    }

    /// How long this command waits, if somebody said so.
    fn within(&self) -> Option<Duration> {
        self.timeout.map(|Span(time)| time + self.grace)
    }

    /// The same host for the rest of a command that began then: with what is left of its time.
    fn left(&self, begun: Instant) -> Self {
        let left = |Span(time): Span| Span(time.saturating_sub(begun.elapsed()).max(Duration::from_millis(1)));
        Self { timeout: self.timeout.map(left), ..self.clone() }
    }

    fn because(&self, Why { reason }: &Why) -> Self {
        Self { reason: reason.clone(), ..self.clone() }
    }

    /// As [`Host::call`] of an upgrade, whose steps are shown when it takes a while.
    fn at_work<T>(&self, of: progress::Of, ask: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        self.call(async |client| match self.json {
            true => ask(client).await,
            false => progress::shown(&client.clone(), of, ask(client)).await,
        })
    }

    /// Has the host do something, and says on a terminal that it is at work when it takes a while.
    pub(crate) fn call<T>(&self, ask: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        let runtime = runtime()?;
        let client = self.client()?;
        let (shows, begun) = (!self.json && std::io::stderr().is_terminal(), Instant::now());
        let within = self.within();
        let mut shown = false;
        let answer = runtime.block_on(async {
            let mut work = std::pin::pin!(ask(client));
            let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
            loop {
                let left = within.map_or(PATIENCE, |within| within.saturating_sub(begun.elapsed()).min(PATIENCE));
                tokio::select! {
                    answer = &mut work => break Ok(answer),
                    // One that cannot be caught ends the process by itself.
                    Ok(()) = &mut interrupt => break Err(Failure::interrupted()),
                    () = tokio::time::sleep(left) => {}
                }
                if let Some(within) = within.filter(|within| begun.elapsed() >= *within) {
                    break Err(late(within));
                }
                if shows {
                    eprint!("\rthe host is at work, {} s", begun.elapsed().as_secs());
                    shown = true;
                }
            }
        });
        if shown {
            eprint!("\r\x1b[K");
        }
        answer.and_then(|answer| answer.map_err(Failure::from))
    }

    /// How long the host waits for an actor; this command waits a little longer for the host.
    fn waits(&mut self) -> Span {
        self.grace = GRACE;
        *self.timeout.get_or_insert(Span(ACTOR_TIMEOUT))
    }

    /// Prints an answer as JSON, or as `people` read it.
    pub(crate) fn print<T: Serialize>(
        &self,
        answer: &T,
        people: impl FnOnce(&T) -> String,
    ) -> Result<ExitCode, Failure> {
        if self.json {
            output::print_json(answer)?;
        } else {
            output::print(people(answer))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The command, without what it is about: the host's audit has that by itself.
fn typed() -> String {
    let words = std::env::args().skip(1).take(2).take_while(|word| !word.starts_with('-'));
    let plain = |word: &String| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    words.take_while(plain).collect::<Vec<_>>().join(" ")
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new("CLI-MACHINE", &error, "nothing was asked for", "mend what the cause says, and try again")
    })
}

/// Longest time that anybody may wait: clocks and timers reckon with it without running over.
const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A length of time as people write it: `5s`, `200ms`, `1m 30s`; at most [`SPAN_MAX`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: SignedDuration =
            text.parse().map_err(|_| "write a number and a unit, as in 5s or 200ms".to_owned())?;
        let span = Duration::try_from(span).map_err(|_| "a time to wait is not negative".to_owned())?;
        match span > SPAN_MAX {
            true => Err("a time to wait is at most 365 days, 8760h".to_owned()),
            false => Ok(Self(span)),
        }
    }
}

/// A time in which something is to happen: none at all would be an order that cannot be heeded.
fn lasting(text: &str) -> Result<Span, String> {
    match text.parse::<Span>()? {
        Span(Duration::ZERO) => Err("in no time at all nothing can be done: write 1ms to 365 days".to_owned()),
        span => Ok(span),
    }
}

/// JSON as it was typed.
pub(crate) fn json(text: &str) -> Result<Value, String> {
    teneral::api::json::parse(text).map_err(|error| format!("{error}: write JSON, as in '{{\"amount\": 1}}'"))
}

fn late(within: Duration) -> Failure {
    let (now, hint) = ("what was asked for may be done or be at work", "look what became of it before you ask again");
    Failure::new("CLI-TIMEOUT", &Late(within), now, hint).late()
}

/// A selector as kubectl writes it; there is one label.
fn selector(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("kind", kind)) if !kind.is_empty() => Ok(kind.to_owned()),
        _ => Err("select by kind, as in -l kind=counter".to_owned()),
    }
}

/// What may be missing.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A moment in a table, with as many digits in each row.
fn when(at: Option<Timestamp>) -> String {
    or_dash(at.map(|at| format!("{at:.3}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_as_many_digits_whichever_it_is() {
        let at = |text: &str| when(Some(text.parse().expect("a moment")));
        assert_eq!(at("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05.000Z");
        assert_eq!(at("2026-01-02T03:04:05.0612Z"), "2026-01-02T03:04:05.061Z");
        assert_eq!(when(None), "-");
    }

    #[test]
    fn a_time_for_something_to_happen_in_is_not_zero() {
        assert_eq!(lasting("1ms").map(|span| span.0), Ok(Duration::from_millis(1)));
        assert!(lasting("0s").is_err_and(|why| why.contains("1ms")));
    }

    #[test]
    fn a_time_to_wait_has_an_end() {
        let read = |text: &str| text.parse::<Span>().map(|span| span.0);
        assert_eq!(read("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read("8760h"), Ok(SPAN_MAX));
        for text in ["-1s", "8761h", "9000000000000000000s", "5", "soon"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
