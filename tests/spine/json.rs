//! Actors spoken to in JSON by the names of their messages, as people, scripts and HTTP do.

use crate::harness::echo;
use crate::harness::house::{GENEROUS, House, chain, only, until};
use crate::harness::probe::{self, Standing, note, tell};
use crate::harness::{Absent, Test, test};
use serde_json::{Value, json};
use teneral::upgrade::Outcome;
use teneral::{ActorOptions, Launch, SystemError};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(an_actor_is_started_told_asked_and_read_in_json_over_an_upgrade),
        test(a_slip_in_json_is_refused_with_its_place_or_the_nearest_name),
        test(a_question_in_json_that_waits_through_an_upgrade_is_answered_in_the_shape_it_was_asked_in),
        test(an_actor_whose_code_offers_no_json_says_so),
    ]
}

fn at(version: &str) -> Launch {
    Launch { version: Some(version.parse().expect("a version")), options: ActorOptions::permanent() }
}

fn parsed(text: Result<String, SystemError>) -> Value {
    let text = text.unwrap_or_else(|error| panic!("{}", chain(&error)));
    serde_json::from_str(&text).expect("JSON")
}

fn an_actor_is_started_told_asked_and_read_in_json_over_an_upgrade() {
    let house = House::with(&["counter-v1", "counter-v2"]);
    let system = &house.system;
    house.block_on(system.start_json("counter/a", at("1.0.0"), r#"{"total":40}"#)).expect("it starts");
    let add = |amount: i32| {
        let body = json!({ "amount": amount }).to_string();
        let told = system.tell_json("counter/a", "Add", &body, GENEROUS);
        house.block_on(told).map_err(|error| (error.code().to_owned(), chain(&error)))
    };
    let ask = || parsed(house.block_on(system.ask_json("counter/a", "Get", "{}", GENEROUS)));
    let state = || parsed(house.block_on(system.state_json("counter/a", GENEROUS)));
    add(2).expect("accepted");
    assert_eq!((ask(), state()), (json!({"total": 42}), json!({"total": 42})));
    let (code, said) = add(-2).expect_err("1.0.0 takes no negative amounts");
    assert!(code == "SYS-JSON" && said.contains("line 1 column"), "{code} {said}");
    assert_eq!(house.moved("counter/a", "2.0.0").outcome, Outcome::Committed);
    add(-2).expect("2.0.0 does");
    assert_eq!((ask(), state()), (json!({"total": 40, "additions": 1}), json!({"total": 40, "additions": 1})));
}

fn a_slip_in_json_is_refused_with_its_place_or_the_nearest_name() {
    let house = House::with(&["counter-v1"]);
    let system = &house.system;
    let started = |args: &str| house.block_on(system.start_json("counter/a", at("1.0.0"), args)).map(drop);
    let refused = |error: SystemError| (error.code().to_owned(), chain(&error), error.hint());
    let (code, said, _) = refused(started(r#"{"totl":40}"#).expect_err("a field is missing"));
    assert!(code == "SYS-JSON" && said.contains("total"), "{code} {said}");
    started(r#"{"total":40}"#).expect("its name is free");
    let ask = |addr: &str, message: &str, json: &str| {
        refused(house.block_on(system.ask_json(addr, message, json, GENEROUS)).map(drop).expect_err("a slip"))
    };
    assert_eq!(ask("counter/b", "Get", "{}").0, "SYS-ACTOR");
    let (code, said, hint) = ask("counter/a", "Gt", "{}");
    assert_eq!(
        (code.as_str(), hint.as_str()),
        ("SYS-MESSAGE", "did you mean Get? Get takes {}, as in: teneral actor ask counter/a Get"),
        "{said}"
    );
    let (code, said, _) = ask("counter/a", "Add", r#"{"amount":1}"#);
    assert!(code == "SYS-JSON" && said.contains("asks for nothing"), "{said}");
    for bad in ["", "{", "[1", r#"{"amount":"x"}"#, &"[".repeat(100_000)] {
        let told = house.block_on(system.tell_json("counter/a", "Add", bad, GENEROUS));
        let (code, said, hint) = refused(told.expect_err("no amount"));
        assert!(code == "SYS-JSON" && !hint.is_empty(), "{code} {said}");
    }
    assert_eq!(parsed(house.block_on(system.ask_json("counter/a", "Get", "{}", GENEROUS))), json!({"total": 40}));
}

fn a_question_in_json_that_waits_through_an_upgrade_is_answered_in_the_shape_it_was_asked_in() {
    let house = House::patient(&["probe-v1", "probe-v2"]);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    tell(&house, &actor, note(7, 0));
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    let system = house.system.clone();
    let asked = house.spawn(async move { system.ask_json("probe/a", "Read", "{}", GENEROUS).await });
    until("the question waits", || actor.info().queued_messages == 1);
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let answer = parsed(house.block_on(asked).expect("the caller lives"));
    assert_eq!((answer["version"].as_u64(), answer["log"][0]["sender"].as_u64()), (Some(2), Some(7)), "{answer}");
}

fn an_actor_whose_code_offers_no_json_says_so() -> Result<(), Absent> {
    let house = House::with(&[]);
    house.push(echo::library(1)?).expect("c-echo passes the gate");
    house.start("c-echo/a", "1.0.0", echo::Nothing {});
    let asked = house.block_on(house.system.ask_json("c-echo/a", "Count", "{}", GENEROUS));
    let error = asked.map(drop).expect_err("it offers none");
    assert!(error.code() == "SYS-JSON" && chain(&error).contains("offers no JSON"), "{}", chain(&error));
    Ok(())
}
