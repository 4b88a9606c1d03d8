//! What a mailbox takes, in which order it gives it out, and what a turn lets go.

use crate::harness::house::{GENEROUS, House, patient, until};
use crate::harness::probe::{self, Hold, Standing, act, asks, handled_by, note, notes_with, seen, tell, trap};
use crate::harness::{Test, test};
use probe_api::{Act, Attempt, Do, Ending, Told, v1};
use std::time::Duration;
use teneral::runtime::{DeadKind, DeadReason, Place, Status, TellError, TryTellError};
use teneral::upgrade::Outcome;
use teneral::{ActorRef, AskError};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(m17_a_mailbox_is_bounded_in_messages_and_full_gives_the_message_back),
        test(m17_a_mailbox_is_bounded_in_bytes),
        test(m18_each_senders_messages_are_handled_in_order_over_upgrades_downgrades_and_rollbacks),
        test(m19_a_turn_that_errs_or_panics_releases_no_tell_ask_timer_child_stop_or_reply),
        test(m20_two_full_actors_that_tell_each_other_get_out_of_each_others_way_and_account_for_all),
    ]
}

/// What the actor wrote down that was told it so.
fn written(house: &House, actor: &ActorRef) -> Vec<String> {
    notes_with(house, actor, "written")
}

fn write(text: &str) -> Do {
    Do { act: Act::Write(format!("written {text}")) }
}

fn m17_a_mailbox_is_bounded_in_messages_and_full_gives_the_message_back() {
    let house = House::open(probe::ALL, |options| options.runtime.mailbox_messages_max = 4);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    seen(&house, &actor);
    actor.pause("ops", GENEROUS).expect("paused");
    for number in 0..4 {
        actor.try_tell(note(0, number)).expect("there is room");
    }
    assert_eq!(actor.try_tell(note(0, 9)), Err(TryTellError::Full(note(0, 9))));
    let body = vec![1, 2, 3];
    let tag = <v1::Note as teneral::Wire>::tag();
    assert_eq!(actor.try_tell_raw(tag, body.clone()), Err(TryTellError::Full(body)), "encoded, too");
    // An ask that finds no room in its time says so.
    let short = Duration::from_millis(50);
    assert_eq!(house.block_on(actor.ask(probe_api::Read {}, short)), Err(AskError::Full));
    // A tell waits for room, and one that is given up has sent nothing.
    let telling = actor.clone();
    let waits = house.begin(async move { telling.tell(note(0, 4)).await });
    let telling = actor.clone();
    let given_up = house.begin(async move { telling.tell(note(9, 9)).await });
    given_up.abort();
    assert!(house.block_on(given_up).is_err_and(|error| error.is_cancelled()));
    assert_eq!((waits.is_finished(), actor.info().queued_messages), (false, 4));
    actor.resume("ops");
    assert_eq!(house.block_on(waits).expect("it ends"), Ok(()));
    probe::whole(&seen(&house, &actor).log, &[5]);
    assert_eq!(house.system.runtime().dead_letters().total(), 0, "nothing was lost, nothing doubled");

    // Closed is another outcome than full; what was accepted before is accounted for.
    actor.pause("ops", GENEROUS).expect("paused");
    (5..9).for_each(|number| actor.try_tell(note(0, number)).expect("there is room"));
    let telling = actor.clone();
    let waits = house.begin(async move { telling.tell(note(0, 9)).await });
    house.block_on(actor.stop("", GENEROUS)).expect("it stops");
    assert_eq!(house.block_on(waits).expect("it ends"), Err(TellError::Closed(note(0, 9))));
    assert_eq!(actor.try_tell(note(0, 10)), Err(TryTellError::Closed(note(0, 10))));
    let letters = house.system.runtime().dead_letters();
    assert_eq!((letters.count(DeadKind::Stopped), letters.total()), (4, 4));
}

