//! A plugin that breaks the ABI's rules: what it says is a claim, and a false one is a typed fault.
//!
//! Only what stays inside the plugin's own memory can be told: a wild pointer is not.

use crate::harness::house::{GENEROUS, House, LIVE, chain, only, until};
use crate::harness::puppet::{Ask, At, GOOD, How, Keep, Obey, Told, puppet};
use crate::harness::{Absent, Test, test};
use std::time::Duration;
use teneral::runtime::{DeadKind, StateError, Status};
use teneral::upgrade::Outcome;
use teneral::{ActorRef, AskError, UpgradeOptions, Wire};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_status_that_the_abi_does_not_know_is_a_fault_wherever_it_is_returned),
        test(ok_without_an_instance_is_a_fault_in_a_start_and_in_a_move),
        test(a_panic_without_words_costs_the_instance),
        test(what_was_not_reserved_is_not_taken_and_nothing_of_the_hosts_memory_is_given),
        test(output_over_its_limit_is_refused_and_an_error_without_end_is_cut),
        test(arguments_that_cannot_be_are_refused_by_every_function_of_a_turn),
        test(a_reply_of_another_shape_a_second_one_or_none_is_told_to_whoever_asks),
        test(a_turn_with_more_effects_than_it_may_have_releases_none),
    ]
}

/// A puppet and a bystander of the same library, in a house that has its next version too.
struct Show {
    house: House,
    puppet: ActorRef,
    bystander: ActorRef,
}

impl Show {
    fn new(args: Obey) -> Result<Self, Absent> {
        let house = House::with(&[]);
        for version in ["1.0.0", "2.0.0"] {
            house.push(puppet(version).build()?.path()).expect("it breaks no rule of the gate");
        }
        let bystander = house.start("puppet/bystander", "1.0.0", GOOD);
        let puppet = house.start("puppet/p", "1.0.0", args);
        Ok(Self { house, puppet, bystander })
    }

    /// From now on its puppet breaks that rule there.
    fn obey(&self, at: At, how: How) {
        self.house.block_on(self.puppet.tell(Obey { at, how })).expect("accepted");
        // A read of the state does not wait behind messages: whoever reads it next must find the order there.
        if at != At::Handle {
            self.ask().expect("it answers");
        }
    }

    /// Its state is this, byte by byte.
    fn keep(&self, bytes: Vec<u8>) {
        self.house.block_on(self.puppet.tell_raw(<Keep as Wire>::tag(), bytes)).expect("accepted");
        self.ask().expect("it answers");
    }

    fn ask(&self) -> Result<u64, AskError> {
        self.house.block_on(self.puppet.ask(Ask {}, GENEROUS)).map(|Told { bytes }| bytes)
    }

    fn state(&self) -> Result<Vec<u8>, StateError> {
        self.house.block_on(self.puppet.state(GENEROUS)).map(|state| state.bytes)
    }

    /// The move to the next version rolls back with this code and a cause that says so.
    #[track_caller]
    fn rolls_back(&self, options: UpgradeOptions, code: &str, cause: &str) {
        let report = self.house.try_upgrade("puppet/p", "2.0.0", options).expect("it begins");
        let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
        assert!(failure.code == code && failure.cause.contains(cause), "{code} {cause}: {report}");
    }

    /// The puppet answers as if nothing had been, and so does its bystander.
    #[track_caller]
    fn all_serve(&self, bytes: u64) {
        assert_eq!(self.ask(), Ok(bytes), "the puppet");
        let told = self.house.block_on(self.bystander.ask(Ask {}, GENEROUS));
        assert_eq!(told, Ok(Told { bytes: 0 }), "the bystander");
    }
}

/// A state that is an order, for who is restored from it.
fn order(at: At, how: How) -> Vec<u8> {
    [(at as u32).to_le_bytes(), (how as u32).to_le_bytes()].concat()
}

fn a_status_that_the_abi_does_not_know_is_a_fault_wherever_it_is_returned() -> Result<(), Absent> {
    for (how, said) in [
        (How::HighStatus, "the code answered status 4711: trust me"),
        (How::LowStatus, "the code answered status -4711: trust me"),
    ] {
        let show = Show::new(GOOD)?;
        let start = |at| {
            let started = show.house.block_on(show.house.system.start("puppet/other", "1.0.0", Obey { at, how }));
            started.map_err(|error| chain(&error))
        };
        let created = start(At::Create).map(drop).expect_err("it does not come up");
        assert!(created.contains(said), "{created}");
        let started = start(At::Started).expect("it has an instance");
        until("it is given up", || matches!(started.info().status, Status::Stopped { .. }));

        show.obey(At::Handle, how);
        assert_eq!(show.ask(), Err(AskError::Failed(said.to_owned())));
        show.obey(At::Nowhere, How::Behave);
        show.obey(At::Save, how);
        assert!(matches!(show.state(), Err(StateError::Save(fault)) if fault.text == said));
        show.rolls_back(LIVE, "UPG-SNAPSHOT", said);
        show.obey(At::Nowhere, How::Behave);
        show.keep(order(At::Restore, how));
        show.rolls_back(LIVE, "UPG-MIGRATE", said);
        show.all_serve(8);
    }
    Ok(())
}

