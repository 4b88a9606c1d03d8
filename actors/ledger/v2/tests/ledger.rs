//! What ledger 2.0.0 keeps of a 1.0.0.
#![forbid(unsafe_code)]

use ledger_api::{Add, Count, Counted, Echo, Echoed, Get, Held, owner, v1};
use ledger_v2::Ledger;
use teneral_actor::{about, engine};
use teneral_testkit::contract::{Bytes, codec};
use teneral_testkit::run;

const ABOUT: teneral_actor::About<Ledger> = about!(Ledger, kind = "ledger", from = [v1::Ledger]);

fn old(accounts: u64) -> v1::Ledger {
    let account = |number| (number, v1::Account { owner: owner(number), balance: 10 * number });
    v1::Ledger { additions: 4, total: 9, accounts: (1..=accounts).map(account).collect(), ballast: Bytes(vec![1, 2]) }
}

#[test]
fn a_state_of_schema_1_keeps_its_counts_and_every_account() {
    let mut bytes = Vec::new();
    codec::encode_state(&old(1000), &mut bytes).expect("encodes");
    let mut ledger = engine::restore(&ABOUT, 1, &bytes).expect("migrates");
    run(&mut ledger, Add { account: 1, amount: 3 }).expect("adds");
    let counted: Counted = run(&mut ledger, Count {}).expect("answers").reply();
    assert_eq!(counted, Counted { additions: 5, total: 12, version: 2 });
    for account in [1, 500, 1000] {
        let held: Held = run(&mut ledger, Get { account }).expect("answers").reply();
        assert_eq!(held, Held { owner: owner(account), balance: 10 * account });
    }
    let none: Held = run(&mut ledger, Get { account: 1001 }).expect("answers").reply();
    assert_eq!(none, Held { owner: Bytes(Vec::new()), balance: 0 });
}

#[test]
fn what_is_asked_to_come_back_does() {
    let mut bytes = Vec::new();
    codec::encode_state(&old(0), &mut bytes).expect("encodes");
    let mut ledger = engine::restore(&ABOUT, 1, &bytes).expect("migrates");
    let echoed: Echoed = run(&mut ledger, Echo { account: 7, amount: 8 }).expect("answers").reply();
    assert_eq!(echoed, Echoed { account: 7, amount: 8 });
}
