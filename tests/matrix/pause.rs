//! Faults while the actor is paused, or is to be.

use super::stage::Stage;
use super::{Case, Cell, Row, committed, rolled_back};
use crate::harness::house::{House, patient, rehearsed, until};
use crate::harness::probe::{self, Busy, act, note, seen};
use probe_api::{Act, Fresh, Note, Tally, v1};
use std::time::{Duration, Instant};
use teneral::runtime::{TellError, TryTellError};
use teneral::upgrade::PathlessPolicy;
use teneral::{ActorRef, AskError, UpgradeOptions};

pub(super) fn cases() -> Vec<Case> {
    [busy(), waiting(), cancelled(), pathless()].into_iter().flatten().collect()
}

fn deferred(at: &str) -> (String, &'static str) {
    (format!("deferred at {at}, nobody paused; 1.0.0 serves, same state; journalled"), "UPG-BUSY")
}

fn busy() -> Vec<Case> {
    let handler = |fault, at, options: UpgradeOptions| {
        Case::new("F19", fault, deferred(at), move |cell| {
            let stage = Stage::raise(cell);
            let busy = Busy::make(&stage.house, &stage.actor);
            let options = UpgradeOptions { quiesce_timeout: Duration::from_millis(200), ..options };
            let mut came = stage.upgrade("2.0.0", options);
            drop(busy);
            // Everything that waited is handled now; a pause that came late would be seen.
            stage.flow();
            seen(&stage.house, &stage.actor);
            if stage.paused() != "nobody paused" {
                came.what.push_str(", and paused later");
            }
            Ok(stage.end(came))
        })
    };
    vec![
        handler("Pause: the handler does not return", "pause", patient()),
        handler("Trial: the handler does not return, and its state cannot be copied", "trial", rehearsed()),
    ]
}

fn waiting() -> Vec<Case> {
    vec![
        Case::new("F20", "Pause: the mailbox fills", committed(", senders held back", "2.0.0"), |cell| Ok(full(cell))),
        Case::new("F21", "Pause: an ask times out", committed(", Timeout told, handled once", "2.0.0"), |cell| {
            let stage = Stage::raise(cell);
            let held = stage.held("migrate", "2.0.0", rehearsed());
            let number = stage.own.borrow_mut().numbered();
            let request = Tally { sender: 0, number };
            let told = stage.house.block_on(stage.actor.ask(request, Duration::from_millis(50)));
            // Accepted all the same: it must be there, once.
            stage.own.borrow_mut().accepted(number);
            let mut came = stage.reported(&held.go_on(&stage.house));
            let log = seen(&stage.house, &stage.actor).log;
            let times = log.iter().filter(|entry| (entry.sender, entry.number) == (0, number)).count();
            let told = if told == Err(AskError::Timeout) { "Timeout told" } else { "no Timeout" };
            came.what.push_str(&format!(", {told}, handled {}", if times == 1 { "once" } else { "not once" }));
            Ok(stage.end(came))
        }),
        Case::new(
            "F22",
            "Pause: timers come due, ticks are missed",
            committed(", in due order, ticks as one", "2.0.0"),
            |cell| {
                // A machine that is too slow for one scale is not for a longer one.
                let in_time = [1, 2, 4].into_iter().find_map(|slower| {
                    let row = timers(cell, slower);
                    (!row.seen.contains(TOO_LATE)).then_some(row)
                });
                Ok(in_time.unwrap_or_else(|| timers(cell, 8)))
            },
        ),
    ]
}

/// A mailbox of sixteen, and more than that to be sent while it is paused.
fn full(cell: Cell) -> Row {
    const ROOM: usize = 16;
    const MORE: usize = 50;
    let stage = Stage::open(cell, probe::ALL, "1.0.0", |options| options.runtime.mailbox_messages_max = ROOM);
    let held = stage.held("migrate", "2.0.0", rehearsed());
    // Until there is no more room; the clients may have taken some of it.
    let mut given_back = false;
    while !given_back {
        let number = stage.own.borrow_mut().numbered();
        match stage.actor.try_tell(note(0, number)) {
            Ok(()) => stage.own.borrow_mut().accepted(number),
            Err(TryTellError::Full(back)) => given_back = back == note(0, number),
            Err(error) => panic!("{error}"),
        }
    }
    let actor = stage.actor.clone();
    let numbers: Vec<u64> = std::iter::repeat_with(|| stage.own.borrow_mut().numbered()).take(MORE).collect();
    let sending = stage.house.spawn(async move {
        for number in &numbers {
            actor.tell(note(0, *number)).await?;
        }
        Ok::<_, TellError<_>>(numbers)
    });
    let waited = stage.actor.info().queued_messages == ROOM && !sending.is_finished();
    let mut came = stage.reported(&held.go_on(&stage.house));
    let sent = stage.house.block_on(sending).expect("it ends").expect("room comes");
    sent.into_iter().for_each(|number| stage.own.borrow_mut().accepted(number));
    came.what.push_str(if waited { ", senders held back" } else { ", senders not held back" });
    stage.end(came)
}

const TOO_LATE: &str = "paused too late";