fn ok_without_an_instance_is_a_fault_in_a_start_and_in_a_move() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    let args = Obey { at: At::Create, how: How::NoInstance };
    let started = show.house.block_on(show.house.system.start("puppet/other", "1.0.0", args)).map(drop);
    let said = "the code said OK and made no instance";
    assert!(chain(&started.expect_err("there is nothing to start")).contains(said));
    show.keep(order(At::Restore, How::NoInstance));
    show.rolls_back(LIVE, "UPG-MIGRATE", said);
    show.all_serve(8);
    Ok(())
}

fn a_panic_without_words_costs_the_instance() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    show.keep(vec![7; 100]);
    show.obey(At::Handle, How::SpeechlessPanic);
    assert_eq!(show.ask(), Err(AskError::Panicked("the code gave no reason (status -1)".to_owned())));
    show.all_serve(0);
    assert_eq!(show.puppet.info().restarts, 1);
    show.keep(order(At::Restore, How::SpeechlessPanic));
    show.rolls_back(LIVE, "UPG-MIGRATE", "migration panicked");
    show.all_serve(8);
    Ok(())
}

fn what_was_not_reserved_is_not_taken_and_nothing_of_the_hosts_memory_is_given() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    // 8 bytes are reserved, none written, and a terabyte committed.
    show.obey(At::Save, How::CommitMore);
    assert_eq!(show.state().expect("it saves"), [0; 8]);
    show.obey(At::Save, How::CommitUnasked);
    assert!(show.state().expect("it saves").is_empty());
    let report = show.house.upgrade_live("puppet/p", "2.0.0");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    show.all_serve(0);
    Ok(())
}

fn output_over_its_limit_is_refused_and_an_error_without_end_is_cut() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    show.obey(At::Save, How::Flood);
    let options = UpgradeOptions { snapshot_bytes_max: 5 << 20, ..LIVE };
    show.rolls_back(options, "UPG-LIMIT", "the state is over its limit of 5242880 bytes");
    show.obey(At::Handle, How::LongWords);
    match show.ask() {
        // What is no text is shown as such: three bytes for each one of 16 KiB at most.
        Err(AskError::Failed(said)) => {
            assert!(said.len() <= 48 << 10 && said.starts_with('\u{fffd}'), "{}", said.len())
        }
        other => panic!("{other:?}"),
    }
    show.obey(At::Nowhere, How::Behave);
    show.all_serve(0);
    Ok(())
}

fn arguments_that_cannot_be_are_refused_by_every_function_of_a_turn() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    show.obey(At::Handle, How::BadArguments);
    // It fails with the name of the first that is taken.
    show.all_serve(0);
    Ok(())
}

fn a_reply_of_another_shape_a_second_one_or_none_is_told_to_whoever_asks() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    show.obey(At::Handle, How::NoReply);
    // It might have kept the call to answer it later: only the deadline ends that.
    let unanswered = show.house.block_on(show.puppet.ask(Ask {}, Duration::from_millis(50))).map(drop);
    assert_eq!(unanswered, Err(AskError::Timeout));
    show.obey(At::Handle, How::OtherReply);
    assert!(matches!(show.ask(), Err(AskError::Failed(_))), "its status says that the host takes no such reply");
    show.obey(At::Handle, How::TwoReplies);
    assert_eq!(show.ask(), Ok(0), "the first one counts");
    let letters = show.house.system.runtime().dead_letters();
    until("the second one is a dead letter", || letters.count(DeadKind::StaleReply) == 1);
    show.obey(At::Nowhere, How::Behave);
    show.all_serve(0);
    Ok(())
}

fn a_turn_with_more_effects_than_it_may_have_releases_none() -> Result<(), Absent> {
    let show = Show::new(GOOD)?;
    show.obey(At::Handle, How::ManyEffects);
    assert_eq!(show.ask(), Err(AskError::Failed("no more".to_owned())));
    assert_eq!(show.puppet.info().queued_messages, 0, "what it told itself is gone with the turn");
    show.obey(At::Nowhere, How::Behave);
    show.all_serve(0);
    Ok(())
}
