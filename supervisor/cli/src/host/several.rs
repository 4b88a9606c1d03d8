//! A verb for one actor, or for all of a kind, one after the other.

use super::confirm::{Stdin, confirmed};
use super::{Host, Why, or_dash, selector};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table::columns;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::process::ExitCode;
use teneral::Addr;
use teneral::api::wire::ActorView;
use teneral::upgrade::nearest;

/// A kind that has no actors.
#[derive(Debug, thiserror::Error)]
#[error("no actor of kind {0}")]
struct Nobody(String);

/// Which actors a verb is for: one, or all of a kind.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// The actor, as kind/key
    #[arg(required_unless_present = "selector")]
    pub(super) actor: Option<Addr>,
    /// All actors of a kind, one after the other; who fails keeps nobody else
    #[arg(long, short = 'l', value_name = "kind=KIND", value_parser = selector, conflicts_with = "actor")]
    pub(super) selector: Option<String>,
    #[command(flatten)]
    pub(super) why: Why,
    #[command(flatten)]
    pub(super) host: Host,
}

/// What is asked before a verb takes something from more than one actor that nothing brings back.
pub(super) struct Ask {
    /// What is to be done, below the list of those whom it is about.
    pub(super) about: &'static str,
    /// Whether it was answered beforehand.
    pub(super) yes: bool,
}

/// Has the host do something with one actor, or with all of a kind, one after the other.
///
/// # Errors
/// [`Failure`]: what the host says of the one actor, or of the list; nobody has that kind; nobody said yes.
pub(super) fn each<T: Serialize + DeserializeOwned>(
    Who { actor, selector, why, host }: &Who,
    act: &str,
    ask: Option<&Ask>,
    body: impl Fn(Addr, String) -> Value,
    people: impl Fn(&Addr, &T) -> String,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/actors/{act}");
    let order = |actor: &Addr| -> Result<T, Failure> {
        let body = body(actor.clone(), why.reason.clone());
        host.call(async |client| client.post(&path, &body).await)
    };
    let Some(kind) = selector else {
        let Some(actor) = actor else { return Ok(ExitCode::SUCCESS) };
        return host.print(&order(actor)?, |done| people(actor, done));
    };
    let of_kind = of_kind(kind, host)?;
    if let Some(Ask { about, yes: false }) = ask.filter(|_| of_kind.len() > 1) {
        if !host.json {
            print(format_args!("{}{about}\n", lost(&of_kind)))?;
        }
        let beforehand = format!("say so beforehand: --yes; or look who they are: teneral actor list -l kind={kind}");
        confirmed(host, Stdin::Free, &beforehand)?;
    }
    let (mut done, mut failed) = (Vec::new(), None);
    for ActorView { actor, .. } in of_kind {
        match order(&actor) {
            Ok(answer) if host.json => done.push(answer),
            Ok(answer) => print(people(&actor, &answer))?,
            Err(failure) => {
                failed = Some(failure.report());
            }
        }
    }
    if host.json {
        print_json(&done)?;
    }
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}

fn of_kind(kind: &str, host: &Host) -> Result<Vec<ActorView>, Failure> {
    let all: Vec<ActorView> = host.call(async |client| client.get("/v1/actors").await)?;
    let (of_kind, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|view| view.actor.kind() == kind);
    if of_kind.is_empty() {
        let hint = nearest::hint(kind, others.iter().map(|view| view.actor.kind()));
        return Err(Failure::new("SYS-NOBODY", &Nobody(kind.to_owned()), "nothing was done", hint).usage());
    }
    Ok(of_kind)
}

/// What each of them has to lose.
fn lost(actors: &[ActorView]) -> String {
    let head = ["ACTOR", "STATUS", "RUNNING", "HANDLED", "QUEUED"].map(str::to_owned).to_vec();
    let row = |view: &ActorView| {
        let (name, status) = (view.actor.to_string(), view.status.clone());
        vec![name, status, or_dash(view.running.as_ref()), view.handled.to_string(), view.queued_messages.to_string()]
    };
    columns(&[vec![head], actors.iter().map(row).collect()].concat())
}
