//! Probes at work: notes that are told in order, what an actor says it has seen, one that is busy, and an upgrade that
//! stands still under its pause.
//!
//! What a test believes is its own account of what it sent, and the log in the actor's state; never a counter of the
//! runtime.

use super::house::{GENEROUS, House, chain, patient, until};
use probe_api::{Act, Do, Entry, Read, Seen, Start, Trap, v1};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use teneral::runtime::{Outgoing, StateRead};
use teneral::{ActorRef, AskError, Report, Request, SystemError, UpgradeOptions};
use tokio::task::JoinHandle;

/// Libraries of all versions of the probe.
pub(crate) const ALL: &[&str] = &["probe-v1", "probe-v2", "probe-v3"];

/// A probe of this version that behaves.
#[track_caller]
pub(crate) fn start(house: &House, addr: &str, version: &str) -> ActorRef {
    house.start(addr, version, Start::default())
}

/// A sender's numbered note, in the shape that every version reads.
pub(crate) const fn note(sender: u32, number: u64) -> v1::Note {
    v1::Note { sender, number }
}

/// Tells what must be accepted.
#[track_caller]
pub(crate) fn tell<M: Outgoing>(house: &House, actor: &ActorRef, message: M) {
    if let Err(error) = house.block_on(actor.tell(message)) {
        panic!("{} accepts: {error}", actor.addr());
    }
}

#[track_caller]
pub(crate) fn act(house: &House, actor: &ActorRef, act: Act) {
    tell(house, actor, Do { act });
}

/// What the actor says it has seen, when everything that was told before is handled.
#[track_caller]
pub(crate) fn seen(house: &House, actor: &ActorRef) -> Seen {
    let answer = house.block_on(actor.ask(Read {}, GENEROUS));
    answer.unwrap_or_else(|error| panic!("{} answers: {}", actor.addr(), chain(&error)))
}

/// An ask that waits for its answer: it is accepted when this returns, if there is room for it.
pub(crate) fn asks<R: Request>(house: &House, actor: &ActorRef, request: R) -> JoinHandle<Result<R::Reply, AskError>> {
    let actor = actor.clone();
    house.begin(async move { actor.ask(request, GENEROUS).await })
}

/// What the actor wrote down that contains this.
#[track_caller]
pub(crate) fn notes_with(house: &House, actor: &ActorRef, text: &str) -> Vec<String> {
    seen(house, actor).notes.into_iter().filter(|note| note.contains(text)).collect()
}

/// The actor's state as it would be saved now.
#[track_caller]
pub(crate) fn state(house: &House, actor: &ActorRef) -> StateRead {
    let read = house.block_on(actor.state(GENEROUS));
    read.unwrap_or_else(|error| panic!("{} is read: {}", actor.addr(), chain(&error)))
}

/// From now on it misbehaves there.
#[track_caller]
pub(crate) fn trap(house: &House, actor: &ActorRef, step: &str, how: &str) {
    act(house, actor, Act::SetTrap(Trap { step: step.to_owned(), how: how.to_owned() }));
    // Handled, not only accepted.
    seen(house, actor);
}

/// Every sender's notes stand in the log once and in order; `sent[s]` is how many sender `s` sent.
#[track_caller]
pub(crate) fn whole(log: &[Entry], sent: &[u64]) {
    for (sender, sent) in (0..).zip(sent) {
        let numbers: Vec<u64> = log.iter().filter(|e| e.sender == sender).map(|e| e.number).collect();
        assert_eq!(numbers, (0..*sent).collect::<Vec<_>>(), "sender {sender}");
    }
    assert_eq!(log.len() as u64, sent.iter().sum::<u64>(), "nobody else sent anything");
}

