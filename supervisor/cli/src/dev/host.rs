//! The host of one author: what was built is pushed, and every actor of its kind goes to it with its state.
//!
//! A version means one artifact for ever, and an author saves the same version many times; so each build bears a number
//! behind its version (`0.1.0+dev.3`), one more than the highest of the store. What refuses a build, an actor or a
//! migration is said, and who served serves on.

use super::saying::Saying;
use crate::cargo::Library;
use crate::failure::Failure;
use crate::host::apply::{SYSTEM, WantedActor, actors_of};
use crate::serve::of_system;
use semver::Version;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use teneral::contract::spell::typed;
use teneral::upgrade::report::{Now, Outcome};
use teneral::upgrade::{ActorReport, Downgrades, StateMode};
use teneral::{ActorOptions, Addr, Admission, Launch, Release, System, SystemError, UpgradeOptions, digest_of};

/// What an actor is called that is started for a kind that has none.
const KEY: &str = "a";

/// The code of a process that may load no more libraries.
const FULL: &str = "LOAD-BUDGET";

/// How a build was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// By everybody, or who did not take it was named.
    Done,
    /// Not at all: the process may load no more libraries.
    Full,
}

/// See the module.
pub(super) struct Host {
    pub(super) system: System,
    /// What an actor is started from that no file names, as JSON.
    pub(super) args: String,
    /// The workspace, whose file may name actors.
    pub(super) root: PathBuf,
    pub(super) upgrade: UpgradeOptions,
    pub(super) says: Saying,
}

/// A build that an actor did not take.
#[derive(Debug, thiserror::Error)]
#[error("{addr}: {from} -> {to} {how}, {cause}")]
struct NotTaken<'a> {
    addr: &'a Addr,
    from: &'a Version,
    to: &'a Version,
    how: &'static str,
    cause: &'a str,
}

impl Host {
    /// Starts what was there at the end of the last time.
    ///
    /// # Errors
    /// [`Failure`]: the store cannot be read. Who does not come back is named, and keeps what is kept for it.
    pub(super) async fn come_back(&self) -> Result<(), Failure> {
        for back in self.system.start_defined().await.map_err(|error| of_system(&error))? {
            match back.outcome {
                Ok(found) => {
                    let (actor, version, with_state) = (back.addr, found.actor.info().version, found.with_state);
                    let how = if with_state { "with its state" } else { "from its start arguments" };
                    let about = json!({ "actor": actor, "version": version, "with_state": with_state });
                    self.says.event("back", about, &format!("{actor} is back {how}, on {version}"))?;
                }
                Err(error) => self.says.failure(&not_back(&back.addr, &error))?,
            }
        }
        Ok(())
    }

    /// The highest number of a build in the store.
    ///
    /// # Errors
    /// [`Failure`]: the store cannot be read.
    pub(super) fn last_build(&self) -> Result<Option<u64>, Failure> {
        let releases = self.system.releases().map_err(|error| self.refused(&error))?;
        Ok(releases.iter().filter_map(|release| build_of(&release.version)).max())
    }

    /// Whether all of this is in the store.
    pub(super) fn knows(&self, libraries: &[Library]) -> bool {
        let Ok(releases) = self.system.releases() else { return false };
        let known: BTreeSet<_> = releases.iter().map(|release| release.sha256).collect();
        let is_known = |library: &Library| fs::read(&library.file).is_ok_and(|file| known.contains(&digest_of(&file)));
        libraries.iter().all(is_known)
    }

    pub(super) fn refused(&self, error: &SystemError) -> Failure {
        Failure::new(error.code(), error, self.who_serves(), error.hint())
    }

    /// What stands when a build comes to nothing.
    pub(super) fn who_serves(&self) -> String {
        let serves = |actor: teneral::ActorRef| format!("{} serves on {}", actor.addr(), actor.info().version);
        let all: Vec<String> = self.system.actors().into_iter().map(serves).collect();
        if all.is_empty() { "nobody serves yet; the next save is another try".to_owned() } else { all.join("; ") }
    }

    /// Pushes what was built in `built`, for a save at `saved`, and has every actor run it. Of several versions of one
    /// kind the highest serves.
    ///
    /// # Errors
    /// [`Failure`]: nothing can be said. What is refused is said, and is none; nor is a store that fails: the next save
    /// is another try.
    pub(super) async fn serve(
        &self,
        libraries: &[Library],
        built: Duration,
        saved: Option<Instant>,
    ) -> Result<Round, Failure> {
        let begun = Instant::now();
        let mut heads: BTreeMap<String, Version> = BTreeMap::new();
        for library in libraries {
            // An author goes back as well as forth.
            let admission = Admission { older: true, ..Admission::default() };
            match self.system.push_as(&library.file, admission).await {
                Ok(Release { kind, version, .. }) => {
                    let head = heads.entry(kind).or_insert_with(|| version.clone());
                    *head = version.max(head.clone());
                }
                Err(error) => self.says.failure(&self.refused(&error))?,
            }
        }
        let wanted = match actors_of(&self.root) {
            Ok(wanted) => wanted,
            // As long as nobody can read who is wanted, nobody is started.
            Err(failure) => {
                self.says.failure(&failure.standing(self.who_serves()))?;
                Some(Vec::new())
            }
        };
        self.name_others(&heads, wanted.as_deref())?;
        for (kind, version) in &heads {
            if self.take(kind, version, wanted.as_deref()).await? == Round::Full {
                return Ok(Round::Full);
            }
            if let Err(error) = self.system.set_default(kind, &version.to_string()) {
                self.says.failure(&self.refused(&error))?;
            }
        }
        self.served(&heads, built, begun.elapsed(), saved)?;
        Ok(Round::Done)
    }

