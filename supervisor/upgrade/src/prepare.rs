//! The steps of an upgrade before anybody is paused: the code is verified and checked once for each release, the moves
//! are rehearsed, and only then is the code brought into this process.
//!
//! In that order, since loading runs constructors: what would end this process ends the trial's first.

use crate::conduct::Conductor;
use crate::error::{Refused, UpgradeError, chain};
use crate::plan::{Move, ReleaseRef};
use crate::probation::Down;
use crate::rehearse::{Shown, Stage, is_deferral, sample_failed, samples, shown};
use crate::report::{ActorReport, Failure, Now, Outcome};
use crate::request::{Lossy, Trials};
use crate::snapshot::Artifact;
use crate::step::Step;
use crate::transaction::{Code, Job};
use crate::trial::{Back, Rehearsed};
use crate::upgrades::Inner;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use teneral_contract::{Addr, Digest};
use teneral_runtime::ports::Provider;
use teneral_runtime::{ActorRef, Moment, PauseRefused};

/// Steps that are owed to the journal at most: whoever follows a fleet sees it go on.
const STEPS_A_WRITE: usize = 256;

/// A release in hand, or at which step it was refused and why.
type Brought<'a> = Result<InHand<'a>, (Step, Arc<UpgradeError>)>;

struct InHand<'a> {
    artifact: Box<dyn Artifact + 'a>,
    loaded: Option<Arc<dyn Provider>>,
}

/// The releases of one upgrade.
type Releases<'a> = BTreeMap<String, Brought<'a>>;

/// By artifact: a name for "the code of this kind" is what makes others' upgrades fail.
fn key(release: &ReleaseRef) -> String {
    if cfg!(feature = "bug-u15") { release.kind.clone() } else { release.digest.to_string() }
}

/// The releases whose code takes part besides the running one: those on the way, and the new one.
fn wanted(moved: &Move) -> impl Iterator<Item = &ReleaseRef> {
    let between = moved.ladder.iter().map(|hop| &hop.by);
    let others = between.filter(|by| by.digest != moved.from.digest && by.digest != moved.to.digest);
    [&moved.to].into_iter().chain(others)
}

impl Conductor {
    pub(crate) fn prepare(&mut self) -> Vec<(usize, Job)> {
        let (inner, moves) = (Arc::clone(&self.inner), self.plan.moves.clone());
        let mut releases = Releases::new();
        let mut able = Vec::new();
        for (number, moved) in moves.iter().enumerate() {
            match self.checked(&inner, moved, &mut releases) {
                Ok(actor) => able.push((number, actor)),
                Err(report) => self.settle(number, *report),
            }
        }
        let able = self.rehearse_all(&inner, &moves, able);
        let mut jobs = Vec::new();
        for (number, actor) in able {
            match self.loaded(&moves[number], &mut releases) {
                Ok(code) => {
                    let (moved, down) = (moves[number].clone(), self.down(number, &moves));
                    jobs.push((number, Job { moved, options: self.plan.options, actor, code, down }));
                }
                Err((step, error)) => self.settle(number, ActorReport::refused(&moves[number], step, &error)),
            }
        }
        self.write_steps();
        jobs
    }

    // ---- Verify and Check

