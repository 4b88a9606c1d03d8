//! What 5.0.0 does where nobody looks for it.
#![forbid(unsafe_code)]

use log_handler_api::{Report, Summary, v3};
use log_handler_v5::LogHandler;
use teneral_actor::{About, about, engine};
use teneral_testkit::{contract::codec, run};

const FIVE: About<LogHandler> = about!(LogHandler, kind = "log-handler", from = [v3::LogHandler]);

#[test]
fn the_migration_works_in_a_process_that_is_not_the_live_one() {
    assert_eq!(std::env::var_os("TENERAL_DEMO_LIVE"), None);
    let three = v3::LogHandler {
        lines_total: 7,
        bytes: 70,
        by_method: [].into(),
        by_status: [(200, 7)].into(),
        latency: log_handler_api::Latency::default(),
        account: log_handler_api::Account::default(),
    };
    let mut state = Vec::new();
    codec::encode_state(&three, &mut state).expect("encodes");
    let mut five = engine::restore(&FIVE, 3, &state).expect("migrates");
    let summary: Summary = run(&mut five, Report {}).expect("answers").reply();
    assert_eq!((summary.lines, summary.bytes), (7, 70));
}
