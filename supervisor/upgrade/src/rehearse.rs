//! Step Trial of an upgrade: which moves are rehearsed, on which copy, and what a rehearsal must show.
//!
//! The copy is one `save` between two messages. While it is taken the actor handles none, so that time is measured and
//! counts: what the copy and the migration took is what the pause will take, and a plan over its `max_pause` is refused
//! before anybody is paused for it.

use crate::error::{Refused, UpgradeError};
use crate::plan::{Direction, Hop, Move, ReleaseRef};
use crate::report::micros;
use crate::request::{Lossy, Options, StateMode, TrialRemains, Trials, Unstable};
use crate::snapshot::{Artifacts, Lend};
use crate::step::Step;
use crate::trial::{
    Alone, Back, Bounds, Going, Rehearsal, Rehearsals, Rehearse, Rehearsed, Told, TrialError, TrialProgram,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use teneral_contract::{Addr, Digest};
use teneral_runtime::error::CopyError;
use teneral_runtime::{ActorRef, PauseRefused};

/// Memory that a trial process may have, whatever the state: the program itself, its threads, a library.
const MEMORY_BYTES_BASE: u64 = 512 << 20;

/// And so many times the largest state that the upgrade allows: the bytes, what they decode to, both versions of it.
const MEMORY_TIMES_STATE: u64 = 8;

/// Longest that one rehearsal may take: clocks reckon with it without running over.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// So many actors more than a sample wants are asked for a copy, before nobody is known to give one.
const SPARE_MAX: usize = 8;

/// Where trials run and what is left of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialConfig {
    /// The program of the trial processes.
    pub program: TrialProgram,
    /// Where `keep` keeps what a failed trial was about: made when it is needed.
    pub keep_dir: Option<PathBuf>,
}

