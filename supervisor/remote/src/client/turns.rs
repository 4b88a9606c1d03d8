//! Turns that are away: whose they are, in which order they come back, and since when.

use super::speech::{Asked, Speech};
use crate::proto;
use crate::queue::Queue;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_runtime::remote::{Done, RemoteTurn, Returned};

/// See the module. A cheap clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Table>>);

struct Table {
    speech: Arc<Speech>,
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
    /// What is to come of its turns, in their order.
    due: VecDeque<Due>,
    back: Vec<RemoteTurn>,
    /// The instance takes no turn any more: what comes for the rest of the batch says nothing.
    is_over: bool,
    /// Which of all batches: one thread takes them in this order.
    sent: u64,
    done: Done,
}

/// What is to come of a turn.
pub(super) enum Due {
    /// It was sent.
    Answer(Asked),
    /// It could not be said to the process: it fails so when it is its turn.
    Fault(Fault),
}

impl Away {
    /// Takes what is known without the process.
    fn settle(&mut self) {
        while matches!(self.due.front(), Some(Due::Fault(_))) {
            if let Some(Due::Fault(fault)) = self.due.pop_front()
                && !self.is_over
            {
                self.back.push(RemoteTurn { ended: Err(fault), drawn: Vec::new(), took: Duration::ZERO });
            }
        }
    }
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
    pub(super) fn new(speech: Arc<Speech>, queue: Queue<proto::Turn>) -> Self {
        let table = Table { speech, away: HashMap::new(), queue, gone: None, progress: Instant::now(), sent: 0 };
        Self(Arc::new(Mutex::new(table)))
    }

    /// Sends a batch of one instance, of which nothing else is away: `turns` are those that are `due` an answer.
    pub(super) fn send(&self, instance: u64, due: VecDeque<Due>, turns: Vec<proto::Turn>, done: Done) {
        let mut table = self.0.lock();
        if let Some(gone) = table.gone.clone() {
            drop(table);
            return done.with(Returned { gone: Some(gone), ..Returned::default() });
        }
        if table.away.is_empty() {
            table.progress = Instant::now();
        }
        table.sent += 1;
        let back = Vec::with_capacity(due.len());
        let mut away = Away { due, back, is_over: false, sent: table.sent, done };
        away.settle();
        if away.due.is_empty() {
            drop(table);
            return away.done.with(Returned { turns: away.back, ..Returned::default() });
        }
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
        let speech = Arc::clone(&table.speech);
        let away = table.away.get_mut(&instance).ok_or(Breach::Unasked { instance, number })?;
        let Some(Due::Answer(asked)) = away.due.front() else { return Err(Breach::Unasked { instance, number }) };
        if number != asked.number {
            return Err(Breach::Order { instance, number, due: asked.number });
        }
        let returned = if away.is_over { None } else { speech.done(turn, asked) };
        away.due.pop_front();
        match returned {
            Some(turn) => {
                away.is_over = matches!(&turn.ended, Err(fault) if fault.kind == FaultKind::Panic);
                away.back.push(turn);
            }
            None => away.is_over = true,
        }
        away.settle();
        if away.due.is_empty()
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

    /// Turns that are away.
    pub(super) fn count(&self) -> usize {
        self.0.lock().away.values().map(|away| away.due.len()).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn turn(number: u64) -> proto::Turn {
        proto::Turn { instance: 7, number, ..proto::Turn::default() }
    }

    fn due(number: u64) -> Due {
        let this = teneral_contract::Addr::new("liar/a").expect("an address");
        let tag = teneral_contract::Tag { variant: 1, fingerprint: teneral_contract::Fingerprint(1) };
        let call = teneral_runtime::ports::Call {
            index: 0,
            tag,
            body: b"",
            cause: teneral_runtime::ports::Cause::Message,
            waiting: None,
            this: &this,
            sender: None,
            trace_id: [0; 16],
        };
        let given = teneral_runtime::remote::Given { now_ns: 1, seed: 2, epoch: 3, numbers: 4, numbers_max: 5 };
        Due::Answer(Asked::of(number, &call, given))
    }

    fn new() -> Turns {
        Turns::new(Arc::new(Speech::Own), Queue::new())
    }

    fn done(number: u64) -> proto::TurnDone {
        proto::TurnDone { instance: 7, number, ..proto::TurnDone::default() }
    }

    fn sent(turns: &Turns, first: u64, count: u64) -> mpsc::Receiver<Returned> {
        let (came, comes) = mpsc::channel();
        let done = Done::new(move |returned| came.send(returned).expect("somebody waits"));
        let numbers = first..first + count;
        turns.send(7, numbers.clone().map(due).collect(), numbers.map(turn).collect(), done);
        comes
    }

    #[test]
    fn a_batch_is_back_when_all_of_its_turns_are_in_their_order() {
        let turns = new();
        let comes = sent(&turns, 1, 2);
        turns.back(done(1)).expect("it is due");
        assert!(comes.try_recv().is_err(), "one is away");
        turns.back(done(2)).expect("it is due");
        assert_eq!(comes.recv().expect("it is back").turns.len(), 2);
    }

    #[test]
    fn an_answer_out_of_order_or_to_nothing_is_a_breach() {
        let turns = new();
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
        let turns = new();
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
        let turns = new();
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
    fn a_turn_that_could_not_be_said_fails_in_its_place() {
        let turns = new();
        let (came, comes) = mpsc::channel();
        let fault = || Due::Fault(Fault::new(FaultKind::Decode, "no text"));
        let due = VecDeque::from([fault(), due(1), fault(), due(2)]);
        turns.send(7, due, vec![turn(1), turn(2)], Done::new(move |returned| came.send(returned).expect("somebody")));
        turns.back(done(1)).expect("it is due");
        turns.back(done(2)).expect("it is due");
        let ended: Vec<bool> = comes.recv().expect("it is back").turns.iter().map(|turn| turn.ended.is_ok()).collect();
        assert_eq!(ended, [false, true, false, true]);
    }

    #[test]
    fn an_answer_that_cannot_be_read_fails_its_turn_and_names_the_field() {
        let turns = new();
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
