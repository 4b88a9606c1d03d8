//! Commands to a host that serves: each is one request on its control socket, and there is no other way in.
//!
//! * `watch`, `progress`: what happens, while somebody looks
//! * `actor`, `artifact`, `dead_letter`, `key`, `kind`, `status`, `upgrade`: the verbs, by what they are about

pub(crate) mod actor;
pub(crate) mod artifact;
pub(crate) mod dead_letter;
pub(crate) mod key;
pub(crate) mod kind;
mod progress;
pub(crate) mod status;
pub(crate) mod upgrade;
pub(crate) mod watch;

use crate::config::Where;
use crate::failure::Failure;
use crate::output;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};
use teneral::api::{ApiError, Client};

/// From when on a person wonders whether anything happens.
const PATIENCE: Duration = Duration::from_millis(500);

/// Which host, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Host {
    #[command(flatten)]
    place: Where,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Host {
    /// Has the host do something, and says on a terminal that it is at work when it takes a while.
    fn call<T>(&self, ask: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        let runtime = runtime()?;
        let client = Client::new(&self.place.dir()?);
        let (shows, begun) = (std::io::stderr().is_terminal(), Instant::now());
        let mut shown = false;
        let answer = runtime.block_on(async {
            let mut work = std::pin::pin!(ask(client));
            let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
            loop {
                tokio::select! {
                    answer = &mut work => break Some(answer),
                    // One that cannot be caught ends the process by itself.
                    Ok(()) = &mut interrupt => break None,
                    () = tokio::time::sleep(PATIENCE) => {}
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
        answer.map_or_else(|| Err(Failure::interrupted()), |answer| answer.map_err(Failure::from))
    }

    /// As [`Host::call`] of an upgrade, whose steps are shown when it takes a while.
    fn at_work<T>(&self, of: progress::Of, ask: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        self.call(async |client| match self.json {
            true => ask(client).await,
            false => progress::shown(&client.clone(), of, ask(client)).await,
        })
    }

    /// Prints an answer as JSON, or as `people` read it.
    fn print<T: Serialize>(&self, answer: &T, people: impl FnOnce(&T) -> String) -> Result<ExitCode, Failure> {
        if self.json {
            output::print_json(answer)?;
        } else {
            output::print(people(answer))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new("CLI-MACHINE", &error, "nothing was asked for", "mend what the cause says, and try again")
    })
}

/// A length of time as people write it: `5s`, `200ms`, `1m 30s`.
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
        Duration::try_from(span).map(Self).map_err(|_| "a time to wait is not negative".to_owned())
    }
}

/// JSON as it was typed.
pub(crate) fn json(text: &str) -> Result<Value, String> {
    teneral::api::json::parse(text).map_err(|error| format!("{error}: write JSON, as in '{{\"amount\": 1}}'"))
}

/// What may be missing.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