    fn checked<'a>(
        &mut self,
        inner: &'a Inner,
        moved: &'a Move,
        releases: &mut Releases<'a>,
    ) -> Result<ActorRef, Box<ActorReport>> {
        for release in wanted(moved) {
            let brought = match releases.get(&key(release)) {
                Some(Ok(_)) => Ok(()),
                Some(Err(refused)) => Err(refused.clone()),
                None => {
                    let mut step = Step::Verify;
                    let checked = self.check(inner, release, &mut step).map_err(|error| (step, Arc::new(error)));
                    let refused = checked.as_ref().err().cloned();
                    releases.insert(key(release), checked);
                    refused.map_or(Ok(()), Err)
                }
            };
            brought.map_err(|(step, error)| Box::new(ActorReport::refused(moved, step, &error)))?;
        }
        inner.runtime.actor(&moved.addr).ok_or_else(|| {
            let outcome = Outcome::Refused(Failure::of(&UpgradeError::Pause(PauseRefused::Stopped)));
            Box::new(ActorReport::untouched(moved, Step::Pause, outcome, Now::Stopped))
        })
    }

    fn check<'a>(
        &mut self,
        inner: &'a Inner,
        release: &'a ReleaseRef,
        step: &mut Step,
    ) -> Result<InHand<'a>, UpgradeError> {
        self.shared.go_on()?;
        if let Some(why) = inner.runtime.quarantined(release.digest) {
            return Err(UpgradeError::Quarantined { release: release.to_string(), why });
        }
        let mut artifact = inner.artifacts.open(release);
        self.timed(Step::Verify, release, || artifact.verify())?;
        *step = Step::Check;
        let manifest = self.timed(Step::Check, release, || artifact.check())?;
        if ReleaseRef::of(&manifest, release.digest) != *release {
            let what =
                format!("it says it is {} {}, schema {}", manifest.kind, manifest.version, manifest.state.schema);
            return Err(UpgradeError::Changed { release: release.to_string(), what });
        }
        Ok(InHand { artifact, loaded: None })
    }

    // ---- Trial

    fn rehearse_all(&mut self, inner: &Inner, moves: &[Move], able: Vec<(usize, ActorRef)>) -> Vec<(usize, ActorRef)> {
        let (options, count) = (self.plan.options, able.len());
        if options.trials == Trials::Skip {
            return able;
        }
        let shared = Arc::clone(&self.shared);
        let going = Rc::new(move || shared.go_on().is_ok());
        let mut stage = Stage::new(&*inner.artifacts, &inner.trials, (options, count), going);
        let mut able: BTreeMap<usize, ActorRef> = able.into_iter().collect();
        let mut failed: BTreeMap<Digest, (Addr, UpgradeError)> = BTreeMap::new();
        for sample in samples(options.trials, able.keys().map(|number| (*number, &moves[*number]))) {
            let mut last = None;
            let seen = sample.look(|number| {
                let (moved, actor) = (&moves[number], able[&number].clone());
                let Err(error) = self.rehearse(&mut stage, number, moved, &actor) else { return Shown::Code };
                able.remove(&number);
                self.settle(number, not_paused(moved, &error));
                let shown = shown(&error);
                match shown {
                    Shown::Code => drop(failed.entry(moved.to.digest).or_insert((moved.addr.clone(), error))),
                    Shown::Nothing => last = Some((&moved.addr, error)),
                }
                shown
            });
            // Nobody could be copied: whoever was not asked waits for a better moment as well.
            let (0, Some((addr, error)), Ok(())) = (seen, last, self.shared.go_on()) else { continue };
            let error = UpgradeError::Unsampled { addr: addr.clone(), cause: chain(&error) };
            for number in sample.numbers().iter().filter(|number| able.remove(number).is_some()) {
                let (moved, failure) = (&moves[*number], Failure::of(&error));
                let outcome = Outcome::Deferred(failure);
                self.settle(*number, ActorReport::untouched(moved, Step::Trial, outcome, Now::old(moved)));
            }
        }
        self.plan.warnings.extend(stage.into_kept());
        if options.trials != Trials::Every {
            // Whoever was not looked at is as good as the sample was.
            able.retain(|number, _| match failed.get(&moves[*number].to.digest) {
                None => true,
                Some((addr, error)) => {
                    let error = sample_failed(addr, error);
                    self.settle(*number, ActorReport::refused(&moves[*number], Step::Trial, &error));
                    false
                }
            });
        }
        able.into_iter().collect()
    }

    /// One rehearsal, and its record.
    fn rehearse(
        &mut self,
        stage: &mut Stage<'_>,
        number: usize,
        moved: &Move,
        actor: &ActorRef,
    ) -> Result<(), UpgradeError> {
        let began = self.shared.clock.now();
        let rehearsed = self.shared.go_on().and_then(|()| stage.rehearse(actor, moved));
        // What it broke off with is that somebody cancelled.
        let rehearsed = rehearsed.map_err(|error| self.shared.go_on().err().unwrap_or(error));
        // Code that is linked into this program is in no other one: there was no trial to put down.
        if !matches!(rehearsed, Ok(None)) {
            self.done(Step::Trial, Some(&moved.addr), began, rehearsed.as_ref().err());
        }
        if self.owed.len() >= STEPS_A_WRITE {
            self.write_steps();
        }
        let rehearsed = rehearsed?;
        self.note(moved, rehearsed.as_ref());
        rehearsed.map(|rehearsed| self.rehearsed.insert(number, rehearsed));
        Ok(())
    }

    /// What its own rehearsal has shown of the way down, or those that were a sample for it.
    fn down(&self, number: usize, moves: &[Move]) -> Down {
        let way = |number: usize| (moves[number].from.digest, moves[number].to.digest);
        let of_sample = || self.rehearsed.iter().filter(|(other, _)| way(**other) == way(number));
        let lossy = self.plan.options.lossy;
        match self.rehearsed.get(&number) {
            Some(own) => Down::shown([own], lossy),
            None => Down::shown(of_sample().map(|(_, rehearsed)| rehearsed), lossy),
        }
    }

    /// What an operator let pass, and should hear of all the same.
    fn note(&mut self, moved: &Move, rehearsed: Option<&Rehearsed>) {
        let Some(rehearsed) = rehearsed else { return };
        let (addr, to) = (&moved.addr, &moved.to);
        if !rehearsed.same_twice {
            self.plan.warnings.push(format!("{addr}: {to} makes another state of the same bytes each time"));
        }
        if rehearsed.back == Back::Lossy && self.plan.options.lossy == Lossy::Accept {
            let from = &moved.from;
            self.plan.warnings.push(match &rehearsed.back_fails {
                Some(why) => format!("{addr}: the step from {to} back to {from} {why}: accepted"),
                None => format!("{addr}: from {to} back to {from} the state is not what it was: accepted"),
            });
        }
    }

    // ---- Load

    fn loaded(&mut self, moved: &Move, releases: &mut Releases<'_>) -> Result<Code, (Step, Arc<UpgradeError>)> {
        let mut loaded = Vec::new();
        for release in wanted(moved) {
            loaded.push(self.load(release, releases)?);
        }
        let mut loaded = loaded.into_iter();
        let missing = || (Step::Load, Arc::new(UpgradeError::Plan("it wants no code".to_owned())));
        Ok(Code { new: loaded.next().ok_or_else(missing)?, between: loaded.collect() })
    }

    fn load(
        &mut self,
        release: &ReleaseRef,
        releases: &mut Releases<'_>,
    ) -> Result<Arc<dyn Provider>, (Step, Arc<UpgradeError>)> {
        let missing = || (Step::Load, Arc::new(UpgradeError::Plan(format!("{release} was not checked"))));
        let brought = releases.get_mut(&key(release)).ok_or_else(missing)?;
        let in_hand = match brought {
            Ok(InHand { loaded: Some(provider), .. }) => return Ok(Arc::clone(provider)),
            Ok(in_hand) => in_hand,
            Err(refused) => return Err(refused.clone()),
        };
        match self.bring(release, &mut *in_hand.artifact) {
            Ok(provider) => Ok(Arc::clone(in_hand.loaded.insert(provider))),
            Err(error) => {
                let refused = (Step::Load, Arc::new(error));
                *brought = Err(refused.clone());
                Err(refused)
            }
        }
    }

    fn bring(&mut self, release: &ReleaseRef, artifact: &mut dyn Artifact) -> Result<Arc<dyn Provider>, UpgradeError> {
        self.shared.go_on()?;
        let provider = self.timed(Step::Load, release, || artifact.load())?;
        if provider.digest() != release.digest && !cfg!(feature = "bug-u15") {
            let what = format!("the image in the process has digest {}", provider.digest());
            return Err(UpgradeError::Changed { release: release.to_string(), what });
        }
        Ok(provider)
    }

    // ---- the record

    fn timed<T>(
        &mut self,
        step: Step,
        release: &ReleaseRef,
        run: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, UpgradeError> {
        let began = self.shared.clock.now();
        let result = run().map_err(|refused| {
            let (what, refused) = (release.to_string(), Box::new(refused));
            UpgradeError::Gate { what, step, refused }
        });
        self.done(step, None, began, result.as_ref().err());
        result
    }

    /// Puts down a step that is over.
    fn done(&mut self, step: Step, actor: Option<&Addr>, began: Moment, error: Option<&UpgradeError>) {
        let done = self.shared.done(step, actor, began, error);
        self.owed.push(done);
    }
}

/// What came of a move whose rehearsal ended it.
fn not_paused(moved: &Move, error: &UpgradeError) -> ActorReport {
    let failure = Failure::of(error);
    let outcome = if is_deferral(error) { Outcome::Deferred(failure) } else { Outcome::Refused(failure) };
    let gone = matches!(error, UpgradeError::Pause(PauseRefused::Stopped));
    ActorReport::untouched(moved, Step::Trial, outcome, if gone { Now::Stopped } else { Now::old(moved) })
}
