//! The trial of programs, which no process loads: each runs in a process of its own, as it will run live, and the host
//! walks the way with them.
//!
//! None of their code runs here. What they do not survive is their process's end; what they answer that nobody can
//! believe is refused. The walk has a thread of its own, which may be held up by who is asked, while this one looks at
//! the deadline and at whether anybody still wants to know: who is asked is ended then, and so the walk.

use super::process::{CalledOff, TICK, last_line};
use super::walk::{Stop, Walk};
use super::wire::{Rehearse, Stage, Told};
use super::{Bounds, Crash, Going, How, TrialError};
use crate::error::{Refused, UpgradeError};
use crate::trial::rehearsals::{CRASHES_MAX, by_stage};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use teneral_contract::Digest;
use teneral_runtime::ports::{Fault, FaultKind, Provider};

/// A process that was started for rehearsals alone. Dropped, it ends.
pub trait Tried: Send + Sync {
    /// Its code, over there.
    fn code(&self) -> Arc<dyn Provider>;
    /// How it ended, as soon as that is known.
    fn ended(&self) -> Option<How>;
    /// Ends it: what it is asked at this moment fails, and what it is asked from now on.
    fn end(&self);
    /// The end of what it wrote.
    fn output(&self) -> String;
}

/// Why there is no process of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untried {
    /// Why.
    pub why: TrialError,
    /// The end of what it wrote, if it was started.
    pub output: String,
}

impl From<Refused> for Untried {
    fn from(refused: Refused) -> Self {
        Self { why: TrialError::Refused(refused), output: String::new() }
    }
}

/// How long is waited for the end of a process that answers no more: its connection is closed a moment before.
const END_SEEN: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(5);

/// The programs of one upgrade that are tried.
pub(crate) struct Alone {
    bounds: Bounds,
    going: Going,
    tried: BTreeMap<Digest, Arc<dyn Tried>>,
    /// Programs that did not start, and why.
    bad: BTreeMap<Digest, TrialError>,
    crashes: usize,
    /// What the process that failed last had written.
    output: String,
}

/// What is asked at this moment, and of whom.
struct Asked {
    stage: Stage,
    digest: Digest,
    /// Nothing more is to be asked.
    over: bool,
}

/// Why a walk has no end of its own.
enum Over {
    /// Nobody wants to know any more.
    CalledOff,
    /// It takes too long.
    Late,
    /// It has no thread.
    Thread(io::Error),
}

impl Alone {
    pub(crate) fn new(bounds: Bounds, going: Going) -> Self {
        let (tried, bad) = (BTreeMap::new(), BTreeMap::new());
        Self { bounds, going, tried, bad, crashes: 0, output: String::new() }
    }

    /// What the process that failed last had written.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Whether these may be rehearsed, and those of the way back: asked before a state is copied for it. One of those
    /// that does not start is no reason: then there is no way back.
    ///
    /// # Errors
    /// Why one did not start before; [`TrialError::GivenUp`]: too many have died.
    pub(crate) fn may_run(
        &self,
        there: impl IntoIterator<Item = Digest>,
        back: impl IntoIterator<Item = Digest>,
    ) -> Result<(), TrialError> {
        there.into_iter().try_for_each(|digest| self.may_start(digest))?;
        back.into_iter().filter(|digest| !self.bad.contains_key(digest)).try_for_each(|digest| self.may_start(digest))
    }

    fn may_start(&self, digest: Digest) -> Result<(), TrialError> {
        match self.bad.get(&digest) {
            Some(bad) => Err(bad.clone()),
            None if self.crashes >= CRASHES_MAX && !self.tried.contains_key(&digest) => {
                Err(TrialError::GivenUp(CRASHES_MAX))
            }
            None => Ok(()),
        }
    }

    /// Has a process of this one at hand: the one that is, or another.
    ///
    /// # Errors
    /// [`TrialError`]: it does not start, or is not started any more.
    pub(crate) fn start(
        &mut self,
        digest: Digest,
        try_out: impl FnOnce(Bounds, &dyn Fn() -> bool) -> Result<Arc<dyn Tried>, Untried>,
    ) -> Result<(), TrialError> {
        // One that has ended since it was asked last: of that nobody else is to blame.
        if self.tried.get(&digest).is_some_and(|tried| tried.ended().is_some()) {
            self.tried.remove(&digest);
            self.crashes += 1;
        }
        self.may_start(digest)?;
        if self.tried.contains_key(&digest) {
            return Ok(());
        }
        match try_out(self.bounds, &*self.going) {
            Ok(tried) => {
                self.tried.insert(digest, tried);
                Ok(())
            }
            // It was not given the time to start.
            Err(_) if !(self.going)() => Err(TrialError::CalledOff),
            Err(Untried { why, output }) => {
                self.output = output;
                self.crashes += 1;
                self.bad.insert(digest, why.clone());
                Err(why)
            }
        }
    }

