//! How far an upgrade is, while its caller waits for the report: lines on stderr, once it takes longer than a moment.

use super::PATIENCE;
use std::io::IsTerminal;
use std::pin::pin;
use teneral::Addr;
use teneral::api::event::{Event, Happened};
use teneral::api::{ApiError, Client, Told, Watch};
use teneral::store::UpgradeId;
use tokio::time::Instant;

/// Of so many actors each step is shown; of more, only what fails, besides the steps that are all of theirs.
const EACH_MAX: usize = 8;

/// Whose upgrade it is.
#[derive(Debug)]
pub(super) enum Of {
    /// An actor's or a kind's, as it was typed.
    Target(String),
    /// These actors'.
    Actors(Vec<Addr>),
}

impl Of {
    pub(super) fn is(&self, moved: &Addr) -> bool {
        match self {
            Self::Target(target) => moved.path() == target || moved.kind() == target,
            Self::Actors(actors) => actors.contains(moved),
        }
    }
}

/// Waits for `work`, and shows the steps of the upgrade that it is when it takes a while. Nobody to watch is no reason
/// not to work.
pub(super) async fn shown<T>(
    client: &Client,
    of: Of,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let watch = match client.watch("/v1/events").await {
        Ok(watch) => watch,
        // It would not answer to the work either.
        Err(silent) if &*silent.code == "CTL-SILENT" => return Err(silent),
        Err(_) => return work.await,
    };
    let mut work = pin!(work);
    let mut steps = Steps { watch, of, upgrade: None, many: false };
    let mut early = Vec::new();
    let patience = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            line = steps.next() => match line {
                Some(line) if Instant::now() < patience => early.push(line),
                Some(line) => {
                    early.drain(..).for_each(|line| say(&line));
                    say(&line);
                }
                None => return work.await,
            },
            () = tokio::time::sleep_until(patience), if !early.is_empty() => {
                early.drain(..).for_each(|line| say(&line));
            }
        }
    }
}

/// Over the line that says that the host is at work, on a terminal.
fn say(line: &str) {
    match std::io::stderr().is_terminal() {
        true => eprintln!("\r\x1b[K{line}"),
        false => eprintln!("{line}"),
    }
}

struct Steps {
    watch: Watch,
    of: Of,
    upgrade: Option<UpgradeId>,
    many: bool,
}

impl Steps {
    /// The next line about the upgrade; nothing when there is nothing more to watch.
    async fn next(&mut self) -> Option<String> {
        loop {
            let Told::Event(event, _) = self.watch.next().await.ok()?? else { continue };
            if let Some(line) = self.line(&event) {
                return Some(line);
            }
        }
    }

    fn line(&mut self, Event { what, .. }: &Event) -> Option<String> {
        match what {
            Happened::UpgradeBegun { upgrade, moves, .. } if self.upgrade.is_none() => {
                let ours = moves.iter().all(|(moved, _)| self.of.is(moved));
                self.upgrade = ours.then(|| upgrade.clone());
                self.many = moves.len() > EACH_MAX;
                ours.then(|| what.to_string())
            }
            Happened::UpgradeStep { upgrade, actor, code, .. } if self.upgrade.as_ref() == Some(upgrade) => {
                if self.many && actor.is_some() && code.is_none() {
                    return None;
                }
                let actor = actor.as_ref().map_or_else(String::new, |actor| format!("{actor}: "));
                Some(format!("{actor}{what}"))
            }
            Happened::Paused { actor, by, .. } if !self.many && self.upgrade.as_ref().is_some_and(|id| id.0 == *by) => {
                Some(format!("{actor}: paused"))
            }
            _ => None,
        }
    }
}
