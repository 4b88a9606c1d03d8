//! Where a fault happens: a host of this process, a probe with a state of the cell's size, and its clients.

use super::traffic::{Account, Clients, Line, compare};
use super::{Cell, Load, Row};
use crate::harness::house::{GENEROUS, House, Refuses, chain, only, rehearsed, until};
use crate::harness::probe::{self, Hold, act, seen, state, trap};
use probe_api::Act;
use serde::Deserialize;
use std::cell::RefCell;
use std::time::Duration;
use teneral::runtime::{EventStream, Seen, What};
use teneral::upgrade::Outcome;
use teneral::upgrade::report::Now;
use teneral::{ActorRef, Digest, Options, Report, Shape, SystemError, UpgradeOptions, contract, digest_of};
use teneral_store::{Entry, StepDone, StepResult};
use tokio::task::JoinHandle;

/// Who is upgraded.
pub(super) const SUBJECT: &str = "probe/subject";

/// The sender of what the fault itself sends, and of what goes before it and after it.
const OWN: u32 = 0;

/// A probe's state, as far as no move may change it.
#[derive(Debug, Clone, Deserialize, Shape)]
pub(super) struct Kept {
    pub(super) body: Body,
}

#[derive(Debug, Clone, Deserialize, Shape)]
pub(super) struct Body {
    pub(super) log: Vec<probe_api::Entry>,
    pub(super) notes: Vec<String>,
    pub(super) ballast: String,
}

/// A state, and its digest.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) kept: Body,
    pub(super) sha256: Digest,
}

/// What came of a fault, as whoever asked for the upgrade is told.
pub(super) struct Came {
    pub(super) what: String,
    pub(super) code: String,
    /// What the journal has; nothing when no upgrade began.
    pub(super) journal: Option<bool>,
}

/// See the module.
pub(super) struct Stage {
    pub(super) house: House,
    pub(super) actor: ActorRef,
    pub(super) cell: Cell,
    pub(super) before: Snapshot,
    pub(super) own: RefCell<Account>,
    clients: Option<Clients>,
    events: RefCell<EventStream>,
}

impl Stage {
    /// A probe at 1.0.0, in a host that has all versions.
    pub(super) fn raise(cell: Cell) -> Self {
        Self::with(cell, probe::ALL, "1.0.0")
    }

    /// As [`Stage::raise`], with these packages' libraries alone and a probe of this version.
    pub(super) fn with(cell: Cell, packages: &[&str], version: &str) -> Self {
        Self::open(cell, packages, version, |_| {})
    }

    /// As [`Stage::with`], in a host with options of its own.
    pub(super) fn open(cell: Cell, packages: &[&str], version: &str, change: impl FnOnce(&mut Options)) -> Self {
        let house = house(packages, change);
        let actor = probe::start(&house, SUBJECT, version);
        Self::on(cell, house, actor)
    }

    /// With a probe that is there and has seen nothing yet.
    pub(super) fn on(cell: Cell, house: House, actor: ActorRef) -> Self {
        act(&house, &actor, Act::Grow(cell.size.bytes()));
        let line = Line::to(&house, &actor);
        let mut own = Account::of(OWN);
        (0..3).for_each(|_| own.tell(&line));
        let clients = (cell.load == Load::Loaded).then(|| Clients::start(&line));
        seen(&house, &actor);
        let events = RefCell::new(house.system.runtime().events());
        let before = snapshot(&house, &actor);
        let stage = Self { house, actor, cell, before, own: RefCell::new(own), clients, events };
        stage.flow();
        stage
    }

    /// Every client gets on; the stage's own sends three more.
    pub(super) fn flow(&self) {
        match &self.clients {
            Some(clients) => clients.flow(),
            None => (0..3).for_each(|_| self.tell()),
        }
    }

    /// Something waits for the subject, which is paused, from each of its clients.
    pub(super) fn queue(&self) {
        (0..3).for_each(|_| self.tell());
        if let Some(clients) = &self.clients {
            clients.queue();
        }
    }

    /// Everybody goes; what they have logged.
    pub(super) fn leave(mut self) -> (House, Vec<Account>) {
        let mut accounts = self.clients.take().map(Clients::end).unwrap_or_default();
        accounts.push(self.own.take());
        (self.house, accounts)
    }

    /// The stage's own client tells the next note.
    pub(super) fn tell(&self) {
        self.own.borrow_mut().tell(&self.line());
    }

    pub(super) fn line(&self) -> Line {
        Line::to(&self.house, &self.actor)
    }

