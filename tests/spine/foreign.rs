//! Code that is not this build's: plain C, and Rust of another compiler and another layout of its types.
//!
//! Nothing but the C contract stands between host and plugin, so what built a plugin must not matter: not the language,
//! not the compiler, not where its structs keep their fields.

use crate::harness::echo::{Count, Echo, Echoed, Nothing, Size, library};
use crate::harness::house::{GENEROUS, House, only, until};
use crate::harness::libraries::nightly;
use crate::harness::{Absent, Test, test};
use probe_api::{Act, Do, Entry, Note, Read, v1};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use teneral::loader::{Gate, Policy, UnsignedRecord};
use teneral::runtime::{RestartState, StateRead};
use teneral::upgrade::{Downgrades, Outcome};
use teneral::{ActorOptions, ActorRef, Launch, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_plain_c_actor_serves_callers_in_rust),
        test(a_plain_c_actor_keeps_its_state_over_restart_upgrade_and_downgrade),
        test(a_plain_c_actor_loses_no_message_while_it_is_moved_up_and_down),
        test(an_actor_moves_from_this_compilers_code_to_nightlys_and_back),
        test(an_actor_moves_to_code_whose_types_are_laid_out_otherwise_and_back),
    ]
}

// ---- plain C

fn echo(text: impl Into<String>) -> Echo {
    Echo { text: text.into() }
}

const DOWN: UpgradeOptions = UpgradeOptions { downgrades: Downgrades::Allow, ..UpgradeOptions::new() };

/// A house with both versions of c-echo.
fn echo_house() -> Result<House, Absent> {
    let house = House::with(&[]);
    for major in [1, 2] {
        house.push(library(major)?).expect("c-echo passes the gate");
    }
    Ok(house)
}

fn state(house: &House, actor: &ActorRef) -> StateRead {
    house.block_on(actor.state(GENEROUS)).expect("it saves")
}

/// A state of c-echo: its numbers, each as 8 bytes.
fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn a_plain_c_actor_serves_callers_in_rust() -> Result<(), Absent> {
    let house = echo_house()?;
    let actor = house.start("c-echo/a", "1.0.0", Nothing {});
    house.block_on(house.system.tell("c-echo/a", echo("to nobody"))).expect("accepted");
    let echoed = house.block_on(house.system.ask("c-echo/a", echo("hear, hear"))).expect("answered");
    assert_eq!(echoed, Echoed { text: "hear, hear".into(), echoes: 2 });
    assert_eq!(house.block_on(house.system.ask("c-echo/a", Count {})).expect("answered").echoes, 2);
    // Its own limit is its own error, and nothing is counted for it.
    let refused = house.block_on(house.system.ask("c-echo/a", echo("x".repeat(70_000)))).map(drop);
    assert_eq!(refused.expect_err("too long").code(), "SYS-ASK");
    assert_eq!(state(&house, &actor).bytes, numbers(&[2]));
    let unknown = house.block_on(house.system.tell("c-echo/a", Size {})).expect_err("1.0.0 knows no Size");
    assert_eq!(unknown.code(), "SYS-TELL");
    Ok(())
}

fn a_plain_c_actor_keeps_its_state_over_restart_upgrade_and_downgrade() -> Result<(), Absent> {
    let house = echo_house()?;
    let options = ActorOptions { restart_state: RestartState::LastSnapshot, ..ActorOptions::permanent() };
    let launch = Launch { version: Some("1.0.0".parse().expect("a version")), options };
    let actor = house.block_on(house.system.start_with("c-echo/a", launch, Nothing {})).expect("it starts");
    let ask = |text: &str| house.block_on(house.system.ask("c-echo/a", echo(text))).expect("answered").echoes;
    assert_eq!((ask("12345"), ask("67890")), (1, 2));

    let up = house.upgrade("c-echo/a", "2.0.0");
    assert_eq!(only(&up).outcome, Outcome::Committed, "{up}");
    // What was echoed before anybody counted bytes is not known.
    assert_eq!(state(&house, &actor).bytes, numbers(&[2, 0]));
    assert_eq!(ask("abc"), 3);
    assert_eq!(house.block_on(house.system.ask("c-echo/a", Size {})).expect("answered").bytes, 3);

    let down = house.try_upgrade("c-echo/a", "1.0.0", DOWN).expect("it begins");
    assert_eq!(only(&down).outcome, Outcome::Committed, "{down}");
    assert_eq!((state(&house, &actor).schema, state(&house, &actor).bytes), (1, numbers(&[3])));

    // A restart takes up the last state that an upgrade has saved.
    assert_eq!(ask("lost with the restart"), 4);
    actor.restart(teneral::runtime::Begin::Declared).expect("it restarts");
    assert_eq!(state(&house, &actor).bytes, numbers(&[3]));
    assert_eq!(ask("it serves"), 4);
    Ok(())
}

