//! What is wrong with 4.0.0.
#![forbid(unsafe_code)]

use log_handler_api::v3;
use log_handler_v4::LogHandler;
use teneral_actor::{About, FaultKind, about, engine, wall::wall};
use teneral_testkit::contract::codec;

const FOUR: About<LogHandler> = about!(LogHandler, kind = "log-handler", from = [v3::LogHandler]);

#[test]
fn the_migration_panics_on_any_state() {
    let three = v3::LogHandler {
        lines_total: 0,
        bytes: 0,
        by_method: [].into(),
        by_status: [].into(),
        latency: log_handler_api::Latency::default(),
        account: log_handler_api::Account::default(),
    };
    let mut state = Vec::new();
    codec::encode_state(&three, &mut state).expect("encodes");
    let fault = wall(|| engine::restore(&FOUR, 3, &state)).expect_err("panics");
    assert_eq!((fault.kind, fault.text.as_str()), (FaultKind::Panic, "count is negative"));
}
