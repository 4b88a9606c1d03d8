//! One actor on its way back by replay or restore: pause, an instance of the version before, commit.

use super::BackError;
use super::aside::{Aside, Hand, NotDone, caught};
use super::states::KEPT;
use super::{Bounds, Watch, WayBack};
use crate::error::UpgradeError;
use crate::plan::Move;
use crate::shared::Shared;
use crate::step::Step;
use std::sync::Arc;
use std::time::Duration;
use teneral_runtime::ports::{Behaviour, Provider};
use teneral_runtime::{
    ActorRef, Generation, HeldEffect, LeaseRequest, LeaseStep, Moment, NoReplay, PauseRefused, PauseRequest, Quiesced,
    Recorded, ReplayError, Replayed, RestartState, StepError, Tally,
};
use teneral_store::StepDone;

/// What is needed of an actor to take it back.
pub(super) struct Lent {
    pub(super) watch: Watch,
    pub(super) actor: ActorRef,
    pub(super) old: Arc<dyn Provider>,
    pub(super) frozen: Option<Box<dyn Behaviour>>,
    /// It is paused already.
    pub(super) pause: Option<Quiesced>,
    /// Of the upgrade that it goes back from.
    pub(super) bounds: Bounds,
}

/// One actor on its way back.
pub(super) struct Back {
    pub(super) way: WayBack,
    pub(super) moved: Move,
    pub(super) shared: Arc<Shared>,
    pub(super) work: Lent,
    pub(super) aside: Aside,
    pub(super) ran: Vec<StepDone>,
}

/// An actor that went back.
pub(super) struct Went {
    pub(super) paused: Duration,
    pub(super) queued_messages: usize,
    pub(super) dead_letters: usize,
    pub(super) generation: u64,
    pub(super) state_bytes: usize,
    pub(super) tally: Tally,
    pub(super) held: Vec<HeldEffect>,
    /// The instance that was taken back.
    pub(super) replaced: Box<dyn Behaviour>,
    pub(super) code: Arc<dyn Provider>,
}

