//! Starting and talking: who is answered what, by whom, and what becomes of what nobody can answer.

use crate::harness::house::{GENEROUS, House, until};
use crate::harness::probe::{self, Busy, Hold, Standing, act, asks, lives, note, seen, tell};
use crate::harness::{Test, test};
use probe_api::{Act, Do, Later, Read, Relay, Seen, Start, Told, Trap};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral::runtime::ports::FaultKind;
use teneral::runtime::{DeadKind, DeadReason, Place, StartError, TellError, TryTellError, What};
use teneral::{ActorRef, Addr, AskError, SystemError, Wire};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(m1_a_start_returns_when_the_actor_is_up_and_holds_up_nobody_else),
        test(m1_an_init_that_dies_or_hangs_does_not_hang_the_starter),
        test(m2_a_failed_start_leaves_no_stray_message_and_frees_the_name),
        test(m3_a_tell_is_handled_and_an_ask_is_answered_at_once_later_or_through_another_actor),
        test(m4_a_late_reply_reaches_nobody_and_is_counted),
        test(m5_an_ask_to_the_dead_the_unknown_or_oneself_fails_at_once_and_each_with_its_own_error),
        test(m8_what_started_sends_itself_comes_before_queued_messages),
        test(m13_an_unknown_message_is_a_typed_error_to_the_asker_and_a_dead_letter_for_a_tell),
    ]
}

/// A deadline that is meant to pass.
const MOMENT: Duration = Duration::from_millis(50);

/// A deadline that no test lives to see.
const FOREVER: Duration = Duration::from_secs(600);
const FOREVER_MS: u64 = 600_000;

fn trapped(step: &str, how: &str) -> Start {
    Start { trap: Trap { step: step.to_owned(), how: how.to_owned() } }
}

/// Why a start failed.
fn start_error(house: &House, addr: &str, version: &str, args: Start) -> StartError {
    match house.block_on(house.system.start(addr, version, args)) {
        Err(SystemError::Start { source, .. }) => source,
        other => panic!("{addr} {version}: {other:?}"),
    }
}

fn m1_a_start_returns_when_the_actor_is_up_and_holds_up_nobody_else() {
    let house = House::open(probe::ALL, |options| options.runtime.start_timeout = GENEROUS);
    let hold = Hold::new(&house);
    let (system, args) = (house.system.clone(), trapped("init", &format!("hang {}", hold.path())));
    let starting = house.spawn(async move { system.start("probe/slow", "1.0.0", args).await });
    until("its init runs", || hold.reached());
    assert!(house.system.actor("probe/slow").is_err(), "nobody finds an actor before it is up");
    let taken = start_error(&house, "probe/slow", "1.0.0", Start::default());
    assert!(matches!(taken, StartError::Taken(_)), "its name is kept for it: {taken:?}");
    assert_eq!(seen(&house, &probe::start(&house, "probe/other", "1.0.0")).version, 1);
    assert!(!starting.is_finished(), "and whoever starts it waits");
    drop(hold);
    let slow = house.block_on(starting).expect("the starter lives").expect("it starts in the end");
    assert!(house.system.actor("probe/slow").is_ok_and(|found| found == slow));
    assert_eq!(lives(&seen(&house, &slow)), ["1: started Fresh"]);
}

fn m1_an_init_that_dies_or_hangs_does_not_hang_the_starter() {
    let start_timeout = Duration::from_secs(2);
    let house = House::open(probe::ALL, |options| options.runtime.start_timeout = start_timeout);
    for (how, kind) in [("panic", FaultKind::Panic), ("error", FaultKind::Failed)] {
        let failed = start_error(&house, "probe/a", "1.0.0", trapped("init", how));
        assert!(matches!(&failed, StartError::Init(fault) if fault.kind == kind), "{failed:?}");
    }
    let hold = Hold::new(&house);
    let failed = start_error(&house, "probe/a", "1.0.0", trapped("init", &format!("hang {}", hold.path())));
    assert_eq!(failed, StartError::Timeout(start_timeout));
    assert!(hold.reached(), "it hangs there still");
    // Nothing new is made of code that hung, and the starter is told; other code serves.
    let refused = house.block_on(house.system.start("probe/a", "1.0.0", Start::default()));
    assert!(matches!(refused, Err(SystemError::Quarantined { .. })), "{refused:?}");
    assert_eq!(seen(&house, &probe::start(&house, "probe/a", "2.0.0")).version, 2);
}

