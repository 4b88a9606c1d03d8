//! What counter 1.0.0 does.
#![forbid(unsafe_code)]

use counter_api::{Start, v1};
use counter_v1::Counter;
use teneral_actor::Actor;
use teneral_testkit::run;

#[test]
fn a_counter_sums_what_is_added_to_where_it_started() {
    let mut counter = Counter::init(Start { total: 10 }).expect("starts");
    for amount in [1, 2, 3] {
        run(&mut counter, v1::Add { amount }).expect("adds");
    }
    let captured = run(&mut counter, v1::Get {}).expect("answers");
    assert_eq!(captured.reply::<v1::Total>(), v1::Total { total: 16 });
}