/// What somebody who drives an actor at random goes by: another one each time, or the one of `TENERAL_SEED`.
pub(crate) fn random() -> SmallRng {
    let given = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| SmallRng::from_os_rng().random());
    println!("TENERAL_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

/// The versions that handled the log's entries, each as often as it took turns.
pub(crate) fn handled_by(log: &[Entry]) -> Vec<u32> {
    let mut versions: Vec<u32> = log.iter().map(|entry| entry.version).collect();
    versions.dedup();
    versions
}

/// The instances that the actor went through, as its own notes tell.
pub(crate) fn lives(seen: &Seen) -> Vec<&str> {
    seen.notes.iter().map(String::as_str).filter(|note| note.contains(": started ")).collect()
}

/// Code that loops until a file exists; dropped, it goes on.
pub(crate) struct Hold(PathBuf);

impl Hold {
    pub(crate) fn new(house: &House) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(house.dir().join(format!("go-on-{}", COUNT.fetch_add(1, Ordering::Relaxed))))
    }

    /// As a probe is told.
    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Whether the code is there.
    pub(crate) fn reached(&self) -> bool {
        self.0.with_extension("reached").exists()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        std::fs::write(&self.0, "").expect("the house's directory is there");
    }
}

/// An actor in a turn that does not end before this is dropped.
pub(crate) struct Busy {
    _hold: Hold,
}

impl Busy {
    /// The actor is in its turn when this returns.
    #[track_caller]
    pub(crate) fn make(house: &House, actor: &ActorRef) -> Self {
        let hold = Hold::new(house);
        act(house, actor, Act::Block { until: hold.path() });
        until("the turn begins", || hold.reached());
        Self { _hold: hold }
    }
}

/// An upgrade that stands still under its pause, until [`Standing::go_on`].
pub(crate) struct Standing {
    hold: Hold,
    running: JoinHandle<Result<Report, SystemError>>,
}

impl Standing {
    /// An upgrade that is in its migration.
    #[track_caller]
    pub(crate) fn upgrade(house: &House, actor: &ActorRef, to: &'static str) -> Self {
        Self::at(house, actor, "migrate", to, patient())
    }

    /// A way back that is in the newer code's step down.
    #[track_caller]
    pub(crate) fn downgrade(house: &House, actor: &ActorRef, to: &'static str) -> Self {
        Self::at(house, actor, "downgrade", to, patient())
    }

    /// An upgrade of all of the actor's kind, in which this one is in its migration.
    #[track_caller]
    pub(crate) fn of_kind(house: &House, actor: &ActorRef, to: &'static str) -> Self {
        Self::target(house, actor, actor.addr().kind(), "migrate", to, patient())
    }

    /// A move that is in that step.
    #[track_caller]
    pub(crate) fn at(house: &House, actor: &ActorRef, step: &str, to: &'static str, options: UpgradeOptions) -> Self {
        Self::target(house, actor, actor.addr().path(), step, to, options)
    }

    #[track_caller]
    fn target(
        house: &House,
        actor: &ActorRef,
        target: &str,
        step: &str,
        to: &'static str,
        options: UpgradeOptions,
    ) -> Self {
        let hold = Hold::new(house);
        trap(house, actor, step, &format!("hang {}", hold.path()));
        let (system, target) = (house.system.clone(), target.to_owned());
        let running = house.spawn(async move { system.upgrade(target.as_str(), to, options).await });
        until("it comes to that step", || hold.reached());
        Self { hold, running }
    }

    /// The code does not go on before the upgrade is over; what came of it.
    #[track_caller]
    pub(crate) fn outlasted(self, house: &House) -> Report {
        let done = house.block_on(self.running).expect("no upgrade panics");
        drop(self.hold);
        done.unwrap_or_else(|error| panic!("it began: {}", chain(&error)))
    }

    /// The code goes on; what came of the upgrade.
    #[track_caller]
    pub(crate) fn go_on(self, house: &House) -> Report {
        drop(self.hold);
        let done = house.block_on(self.running).expect("no upgrade panics");
        done.unwrap_or_else(|error| panic!("it began: {}", chain(&error)))
    }
}