fn m2_a_failed_start_leaves_no_stray_message_and_frees_the_name() {
    let house = House::open(probe::ALL, |options| options.runtime.start_timeout = Duration::from_secs(2));
    let mut events = house.system.runtime().events();
    let hold = Hold::new(&house);
    for how in ["panic", "error", &format!("hang {}", hold.path())] {
        start_error(&house, "probe/a", "1.0.0", trapped("init", how));
        assert!(house.system.actor("probe/a").is_err() && house.system.actors().is_empty(), "{how}");
    }
    let actor = probe::start(&house, "probe/a", "2.0.0");
    // What comes of the init that hung comes too late for anybody.
    drop(hold);
    let taken = start_error(&house, "probe/a", "3.0.0", Start::default());
    assert!(matches!(&taken, StartError::Taken(addr) if addr.path() == "probe/a"), "{taken:?}");
    assert_eq!(seen(&house, &actor).notes, ["2: started Fresh", "2: opened"]);
    assert_eq!(house.system.actors().len(), 1);
    assert_eq!(house.system.runtime().dead_letters().total(), 0);
    let mut started = Vec::new();
    while let Ok(teneral::runtime::Seen::Event(event)) = events.next_blocking(Duration::ZERO) {
        if let What::Started { version, .. } = &event.what {
            started.push(version.major);
        }
    }
    assert_eq!(started, [2], "nobody was told of the others");
}

fn m3_a_tell_is_handled_and_an_ask_is_answered_at_once_later_or_through_another_actor() {
    const SENT: u64 = 1000;
    let house = House::patient(probe::ALL);
    let (actor, other) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/b", "2.0.0"));
    (0..SENT).for_each(|number| tell(&house, &actor, note(0, number)));
    probe::whole(&seen(&house, &actor).log, &[SENT]);

    let owed = || {
        let owed = asks(&house, &actor, Later {});
        seen(&house, &actor);
        owed
    };
    let later = owed();
    act(&house, &actor, Act::Settle);
    assert_eq!(house.block_on(later).expect("the caller lives"), Ok(Told { version: 1 }));

    // The handle itself goes to the other one, which answers whoever asked the first.
    let through = owed();
    act(&house, &actor, Act::Delegate(other.addr().clone()));
    seen(&house, &actor);
    act(&house, &other, Act::Settle);
    assert_eq!(house.block_on(through).expect("the caller lives"), Ok(Told { version: 2 }));

    // And an actor asks another one to answer its own caller.
    tell(&house, &other, note(7, 7));
    let relayed = house.block_on(actor.ask(Relay { to: other.addr().clone() }, GENEROUS)).expect("an answer");
    assert_eq!((relayed.version, relayed.log.len()), (2, 1), "what the other one saw");
    assert_eq!(house.system.runtime().dead_letters().total(), 0);
}

fn m4_a_late_reply_reaches_nobody_and_is_counted() {
    let house = House::patient(probe::ALL);
    let (actor, other) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/b", "1.0.0"));
    let letters = house.system.runtime().dead_letters();
    let timeout: Result<Told, AskError> = house.block_on(actor.ask(Later {}, MOMENT));
    assert_eq!(timeout, Err(AskError::Timeout), "nobody answers it in time");
    assert_eq!(letters.total(), 0, "nothing was late yet");
    act(&house, &actor, Act::Settle);
    seen(&house, &actor);
    assert_eq!(letters.count(DeadKind::LateReply), 1, "it was kept for somebody who is gone");
    let busy = Busy::make(&house, &actor);
    let timeout = house.block_on(actor.ask(Read {}, MOMENT));
    assert_eq!(timeout, Err(AskError::Timeout));
    act(&house, &other, Act::Ask { to: actor.addr().clone(), timeout_ms: 50 });
    let over = "1: not heard: no answer within the deadline";
    until("its ask is over", || probe::notes_with(&house, &other, "heard") == [over]);
    drop(busy);
    until("the answer to the read is counted", || letters.count(DeadKind::LateReply) == 2);
    act(&house, &actor, Act::Pay);
    act(&house, &actor, Act::Ask { to: other.addr().clone(), timeout_ms: FOREVER_MS });
    assert_eq!(seen(&house, &actor).version, 1, "the next asker gets its own answer");
    assert_eq!((letters.count(DeadKind::LateReply), letters.total()), (3, 3));
    assert_eq!(
        probe::notes_with(&house, &other, "heard"),
        [over],
        "whoever was told that there is no answer gets none"
    );
    // Who waits long enough gets it.
    until("it was asked", || actor.parked().iter().any(|parked| parked.place == Place::Continuation));
    act(&house, &other, Act::Pay);
    assert_eq!(heard(&house, &actor, 1), ["1: heard Paid { notes: 0 }"]);
    assert_eq!(letters.total(), 3);
}

