//! The clients: threads that number what they send, and log what was accepted and what was answered.
//!
//! They know nothing of each other, and nothing of the runtime but what it says to whoever sends.

use crate::harness::house::{GENEROUS, House, until};
use probe_api::{Entry, Tallied, Tally, digests, v1};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use teneral::api::{ApiError, Client};
use teneral::runtime::TellError;
use teneral::{ActorRef, AskError};
use tokio::runtime::Handle;

/// Those who tell, and those who ask.
const TELLERS: std::ops::Range<u32> = 10..13;
const ASKERS: std::ops::Range<u32> = 20..22;

/// How many each sends without haste, and how often from then on.
const SWIFT: u64 = 4_000;
const SWIFTLY: Duration = Duration::from_millis(2);
const SLOWLY: Duration = Duration::from_millis(50);

/// How many of each must be accepted before anything begins, and after it.
const FLOW: u64 = 10;

/// How a client reaches its actor.
#[derive(Clone)]
pub(super) enum Line {
    /// In the actor's own process.
    Here(Handle, ActorRef),
    /// Over the control socket of another one.
    There(Arc<tokio::runtime::Runtime>, Client, String),
}

/// What a client knows of what it sent.
enum Sent {
    /// It was taken.
    Accepted,
    /// It was taken, and this is the answer.
    Answered(Tallied),
    /// It may have been taken.
    Unsure,
    /// It was not taken, and why.
    Refused(String),
}

impl Line {
    pub(super) fn to(house: &House, actor: &ActorRef) -> Self {
        Self::Here(house.tokio(), actor.clone())
    }

    fn tell(&self, sender: u32, number: u64) -> Sent {
        match self {
            Self::Here(tokio, actor) => {
                let told = tokio
                    .block_on(async { tokio::time::timeout(GENEROUS, actor.tell(v1::Note { sender, number })).await });
                match told {
                    Ok(Ok(())) => Sent::Accepted,
                    Ok(Err(TellError::Closed(_))) => Sent::Refused("the actor is stopped".to_owned()),
                    Ok(Err(error)) => Sent::Refused(error.to_string()),
                    Err(_) => Sent::Unsure,
                }
            }
            // The same words in every version.
            Self::There(..) => {
                self.says("/v1/actors/tell", sender, number).map_or_else(|sent| sent, |_| Sent::Accepted)
            }
        }
    }

    fn ask(&self, sender: u32, number: u64) -> Sent {
        match self {
            Self::Here(tokio, actor) => match tokio.block_on(actor.ask(Tally { sender, number }, GENEROUS)) {
                Ok(tallied) => Sent::Answered(tallied),
                Err(AskError::Timeout | AskError::NoReply) => Sent::Unsure,
                Err(error) => Sent::Refused(error.to_string()),
            },
            Self::There(..) => match self.says("/v1/actors/ask", sender, number) {
                Ok(answer) => {
                    Sent::Answered(serde_json::from_value(answer["reply"].clone()).expect("as it is declared"))
                }
                Err(sent) => sent,
            },
        }
    }

    fn says(&self, path: &str, sender: u32, number: u64) -> Result<Value, Sent> {
        let Self::There(tokio, client, actor) = self else { unreachable!("only over a socket") };
        let body = json!({ "actor": actor, "message": "Tally", "body": { "sender": sender, "number": number } });
        tokio.block_on(client.post(path, &body)).map_err(|error: ApiError| match &*error.code {
            "CTL-DOWN" | "CTL-BETWEEN" | "CTL-CONNECT" | "SYS-ACTOR" | "SYS-DEFINED" => {
                Sent::Refused(error.code.into_string())
            }
            _ => Sent::Unsure,
        })
    }
}

/// One client's log.
#[derive(Default)]
pub(super) struct Account {
    pub(super) sender: u32,
    /// What was taken, and when it was begun to be sent.
    accepted: Vec<(u64, Instant)>,
    /// What may have been.
    unsure: BTreeSet<u64>,
    /// Why anything was refused.
    pub(super) refused: BTreeMap<String, u64>,
    /// What it was answered, and when it asked.
    answers: Vec<(Instant, Tallied)>,
    next: u64,
}

impl Account {
    pub(super) fn of(sender: u32) -> Self {
        Self { sender, ..Self::default() }
    }