    /// From now on the probe misbehaves at that step.
    pub(super) fn trap(&self, step: &str, how: &str) {
        trap(&self.house, &self.actor, step, how);
    }

    /// The same in this process alone: a trial learns nothing of it.
    pub(super) fn trap_here(&self, step: &str, how: &str) {
        self.trap(step, &format!("in {} {how}", std::process::id()));
    }

    /// An upgrade of the subject that has come to a step where its code is held.
    pub(super) fn held(&self, step: &str, to: &'static str, options: UpgradeOptions) -> Held {
        let hold = Hold::new(&self.house);
        self.trap_here(step, &format!("hang {}", hold.path()));
        let system = self.house.system.clone();
        let running = self.house.spawn(async move { system.upgrade(SUBJECT, to, options).await });
        until("it comes to that step", || hold.reached());
        Held { hold, running }
    }

    /// The subject to that version, in two steps: what is refused when, is seen.
    pub(super) fn upgrade(&self, to: &str, options: UpgradeOptions) -> Came {
        match self.house.block_on(self.house.system.plan(SUBJECT, to, options)) {
            Ok(plan) => self.apply(plan),
            Err(error) => self.not_begun("plan", &error),
        }
    }

    pub(super) fn apply(&self, plan: teneral::Plan) -> Came {
        match self.house.block_on(self.house.system.apply(plan)) {
            Ok(report) => self.reported(&report),
            Err(error) => self.not_begun("begin", &error),
        }
    }

    /// The subject to 2.0.0, rehearsed, within bounds that nothing comes near.
    pub(super) fn moved(&self) -> Came {
        self.upgrade("2.0.0", rehearsed())
    }

    /// What is refused before there is an upgrade.
    pub(super) fn not_begun(&self, at: &str, error: &impl Refuses) -> Came {
        eprintln!("{}: {}", error.code(), chain(error));
        let what = format!("refused at {at}, {}", self.paused());
        Came { what, code: error.code().to_owned(), journal: None }
    }

    pub(super) fn reported(&self, report: &Report) -> Came {
        eprintln!("{report}");
        let entry = only(report);
        let at = entry.step.name();
        let what = match &entry.outcome {
            Outcome::Committed => "committed".to_owned(),
            Outcome::Unchanged => "unchanged".to_owned(),
            Outcome::Refused(_) => format!("refused at {at}, {}", self.paused()),
            Outcome::Deferred(_) => format!("deferred at {at}, {}", self.paused()),
            Outcome::RolledBack(_) => format!("rolled back at {at}"),
        };
        let code = entry.outcome.failure().map(|failure| failure.code.clone()).unwrap_or_default();
        let replaced = if matches!(entry.now, Now::Replaced { .. }) { ", the instance replaced" } else { "" };
        Came { what: what + replaced, code, journal: Some(self.is_recorded(report)) }
    }

    /// Whether the journal says of the subject what the report says.
    pub(super) fn is_recorded(&self, report: &Report) -> bool {
        let entry = report.of(self.actor.addr()).expect("the subject has an entry");
        let journal = self.house.system.journal(&report.id).expect("the store reads");
        let (Some(Entry::Begin(_)), Some(Entry::End(end))) = (journal.first(), journal.last()) else { return false };
        let failure = entry.outcome.failure();
        let code = failure.map(|failure| failure.code.as_str());
        let ended = end.actors.iter().find(|end| end.addr == entry.actor);
        let ended = ended.is_some_and(|end| (&*end.outcome, end.code.as_deref()) == (entry.outcome.name(), code));
        let failed = journal.iter().any(|step| match step {
            // What is about the release is about all of its actors.
            Entry::Step(StepDone { actor, step, result: StepResult::Failed { code: why, .. }, .. }) => {
                actor.as_ref().is_none_or(|actor| *actor == entry.actor)
                    && (step.as_str(), Some(why.as_str())) == (entry.step.name(), code)
            }
            _ => false,
        });
        ended && failed == failure.is_some()
    }

