//! What counter 2.0.0 does, and what of 1.0.0 it understands.
#![forbid(unsafe_code)]

use counter_api::{Add, Get, Start, Total, v1};
use counter_v2::Counter;
use teneral_actor::{Actor, about, engine};
use teneral_testkit::contract::{Shape, Wire, codec};
use teneral_testkit::run;

const ABOUT: teneral_actor::About<Counter> =
    about!(Counter, kind = "counter", from = [v1::Counter], down = [v1::Counter]);

fn total(counter: &mut Counter) -> Total {
    run(counter, Get {}).expect("answers").reply()
}

#[test]
fn a_counter_says_how_often_something_was_added() {
    let mut counter = Counter::init(Start { total: 0 }).expect("starts");
    run(&mut counter, Add { amount: 5 }).expect("adds");
    run(&mut counter, Add { amount: -7 }).expect("adds");
    assert_eq!(total(&mut counter), Total { total: -2, additions: 2 });
}

#[test]
fn a_state_of_schema_1_keeps_its_total_up_and_down_again() {
    let mut old = Vec::new();
    codec::encode_state(&v1::Counter { total: 41 }, &mut old).expect("encodes");
    let mut counter = engine::restore(&ABOUT, 1, &old).expect("migrates");
    assert_eq!(total(&mut counter), Total { total: 41, additions: 0 });

    let (mut new, mut down) = (Vec::new(), Vec::new());
    engine::save(&counter, &mut new).expect("saves");
    engine::downgrade(&ABOUT, &new, 1, &mut down).expect("goes down");
    assert_eq!(down, old);
}

#[test]
fn an_addition_of_yesterday_is_upcast_and_a_caller_of_yesterday_gets_its_total() {
    let mut body = Vec::new();
    codec::encode(&v1::Add { amount: 3 }, &mut body).expect("encodes");
    assert_eq!(Add::decode(v1::Add::FINGERPRINT, &body).expect("upcasts").amount, 3);

    let mut reply = Vec::new();
    Total { total: 9, additions: 4 }.encode_as(v1::Total::FINGERPRINT, &mut reply).expect("downcasts");
    assert_eq!(v1::Total::decode(v1::Total::FINGERPRINT, &reply), Ok(v1::Total { total: 9 }));
}
