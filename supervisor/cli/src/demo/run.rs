//! One run: start the service, let lines, asks and upgrades go on together, then account for everything.

use super::Prepared;
use super::flow::{Flow, Pace};
use super::input::{InputError, Streamed};
use super::judge::{Verdict, judge};
use super::moves::{MOVES, Moves, ROUNDS};
use super::probation;
use super::report::{AsksPart, Check, InputPart, Paced, Pauses, ProbationPart, Report, Run};
use super::senders::{self, Asks, SENDERS, Sabotage, SendError, Sender, SendersLog};
use super::service::{self, KIND};
use super::view::{ActorLine, Frame, View};
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use teneral::runtime::Status;
use teneral::upgrade::chain;
use teneral::{ActorRef, Options, System, SystemError};
use tokio::task::{JoinError, JoinHandle};

type SenderEnd = Result<SendersLog, SendError>;
type Reader = JoinHandle<Result<Streamed, InputError>>;

/// How many actors.
const ACTORS: usize = 8;

/// How long an actor may take to work off what it has accepted, at the end.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(120);

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the demo once.
///
/// # Errors
/// [`Failure`] when the service could not be started, or not be looked at in the end. Anything else that goes wrong is
/// in the report.
pub(super) async fn run(prepared: &Prepared) -> Result<(Report, Run), Failure> {
    let refused = |error: SystemError| {
        let (code, hint) = (error.code().to_owned(), error.hint());
        Failure::new(code, &error, "the service was not started", hint)
    };
    let mut options = Options::new(prepared.store_dir());
    // Half of the processors for the actors: reading and sending go on in the same process, and when all of them fight
    // for all processors, who is ahead of whom is the scheduler's whim.
    options.runtime.threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
    let system = System::open_with(options).map_err(refused)?;
    let actors = start(&system, prepared).await.map_err(refused)?;
    let service = Service { system, actors };
    let done = service.serve(prepared).await;
    let concluded = service.conclude(prepared, done).await;
    service.system.shutdown(SHUTDOWN_TIMEOUT).await;
    concluded
}

async fn start(system: &System, prepared: &Prepared) -> Result<Vec<ActorRef>, SystemError> {
    for library in &prepared.libraries {
        let release = system.push(library).await?;
        eprintln!("pushed {} {}  sha256 {:.16}", release.kind, release.version, release.sha256.to_string());
    }
    system.set_default(KIND, "1.0.0")?;
    let mut actors = Vec::new();
    for number in 0..ACTORS {
        actors.push(system.start(&*format!("{KIND}/{number}"), "1.0.0", service::args()).await?);
    }
    Ok(actors)
}

/// The running service.
struct Service {
    system: System,
    actors: Vec<ActorRef>,
}

/// What the traffic left behind.
struct Done {
    logs: Vec<SendersLog>,
    streamed: Option<Streamed>,
    moves: Arc<Moves>,
    asks: AsksPart,
    broken: Vec<String>,
    took: Duration,
}

impl Service {
    /// Lines, asks and moves, all at once, to their end.
    async fn serve(&self, prepared: &Prepared) -> Done {
        let began = Instant::now();
        let probation_lines = ACTORS as u64 * probation::LINES_PER_ACTOR;
        let flow = Arc::new(Flow::new(prepared.lines, ROUNDS.len() as u64, probation_lines));
        let (moves, asks) = (Arc::new(Moves::default()), Arc::new(Asks::default()));
        let view = self.view(&flow, &moves);
        let mut broken = Vec::new();

        let sent_all = Arc::new(AtomicBool::new(false));
        let asking = senders::keep_asking(self.actors.clone(), Arc::clone(&asks), Arc::clone(&sent_all));
        let asking = tokio::spawn(asking);
        let (reader, senders) = self.senders(prepared, &flow);
        let ends = tokio::spawn(ends_of(senders, Arc::clone(&flow)));
        if let Err(error) = moves.run(&self.system, &self.actors, &flow).await {
            broken.push(chain(&error));
        }
        flow.allow_all();

        let mut logs = Vec::new();
        for end in ends.await.unwrap_or_default() {
            match end {
                Ok(Ok(log)) => logs.push(log),
                Ok(Err(error)) => broken.push(chain(&error)),
                Err(error) => broken.push(format!("a sender ended: {error}")),
            }
        }
        let took = began.elapsed();
        sent_all.store(true, Relaxed);
        if let Err(error) = asking.await {
            broken.push(format!("the asks ended: {error}"));
        }
        let streamed = match reader.await {
            Ok(Ok(streamed)) => Some(streamed),
            Ok(Err(error)) => {
                broken.push(chain(&error));
                None
            }
            Err(error) => {
                broken.push(format!("the reader ended: {error}"));
                None
            }
        };
        view.close();
        Done { logs, streamed, moves, asks: asks.counts(), broken, took }
    }

