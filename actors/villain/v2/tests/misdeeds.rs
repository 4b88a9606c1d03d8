//! A villain does what it is told, where it is told; what would end this process is left to tests that start another.
#![forbid(unsafe_code)]

use teneral_actor::{About, Actor, FaultKind, about, engine, wall::wall};
use teneral_testkit::contract::codec;
use teneral_testkit::run;
use villain_api::{Act, At, Conspire, Count, Counted, How, Misdeed, Plan, Start, v1};
use villain_v2::Villain;

const ABOUT: About<Villain> = about!(Villain, kind = "villain", from = [v1::Villain], down = [v1::Villain]);

fn planned(at: At, how: How) -> Villain {
    let mut villain = Villain::init(Start::default()).expect("starts");
    run(&mut villain, Conspire { misdeeds: vec![Misdeed { at, how }] }).expect("listens");
    villain
}

fn save(villain: &Villain) -> Result<Vec<u8>, FaultKind> {
    let mut state = Vec::new();
    wall(|| engine::save(villain, &mut state)).map(|()| state).map_err(|fault| fault.kind)
}

#[test]
fn it_does_wrong_at_each_place_and_nowhere_else() {
    for (how, kind) in
        [(How::Panic, FaultKind::Panic), (How::PanicTwice, FaultKind::Panic), (How::Fail, FaultKind::Failed)]
    {
        assert_eq!(save(&planned(At::Save, how)), Err(kind));
        let mut villain = planned(At::Handle, how);
        assert_eq!(wall(|| run(&mut villain, Count {})).expect_err("handle").kind, kind);
        let state = save(&planned(At::Downgrade, how)).expect("saves");
        assert_eq!(wall(|| engine::downgrade(&ABOUT, &state, 1, &mut Vec::new())).expect_err("down").kind, kind);

        let mut old = Vec::new();
        let plan = Plan(vec![Misdeed { at: At::Migrate, how }]);
        codec::encode_state(&v1::Villain { handled: 1, plan, ballast: vec![] }, &mut old).expect("encodes");
        assert_eq!(wall(|| engine::restore(&ABOUT, 1, &old)).expect_err("migrate").kind, kind);
    }
    let mut villain = planned(At::Migrate, How::Panic);
    let counted: Counted = run(&mut villain, Count {}).expect("nothing is planned here").reply();
    assert_eq!(counted.handled, 2);
}

#[test]
fn it_does_wrong_at_once_when_told_to() {
    let mut villain = Villain::init(Start::default()).expect("starts");
    assert_eq!(wall(|| run(&mut villain, Act { how: How::Panic })).expect_err("panics").text, "as planned");
    assert_eq!(run(&mut villain, Act { how: How::Fail }).expect_err("fails").text, "refused, as planned");
    run(&mut villain, Act { how: How::Leak }).expect("nobody sees a leak");
}

#[test]
fn what_it_garbles_is_no_state() {
    let state = save(&planned(At::Save, How::Garble)).expect("writes something");
    assert_eq!(engine::restore(&ABOUT, 2, &state).expect_err("no state").kind, FaultKind::Decode);
}