    /// Whether anybody was paused since this was asked.
    pub(super) fn paused(&self) -> &'static str {
        let mut events = self.events.borrow_mut();
        let mut paused = "nobody paused";
        while let Ok(seen) = events.next_blocking(Duration::ZERO) {
            match seen {
                Seen::Event(event) if matches!(event.what, What::Paused { .. }) => paused = "paused",
                Seen::Lagged(_) => paused = "not known who was paused",
                Seen::Event(_) => {}
            }
        }
        paused
    }

    /// What the subject and its clients say in the end, after `came`.
    pub(super) fn end(self, came: Came) -> Row {
        self.end_with(came, |stage, after| stage.state(after))
    }

    /// The same, where `state` says what became of the state.
    pub(super) fn end_with(self, came: Came, state: impl FnOnce(&Self, &Snapshot) -> String) -> Row {
        self.end_of(came, state, |account| account)
    }

    /// The same, where only some of what was accepted must be there.
    pub(super) fn end_of(
        mut self,
        came: Came,
        state: impl FnOnce(&Self, &Snapshot) -> String,
        which: impl Fn(Account) -> Account,
    ) -> Row {
        self.trap("", "");
        // Before anybody sends anything more: of who is idle, not a byte may differ.
        let at_rest = (self.cell.load == Load::Idle).then(|| snapshot(&self.house, &self.actor));
        let other_bytes = at_rest.is_some_and(|at_rest| self.is_bent(&at_rest));
        self.flow();
        let mut accounts = self.clients.take().map(Clients::end).unwrap_or_default();
        accounts.push(self.own.take());
        let refused: Vec<String> = accounts.iter().flat_map(|account| account.refused.keys().cloned()).collect();
        let accounts: Vec<Account> = accounts.into_iter().map(which).collect();
        let told = seen(&self.house, &self.actor);
        let after = snapshot(&self.house, &self.actor);
        let counts = compare(&after.kept.log, &accounts);
        let mut seen = format!("{}; {}.0.0 serves, {}", came.what, told.version, state(&self, &after));
        seen.push_str(match came.journal {
            Some(true) => "; journalled",
            Some(false) => "; not in the journal",
            None => "; no upgrade began",
        });
        if other_bytes {
            seen.push_str("; other bytes of the same state");
        }
        if told.log != after.kept.log {
            seen.push_str("; it answers what its state does not say");
        }
        if !refused.is_empty() {
            seen.push_str(&format!("; clients were refused: {}", refused.join(", ")));
        }
        Row::new(seen, came.code, counts)
    }

    /// What became of the state that there was before the fault.
    fn state(&self, after: &Snapshot) -> String {
        let (was, is) = (&self.before.kept, &after.kept);
        let goes_on = was.ballast == is.ballast && is.log.starts_with(&was.log) && is.notes.starts_with(&was.notes);
        if !goes_on {
            return "another state".to_owned();
        }
        let lives = is.notes[was.notes.len()..].iter().filter(|note| note.contains(": started ")).count();
        if lives == 0 { "same state" } else { "state carried over" }.to_owned()
    }

    /// Whether it has handled nothing since, and has other bytes all the same.
    fn is_bent(&self, at_rest: &Snapshot) -> bool {
        let (was, is) = (&self.before.kept, &at_rest.kept);
        (&was.log, &was.notes) == (&is.log, &is.notes) && at_rest.sha256 != self.before.sha256
    }
}

/// A house where no honest turn is said to hang, and whoever sends to somebody who is held is not held up by that.
pub(super) fn house(packages: &[&str], change: impl FnOnce(&mut Options)) -> House {
    House::open(packages, |options| {
        options.runtime.hang_after = GENEROUS;
        options.runtime.mailbox_messages_max = 1 << 20;
        options.runtime.dead_letters_max = 1 << 20;
        change(options);
    })
}

/// The subject's state, between two of its messages.
pub(super) fn snapshot(house: &House, actor: &ActorRef) -> Snapshot {
    let bytes = state(house, actor).bytes;
    let kept: Kept = contract::codec::decode_state(&bytes).expect("a probe's state");
    Snapshot { kept: kept.body, sha256: digest_of(&bytes) }
}

/// An upgrade whose code stands still at a step.
pub(super) struct Held {
    pub(super) hold: Hold,
    running: JoinHandle<Result<Report, SystemError>>,
}

impl Held {
    /// The code goes on; what came of the upgrade.
    pub(super) fn go_on(self, house: &House) -> Report {
        drop(self.hold);
        done(house, self.running)
    }

    /// What came of the upgrade, whose code goes on after that only.
    pub(super) fn outlasted(self, house: &House) -> Report {
        let report = done(house, self.running);
        drop(self.hold);
        report
    }
}

fn done(house: &House, running: JoinHandle<Result<Report, SystemError>>) -> Report {
    let done = house.block_on(running).expect("no upgrade panics");
    done.unwrap_or_else(|error| panic!("it began: {}", chain(&error)))
}

/// Of no state: the probe begins from its start arguments.
pub(super) fn begins_anew(was: &Body, is: &Body) -> bool {
    let start = is.notes.first().is_some_and(|note| note.contains(": started "));
    start && is.ballast.is_empty() && was.log.iter().all(|entry| !is.log.contains(entry))
}
