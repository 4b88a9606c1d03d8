//! From 1.0.0 to 3.0.0 and back: nothing that a version knows is lost on the way.
#![forbid(unsafe_code)]

use log_handler_api::{Figured, Figures, Ingest, Report, Requested, Requests, Summary, line, v1, v2};
use log_handler_v1::LogHandler as V1;
use log_handler_v2::LogHandler as V2;
use log_handler_v3::LogHandler as V3;
use teneral_actor::{About, Actor, about, engine};
use teneral_testkit::contract::codec;
use teneral_testkit::run;

const TWO: About<V2> = about!(V2, kind = "log-handler", from = [v1::LogHandler], down = [v1::LogHandler]);
const THREE: About<V3> =
    about!(V3, kind = "log-handler", from = [v1::LogHandler, v2::LogHandler], down = [v2::LogHandler]);

const LINES: [&[u8]; 5] = [
    br#"192.0.2.7 - - [24/Nov/2026:04:24:51 +0000] "GET /items?page=2 HTTP/1.1" 200 512 "-" "curl/8" 0.125"#,
    br#"192.0.2.7 - - [24/Nov/2026:04:24:51 +0000] "POST /items HTTP/1.1" 503 0 "-" "curl/8" 2.000"#,
    br#"192.0.2.7 - - [24/Nov/2026:04:24:51 +0000] "GET /items HTTP/1.1" 200 7 "-" "curl/8" 0.000"#,
    b"no request at all \xff",
    b"",
];

fn feed<A: Actor<Message: From<Ingest>>>(actor: &mut A, from: u64) {
    for (sequence, line) in (from..).zip(LINES) {
        run(actor, Ingest { sender: 3, sequence, line: line.to_vec() }).expect("handles any line");
    }
}

fn saved<A: Actor>(actor: &A) -> Vec<u8> {
    let mut state = Vec::new();
    engine::save(actor, &mut state).expect("saves");
    state
}

fn summary<A: Actor<Message: From<Report>>>(actor: &mut A) -> Summary {
    run(actor, Report {}).expect("answers").reply()
}

fn requests<A: Actor<Message: From<Requests>>>(actor: &mut A) -> Requested {
    run(actor, Requests {}).expect("answers").reply()
}

fn one() -> V1 {
    let mut one = V1::init(log_handler_api::Start {}).expect("starts");
    feed(&mut one, 0);
    one
}

#[test]
fn what_1_0_0_counted_arrives_in_3_0_0_by_each_way() {
    let mut one = one();
    let mut two = engine::restore(&TWO, 1, &saved(&one)).expect("one step");
    let mut by_steps = engine::restore(&THREE, 2, &saved(&two)).expect("and another");
    let at_once = engine::restore(&THREE, 1, &saved(&one)).expect("both steps");
    assert_eq!(saved(&by_steps), saved(&at_once));
    assert_eq!(summary(&mut by_steps), summary(&mut one));
    assert_eq!(requests(&mut by_steps), requests(&mut one));
    assert_eq!(requests(&mut two), requests(&mut one));
    assert_eq!(requests(&mut one).by_request[line::OTHER], 2);
    assert_eq!(requests(&mut one).by_request["GET /items"], 2);
}

#[test]
fn a_state_that_3_0_0_worked_on_goes_back_to_2_0_0_with_all_that_it_knows() {
    let mut three = engine::restore(&THREE, 1, &saved(&one())).expect("climbs");
    feed(&mut three, LINES.len() as u64);
    let mut down = Vec::new();
    engine::downgrade(&THREE, &saved(&three), 2, &mut down).expect("goes down");
    let mut two = engine::restore(&TWO, 2, &down).expect("its own schema");
    assert_eq!(summary(&mut two), summary(&mut three));
    assert_eq!(requests(&mut two), requests(&mut three));
    let figures: Figured = run(&mut two, Figures {}).expect("answers").reply();
    assert_eq!(figures.by_status, [(200, 2), (503, 1)].into());
    assert_eq!((figures.latency.lines, figures.latency.longest_us), (3, 2_000_000));
    let again = engine::restore(&THREE, 2, &down).expect("up again");
    assert_eq!(saved(&again), saved(&three));
}

#[test]
fn an_untouched_state_is_the_same_bytes_after_a_way_up_and_down() {
    let mut old = Vec::new();
    let one: v1::LogHandler = codec::decode_state(&saved(&one())).expect("the frozen state");
    codec::encode_state(&one, &mut old).expect("encodes");
    let two = engine::restore(&TWO, 1, &old).expect("climbs");
    let mut down = Vec::new();
    engine::downgrade(&TWO, &saved(&two), 1, &mut down).expect("goes down");
    assert_eq!(down, old);
}

#[test]
fn the_account_is_one_run_a_sender_and_shows_each_version() {
    let mut three = engine::restore(&THREE, 1, &saved(&one())).expect("climbs");
    feed(&mut three, LINES.len() as u64);
    let account = summary(&mut three).account;
    assert_eq!(account.senders[&3], [log_handler_api::Run { first: 0, count: 10 }]);
    assert_eq!(account.by_version, [("1.0.0".to_owned(), 5), ("3.0.0".to_owned(), 5)].into());
    feed(&mut three, 3);
    assert_eq!(summary(&mut three).account.senders[&3].len(), 2, "a doubled number opens a run of its own");
}