    /// Rehearses; all that it needs is at hand.
    ///
    /// # Errors
    /// [`UpgradeError`]: what the trial showed.
    pub(crate) fn run(&mut self, order: &Rehearse, state: &[u8]) -> Result<Told, UpgradeError> {
        let asked = Mutex::new(Asked { stage: Stage::Start, digest: order.to.digest, over: false });
        let walked = self.walk(order, state, &asked);
        let Asked { stage, digest, .. } = asked.into_inner();
        match walked {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(Stop::Fault(fault))) => Err(self.failed((stage, digest), fault)),
            Err(Over::Late) => Err(self.crashed((stage, digest), How::Hung(self.bounds.timeout))),
            Err(Over::Thread(error)) => Err(UpgradeError::Trial(TrialError::NotStarted(format!("no thread: {error}")))),
            Ok(Err(Stop::Said(_))) | Err(Over::CalledOff) => Err(UpgradeError::Trial(TrialError::CalledOff)),
        }
    }

    /// Walks, within the time of one rehearsal.
    fn walk(&self, order: &Rehearse, state: &[u8], asked: &Mutex<Asked>) -> Result<Result<Told, Stop>, Over> {
        let codes: BTreeMap<_, _> = self.tried.iter().map(|(digest, tried)| (*digest, tried.code())).collect();
        let (codes, deadline) = (&codes, Instant::now() + self.bounds.timeout);
        let mut at = move |stage, digest| {
            let mut asked = asked.lock();
            // Who was asked when it was over is who it is put down to.
            if asked.over {
                return Err(io::Error::other(CalledOff));
            }
            (asked.stage, asked.digest) = (stage, digest);
            Ok(())
        };
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let walks = move || _ = tell.send((Walk { codes, at: &mut at }).twice(order, state));
            let walking = thread::Builder::new().name("teneral-trial".to_owned());
            drop(walking.spawn_scoped(scope, walks).map_err(Over::Thread)?);
            loop {
                match told.recv_timeout(TICK) {
                    Ok(walked) => return Ok(walked),
                    Err(RecvTimeoutError::Timeout) => {}
                    // It panicked, and so will this scope.
                    Err(RecvTimeoutError::Disconnected) => return Err(Over::Late),
                }
                let over = match () {
                    () if !(self.going)() => Over::CalledOff,
                    () if Instant::now() >= deadline => Over::Late,
                    () => continue,
                };
                let mut asked = asked.lock();
                asked.over = true;
                // The walk ends with it, which is waited for here.
                if let Some(tried) = self.tried.get(&asked.digest) {
                    tried.end();
                }
                return Err(over);
            }
        })
    }

    /// What a fault of who was asked came of: the end of its process, an answer that cannot be believed, or what the
    /// code says.
    fn failed(&mut self, (stage, digest): (Stage, Digest), fault: Fault) -> UpgradeError {
        let asked_in_vain = matches!(fault.kind, FaultKind::Failed | FaultKind::Protocol);
        let deadline = Instant::now() + if asked_in_vain { END_SEEN } else { Duration::ZERO };
        let tried = self.tried.get(&digest);
        let ended = loop {
            let ended = tried.and_then(|tried| tried.ended());
            if ended.is_some() || Instant::now() >= deadline {
                break ended;
            }
            thread::sleep(LOOK);
        };
        if let Some(how) = ended {
            return self.crashed((stage, digest), how);
        }
        self.output = tried.map(|tried| tried.output()).unwrap_or_default();
        match fault.kind {
            FaultKind::Protocol => {
                UpgradeError::Trial(TrialError::Babbled(format!("{}, while {}", fault.text, stage.doing())))
            }
            _ => by_stage(stage, fault),
        }
    }

    /// The process that was asked is of no use any more.
    fn crashed(&mut self, (stage, digest): (Stage, Digest), how: How) -> UpgradeError {
        self.crashes += 1;
        self.output = self.tried.remove(&digest).map(|tried| tried.output()).unwrap_or_default();
        UpgradeError::Trial(TrialError::Crashed(Crash { stage, how, said: last_line(&self.output) }))
    }
}