    /// The next number, sent by somebody else.
    pub(super) fn numbered(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// That number was taken.
    pub(super) fn accepted(&mut self, number: u64) {
        self.accepted.push((number, Instant::now()));
    }

    /// Tells the next one.
    pub(super) fn tell(&mut self, line: &Line) {
        self.send(|sender, number| line.tell(sender, number));
    }

    fn send(&mut self, send: impl FnOnce(u32, u64) -> Sent) -> bool {
        let (number, begun) = (self.numbered(), Instant::now());
        match send(self.sender, number) {
            Sent::Accepted => self.accepted.push((number, begun)),
            Sent::Answered(answer) => {
                self.accepted.push((number, begun));
                self.answers.push((begun, answer));
            }
            Sent::Unsure => _ = self.unsure.insert(number),
            Sent::Refused(why) => {
                *self.refused.entry(why).or_default() += 1;
                return false;
            }
        }
        true
    }

    /// Of what was sent before that moment nobody says that it is kept.
    pub(super) fn since(mut self, moment: Instant) -> Self {
        let (kept, before) = self.accepted.into_iter().partition(|(_, begun)| *begun >= moment);
        self.accepted = kept;
        self.unsure.extend(before.into_iter().map(|(number, _): (u64, Instant)| number));
        self.answers.retain(|(begun, _)| *begun >= moment);
        self
    }
}

/// Clients at work.
pub(super) struct Clients {
    over: Arc<AtomicBool>,
    /// How many were accepted of each.
    counts: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<Account>>,
}

impl Clients {
    pub(super) fn start(line: &Line) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (mut counts, mut threads) = (Vec::new(), Vec::new());
        for sender in TELLERS.chain(ASKERS) {
            let (line, over, count) = (line.clone(), Arc::clone(&over), Arc::new(AtomicU64::new(0)));
            counts.push(Arc::clone(&count));
            threads.push(std::thread::spawn(move || work(&line, sender, &over, &count)));
        }
        Self { over, counts, threads }
    }

    /// Waits until each of them has got some more accepted.
    pub(super) fn flow(&self) {
        let wanted: Vec<u64> = self.counts.iter().map(|count| count.load(SeqCst) + FLOW).collect();
        until("every client is served", || {
            self.counts.iter().zip(&wanted).all(|(count, wanted)| count.load(SeqCst) >= *wanted)
        });
    }

    /// Waits until each of those who wait for no answer has got some more accepted, by an actor that answers nobody.
    pub(super) fn queue(&self) {
        let counts = || self.counts[..TELLERS.len()].iter().map(|count| count.load(SeqCst));
        let wanted: Vec<u64> = counts().map(|count| count + FLOW).collect();
        until("it waits", || counts().zip(&wanted).all(|(count, wanted)| count >= *wanted));
    }

    pub(super) fn end(self) -> Vec<Account> {
        self.over.store(true, SeqCst);
        self.threads.into_iter().map(|thread| thread.join().expect("a client only sends")).collect()
    }
}

fn work(line: &Line, sender: u32, over: &AtomicBool, count: &AtomicU64) -> Account {
    let mut account = Account::of(sender);
    while !over.load(SeqCst) {
        let accepted = account.send(|sender, number| match ASKERS.contains(&sender) {
            true => line.ask(sender, number),
            false => line.tell(sender, number),
        });
        let sent = count.fetch_add(u64::from(accepted), SeqCst);
        std::thread::park_timeout(if sent < SWIFT && accepted { SWIFTLY } else { SLOWLY });
    }
    account
}

/// What the actor's log says against the clients'.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Accepted, and not there.
    pub(super) lost: u64,
    /// There more than once.
    pub(super) doubled: u64,
    /// There after a later one of the same sender.
    pub(super) reordered: u64,
    /// There, and never sent or refused.
    pub(super) unheard_of: u64,
    /// Answers that the log contradicts.
    pub(super) contradicted: u64,
}

/// Compares the clients' logs with the actor's.
pub(super) fn compare(log: &[Entry], accounts: &[Account]) -> Counts {
    let mut counts = Counts::default();
    let mut known = BTreeSet::new();
    let digests: Vec<u64> = digests(log).collect();
    for account in accounts {
        known.insert(account.sender);
        let numbers: Vec<u64> = log.iter().filter(|e| e.sender == account.sender).map(|e| e.number).collect();
        let mut seen = BTreeSet::new();
        for number in numbers {
            if seen.last().is_some_and(|last| *last > number) && !seen.contains(&number) {
                counts.reordered += 1;
            }
            counts.doubled += u64::from(!seen.insert(number));
        }
        let accepted: BTreeSet<u64> = account.accepted.iter().map(|(number, _)| *number).collect();
        counts.lost += accepted.difference(&seen).count() as u64;
        let heard_of = |number: &&u64| !accepted.contains(number) && !account.unsure.contains(number);
        counts.unheard_of += seen.iter().filter(heard_of).count() as u64;
        let is_other = |(_, told): &&(Instant, Tallied)| {
            let handled = usize::try_from(told.handled).expect("it fits into memory");
            handled.checked_sub(1).and_then(|last| digests.get(last)) != Some(&told.digest)
        };
        counts.contradicted += account.answers.iter().filter(is_other).count() as u64;
    }
    counts.unheard_of += log.iter().filter(|entry| !known.contains(&entry.sender)).count() as u64;
    counts
}