/// Two timers set in the wrong order, and a periodic one of which many ticks are missed.
fn timers(cell: Cell, slower: u32) -> Row {
    let stage = Stage::raise(cell);
    let scale = slower * cell.size.moment();
    let timer = |delay: Duration, period: Duration, text: &str| {
        let [delay_ms, period_ms] = [delay, period].map(|time| u64::try_from(time.as_millis()).expect("short"));
        act(&stage.house, &stage.actor, Act::Timer { delay_ms, period_ms, text: format!("{text} timer") });
    };
    let begun = Instant::now();
    timer(2 * scale, Duration::ZERO, "second");
    timer(scale, Duration::ZERO, "first");
    timer(scale / 4, scale / 4, "periodic");
    let held = stage.held("migrate", "2.0.0", patient());
    let late = begun.elapsed() >= scale / 2;
    until("all are due", || late || begun.elapsed() >= 2 * scale + scale / 4);
    let mut came = stage.reported(&held.go_on(&stage.house));
    let notes = || seen(&stage.house, &stage.actor).notes;
    until("they fire", || {
        notes().iter().filter(|note| note.ends_with("first timer") || note.ends_with("second timer")).count() >= 2
    });
    let notes = notes();
    let fired: Vec<&str> = notes.iter().filter_map(|note| note.strip_prefix("2: ")?.strip_suffix(" timer")).collect();
    let once = |text: &str| notes.iter().filter(|note| note.ends_with(text)).count() == 1;
    came.what.push_str(match () {
        () if late => TOO_LATE,
        () if !once("first timer") || !once("second timer") => ", a timer not once",
        () if fired.starts_with(&["periodic", "first", "second"]) => ", in due order, ticks as one",
        () => ", in another order",
    });
    stage.end(came)
}

fn cancelled() -> Vec<Case> {
    let cancel = |fault, step: &'static str, at| {
        let options = if step == "save" { patient() } else { rehearsed() };
        Case::new("F23", fault, rolled_back(at, "UPG-CANCELLED"), move |cell| {
            let stage = Stage::raise(cell);
            let held = stage.held(step, "2.0.0", options);
            stage.actor.cancel_pause("an operator");
            let came = stage.reported(&held.go_on(&stage.house));
            Ok(stage.end(came))
        })
    };
    vec![
        cancel("Pause: an operator cancels while the state is saved", "save", "snapshot"),
        cancel("Pause: an operator cancels during the migration", "migrate", "migrate"),
    ]
}

/// Messages of one version that wait when another takes over.
fn pathless() -> Vec<Case> {
    let no_way = "plan, nobody paused; 1.0.0 serves, same state; no upgrade began";
    vec![
        Case::new(
            "F37",
            "In flight: a message that the new code has no way for",
            (format!("refused at {no_way}"), "UPG-CONTRACT"),
            |cell| {
                let stage = Stage::raise(cell);
                let busy = Busy::make(&stage.house, &stage.actor);
                stage.house.block_on(stage.actor.tell(v1::Gone {})).expect("1.0.0 knows it");
                let options = UpgradeOptions { pathless: PathlessPolicy::Refuse, ..patient() };
                let came = stage.upgrade("2.0.0", options);
                drop(busy);
                Ok(stage.end(came))
            },
        ),
        Case::new(
            "F37",
            "In flight: up-cast, or a dead letter as allowed",
            committed(", up-cast, one dead letter", "2.0.0"),
            |cell| Ok(way_up(cell)),
        ),
        Case::new("F37", "In flight: on the way down", committed(", what is newer a dead letter", "1.0.0"), |cell| {
            Ok(way_down(cell))
        }),
    ]
}

fn way_up(cell: Cell) -> Row {
    let stage = Stage::raise(cell);
    let held = stage.held("migrate", "2.0.0", rehearsed());
    stage.tell();
    stage.house.block_on(stage.actor.tell(v1::Gone {})).expect("1.0.0 knows it");
    stage.tell();
    let mut came = stage.reported(&held.go_on(&stage.house));
    let seen = seen(&stage.house, &stage.actor);
    let last: Vec<_> =
        seen.log.iter().filter(|entry| entry.sender == 0).map(|entry| (entry.version, entry.weight)).collect();
    let cast = last.ends_with(&[(2, 1), (2, 1)]);
    let gone = seen.notes.iter().any(|note| note.ends_with(": gone"));
    came.what.push_str(if cast { ", up-cast" } else { ", mistaken" });
    came.what.push_str(if gone || letters(&stage.house) != 1 { ", not a dead letter" } else { ", one dead letter" });
    stage.end(came)
}

/// Dead letters in a list that whoever operates a host can read.
fn letters(house: &House) -> usize {
    house.system.runtime().dead_letters().list().len()
}

fn way_down(cell: Cell) -> Row {
    let stage = Stage::with(cell, probe::ALL, "2.0.0");
    let held = stage.held("downgrade", "1.0.0", rehearsed());
    stage.tell();
    let newer = |actor: &ActorRef| stage.house.block_on(actor.tell(Note { sender: 7, number: 0, weight: 7 }));
    newer(&stage.actor).expect("2.0.0 knows it");
    stage.house.block_on(stage.actor.tell(Fresh {})).expect("2.0.0 knows it");
    stage.tell();
    let mut came = stage.reported(&held.go_on(&stage.house));
    let seen = seen(&stage.house, &stage.actor);
    let mistaken =
        seen.log.iter().any(|entry| entry.sender == 7) || seen.notes.iter().any(|note| note.ends_with("fresh"));
    let two = letters(&stage.house) == 2;
    came.what.push_str(if two && !mistaken { ", what is newer a dead letter" } else { ", mistaken" });
    stage.end(came)
}
