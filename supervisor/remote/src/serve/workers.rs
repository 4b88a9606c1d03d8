//! The threads that take turns, and the instances that they have.

use super::effects::Written;
use crate::convert::{Because, Taken, to_fault};
use crate::proto;
use crate::queue::Queue;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use std::{io, thread};
use teneral_contract::Fingerprint;
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Provider, guarded};
use tokio::sync::oneshot;

/// Something to do for the thread of an instance.
pub(super) enum Job {
    Make {
        instance: u64,
        make: Make,
        made: oneshot::Sender<Result<(), Fault>>,
    },
    Save {
        instance: u64,
        bytes_max: usize,
        saved: oneshot::Sender<Result<Vec<u8>, Fault>>,
    },
    Discard {
        instance: u64,
    },
    Turn {
        turn: Box<proto::Turn>,
        done: Queue<proto::TurnDone>,
    },
    /// What needs no instance, and may take as long.
    Other(Other),
}

/// What is asked of the code, and of no instance.
pub(super) type Other = Box<dyn FnOnce(&dyn Provider) + Send>;

/// What an instance is made of.
pub(super) enum Make {
    Args(Fingerprint, Bytes),
    State(u32, Bytes),
}

/// See the module. A cheap clone; the threads end with the last one.
#[derive(Clone)]
pub(super) struct Workers(Arc<Threads>);

struct Threads(Vec<Arc<Jobs>>);

/// What waits for one thread. What is no turn goes first: who saves an instance has waited for its turns already, and
/// holds it up as long as it waits for others'.
#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waits>,
    came: Condvar,
}

#[derive(Default)]
struct Waits {
    orders: VecDeque<Job>,
    turns: VecDeque<Job>,
    is_over: bool,
}

impl Drop for Threads {
    fn drop(&mut self) {
        for jobs in &self.0 {
            jobs.waiting.lock().is_over = true;
            jobs.came.notify_all();
        }
    }
}

impl Jobs {
    fn give(&self, job: Job) {
        let mut waits = self.waiting.lock();
        let lane = if matches!(job, Job::Turn { .. }) { &mut waits.turns } else { &mut waits.orders };
        lane.push_back(job);
        drop(waits);
        self.came.notify_one();
    }

    /// The next one; `None`: there will be none.
    fn take(&self) -> Option<Job> {
        let mut waits = self.waiting.lock();
        loop {
            let lanes = &mut *waits;
            if let Some(job) = lanes.orders.pop_front().or_else(|| lanes.turns.pop_front()) {
                return Some(job);
            }
            if waits.is_over {
                return None;
            }
            self.came.wait(&mut waits);
        }
    }
}

impl Workers {
    pub(super) fn start(provider: &Arc<dyn Provider>, count: usize) -> io::Result<Self> {
        let start = |number| {
            let (jobs, provider) = (Arc::<Jobs>::default(), Arc::clone(provider));
            let waiting = Arc::clone(&jobs);
            let work = move || Worker { provider, held: HashMap::new() }.work(&waiting);
            thread::Builder::new().name(format!("turns-{number}")).spawn(work)?;
            Ok(jobs)
        };
        Ok(Self(Arc::new(Threads((0..count.max(1)).map(start).collect::<io::Result<_>>()?))))
    }

    /// Gives a job to the thread of an instance.
    pub(super) fn give(&self, instance: u64, job: Job) {
        let Threads(threads) = &*self.0;
        let thread = usize::try_from(instance % threads.len() as u64);
        if let Some(jobs) = thread.ok().and_then(|thread| threads.get(thread)) {
            jobs.give(job);
        }
    }
}

struct Worker {
    provider: Arc<dyn Provider>,
    held: HashMap<u64, Held>,
}

struct Held {
    behaviour: Box<dyn Behaviour>,
    /// It panicked, or its actor stops: it takes no turn any more.
    is_over: bool,
}

impl Worker {
    fn work(mut self, jobs: &Jobs) {
        while let Some(job) = jobs.take() {
            match job {
                Job::Make { instance, make, made } => {
                    let _ = made.send(self.make(instance, &make));
                }
                Job::Save { instance, bytes_max, saved } => {
                    let _ = saved.send(self.save(instance, bytes_max));
                }
                Job::Discard { instance } => {
                    let held = self.held.remove(&instance);
                    // Its destructor is the author's code.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(held)));
                }
                Job::Turn { turn, done } => {
                    done.push([self.turn(*turn)]);
                }
                Job::Other(other) => other(&*self.provider),
            }
        }
    }

    fn make(&mut self, instance: u64, make: &Make) -> Result<(), Fault> {
        if self.held.contains_key(&instance) {
            return Err(Fault::new(FaultKind::Protocol, format!("there is an instance {instance} already")));
        }
        let behaviour = guarded(|| match make {
            Make::Args(shape, bytes) => self.provider.create(Body { shape: *shape, bytes }),
            Make::State(schema, state) => self.provider.restore(*schema, state),
        })?;
        self.held.insert(instance, Held { behaviour, is_over: false });
        Ok(())
    }

    fn save(&self, instance: u64, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let held = self.held.get(&instance).ok_or_else(|| nobody(instance))?;
        guarded(|| held.behaviour.save(bytes_max))
    }

    fn turn(&mut self, turn: proto::Turn) -> proto::TurnDone {
        let (instance, number) = (turn.instance, turn.number);
        let mut done = proto::TurnDone { instance, number, ..proto::TurnDone::default() };
        let Some(held) = self.held.get_mut(&instance) else {
            done.fault = Some(gone("there is no such instance"));
            return done;
        };
        if held.is_over {
            done.fault = Some(gone("the instance takes no turn any more"));
            return done;
        }
        let taken = match Taken::of(turn) {
            Ok(taken) => taken,
            Err(error) => {
                done.fault = Some(to_fault(Fault::new(FaultKind::Protocol, error.to_string())));
                return done;
            }
        };
        let mut written = Written::new(taken.given);
        let began = Instant::now();
        let ended = guarded(|| match taken.because {
            Because::Started(why) => held.behaviour.started(why, &taken.call(), &mut written),
            _ => held.behaviour.handle(&taken.call(), &mut written),
        });
        done.took_ns = crate::convert::nanos(began.elapsed());
        done.drawn = written.drawn;
        match ended {
            Ok(()) => {
                held.is_over = written.stops;
                done.effects = written.effects;
            }
            Err(fault) => {
                held.is_over = fault.kind == FaultKind::Panic;
                done.fault = Some(to_fault(fault));
            }
        }
        done
    }
}

fn nobody(instance: u64) -> Fault {
    Fault::new(FaultKind::Protocol, format!("there is no instance {instance}"))
}

fn gone(text: &str) -> proto::Fault {
    proto::Fault { kind: proto::FaultKind::FaultGone.into(), text: text.to_owned() }
}
