//! An actor on probation, with the instance before frozen beside it: what the tests of the ways back begin with.

use crate::support::*;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use teneral_contract::{Shape, Wire};
use teneral_runtime::ports::{AskEffect, Behaviour, Fault, Provider, Why};
use teneral_runtime::{
    ActorRef, Crashed, DeadKind, HeldEffect, LeaseStep, Quiesced, Recorded, Recording, ReplayError, Replayed, Resumed,
    Tally,
};

const BUDGET: Duration = Duration::from_secs(20);

/// An actor on probation, and the instance before.
pub(crate) struct Probation {
    pub(crate) actor: ActorRef,
    pub(crate) old: Arc<Probe>,
    pub(crate) frozen: Box<dyn Behaviour>,
    pub(crate) crashes: mpsc::Receiver<Crashed>,
}

impl Probation {
    /// Moves an actor to another version, on probation for it.
    pub(crate) fn begin(actor: &ActorRef, old: &Arc<Probe>, new: &Arc<Probe>) -> Self {
        Self::with(actor, old, new, |_| {})
    }

    pub(crate) fn with(
        actor: &ActorRef,
        old: &Arc<Probe>,
        new: &Arc<Probe>,
        change: impl FnOnce(&mut Recording),
    ) -> Self {
        Self::on(pause(actor).expect("it pauses"), actor, (old, new), change)
    }

    /// The same, under a pause.
    pub(crate) fn on(
        mut paused: Quiesced,
        actor: &ActorRef,
        (old, new): (&Arc<Probe>, &Arc<Probe>),
        change: impl FnOnce(&mut Recording),
    ) -> Self {
        let state = paused.save(64 << 20).expect("it saves");
        let made = paused.make(LeaseStep::Migrate, || new.restore(old.schema(), &state)).expect("it migrates");
        let (crashed, crashes) = mpsc::channel();
        let mut recording = Recording {
            owner: "up-1".to_owned(),
            messages_max: 1000,
            bytes_max: 1 << 20,
            old: old.clone(),
            no_replay: None,
            slow_over: None,
            on_crash: Some(Box::new(move |crash| drop(crashed.send(crash)))),
        };
        change(&mut recording);
        let resumed = paused.commit_recorded(made, new.clone(), Why::Upgraded, Some(recording), || {});
        let frozen = resumed.expect("it commits").old.expect("the instance before");
        Self { actor: actor.clone(), old: old.clone(), frozen, crashes }
    }

    pub(crate) fn pause(&self) -> Quiesced {
        pause(&self.actor).expect("it pauses")
    }

    pub(crate) fn crash(&self) -> Crashed {
        self.crashes.recv_timeout(GENEROUS).expect("somebody is asked what to do")
    }

    /// What the instance before remembers.
    pub(crate) fn log(&self) -> Log {
        log_of(&self.frozen.save(64 << 20).expect("it saves"))
    }

    /// What an instance of the version before does with the record.
    pub(crate) fn try_replay(&self, paused: &mut Quiesced, recorded: &Recorded) -> Result<Replayed, ReplayError> {
        let old: Arc<dyn Provider> = self.old.clone();
        let state = self.frozen.save(64 << 20).expect("it saves");
        let work = paused.make(LeaseStep::Restore, || old.restore(old.schema(), &state)).expect("it restores");
        recorded.replay(&old, work, BUDGET, || true)
    }

    /// Back by doing the work anew. What the version before did with it.
    pub(crate) fn replay(self, mut paused: Quiesced) -> (Tally, Vec<HeldEffect>) {
        let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
        let mut replayed = self.try_replay(&mut paused, &recorded).expect("it can be done anew");
        let (tally, held) = (replayed.tally, replayed.take_held());
        paused.commit_replayed(replayed, Some(recorded), self.old, || {}).expect("it commits");
        (tally, held)
    }

    /// The same, from wherever the actor is.
    pub(crate) fn back(self) -> (Tally, Vec<HeldEffect>) {
        let paused = self.pause();
        self.replay(paused)
    }

    /// Back to where it was at the commit.
    pub(crate) fn forget(self, mut paused: Quiesced) -> (Tally, Resumed) {
        let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
        let replayed = recorded.forget(self.frozen);
        let tally = replayed.tally;
        (tally, paused.commit_replayed(replayed, Some(recorded), self.old, || {}).expect("it commits"))
    }
}

/// A world with two versions and an actor of the first.
pub(crate) fn two(world: &World) -> (ActorRef, Arc<Probe>, Arc<Probe>) {
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    (world.start("a", &old), old, new)
}

/// Asks another probe what it has seen; the answer becomes `then`.
pub(crate) fn ask_then(turn: &mut Turn<'_>, to: &str, then: &impl Wire) -> Result<(), Fault> {
    let (body, then_body) = (encoded(&Seen), encoded(then));
    let (to, tag, reply, timeout, then) = (addr(to), Seen::tag(), Log::FINGERPRINT, GENEROUS, tag_of(then));
    turn.effects.ask(AskEffect { to, tag, body: &body, reply, timeout, then, then_body: &then_body }).map(drop)
}

/// Tells the actor itself.
pub(crate) fn tell_me(turn: &mut Turn<'_>, sender: u32, number: u32) -> Result<(), Fault> {
    let me = turn.call.this.clone();
    turn.tell(&me, &Put { sender, number })
}

/// Has an actor in a turn until the gate opens.
pub(crate) fn busy(world: &World, actor: &ActorRef) -> Arc<Gate> {
    let gate = Gate::new();
    let stays = gate.clone();
    let stays = world.script(move |_| {
        stays.pass();
        Ok(())
    });
    actor.try_tell(stays).expect("there is room");
    gate.wait_for(1);
    gate
}

/// Pauses an actor at the end of the turn that waits at the gate.
pub(crate) fn pause_behind(actor: &ActorRef, gate: &Gate) -> Quiesced {
    let request = actor.ask_pause(lease("test", actor.info().generation)).expect("nobody has it");
    gate.open();
    request.wait().expect("it pauses")
}

pub(crate) fn letters(world: &World, kind: DeadKind) -> u64 {
    world.runtime.dead_letters().count(kind)
}

/// Every word to the actor itself, and every timer's, that was said before is handled.
pub(crate) fn settled(world: &World, actor: &ActorRef) -> Log {
    eventually("nothing waits", || actor.info().queued_messages == 0);
    world.seen(actor)
}