fn m17_a_mailbox_is_bounded_in_bytes() {
    const BYTES_MAX: usize = 256 << 10;
    const BIG: usize = 80 << 10;
    let house = House::open(probe::ALL, |options| {
        options.runtime.mailbox_bytes_max = BYTES_MAX;
        options.runtime.message_bytes_max = 250 << 10;
    });
    let actor = probe::start(&house, "probe/a", "1.0.0");
    seen(&house, &actor);
    actor.pause("ops", GENEROUS).expect("paused");
    let big = "x".repeat(BIG);
    let accepted = (0..10).take_while(|_| actor.try_tell(write(&big)).is_ok()).count();
    assert_eq!(accepted, 3);
    let Err(TryTellError::Full(Do { act: Act::Write(back) })) = actor.try_tell(write(&big)) else {
        panic!("a fourth one is too many");
    };
    assert!(back.ends_with(&big), "it comes back whole");
    assert!((3 * BIG..=BYTES_MAX).contains(&actor.info().queued_bytes), "{}", actor.info().queued_bytes);
    actor.try_tell(write("small")).expect("a small one fits");
    // One that fits into no mailbox is refused for what it is, however empty that is.
    actor.resume("ops");
    let written = written(&house, &actor);
    assert_eq!(written.iter().map(String::len).collect::<Vec<_>>(), [BIG, BIG, BIG, 5].map(|n| n + 11));
    let huge = "x".repeat(300 << 10);
    match actor.try_tell(write(&huge)) {
        Err(TryTellError::TooLarge { message: Do { act: Act::Write(back) }, bytes, limit_bytes }) => {
            assert!(back.ends_with(&huge) && bytes > 300 << 10 && limit_bytes == 250 << 10, "{bytes} {limit_bytes}");
        }
        other => panic!("{:?}", other.map_err(|error| error.to_string())),
    }
    assert_eq!(house.system.runtime().dead_letters().total(), 0, "what comes back is not lost");
}

/// Senders of [`burst`], and how many notes each sends in one.
const SENDERS: usize = 4;
const EACH: u64 = 100;

/// Every sender sends on, all at the same time.
fn burst(house: &House, actor: &ActorRef, sent: &mut [u64; SENDERS]) {
    std::thread::scope(|scope| {
        for (sender, sent) in (0..).zip(sent) {
            scope.spawn(move || {
                for _ in 0..EACH {
                    tell(house, actor, note(sender, *sent));
                    *sent += 1;
                }
            });
        }
    });
}

fn m18_each_senders_messages_are_handled_in_order_over_upgrades_downgrades_and_rollbacks() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let mut sent = [0; SENDERS];
    let ways = ["2.0.0", "3.0.0", "1.0.0", "3.0.0", "2.0.0", "1.0.0"];
    for (to, fails_to) in ways.into_iter().zip(ways.into_iter().cycle().skip(1)) {
        assert_eq!(moved_among_messages(&house, &actor, &mut sent, to), "committed");
        trap(&house, &actor, "save", "error");
        assert_eq!(moved_among_messages(&house, &actor, &mut sent, fails_to), "rolled_back");
        trap(&house, &actor, "", "");
    }
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &sent);
    assert_eq!(handled_by(&seen.log), [2, 3, 1, 3, 2, 1], "each version that was reached had its share");
    assert_eq!(house.system.runtime().dead_letters().total(), 0);
}