/// What the asks of an actor came to, once there are so many.
fn heard(house: &House, actor: &ActorRef, asks: usize) -> Vec<String> {
    let heard = || probe::notes_with(house, actor, "heard");
    until("its asks are over", || heard().len() >= asks);
    heard()
}

fn m5_an_ask_to_the_dead_the_unknown_or_oneself_fails_at_once_and_each_with_its_own_error() {
    let house = House::patient(probe::ALL);
    let (actor, dying) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/dying", "1.0.0"));
    let (nobody, no_kind) = ("probe/nobody", "nobody/a");
    // An actor asks: each would wait ten minutes, were it not told at once.
    let asks_of =
        |to: &str| act(&house, &actor, Act::Ask { to: Addr::new(to).expect("an address"), timeout_ms: FOREVER_MS });
    [nobody, no_kind, "probe/a", "probe/dying"].into_iter().for_each(asks_of);
    // By now it has asked them all.
    heard(&house, &actor, 3);
    house.block_on(dying.stop("enough", GENEROUS)).expect("it stops");
    heard(&house, &actor, 4);
    asks_of("probe/dying");
    let errors = [
        AskError::NoActor(nobody.to_owned()),
        AskError::NoActor(no_kind.to_owned()),
        AskError::ToItself,
        AskError::Stopped,
        AskError::NoActor("probe/dying".to_owned()),
    ];
    assert_eq!(heard(&house, &actor, 5), errors.map(|error| format!("1: not heard: {error}")));
    assert_eq!(house.system.runtime().dead_letters().total(), 0, "each was told to its asker, and to nobody else");

    // Somebody outside asks: the one it had is dead, the other one it never had.
    assert_eq!(house.block_on(dying.ask(Read {}, FOREVER)), Err(AskError::Stopped));
    let unknown = house.block_on(house.system.ask_within(nobody, Read {}, FOREVER)).map(drop);
    assert!(matches!(&unknown, Err(error @ SystemError::Actor { .. }) if error.code() == "SYS-ACTOR"), "{unknown:?}");
}

fn m8_what_started_sends_itself_comes_before_queued_messages() {
    let house = House::patient(probe::ALL);
    let hold = Hold::new(&house);
    let actor = house.start("probe/a", "1.0.0", trapped("started", &format!("hang {}", hold.path())));
    until("its first turn runs", || hold.reached());
    let writes = |text: &str| actor.try_tell(Do { act: Act::Write(text.to_owned()) }).expect("there is room");
    writes("queued");
    drop(hold);
    assert_eq!(seen(&house, &actor).notes, ["1: started Fresh", "1: opened", "1: queued"]);

    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    writes("waited");
    assert!(standing.go_on(&house).ok());
    assert_eq!(seen(&house, &actor).notes[3..], ["2: started Upgraded", "2: opened", "2: waited"]);

    // Its mailbox outlives its instance too.
    probe::trap(&house, &actor, "", "");
    actor.pause("ops", GENEROUS).expect("paused");
    let dies = Act::TellThenPanic(actor.addr().clone(), "never said".to_owned());
    actor.try_tell(Do { act: dies }).expect("there is room");
    writes("left");
    actor.resume("ops");
    assert_eq!(seen(&house, &actor).notes, ["2: started Restarted", "2: opened", "2: left"]);
}

