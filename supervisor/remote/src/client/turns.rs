//! Turns that are away: whose they are, in which order they come back, and since when.

use crate::convert::{effect, fault};
use crate::proto;
use crate::queue::Queue;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_runtime::remote::{Done, RemoteTurn, Returned};

/// See the module. A cheap clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Table>>);

struct Table {
    away: HashMap<u64, Away>,
    queue: Queue<proto::Turn>,
    /// Why the process is gone.
    gone: Option<String>,
    /// When anything came back last, or was sent where nothing was away.
    progress: Instant,
    /// Batches that were sent.
    sent: u64,
}

/// The batch of one instance.
struct Away {
    first: u64,
    count: usize,
    back: Vec<RemoteTurn>,
    /// The instance takes no turn any more: what comes for the rest of the batch says nothing.
    is_over: bool,
    answered: usize,
    /// Which of all batches: one thread takes them in this order.
    sent: u64,
    done: Done,
}

/// What a process may not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breach {
    #[error("it answered turn {number} of instance {instance}, which nobody asked for")]
    Unasked { instance: u64, number: u64 },
    #[error("it answered turn {number} of instance {instance} before turn {due}")]
    Order { instance: u64, number: u64, due: u64 },
}

impl Turns {
    pub(super) fn new(queue: Queue<proto::Turn>) -> Self {
        Self(Arc::new(Mutex::new(Table { away: HashMap::new(), queue, gone: None, progress: Instant::now(), sent: 0 })))
    }

    /// Sends a batch of one instance, of which nothing else is away.
    pub(super) fn send(&self, instance: u64, first: u64, turns: Vec<proto::Turn>, done: Done) {
        let mut table = self.0.lock();
        if let Some(gone) = table.gone.clone() {
            drop(table);
            return done.with(Returned { gone: Some(gone), ..Returned::default() });
        }
        if table.away.is_empty() {
            table.progress = Instant::now();
        }
        table.sent += 1;
        let (count, back) = (turns.len(), Vec::with_capacity(turns.len()));
        let away = Away { first, count, back, is_over: false, answered: 0, sent: table.sent, done };
        table.away.insert(instance, away);
        // Under the lock: else the process could be found gone in between, and nobody would ever say so.
        table.queue.push(turns);
    }

    /// A turn is back.
    ///
    /// # Errors
    /// [`Breach`]: the process is not to be believed any more.
    pub(super) fn back(&self, turn: proto::TurnDone) -> Result<(), Breach> {
        let proto::TurnDone { instance, number, .. } = turn;
        let mut table = self.0.lock();
        table.progress = Instant::now();
        let away = table.away.get_mut(&instance).ok_or(Breach::Unasked { instance, number })?;
        let due = away.first + away.answered as u64;
        if number != due {
            return Err(Breach::Order { instance, number, due });
        }
        away.answered += 1;
        if !away.is_over {
            match returned(turn) {
                Some(turn) => {
                    away.is_over = matches!(&turn.ended, Err(fault) if fault.kind == FaultKind::Panic);
                    away.back.push(turn);
                }
                None => away.is_over = true,
            }
        }
        if away.answered == away.count
            && let Some(away) = table.away.remove(&instance)
        {
            drop(table);
            away.done.with(Returned { turns: away.back, ..Returned::default() });
        }
        Ok(())
    }

    /// The process is gone: whoever waits hears of it, with what came back before. The first reason stands. Of
    /// `threads` threads, each may have begun a turn of the oldest batch that it had.
    pub(super) fn fail(&self, why: &str, threads: u64) {
        let mut table = self.0.lock();
        let gone = table.gone.get_or_insert_with(|| why.to_owned()).clone();
        table.queue.close();
        let away = std::mem::take(&mut table.away);
        drop(table);
        let mut oldest: HashMap<u64, u64> = HashMap::new();
        for (instance, away) in &away {
            let first = oldest.entry(instance % threads.max(1)).or_insert(away.sent);
            *first = away.sent.min(*first);
        }
        for (instance, away) in away {
            let begun = threads == 0 || oldest.get(&(instance % threads)) == Some(&away.sent);
            away.done.with(Returned { turns: away.back, gone: Some(gone.clone()), begun });
        }
    }

    /// Why the process is gone, if it is.
    pub(super) fn gone(&self) -> Option<String> {
        self.0.lock().gone.clone()
    }

    /// Whether something is away, and nothing has come back for longer.
    pub(super) fn is_late(&self, timeout: Duration) -> bool {
        let table = self.0.lock();
        !table.away.is_empty() && table.progress.elapsed() > timeout
    }

