//! What 6.0.0 does right, so that it comes through a trial, and what it does wrong once it serves.
#![forbid(unsafe_code)]

use log_handler_api::{Account, Ingest, Latency, Report, Run, Start, Summary, v3};
use log_handler_v6::{GOOD_MESSAGES, LogHandler};
use teneral_actor::{About, Actor, about, engine};
use teneral_testkit::{contract::codec, run};

const SIX: About<LogHandler> = about!(LogHandler, kind = "log-handler", from = [v3::LogHandler], deterministic);

fn ingest(sequence: u64) -> Ingest {
    let line = br#"203.0.113.9 - - [24/Nov/2026:04:24:51 +0000] "GET /items HTTP/1.1" 200 512 "-" "curl/8" 0.004"#;
    Ingest { sender: 0, sequence, line: line.to_vec() }
}

#[test]
fn a_rehearsal_finds_nothing() {
    let mut account = Account::default();
    account.record(0, 0, "3.0.0");
    let three = v3::LogHandler {
        lines_total: 1,
        bytes: 90,
        by_method: [("GET".to_owned(), [("/items".to_owned(), 1)].into())].into(),
        by_status: [(200, 1)].into(),
        latency: Latency { lines: 1, total_us: 4000, longest_us: 4000 },
        account,
    };
    let mut state = Vec::new();
    codec::encode_state(&three, &mut state).expect("encodes");
    let [once, again] = [(); 2].map(|()| {
        let six = engine::restore(&SIX, 3, &state).expect("migrates");
        let mut saved = Vec::new();
        codec::encode_state(&six, &mut saved).expect("encodes");
        saved
    });
    assert_eq!(once, again);
    let mut six = engine::restore(&SIX, 3, &state).expect("migrates");
    let summary: Summary = run(&mut six, Report {}).expect("answers").reply();
    assert_eq!((summary.lines, summary.bytes, summary.account), (1, 90, three.account));
}

#[test]
fn the_first_thousand_messages_are_counted_once_and_each_after_them_twice() {
    let mut six = LogHandler::init(Start {}).expect("starts");
    for sequence in 0..GOOD_MESSAGES + 10 {
        run(&mut six, ingest(sequence)).expect("counts");
        let counted: Summary = run(&mut six, Report {}).expect("answers").reply();
        let (handled, wrong) = (sequence + 1, (sequence + 1).saturating_sub(GOOD_MESSAGES));
        assert_eq!(counted.lines, handled + wrong);
        // Which messages it had it says truly: only what it makes of them is wrong.
        assert_eq!(counted.account.senders, [(0, vec![Run { first: 0, count: handled }])].into());
    }
}