/// The rehearsals of one upgrade or plan.
pub(crate) struct Stage<'a> {
    artifacts: &'a dyn Artifacts,
    options: Options,
    config: &'a TrialConfig,
    rehearsals: Rehearsals,
    /// The same for programs.
    alone: Alone,
    lent: BTreeMap<Digest, Lend>,
    kept: Vec<String>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        artifacts: &'a dyn Artifacts,
        config: &'a TrialConfig,
        (options, moves): (Options, usize),
        going: Going,
    ) -> Self {
        let states = MEMORY_TIMES_STATE.saturating_mul(options.snapshot_bytes_max as u64);
        let bounds = Bounds {
            timeout: options.trial_timeout.min(TIMEOUT_MAX),
            memory_bytes_max: MEMORY_BYTES_BASE.saturating_add(states),
            rehearsals_max: moves as u64 + 1,
        };
        let alone = Alone::new(bounds, Rc::clone(&going));
        let rehearsals = Rehearsals::new(config.program.clone(), bounds, going);
        Self { artifacts, options, config, rehearsals, alone, lent: BTreeMap::new(), kept: Vec::new() }
    }

    /// Rehearses one move on a copy of the actor as it is now; nothing for code that is linked into this program, which
    /// no other process can load.
    ///
    /// # Errors
    /// [`UpgradeError`]: why the actor must not be paused for this.
    pub(crate) fn rehearse(&mut self, actor: &ActorRef, moved: &Move) -> Result<Option<Rehearsed>, UpgradeError> {
        let there = || [&moved.to].into_iter().chain(by(&moved.ladder));
        let back = || by(moved.back.as_deref().unwrap_or_default());
        let Some(mut needs) = self.needs(moved, there())? else { return Ok(None) };
        // A way back whose code is not let in is none; the way there is as good as it was.
        let needs_back = self.needs(moved, back()).unwrap_or(None);
        let is_program = |needs: &[Lend]| needs.iter().any(|lend| matches!(lend, Lend::Program));
        let by_programs = is_program(&needs) || needs_back.as_deref().is_some_and(is_program);
        // What is known already costs nobody a copy.
        let known = (there().map(|release| release.digest), back().take_while(|_| needs_back.is_some()));
        let known = (known.0, known.1.map(|release| release.digest));
        let may_run = if by_programs {
            self.alone.may_run(known.0, known.1)
        } else {
            self.rehearsals.may_run(known.0.chain(known.1))
        };
        may_run.map_err(UpgradeError::Trial)?;
        let (state, copied) = self.copy(actor)?;
        let mut order = crate::trial::order(moved, self.args_of(actor), self.options.snapshot_bytes_max);
        if needs_back.is_none() {
            order.back = None;
        }
        let told = if by_programs {
            self.run_programs((there(), back()), order, &state)
        } else {
            needs.extend(needs_back.into_iter().flatten());
            let bytes = |lend| if let Lend::Bytes(lent) = lend { Some(lent) } else { None };
            let needs = needs.into_iter().filter_map(bytes).collect();
            self.rehearsals.run(&Rehearsal { needs, order, state: &state })
        };
        if cfg!(feature = "bug-p17") && by_programs && matches!(told, Err(UpgradeError::Trial(TrialError::Crashed(_))))
        {
            return Ok(None);
        }
        if cfg!(feature = "bug-f12") && matches!(told, Err(UpgradeError::Migrate(_))) {
            return Ok(None);
        }
        let told = told.inspect_err(|error| self.keep(moved, &state, error))?;
        let copy_us = micros(copied);
        let rehearsed = Rehearsed {
            copy_us,
            state_bytes: state.len(),
            migrate_us: told.migrate_us,
            new_state_bytes: told.bytes,
            pause_us: copy_us.saturating_add(told.migrate_us),
            same_twice: told.same,
            back: told.back,
            back_fails: told.back_fails,
        };
        self.judge(moved, &rehearsed).inspect_err(|error| self.keep(moved, &state, error))?;
        Ok(Some(rehearsed))
    }

    fn args_of(&self, actor: &ActorRef) -> Option<teneral_contract::Fingerprint> {
        (self.options.state == StateMode::Reset).then(|| actor.start_args().shape)
    }

    fn copy(&self, actor: &ActorRef) -> Result<(Vec<u8>, Duration), UpgradeError> {
        if self.options.state == StateMode::Reset {
            return Ok((actor.start_args().bytes.to_vec(), Duration::ZERO));
        }
        let read = actor.copy_state(self.options.snapshot_bytes_max, self.options.quiesce_timeout);
        let read = read.map_err(|error| match error {
            CopyError::Refused(refused) => UpgradeError::Pause(refused),
            CopyError::Save(fault) => UpgradeError::Save(fault),
            CopyError::Hangs(waited) => UpgradeError::CopyHangs(actor.addr().clone(), waited),
        })?;
        Ok((read.state.bytes, read.took))
    }

    fn judge(&self, moved: &Move, rehearsed: &Rehearsed) -> Result<(), UpgradeError> {
        let addr = moved.addr.clone();
        let max_us = micros(self.options.max_pause);
        if rehearsed.pause_us > max_us && !cfg!(feature = "bug-f18") {
            let (pause_us, copy_us) = (rehearsed.pause_us, rehearsed.copy_us);
            return Err(UpgradeError::TooLong { addr, pause_us, copy_us, max_us });
        }
        if !rehearsed.same_twice && self.options.unstable == Unstable::Refuse && !cfg!(feature = "bug-f16") {
            return Err(UpgradeError::Unstable { addr, to: moved.to.to_string() });
        }
        // A way down gives up what the older version has no place for; whoever asked for it asked for that.
        let up = moved.direction != Direction::Downgrade;
        let lossy = rehearsed.back == Back::Lossy && up && self.options.lossy == Lossy::Refuse;
        if lossy && !cfg!(feature = "bug-f17") {
            let (from, to) = (moved.from.to_string(), moved.to.to_string());
            return Err(match rehearsed.back_fails.clone() {
                Some(why) => UpgradeError::NoWayDown { addr, from, to, why },
                None => UpgradeError::Lossy { addr, from, to },
            });
        }
        Ok(())
    }

    /// These libraries, for a rehearsal; `None` when one of them is no library.
    fn needs<'r>(
        &mut self,
        moved: &Move,
        releases: impl Iterator<Item = &'r ReleaseRef>,
    ) -> Result<Option<Vec<Lend>>, UpgradeError> {
        let mut needs: Vec<Lend> = Vec::new();
        for release in releases {
            match self.lend(moved, release)? {
                Lend::Linked => return Ok(None),
                lend => needs.push(lend),
            }
        }
        Ok(Some(needs))
    }

    /// Rehearses with programs, each in a process of its own.
    fn run_programs<'r>(
        &mut self,
        (there, mut back): (impl Iterator<Item = &'r ReleaseRef>, impl Iterator<Item = &'r ReleaseRef>),
        mut order: Rehearse,
        state: &[u8],
    ) -> Result<Told, UpgradeError> {
        for release in there {
            self.started(release).map_err(UpgradeError::Trial)?;
        }
        if order.back.is_some() {
            match back.try_for_each(|release| self.started(release)) {
                Err(untried @ (TrialError::CalledOff | TrialError::GivenUp(_))) => {
                    return Err(UpgradeError::Trial(untried));
                }
                // One that does not start leads nowhere.
                Err(_) => order.back = None,
                Ok(()) => {}
            }
        }
        self.alone.run(&order, state)
    }

    /// Has a process of its own for the rehearsals of this one.
    fn started(&mut self, release: &ReleaseRef) -> Result<(), TrialError> {
        let mut artifact = self.artifacts.open(release);
        self.alone.start(release.digest, |bounds, going| artifact.try_out(bounds, going))
    }

    fn lend(&mut self, moved: &Move, release: &ReleaseRef) -> Result<Lend, UpgradeError> {
        if let Some(known) = self.lent.get(&release.digest) {
            return Ok(known.clone());
        }
        let runs = release.digest == moved.from.digest && release.digest != moved.to.digest;
        let mut artifact = self.artifacts.open(release);
        let lent = if runs { artifact.lend_running() } else { artifact.lend() };
        let lent = lent.map_err(|refused: Refused| UpgradeError::Gate {
            what: release.to_string(),
            step: Step::Trial,
            refused: Box::new(refused),
        })?;
        self.lent.insert(release.digest, lent.clone());
        Ok(lent)
    }

    /// Leaves what a failed trial was about for the code's author, if the operator asked for it: that it could not be
    /// is worth a line, and changes nothing.
    fn keep(&mut self, moved: &Move, state: &[u8], error: &UpgradeError) {
        let (TrialRemains::Keep, Some(dir)) = (self.options.trial_remains, &self.config.keep_dir) else { return };
        if matches!(error, UpgradeError::Trial(TrialError::CalledOff)) {
            return;
        }
        let addr = &moved.addr;
        let output = format!("{}{}", self.rehearsals.output(), self.alone.output());
        self.kept.push(match crate::remains::keep(dir, moved, state, &output, error) {
            Ok(kept) => format!("{addr}: what is left of its trial is in {}", absolute(&kept).display()),
            Err(error) => {
                tracing::error!(%error, dir = %dir.display(), actor = %addr, "the remains of a trial were not kept");
                format!("{addr}: what is left of its trial was not kept: {error}")
            }
        });
    }

    /// Where what is left of failed trials was kept, a line each.
    pub(crate) fn into_kept(self) -> Vec<String> {
        self.kept
    }
}