    /// The process did something else meanwhile.
    pub(super) fn goes_on(&self) {
        self.0.lock().progress = Instant::now();
    }
}

/// What a turn did; `None`: it was not taken. What cannot be read is the turn's own failure, with the field named.
fn returned(turn: proto::TurnDone) -> Option<RemoteTurn> {
    let ended = match turn.fault {
        Some(found) => Err(fault(found)?),
        None => turn
            .effects
            .into_iter()
            .map(effect)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Fault::new(FaultKind::Protocol, format!("the module's answer is refused: {error}"))),
    };
    Some(RemoteTurn { ended, drawn: turn.drawn, took: Duration::from_nanos(turn.took_ns) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn turn(number: u64) -> proto::Turn {
        proto::Turn { instance: 7, number, ..proto::Turn::default() }
    }

    fn done(number: u64) -> proto::TurnDone {
        proto::TurnDone { instance: 7, number, ..proto::TurnDone::default() }
    }

    fn sent(turns: &Turns, first: u64, count: u64) -> mpsc::Receiver<Returned> {
        let (came, comes) = mpsc::channel();
        let done = Done::new(move |returned| came.send(returned).expect("somebody waits"));
        turns.send(7, first, (first..first + count).map(turn).collect(), done);
        comes
    }

    #[test]
    fn a_batch_is_back_when_all_of_its_turns_are_in_their_order() {
        let turns = Turns::new(Queue::new());
        let comes = sent(&turns, 1, 2);
        turns.back(done(1)).expect("it is due");
        assert!(comes.try_recv().is_err(), "one is away");
        turns.back(done(2)).expect("it is due");
        assert_eq!(comes.recv().expect("it is back").turns.len(), 2);
    }

    #[test]
    fn an_answer_out_of_order_or_to_nothing_is_a_breach() {
        let turns = Turns::new(Queue::new());
        assert!(matches!(turns.back(done(1)), Err(Breach::Unasked { instance: 7, number: 1 })));
        let comes = sent(&turns, 1, 2);
        assert!(matches!(turns.back(done(2)), Err(Breach::Order { number: 2, due: 1, .. })));
        turns.back(done(1)).expect("it is due");
        assert!(matches!(turns.back(done(1)), Err(Breach::Order { number: 1, due: 2, .. })), "a second time");
        drop(turns);
        assert_eq!(comes.recv().expect("it is told").gone.as_deref(), Some("nobody waits for it any more"));
    }

    #[test]
    fn a_process_that_is_gone_fails_what_it_had_and_what_comes_after() {
        let turns = Turns::new(Queue::new());
        let comes = sent(&turns, 1, 3);
        turns.back(done(1)).expect("it is due");
        turns.fail("it was killed", 1);
        turns.fail("something later", 1);
        let returned = comes.recv().expect("it is told");
        assert_eq!((returned.turns.len(), returned.gone.as_deref()), (1, Some("it was killed")));
        let returned = sent(&turns, 4, 1).recv().expect("at once");
        assert_eq!((returned.turns.len(), returned.gone.as_deref()), (0, Some("it was killed")));
    }

    #[test]
    fn a_turn_behind_one_that_panicked_was_not_taken() {
        let turns = Turns::new(Queue::new());
        let comes = sent(&turns, 1, 2);
        let fault = |kind: proto::FaultKind| Some(proto::Fault { kind: kind.into(), text: "no".into() });
        turns.back(proto::TurnDone { fault: fault(proto::FaultKind::FaultPanic), ..done(1) }).expect("it is due");
        turns.back(proto::TurnDone { fault: fault(proto::FaultKind::FaultGone), ..done(2) }).expect("it is due");
        let returned = comes.recv().expect("it is back");
        assert!(
            matches!(&returned.turns[..], [RemoteTurn { ended: Err(fault), .. }] if fault.kind == FaultKind::Panic)
        );
    }

    #[test]
    fn an_answer_that_cannot_be_read_fails_its_turn_and_names_the_field() {
        let turns = Turns::new(Queue::new());
        let comes = sent(&turns, 1, 1);
        let tell = proto::Tell { to: "nowhere".into(), ..proto::Tell::default() };
        let effects = vec![proto::Effect { effect: Some(proto::effect::Effect::Tell(tell)) }];
        turns.back(proto::TurnDone { effects, ..done(1) }).expect("it is due");
        let returned = comes.recv().expect("it is back");
        let ended = returned.turns.into_iter().next().expect("one turn").ended;
        let fault = ended.expect_err("it is refused");
        assert!(fault.text.contains("tell.to is wrong"), "{fault}");
    }
}
