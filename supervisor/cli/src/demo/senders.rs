//! The senders: four tasks that tell lines to the actors and keep a log of what was accepted; a fifth task asks.
//!
//! A sender numbers what it tells each actor from 0 and writes into its log only what the actor's mailbox took. The log
//! is the one side of the judge's comparison; sabotage makes it a lie on purpose, so that the judge can be seen to see.

use super::flow::{Flow, Pace};
use super::input::{Input, InputError, Streamed};
use super::report::AsksPart;
use super::service;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use teneral::ActorRef;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many senders.
pub(crate) const SENDERS: usize = 4;

/// Lines that go from the reader to a sender at once.
const BATCH_LINES: usize = 32;

/// No more lines once a batch has so many bytes: long lines must not fill the memory.
const BATCH_BYTES: usize = 64 << 10;

/// Batches that wait for one sender: enough to fill every mailbox, so that the reader is not what holds a flood up.
const BATCHES_MAX: usize = 64;

/// The message number, among one sender's to one actor, that is sabotaged.
const SABOTAGED: u64 = 20;

/// How long an ask that runs beside the traffic waits.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two asks.
const ASK_PERIOD: Duration = Duration::from_millis(2);

/// What the harness does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sabotage {
    /// One message is logged and never sent.
    Drop,
    /// One message is sent twice.
    Double,
    /// Two messages are sent in the wrong order.
    Reorder,
    /// The reader counts one line too many.
    Miscount,
}

/// Lines on their way to one sender.
pub(crate) type Batch = Vec<Vec<u8>>;

/// What a sender has sent: how many messages to each actor. They are numbered from 0 without a gap.
pub(crate) type SendersLog = Vec<u64>;

/// Why a sender stopped early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{actor} did not accept a line: {why}")]
    Refused { actor: String, why: String },
}

/// Counts of the asks beside the traffic.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    pub(crate) sent: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl Asks {
    pub(crate) fn counts(&self) -> AsksPart {
        let Self { sent, answered, errors } = self;
        AsksPart { sent: sent.load(Relaxed), answered: answered.load(Relaxed), errors: errors.load(Relaxed) }
    }
}

/// Reads the input on a thread of its own and deals batches to the senders in turn.
pub(crate) fn deal(
    input: Arc<Input>,
    lines: u64,
) -> (JoinHandle<Result<Streamed, InputError>>, Vec<mpsc::Receiver<Batch>>) {
    let (to, from): (Vec<_>, Vec<_>) = (0..SENDERS).map(|_| mpsc::channel(BATCHES_MAX)).unzip();
    let reader = tokio::task::spawn_blocking(move || {
        let mut batch: Batch = Vec::with_capacity(BATCH_LINES);
        let mut bytes = 0;
        let mut dealt = 0;
        let mut deal = |batch: &mut Batch| {
            let sender = dealt % SENDERS;
            dealt += 1;
            to[sender].blocking_send(std::mem::take(batch)).ok()
        };
        let streamed = input.stream(lines, |line| {
            bytes += line.len();
            batch.push(line);
            if batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
                return Some(());
            }
            bytes = 0;
            deal(&mut batch)
        })?;
        if !batch.is_empty() {
            // A sender that is gone has said why itself.
            let _ = deal(&mut batch);
        }
        Ok(streamed)
    });
    (reader, from)
}

/// One sender: from its batches to the actors, in turn.
pub(crate) struct Sender {
    pub(crate) number: u32,
    pub(crate) batches: mpsc::Receiver<Batch>,
    pub(crate) actors: Vec<ActorRef>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) pace: Pace,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Sender {
    /// Sends all it is given and returns its log.
    pub(crate) async fn run(mut self) -> Result<SendersLog, SendError> {
        let mut log = vec![0; self.actors.len()];
        // Senders start at different actors, so that they do not march in step.
        let mut target = self.number as usize % self.actors.len();
        let mut held = None;
        while let Some(batch) = self.batches.recv().await {
            let lines = batch.len();
            self.flow.admit(lines as u64).await;
            self.pace.wait(u32::try_from(lines).unwrap_or(u32::MAX)).await;
            for line in batch {
                let number = log[target];
                log[target] += 1;
                match self.sabotage.filter(|_| number == SABOTAGED && target == 0) {
                    Some(Sabotage::Drop) => {}
                    Some(Sabotage::Reorder) => held = Some(line),
                    Some(Sabotage::Double) => {
                        self.tell(target, number, line.clone()).await?;
                        self.tell(target, number, line).await?;
                    }
                    Some(Sabotage::Miscount) | None => self.tell(target, number, line).await?,
                }
                if number > SABOTAGED
                    && target == 0
                    && let Some(line) = held.take()
                {
                    self.tell(target, SABOTAGED, line).await?;
                }
                target = (target + 1) % self.actors.len();
            }
            self.flow.sent(lines as u64);
        }
        Ok(log)
    }

    async fn tell(&self, target: usize, number: u64, line: Vec<u8>) -> Result<(), SendError> {
        let actor = &self.actors[target];
        let sent = actor.tell(service::ingest(self.number, number, line)).await;
        sent.map_err(|why| SendError::Refused { actor: actor.addr().to_string(), why: why.to_string() })
    }
}

/// Asks one actor after the other for its summary until `done`, and counts what comes back.
pub(crate) async fn keep_asking(actors: Vec<ActorRef>, asks: Arc<Asks>, done: Arc<AtomicBool>) {
    let mut period = tokio::time::interval(ASK_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for actor in actors.iter().cycle() {
        if done.load(Relaxed) {
            return;
        }
        period.tick().await;
        asks.sent.fetch_add(1, Relaxed);
        match service::read(actor, ASK_TIMEOUT).await {
            Ok(_) => asks.answered.fetch_add(1, Relaxed),
            Err(_) => asks.errors.fetch_add(1, Relaxed),
        };
    }
}