    /// Says who serves what, and how long that took.
    fn served(
        &self,
        heads: &BTreeMap<String, Version>,
        built: Duration,
        serving: Duration,
        saved: Option<Instant>,
    ) -> Result<(), Failure> {
        let actors = self.system.actors();
        let at_head = |actor: &&teneral::ActorRef| {
            heads.get(actor.addr().kind()).is_some_and(|head| *head == actor.info().version)
        };
        for (kind, version) in heads {
            let names: Vec<&str> = actors
                .iter()
                .filter(|actor| actor.addr().kind() == kind)
                .filter(at_head)
                .map(|a| a.addr().path())
                .collect();
            if names.is_empty() {
                continue;
            }
            // All but cargo's own time, and what a save waits for others.
            let beyond = saved.map(|saved| saved.elapsed().saturating_sub(built));
            let about = json!({
                "kind": kind, "version": version, "actors": names,
                "built_ms": ms(built), "serving_ms": ms(serving), "beyond_cargo_ms": beyond.map(ms),
            });
            let (who, built, serving) = (names.join(", "), built.as_secs_f64(), serving.as_secs_f64());
            let text = format!("{who}: {version} serves; built in {built:.1} s, serving after {serving:.2} s more");
            self.says.event("serving", about, &text)?;
        }
        Ok(())
    }

    /// Names actors of the file whose kind nobody builds here.
    fn name_others(&self, heads: &BTreeMap<String, Version>, wanted: Option<&[WantedActor]>) -> Result<(), Failure> {
        let unknown = |wanted: &&WantedActor| !heads.contains_key(wanted.addr.kind());
        let others = wanted.unwrap_or_default().iter().filter(unknown);
        let others: Vec<&str> = others.map(|wanted| wanted.addr.path()).collect();
        if heads.is_empty() || others.is_empty() {
            return Ok(());
        }
        let text = format!("of {SYSTEM}, this workspace does not build the kind of {}", others.join(", "));
        self.says.event("not_built", json!({ "actors": others }), &text)
    }

    /// Has a kind's actors run a version: who runs goes to it, who is down is brought back first, and whom the file
    /// names is started. Without a file, a kind that has nobody gets one.
    async fn take(&self, kind: &str, version: &Version, wanted: Option<&[WantedActor]>) -> Result<Round, Failure> {
        let defined = match self.system.definitions() {
            Ok(defined) => defined,
            Err(error) => return self.says.failure(&self.refused(&error)).map(|()| Round::Done),
        };
        for down in defined.iter().filter(|defined| defined.addr.kind() == kind) {
            if let Err(error) = self.system.start_defined_actor(&down.addr).await {
                self.says.failure(&not_back(&down.addr, &error))?;
            }
        }
        let actors: Vec<_> = self.system.actors().into_iter().filter(|actor| actor.addr().kind() == kind).collect();
        let nobody = actors.is_empty() && !defined.iter().any(|defined| defined.addr.kind() == kind);
        let missing = match wanted {
            None if nobody => vec![(format!("{kind}/{KEY}"), self.args.clone())],
            None => Vec::new(),
            Some(wanted) => {
                let of_kind = wanted.iter().filter(|wanted| wanted.addr.kind() == kind);
                let missing = of_kind.filter(|wanted| !defined.iter().any(|defined| defined.addr == wanted.addr));
                missing.map(|wanted| (wanted.addr.path().to_owned(), wanted.args.to_string())).collect()
            }
        };
        for (addr, args) in missing {
            if self.start(&addr, version, &args).await? == Round::Full {
                return Ok(Round::Full);
            }
        }
        for actor in actors {
            if actor.info().version != *version && self.upgrade(&actor, version).await? == Round::Full {
                return Ok(Round::Full);
            }
        }
        Ok(Round::Done)
    }