    /// The reader and the senders, each a task.
    fn senders(&self, prepared: &Prepared, flow: &Arc<Flow>) -> (Reader, Vec<JoinHandle<SenderEnd>>) {
        let (reader, batches) = senders::deal(Arc::clone(&prepared.input), prepared.lines);
        let rate = match prepared.paced {
            Paced::Flood => 0.0,
            Paced::LinesPerSecond(rate) => rate as f64 / SENDERS as f64,
        };
        let tasks = (0..).zip(batches).map(|(number, batches)| {
            let sender = Sender {
                number,
                batches,
                actors: self.actors.clone(),
                flow: Arc::clone(flow),
                pace: Pace::new(rate),
                // One sender that misbehaves is enough.
                sabotage: prepared.sabotage.filter(|_| number == 0),
            };
            tokio::spawn(sender.run())
        });
        (reader, tasks.collect())
    }

    fn view(&self, flow: &Arc<Flow>, moves: &Arc<Moves>) -> View {
        let (flow, moves, actors) = (Arc::clone(flow), Arc::clone(moves), self.actors.clone());
        View::open(move || {
            let done = moves.so_far();
            Frame {
                sent_lines: flow.sent_lines(),
                lines: flow.lines(),
                moves_done: done.len(),
                moves: MOVES * ACTORS,
                actors: actors.iter().map(actor_line).collect(),
                last: done.last().map_or_else(String::new, ToString::to_string),
            }
        })
    }

    /// Reads every actor's own account, holds it against the senders' logs, and counts the input again.
    async fn conclude(&self, prepared: &Prepared, done: Done) -> Result<(Report, Run), Failure> {
        let (mut verdict, mut counted) = (Verdict::default(), 0);
        let mut handled: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (number, actor) in self.actors.iter().enumerate() {
            // Behind everything that was accepted: what the answer does not know was lost.
            let seen = service::read(actor, LAST_LOOK_TIMEOUT).await;
            let seen = seen.map_err(|error| unseen("DEMO-LOOK", &error))?;
            for (sender, log) in (0_u32..).zip(&done.logs) {
                verdict.add(judge(log[number], seen.by_sender.get(&sender).map_or(&[], Vec::as_slice)));
            }
            counted += seen.lines;
            handled.insert(actor.addr().path().to_owned(), seen.by_version);
        }
        let input = &prepared.input;
        let streamed = done.streamed.unwrap_or_default();
        let (whole, tail) = {
            let input = Arc::clone(input);
            let counted = tokio::task::spawn_blocking(move || input.count(streamed.tail_bytes)).await;
            let counted = counted.map_err(|error| unseen("DEMO-MACHINE", &error))?;
            counted.map_err(|error| unseen(error.code(), &error))?
        };
        let miscount = u64::from(prepared.sabotage == Some(Sabotage::Miscount));
        let reader = whole * streamed.passes + tail + miscount;

        let mut handled_by_version = BTreeMap::new();
        for (version, handled) in handled.values().flatten() {
            *handled_by_version.entry(version.clone()).or_default() += handled;
        }
        let upgrades = done.moves.so_far();
        let mut report = Report {
            input: InputPart { path: prepared.shown_path.clone(), lines: whole, bytes: input.bytes() },
            actors: self.actors.len(),
            senders: SENDERS,
            messages: verdict.into(),
            handled_by_version,
            asks: done.asks,
            probation: ProbationPart::of(&upgrades),
            pause_us: Pauses::of(&upgrades),
            upgrades,
            check: Check {
                lines_counted_by_actors: counted,
                lines_counted_by_reader: reader,
                equal: counted == reader,
            },
            ok: false,
            off: Vec::new(),
        };
        let (paced, lines, broken, took) = (prepared.paced, prepared.lines, done.broken, done.took);
        let run = Run { paced, lines, handled, broken, took };
        report.conclude(&run);
        Ok((report, run))
    }
}

/// Waits for all senders, then tells the flow that no line will come.
async fn ends_of(senders: Vec<JoinHandle<SenderEnd>>, flow: Arc<Flow>) -> Vec<Result<SenderEnd, JoinError>> {
    let mut ends = Vec::new();
    for sender in senders {
        ends.push(sender.await);
    }
    flow.end();
    ends
}

fn actor_line(actor: &ActorRef) -> ActorLine {
    let info = actor.info();
    ActorLine {
        name: info.addr.path().to_owned(),
        version: info.version.to_string(),
        generation: info.generation.0,
        queued_messages: info.queued_messages,
        status: match info.status {
            Status::Running => "",
            Status::Paused { .. } => "paused",
            Status::Suspended { .. } => "suspended",
            Status::Stopped { .. } => "stopped",
        },
    }
}

/// It ran, and what came of it cannot be told.
fn unseen(code: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(code, error, "the service has run; its actors were stopped, unjudged", "run it again")
}