/// Messages that no probe knows.
mod strange {
    use super::{Deserialize, Seen, Serialize, Told};

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize, teneral::Request)]
    #[reply(Told)]
    pub(super) struct Nonsense {
        pub(super) number: u64,
    }

    /// In another shape.
    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize, teneral::Request)]
    #[reply(Seen)]
    pub(super) struct Read {
        pub(super) since: u64,
    }

    /// In its own shape, for another reply.
    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize, teneral::Request)]
    #[reply(Seen)]
    pub(super) struct Later {}
}

fn m13_an_unknown_message_is_a_typed_error_to_the_asker_and_a_dead_letter_for_a_tell() {
    let house = House::patient(&["probe-v1", "counter-v1"]);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    house.start("counter/c", "1.0.0", counter_api::Start { total: 0 });
    let (nonsense, read) = (strange::Nonsense { number: 1 }, strange::Read { since: 1 });
    // By its name for whoever has its type; who sends bytes has only the variant.
    let (name, tag) = ("Nonsense".to_owned(), <strange::Nonsense as Wire>::tag());
    let asked = house.block_on(actor.ask(strange::Nonsense { number: 1 }, FOREVER));
    assert_eq!(asked, Err(AskError::UnknownMessage(name.clone())));
    let asked = house.block_on(actor.ask(strange::Read { since: 1 }, FOREVER));
    assert_eq!(asked, Err(AskError::UnknownShape("Read".to_owned())));
    assert_eq!(house.block_on(actor.ask(strange::Later {}, FOREVER)), Err(AskError::ReplyShape));
    assert_eq!(house.system.runtime().dead_letters().total(), 0, "an asker is told, and that is all");

    let told = house.block_on(actor.tell(nonsense)).expect_err("refused");
    assert_eq!(told, TellError::UnknownMessage { message: strange::Nonsense { number: 1 }, name: name.clone() });
    let told = actor.try_tell(strange::Nonsense { number: 1 }).expect_err("refused");
    assert_eq!(told, TryTellError::UnknownMessage { message: strange::Nonsense { number: 1 }, name });
    let told = actor.try_tell_raw(tag, vec![1]).expect_err("refused");
    let id = format!("{:016x}", tag.variant);
    assert_eq!(told, TryTellError::UnknownMessage { message: vec![1], name: id });
    let told = house.block_on(actor.tell(read)).expect_err("refused");
    assert_eq!(told, TellError::UnknownShape { message: strange::Read { since: 1 }, name: "Read".to_owned() });
    // An actor tells and asks what the other one does not know.
    act(&house, &actor, Act::Tell(Addr::new("counter/c").expect("an address"), "who are you?".to_owned(), 1));
    act(&house, &actor, Act::Ask { to: Addr::new("counter/c").expect("an address"), timeout_ms: FOREVER_MS });
    let owe = format!("{:016x}", <probe_api::Owe as Wire>::tag().variant);
    let error = AskError::UnknownMessage(owe);
    assert_eq!(heard(&house, &actor, 1), [format!("1: not heard: {error}")]);

    let letters = house.system.runtime().dead_letters().list();
    let letters: Vec<_> =
        letters.iter().map(|letter| (letter.to.path(), &letter.from, letter.tag, &letter.reason)).collect();
    let (unknown, shape) = (DeadReason::UnknownMessage, DeadReason::UnknownShape);
    let expected = [
        ("probe/a", &None, tag, &unknown),
        ("probe/a", &None, tag, &unknown),
        ("probe/a", &None, tag, &unknown),
        ("probe/a", &None, <strange::Read as Wire>::tag(), &shape),
        ("counter/c", &Some(actor.addr().clone()), <probe_api::Tick as Wire>::tag(), &unknown),
    ];
    assert_eq!(letters, expected);
    assert_eq!(seen(&house, &actor).notes[..2], ["1: started Fresh", "1: opened"]);
    assert_eq!(seen(&house, &actor).log, [], "nothing was taken for something else");
}