    async fn start(&self, addr: &str, version: &Version, args: &str) -> Result<Round, Failure> {
        let launch = Launch { version: Some(version.clone()), options: ActorOptions::permanent() };
        match self.system.define_json(addr, launch, args).await {
            Ok(actor) => {
                let provider = actor.provider();
                let messages = &provider.manifest().messages;
                let said = messages.iter().map(|message| {
                    let verb = if message.reply.is_some() { "ask" } else { "tell" };
                    format!("\n  teneral actor {verb} {addr} {}{}", message.name, typed(&message.shape))
                });
                let said = said.collect::<String>();
                let names: Vec<&str> = messages.iter().map(|message| message.name.as_str()).collect();
                let about = json!({ "actor": addr, "version": version, "messages": names });
                let text = format!("{addr} is started; in another terminal:\n{said}\n");
                self.says.event("started", about, &text)?;
                Ok(Round::Done)
            }
            Err(error) if error.code() == FULL => Ok(Round::Full),
            Err(error) => {
                let hint = format!(
                    "say what it starts from: {}; or args in {SYSTEM}, or teneral dev --args JSON",
                    error.hint()
                );
                let hint = if matches!(error.code(), "SYS-JSON" | "SYS-ARGS") { hint } else { error.hint() };
                self.says.failure(&Failure::new(error.code(), &error, self.who_serves(), hint)).map(|()| Round::Done)
            }
        }
    }

    async fn upgrade(&self, actor: &teneral::ActorRef, to: &Version) -> Result<Round, Failure> {
        let (addr, from, schema) = (actor.addr(), actor.info().version, actor.provider().manifest().state.schema);
        let options = UpgradeOptions { downgrades: Downgrades::Allow, state: StateMode::Migrate, ..self.upgrade };
        let failure = match self.system.upgrade(addr.path(), &to.to_string(), options).await {
            Err(error) => Failure::new(error.code(), &error, format!("{from} serves on, with its state"), error.hint()),
            Ok(report) => match report.actors.into_iter().find_map(|actor| not_taken(&actor)) {
                None => return Ok(Round::Done),
                Some(failure) => failure,
            },
        };
        if failure.code() == FULL {
            return Ok(Round::Full);
        }
        let failure = match failure.code() {
            "UPG-SHAPE" | "UPG-LADDER" => failure.hinting(&ladder(addr, schema, to)),
            _ => failure,
        };
        self.says.failure(&failure).map(|()| Round::Done)
    }

    /// Says that this process may not hold even what it begins with.
    ///
    /// # Errors
    /// [`Failure`]: it cannot be said.
    pub(super) fn too_few_libraries(&self) -> Result<(), Failure> {
        self.says.note("full", "one process may hold too few libraries for these actors: raise limits.images_max")
    }
}

fn not_back(addr: &Addr, error: &SystemError) -> Failure {
    let now = format!("{addr} is down; its definition and its state are kept");
    let hint = format!("mend what the cause says and save, or give it up: teneral actor stop {addr}");
    Failure::new(error.code(), error, now, hint).about(&format!("{addr} did not come back"))
}

/// Why an actor did not take a build, if it did not.
fn not_taken(report: &ActorReport) -> Option<Failure> {
    let ActorReport { actor: addr, from, to, outcome, now, .. } = report;
    let failure = outcome.failure()?;
    let how = match outcome {
        Outcome::RolledBack(_) => "was rolled back",
        Outcome::Deferred(_) => "is deferred",
        _ => "is refused",
    };
    let now = match now {
        Now::Serving { version, .. } => format!("{version} serves on, with its state"),
        Now::Replaced { version, .. } => format!("{version} serves, begun anew"),
        Now::Held { version, .. } => format!("{version} is paused, with its state and its messages"),
        Now::Stopped => "the actor is stopped".to_owned(),
    };
    let error = NotTaken { addr, from, to, how, cause: &failure.cause };
    Some(Failure::new(failure.code.clone(), &error, now, failure.hint.clone()))
}

/// What to write when the state's shape has changed.
fn ladder(addr: &Addr, schema: u32, to: &Version) -> String {
    let next = schema.saturating_add(1);
    format!(
        "the state of schema {schema} must find its way into the new code:\n\
         1. keep it as it was, as a struct with #[state(schema = {schema})] in the api crate (api/src/v{schema}.rs)\n\
         2. give the new one a number of its own: #[state(schema = {next})]\n\
         3. write the step: impl Migrate<v{schema}::State> for State, with the names that they have\n\
         4. name it in the export: from = [v{schema}::State]\n\
         or give the state up: teneral upgrade apply {addr} --to {to} --state reset"
    )
}

/// The number behind a version.
pub(super) fn build_of(version: &Version) -> Option<u64> {
    let (before, number) = version.build.rsplit_once('.')?;
    if before == "dev" || before.ends_with(".dev") { number.parse().ok() } else { None }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_known_by_the_number_behind_its_version() {
        let build = |text: &str| build_of(&Version::parse(text).expect("a version"));
        assert_eq!(
            ["0.1.0", "0.1.0+dev.7", "0.1.0+abc.dev.12", "0.1.0+abc.7"].map(build),
            [None, Some(7), Some(12), None]
        );
    }

    #[test]
    fn builds_stand_in_order_behind_their_version_and_before_the_next() {
        let mut versions =
            ["1.0.1", "1.0.0+dev.10", "1.0.0", "1.0.0+dev.9"].map(|text| Version::parse(text).expect("one"));
        versions.sort();
        assert_eq!(versions.map(|version| version.to_string()), ["1.0.0", "1.0.0+dev.9", "1.0.0+dev.10", "1.0.1"]);
    }
}