/// As it is found from anywhere: whoever reads it may be in another directory than the host.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn by(hops: &[Hop]) -> impl Iterator<Item = &ReleaseRef> {
    hops.iter().map(|hop| &hop.by)
}

/// Moves of which so many are rehearsed for all: those from one release to one other.
#[derive(Debug)]
pub(crate) struct Sample {
    wanted: usize,
    /// The moves' numbers, first those that are meant, then those that stand in for one of them.
    numbers: Vec<usize>,
}

/// What came of asking one actor of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// What the code does with it, good or bad.
    Code,
    /// Nothing: it could not be copied, or nobody wants to know any more.
    Nothing,
}

impl Sample {
    /// Rehearses one after the other, until enough have shown what the code does or too many could not be copied; how
    /// many have.
    pub(crate) fn look(&self, mut rehearse: impl FnMut(usize) -> Shown) -> usize {
        let (mut shown, tries_max) = (0, self.wanted.saturating_add(SPARE_MAX));
        for number in self.numbers.iter().take(tries_max) {
            if shown == self.wanted {
                break;
            }
            shown += usize::from(rehearse(*number) == Shown::Code);
        }
        shown
    }

    /// All that it speaks for.
    pub(crate) fn numbers(&self) -> &[usize] {
        &self.numbers
    }
}