impl Back {
    pub(super) fn run(&mut self) -> Result<Went, UpgradeError> {
        let began = self.shared.clock.now();
        let paused = self.pause();
        self.ran(Step::Pause, began, paused.as_ref().err());
        let mut pause = paused?;
        // From here on a cancel takes the pause from nobody: it waits until the record is back, or the commit is there.
        self.shared.no_longer_paused(&self.moved.addr);
        let began = self.shared.clock.now();
        let made = self.make(&mut pause);
        self.ran(self.step(), began, made.as_ref().err());
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                self.work.pause = Some(pause);
                return Err(error);
            }
        };
        let began = self.shared.clock.now();
        let went = self.commit(pause, made);
        self.ran(Step::Commit, began, went.as_ref().err());
        went
    }

    const fn step(&self) -> Step {
        match self.way {
            WayBack::Replay => Step::Replay,
            WayBack::Restore | WayBack::Downgrade => Step::Restore,
        }
    }

    /// Without an end of its own: whoever goes back waits for no code without one, and what fails stays paused.
    fn pause(&mut self) -> Result<Quiesced, UpgradeError> {
        self.shared.go_on()?;
        if let Some(pause) = self.work.pause.take() {
            pause.limit(KEPT);
            return Ok(pause);
        }
        let hangs = self.work.actor.hangs().is_some();
        self.shared.now_paused(&self.work.actor);
        // One that hangs may be slow: it is waited for once more as long as it took to say so, and no longer.
        let timeout = self.work.bounds.quiesce_timeout;
        let request = self.work.actor.ask_pause(LeaseRequest {
            owner: self.shared.id.to_string(),
            generation: Generation(self.moved.generation),
            quiesce_timeout: if hangs { timeout.min(self.aside.hang_after) } else { timeout },
            max_pause: KEPT,
            on_lost: Box::new(drop),
        });
        match request.and_then(PauseRequest::wait) {
            Ok(pause) => Ok(pause),
            // Its state is lost with it, whatever becomes of the way back: nobody can have it while that turn runs.
            Err(PauseRefused::Busy { .. }) if hangs && let Some(hung) = self.work.actor.give_turn_up() => {
                hung.pause.limit(KEPT);
                Ok(hung.pause)
            }
            Err(refused) => Err(UpgradeError::Pause(refused)),
        }
    }

    /// An instance of the version before, and what it came from. What fails leaves the record as it was, for the next
    /// try.
    fn make(&mut self, pause: &mut Quiesced) -> Result<Made, UpgradeError> {
        let lost = |error| broke(Step::Replay, error);
        let mut recorded = pause.take_record().map_err(lost)?;
        match self.made(pause, &mut recorded) {
            Ok((replayed, state_bytes)) => Ok(Made { replayed, recorded, state_bytes }),
            Err(error) => {
                if let Some(recorded) = recorded {
                    pause.put_record(recorded).map_err(lost)?;
                }
                Err(error)
            }
        }
    }

    fn made(
        &mut self,
        pause: &mut Quiesced,
        recorded: &mut Option<Recorded>,
    ) -> Result<(Replayed, usize), UpgradeError> {
        let replays = self.way == WayBack::Replay;
        let why =
            recorded.as_ref().map_or(Some("nothing of what came since the commit was kept".to_owned()), |recorded| {
                recorded.no_replay().map(|why| why.to_string())
            });
        if let Some(why) = why.filter(|_| replays) {
            return Err(self.no_way(&why));
        }
        let (work, state_bytes) = self.copy(pause)?;
        let hand = hand()?;
        let replayed = match recorded.take() {
            Some(record) if replays => {
                let replayed;
                (*recorded, replayed) = self.replay(pause, &hand, record, work);
                let replayed = replayed?;
                self.shared.go_on()?;
                replayed.map_err(|why| UpgradeError::Back(BackError::Replay(why)))?
            }
            Some(record) => {
                let replayed = record.forget(work);
                *recorded = Some(record);
                replayed
            }
            None => Replayed::of(work),
        };
        let replayed = self.keep(pause, replayed)?;
        if let Some(lost) = pause.cancelled() {
            return Err(UpgradeError::Lost { step: self.step(), lost });
        }
        self.shared.go_on()?;
        Ok((replayed, state_bytes))
    }

    /// The instance before, as it was at the commit, once more: it is kept until the way back is through.
    fn copy(&mut self, pause: &mut Quiesced) -> Result<(Box<dyn Behaviour>, usize), UpgradeError> {
        let hand = hand()?;
        let Some(frozen) = self.work.frozen.take() else { return Err(self.no_way("the instance before is gone")) };
        let (old, bytes_max) = (Arc::clone(&self.work.old), self.work.bounds.snapshot_bytes_max);
        let job = move |frozen: Box<dyn Behaviour>| {
            let made = caught(|| {
                let state = frozen.save(bytes_max)?;
                Ok((old.restore(old.schema(), &state)?, state.len()))
            });
            (frozen, made)
        };
        let made;
        (self.work.frozen, made) = match self.aside(pause, &hand, self.work.bounds.max_pause, (frozen, job)) {
            Ok((frozen, made)) => (Some(frozen), made.map_err(UpgradeError::Reset)),
            Err(not_done) => {
                let (frozen, error) = *not_done;
                (frozen, Err(error))
            }
        };
        made
    }

    /// The record comes back, unless the code does not return.
    fn replay(
        &mut self,
        pause: &mut Quiesced,
        hand: &Hand,
        mut recorded: Recorded,
        work: Box<dyn Behaviour>,
    ) -> (Option<Recorded>, Result<Result<Replayed, ReplayError>, UpgradeError>) {
        let (old, budget) = (Arc::clone(&self.work.old), self.work.watch.replay_timeout);
        // Not lent out: it has an end, whatever becomes of the code.
        let begun = recorded.take_begun();
        let shared = Arc::clone(&self.shared);
        let job = move |recorded: Recorded| {
            let replayed = recorded.replay(&old, work, budget, || shared.go_on().is_ok());
            (recorded, replayed)
        };
        let (mut recorded, replayed) = match self.aside(pause, hand, budget, (recorded, job)) {
            Ok((recorded, replayed)) => (Some(recorded), Ok(replayed)),
            Err(not_done) => {
                let (recorded, error) = *not_done;
                (recorded, Err(error))
            }
        };
        if let Err(UpgradeError::Hang { .. }) = &replayed {
            self.work.actor.give_record_up(NoReplay::Hung);
        }
        if let Some(recorded) = &mut recorded {
            recorded.put_begun(begun);
        }
        (recorded, replayed)
    }

    /// Its state, where a restart is to begin from that.
    fn keep(&mut self, pause: &mut Quiesced, replayed: Replayed) -> Result<Replayed, UpgradeError> {
        if self.work.actor.info().options.restart_state != RestartState::LastSnapshot {
            return Ok(replayed);
        }
        let bytes_max = self.work.bounds.snapshot_bytes_max;
        let job = move |replayed: Replayed| {
            let saved = caught(|| replayed.behaviour().save(bytes_max));
            (replayed, saved)
        };
        let saved = self.aside(pause, &hand()?, self.work.bounds.max_pause, (replayed, job));
        let (replayed, saved) = saved.map_err(|not_done| not_done.1)?;
        pause.keep_snapshot(self.work.old.schema(), saved.map_err(UpgradeError::Save)?);
        Ok(replayed)
    }

    /// Runs the code of the version before beside this thread, which waits no longer than `budget` and the time after
    /// which code is said to hang. What is lent comes back, also when the pause is over, unless it is lost with the
    /// code: in what the job gives, or with the error.
    fn aside<L: Send + 'static, T: Send + 'static>(
        &self,
        pause: &mut Quiesced,
        hand: &Hand,
        budget: Duration,
        (lent, job): (L, impl FnOnce(L) -> T + Send + 'static),
    ) -> Result<T, Box<(Option<L>, UpgradeError)>> {
        let (step, addr, lost) = (self.step(), &self.moved.addr, &self.shared.threads_lost);
        let run = |lent| self.aside.run(hand, (&self.work.old, addr), lost, budget, move || job(lent));
        match pause.lend(LeaseStep::Restore, lent, run) {
            Ok(Ok(came)) => Ok(came),
            Ok(Err(NotDone::Hangs(waited))) => {
                Err(Box::new((None, UpgradeError::Hang { release: self.moved.to.to_string(), step, waited })))
            }
            Ok(Err(NotDone::Broke)) => {
                Err(Box::new((None, UpgradeError::Thread("what ran the code of the version before broke".to_owned()))))
            }
            Err((lent, lost)) => Err(Box::new((Some(lent), UpgradeError::Lost { step, lost }))),
        }
    }

    fn commit(&self, pause: Quiesced, made: Made) -> Result<Went, UpgradeError> {
        let Made { mut replayed, recorded, state_bytes } = made;
        let (old, code) = (Arc::clone(&self.work.old), pause.provider());
        let (mut tally, held) = (replayed.tally, replayed.take_held());
        if recorded.as_ref().is_none_or(|recorded| recorded.turns() == 0) {
            // None of them was kept: what the version did is given up all the same.
            tally.turns = usize::try_from(self.work.actor.figures().turns()).unwrap_or(usize::MAX);
        }
        let lost = |lost| UpgradeError::Lost { step: Step::Commit, lost };
        let resumed = pause.commit_replayed(replayed, recorded, old, || {}).map_err(lost)?;
        let replaced = resumed.old.ok_or_else(|| self.no_way("nothing was replaced"))?;
        Ok(Went {
            paused: resumed.paused,
            queued_messages: resumed.queued_messages,
            dead_letters: resumed.dead_letters,
            generation: resumed.generation.0,
            state_bytes,
            tally,
            held,
            replaced,
            code,
        })
    }

    fn no_way(&self, why: &str) -> UpgradeError {
        let (addr, why) = (self.moved.addr.clone(), why.to_owned());
        let instead = vec!["take one of the ways that teneral upgrade status shows".to_owned()];
        UpgradeError::Back(BackError::NoWay { addr, way: self.way, why, instead })
    }

    fn ran(&mut self, step: Step, began: Moment, error: Option<&UpgradeError>) {
        let done = self.shared.done(step, Some(&self.moved.addr), began, error);
        self.ran.push(done);
    }
}

fn hand() -> Result<Hand, UpgradeError> {
    Hand::new().map_err(|error| UpgradeError::Thread(error.to_string()))
}

/// What takes over.
struct Made {
    replayed: Replayed,
    recorded: Option<Recorded>,
    state_bytes: usize,
}

fn broke(step: Step, error: StepError) -> UpgradeError {
    match error {
        StepError::Lost(lost) => UpgradeError::Lost { step, lost },
        StepError::Fault(fault) => UpgradeError::Reset(fault),
    }
}