/// A move that is asked for while the actor is in the first turn of a batch, with more behind it, and more to come
/// while it waits; what came of it.
fn moved_among_messages(house: &House, actor: &ActorRef, sent: &mut [u64; SENDERS], to: &'static str) -> &'static str {
    let hold = Hold::new(house);
    actor.pause("ops", GENEROUS).expect("paused");
    actor.try_tell(Do { act: Act::Block { until: hold.path() } }).expect("there is room");
    burst(house, actor, sent);
    actor.resume("ops");
    until("the turn begins", || hold.reached());
    let system = house.system.clone();
    let running = house.begin(async move { system.upgrade("probe/a", to, patient()).await });
    until("it is asked to pause", || actor.info().status != Status::Running);
    burst(house, actor, sent);
    drop(hold);
    let report = house.block_on(running).expect("no upgrade panics").expect("it begins");
    report.actors[0].outcome.name()
}

fn m19_a_turn_that_errs_or_panics_releases_no_tell_ask_timer_child_stop_or_reply() {
    let house = House::patient(probe::ALL);
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let other = probe::start(&house, "probe/other", "1.0.0");
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let attempt = |key: &str, end| {
        let to = other.addr().clone();
        house.block_on(actor.ask(Attempt { to, child: key.to_owned(), end }, GENEROUS))
    };
    assert_eq!(attempt("error", Ending::Error), Err(AskError::Failed("failed, as told".to_owned())));
    assert_eq!((actor.info().status, actor.info().failed), (Status::Running, 1));
    let nothing_came = |key: &str| {
        assert!(house.system.actor(format!("probe/{key}").as_str()).is_err(), "a child");
        assert_eq!(actor.info().children, []);
        let parked = actor.parked().into_iter().filter(|parked| parked.place != Place::RestartArgs);
        assert_eq!(parked.count(), 0, "a timer or an ask in flight");
        assert_eq!(notes_with(&house, &other, "told"), [""; 0], "a tell");
        assert_eq!(notes_with(&house, &actor, "timer"), [""; 0]);
        // An ask would be owed an answer, and be told.
        act(&house, &other, Act::Pay);
        seen(&house, &other);
        assert_eq!(notes_with(&house, &actor, "heard"), [""; 0], "an ask");
    };
    nothing_came("error");
    let panicked = attempt("panic", Ending::Panic);
    assert!(matches!(&panicked, Err(AskError::Panicked(why)) if why.starts_with("panicked, as told")), "{panicked:?}");
    nothing_came("panic");
    assert_eq!((actor.info().panics, actor.info().restarts), (1, 1));
    let letters = house.system.runtime().dead_letters();
    assert_eq!((letters.count(DeadKind::Panicked), letters.total()), (1, 1), "the message itself");

    // The very same turn, when it ends well, does it all.
    assert_eq!(attempt("well", Ending::Well), Ok(Told { version: 1 }));
    assert!(house.system.actor("probe/well").is_ok());
    assert_eq!(actor.info().children.len(), 1);
    until("it is told", || notes_with(&house, &other, "told") == ["1: told Well"]);
    until("the timer fires", || notes_with(&house, &actor, "timer") == ["1: timer Well"]);
    act(&house, &other, Act::Pay);
    until("its ask is answered", || notes_with(&house, &actor, "heard").len() == 1);
    assert_eq!(letters.total(), 1);
}

fn m20_two_full_actors_that_tell_each_other_get_out_of_each_others_way_and_account_for_all() {
    const ROUNDS: usize = 2;
    const TELLS: u32 = 3;
    // Longer than this test needs to see both wait.
    let timeout = Duration::from_secs(3);
    let house = House::open(probe::ALL, |options| {
        options.runtime.mailbox_messages_max = ROUNDS;
        options.runtime.outbox_timeout = timeout;
    });
    let actors = ["probe/a", "probe/b"].map(|addr| probe::start(&house, addr, "1.0.0"));
    let both = || [(&actors[0], &actors[1]), (&actors[1], &actors[0])];
    actors.iter().for_each(|actor| drop(seen(&house, actor)));
    for (actor, other) in both() {
        actor.pause("ops", GENEROUS).expect("paused");
        for _ in 0..ROUNDS {
            let act = Act::Tell(other.addr().clone(), "from the other".to_owned(), TELLS);
            actor.try_tell(Do { act }).expect("there is room");
        }
    }
    actors.iter().for_each(|actor| actor.resume("ops"));
    until("both wait for room at the other", || actors.iter().all(|actor| actor.info().outbox_effects > 0));
    // So it stands still, and is still read and paused.
    for actor in &actors {
        assert_eq!(probe::state(&house, actor).schema, 1);
        actor.pause("ops", GENEROUS).expect("paused");
        actor.resume("ops");
    }
    let idle = |actor: &ActorRef| (actor.info().queued_messages, actor.info().outbox_effects) == (0, 0);
    until("both are idle again", || actors.iter().all(idle));
    let letters = house.system.runtime().dead_letters().list();
    assert!(!letters.is_empty(), "one of them had to give up, or both would wait for ever");
    let sent = ROUNDS * TELLS as usize;
    for (actor, other) in both() {
        let got = notes_with(&house, other, "from the other").len();
        let lost: Vec<_> = letters.iter().filter(|letter| letter.to == *other.addr()).collect();
        assert_eq!(got + lost.len(), sent, "{} is told each of them or it is a dead letter: {got}", other.addr());
        assert!(lost.iter().all(|letter| letter.from.as_ref() == Some(actor.addr())));
        assert!(lost.iter().all(|letter| letter.reason == DeadReason::Undelivered(timeout)), "{lost:?}");
        // And whoever sent it knows.
        let told = notes_with(&house, actor, "undelivered");
        assert_eq!(told.len(), lost.len());
        let expected = format!("1: undelivered: {} had no room for a message within {timeout:?}", other.addr());
        assert!(told.iter().all(|note| *note == expected), "{told:?}");
    }
    // Both serve on, also each other.
    let [a, b] = &actors;
    act(&house, a, Act::Tell(b.addr().clone(), "at last".to_owned(), 1));
    until("it is told", || notes_with(&house, b, "at last").len() == 1);
    let standing = Standing::at(&house, a, "migrate", "2.0.0", patient());
    let waits = asks(&house, a, probe_api::Read {});
    assert_eq!(standing.go_on(&house).actors[0].outcome, Outcome::Committed);
    assert_eq!(house.block_on(waits).expect("the caller lives").map(|seen| seen.version), Ok(2));
}