/// Which of these moves are rehearsed, by their numbers.
pub(crate) fn samples<'m>(trials: Trials, moves: impl Iterator<Item = (usize, &'m Move)>) -> Vec<Sample> {
    match trials {
        Trials::Skip => Vec::new(),
        Trials::Every => {
            vec![Sample { wanted: usize::MAX, numbers: moves.map(|(number, _)| number).collect() }]
        }
        Trials::Sample { actors } => {
            // What one release does on its way says nothing of another one.
            let mut ways: BTreeMap<(Digest, Digest), Vec<usize>> = BTreeMap::new();
            for (number, moved) in moves {
                ways.entry((moved.from.digest, moved.to.digest)).or_default().push(number);
            }
            ways.into_values().map(|numbers| spread(actors, numbers)).collect()
        }
    }
}

/// Evenly, so that of a fleet in the order of its names not only the first are seen.
fn spread(actors: usize, numbers: Vec<usize>) -> Sample {
    let (moves, wanted) = (numbers.len(), actors.clamp(1, numbers.len().max(1)));
    // Number `i` of the sample is at place `i * moves / wanted`.
    let is_meant = |place: usize| (place * wanted).div_ceil(moves) * moves / wanted == place;
    let (meant, others): (Vec<_>, Vec<_>) = numbers.into_iter().enumerate().partition(|(place, _)| is_meant(*place));
    Sample { wanted, numbers: meant.into_iter().chain(others).map(|(_, number)| number).collect() }
}

/// Whether an error says anything of the new code, and not of the actor alone.
pub(crate) const fn shown(error: &UpgradeError) -> Shown {
    match error {
        UpgradeError::Pause(_) | UpgradeError::Cancelled(_) => Shown::Nothing,
        _ => Shown::Code,
    }
}

/// An actor that cannot be copied in time, as one that cannot be paused in time.
pub(crate) const fn is_deferral(error: &UpgradeError) -> bool {
    matches!(error, UpgradeError::Pause(PauseRefused::Busy { .. } | PauseRefused::Suspended { .. }))
}

/// Names an actor whose rehearsal was the sample.
pub(crate) fn sample_failed(addr: &Addr, error: &UpgradeError) -> UpgradeError {
    UpgradeError::Sample { addr: addr.clone(), code: error.code().to_owned(), cause: crate::error::chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_as_many_actors_as_it_says_spread_over_all_of_them() {
        for moves in 1..200 {
            for actors in 1..=moves {
                let sample = spread(actors, (0..moves).collect());
                let mut picked = Vec::new();
                sample.look(|number| {
                    picked.push(number);
                    Shown::Code
                });
                assert_eq!(picked.len(), actors, "{actors} of {moves}: {picked:?}");
                assert_eq!(picked[0], 0);
                let widest = picked.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
                assert!(widest <= moves.div_ceil(actors), "{actors} of {moves}: {picked:?}");
            }
        }
        assert_eq!(spread(0, (0..5).collect()).wanted, 1, "one at least");
    }

    #[test]
    fn who_cannot_be_copied_hands_its_place_on_and_not_for_ever() {
        let sample = spread(2, (0..100).collect());
        let mut asked = Vec::new();
        let seen = sample.look(|number| {
            asked.push(number);
            if number < 3 { Shown::Nothing } else { Shown::Code }
        });
        assert_eq!((seen, asked), (2, vec![0, 50, 1, 2, 3]));
        let mut asked = 0;
        let seen = sample.look(|_| {
            asked += 1;
            Shown::Nothing
        });
        assert_eq!((seen, asked), (0, 2 + SPARE_MAX));
    }
}