fn a_plain_c_actor_loses_no_message_while_it_is_moved_up_and_down() -> Result<(), Absent> {
    let house = echo_house()?;
    let actor = house.start("c-echo/a", "1.0.0", Nothing {});
    let moved = Arc::new(AtomicBool::new(false));
    let sender = house.spawn({
        let (actor, moved) = (actor.clone(), Arc::clone(&moved));
        async move {
            let mut sent = 0;
            while !moved.load(Ordering::Relaxed) || sent < 500 {
                actor.tell(echo("told")).await.expect("accepted");
                let echoed = actor.ask(echo(format!("{sent}")), GENEROUS).await.expect("answered");
                sent += 2;
                // Its own count: each echo once, none twice, in order.
                assert_eq!(echoed, Echoed { text: (sent - 2).to_string(), echoes: sent });
            }
            sent
        }
    });
    let counted = || house.block_on(actor.ask(Count {}, GENEROUS)).expect("answered").echoes;
    for version in ["2.0.0", "1.0.0", "2.0.0", "1.0.0", "2.0.0"] {
        let before = counted();
        until("messages come in between two moves", || counted() > before + 10);
        let report = house.try_upgrade("c-echo/a", version, DOWN).expect("it begins");
        assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    }
    moved.store(true, Ordering::Relaxed);
    let sent: u64 = house.block_on(sender).expect("the sender's account is the actor's");
    assert_eq!(counted(), sent);
    Ok(())
}

// ---- Rust of another compiler

/// Stable 1.0.0, the foreign 2.0.0, stable 3.0.0 and back down to the foreign one: each handles messages, and the log
/// that the actor keeps is the senders' account.
fn moves_to_and_from(foreign: &Path) {
    let house = House::with(&["probe-v1", "probe-v3"]);
    house.push_older(foreign).expect("the gate does not ask who compiled it");
    let gate = Gate { policy: Policy::standard(), trust: UnsignedRecord };
    let compiler = gate.verify(foreign, None).expect("it passed a moment ago").manifest().compiler.clone();
    assert!(compiler.contains("nightly"), "{compiler}");
    let actor = house.start("probe/a", "1.0.0", probe_api::Start::default());
    // By the code that serves now: a message that waits is handled by whatever serves next.
    let handled = || drop(house.block_on(actor.ask(Read {}, GENEROUS)).expect("it answers"));
    let note = |number: u64| {
        house.block_on(actor.tell(Note { sender: 7, number, weight: 5 })).expect("accepted");
        handled();
    };
    house.block_on(actor.tell(v1::Note { sender: 7, number: 0 })).expect("accepted");
    handled();

    let to_foreign = house.upgrade("probe/a", "2.0.0");
    assert_eq!(only(&to_foreign).outcome, Outcome::Committed, "{to_foreign}");
    note(1);
    // More than fits anywhere by chance: it lies on the foreign allocator's heap.
    house.block_on(actor.tell(Do { act: Act::Grow(100_000) })).expect("accepted");
    let to_stable = house.upgrade("probe/a", "3.0.0");
    assert_eq!(only(&to_stable).outcome, Outcome::Committed, "{to_stable}");
    note(2);
    let back = house.try_upgrade("probe/a", "2.0.0", DOWN).expect("it begins");
    assert_eq!(only(&back).outcome, Outcome::Committed, "{back}");
    note(3);

    let seen = house.block_on(actor.ask(Read {}, GENEROUS)).expect("answered");
    let entry = |number, version, weight| Entry { sender: 7, number, version, weight };
    assert_eq!(seen.version, 2);
    assert_eq!(seen.log, [entry(0, 1, 0), entry(1, 2, 5), entry(2, 3, 5), entry(3, 2, 5)]);
    // A panic stays behind the foreign code's own wall.
    let this = actor.addr().clone();
    house.block_on(actor.tell(Do { act: Act::TellThenPanic(this, "never".into()) })).expect("accepted");
    assert_eq!(house.block_on(actor.ask(Read {}, GENEROUS)).expect("a new instance answers").log, []);
}

fn an_actor_moves_from_this_compilers_code_to_nightlys_and_back() -> Result<(), Absent> {
    moves_to_and_from(nightly("")?);
    Ok(())
}

fn an_actor_moves_to_code_whose_types_are_laid_out_otherwise_and_back() -> Result<(), Absent> {
    let (plain, shuffled) = (nightly("")?, nightly("-Zrandomize-layout -Zlayout-seed=4242")?);
    assert_ne!(std::fs::read(plain).expect("readable"), std::fs::read(shuffled).expect("readable"));
    moves_to_and_from(shuffled);
    Ok(())
}
