//! What outlives a system, and what does not: a host that opens it again in the same directory.

use crate::harness::house::{GENEROUS, House, chain, until};
use crate::harness::probe::{self, Hold};
use crate::harness::{Test, test};
use probe_api::{Act, Do, Read, Start, Trap};
use std::path::Path;
use std::time::Duration;
use teneral::{ActorOptions, AskError, Launch, Options, Release, System, SystemError};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_system_that_is_dropped_without_a_shutdown_gives_its_store_back_at_once),
        test(a_version_that_was_only_slow_is_free_again_in_this_life_and_in_the_next),
        test(who_is_defined_on_a_quarantined_version_comes_back_on_it),
        test(a_quarantine_for_a_hang_outlives_the_system_and_ends_with_a_pardon),
    ]
}

fn a_system_that_is_dropped_without_a_shutdown_gives_its_store_back_at_once() {
    let house = House::with(probe::ALL);
    let dir = house.dir().join("again");
    let open = || System::open(&dir).expect("nobody has it any more");
    let system = open();
    house.block_on(system.push(house.artifact("probe", "1.0.0"))).expect("it passes the gate");
    let actor = house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("it starts");
    house.block_on(actor.tell(probe::note(0, 0))).expect("accepted");
    drop(system);
    // The handle is kept, and keeps nothing open.
    let system = open();
    assert_eq!(house.block_on(actor.ask(Read {}, GENEROUS)), Err(AskError::Stopped));
    let again = house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("its name is free");
    assert!(again != actor);
}

/// A system whose starts have half a second.
fn open(dir: &Path) -> Result<System, SystemError> {
    let mut options = Options::new(dir);
    options.runtime.start_timeout = Duration::from_millis(500);
    System::open_with(options)
}

/// Nothing of these versions starts, and it is said why.
#[track_caller]
fn quarantined(house: &House, system: &System, versions: &[(&str, &str)]) {
    for (version, why) in versions {
        let refused = house.block_on(system.start("probe/new", version, Start::default()));
        let refused = refused.expect_err("it is in quarantine");
        assert!(refused.code() == "SYS-QUARANTINED" && chain(&refused).contains(why), "{}", chain(&refused));
    }
}

fn a_quarantine_for_a_hang_outlives_the_system_and_ends_with_a_pardon() {
    let house = House::with(probe::ALL);
    let dir = house.dir().join("again");
    let system = open(&dir).expect("an empty store opens");
    let push = |version| house.block_on(system.push(house.artifact("probe", version))).expect("it passes the gate");
    let [one, _two]: [Release; 2] = ["1.0.0", "2.0.0"].map(push);
    // 1.0.0 hangs in a turn, 2.0.0 in its init.
    let (turn, init) = (Hold::new(&house), Hold::new(&house));
    let actor = house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("it starts");
    house.block_on(actor.tell(Do { act: Act::Block { until: turn.path() } })).expect("accepted");
    let trap = Trap { step: "init".to_owned(), how: format!("hang {}", init.path()) };
    let late = house.block_on(system.start("probe/b", "2.0.0", Start { trap })).expect_err("it hangs");
    assert_eq!(late.code(), "SYS-START", "{}", chain(&late));
    until("the turn is found out", || system.runtime().quarantined(one.sha256).is_some());
    let both = [("1.0.0", "probe/a hung in Do"), ("2.0.0", "init did not return")];
    quarantined(&house, &system, &both);
    drop(system);
    // Its turn hangs still.
    let reopened = || {
        let mut system = None;
        until("what was to be kept is kept", || open(&dir).map(|opened| system = Some(opened)).is_ok());
        system.expect("it opened")
    };
    let system = reopened();
    quarantined(&house, &system, &both);
    system.pardon("probe", "1.0.0").expect("it is there");
    house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("it is pardoned");
    drop(system);
    let system = reopened();
    house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("for good");
    quarantined(&house, &system, &both[1..]);
    // Within one life, too.
    system.pardon("probe", "2.0.0").expect("it is there");
    house.block_on(system.start("probe/b", "2.0.0", Start::default())).expect("it is pardoned");
    let unknown = system.pardon("probe", "9.0.0").expect_err("there is no such version");
    assert_eq!(unknown.code(), "SYS-VERSION");
}

fn who_is_defined_on_a_quarantined_version_comes_back_on_it() {
    let house = House::with(probe::ALL);
    let dir = house.dir().join("again");
    let system = open(&dir).expect("an empty store opens");
    let release = house.block_on(system.push(house.artifact("probe", "1.0.0"))).expect("it passes the gate");
    let define = |addr: &str| {
        let launch = Launch { version: Some(release.version.clone()), options: ActorOptions::permanent() };
        house.block_on(system.define(addr, launch, Start::default())).expect("it starts")
    };
    let (bad, good) = (define("probe/bad"), define("probe/good"));
    let turn = Hold::new(&house);
    house.block_on(bad.tell(Do { act: Act::Block { until: turn.path() } })).expect("accepted");
    until("the turn is found out", || system.runtime().quarantined(release.sha256).is_some());
    house.block_on(good.tell(probe::note(0, 0))).expect("accepted");
    house.block_on(system.close(Duration::from_millis(500))).expect("the definitions read");
    drop(system);
    let mut system = None;
    until("what was to be kept is kept", || open(&dir).map(|opened| system = Some(opened)).is_ok());
    let system = system.expect("it opened");
    quarantined(&house, &system, &[("1.0.0", "probe/bad hung in Do")]);
    let back = house.block_on(system.start_defined()).expect("the definitions read");
    assert!(back.len() == 2 && back.iter().all(|one| one.outcome.is_ok()), "{back:?}");
    let good = house.block_on(system.actor("probe/good").expect("it is back").ask(Read {}, GENEROUS));
    assert_eq!(good.expect("it serves").log.len(), 1, "with the state that it had");
    quarantined(&house, &system, &[("1.0.0", "probe/bad hung in Do")]);
}

fn a_version_that_was_only_slow_is_free_again_in_this_life_and_in_the_next() {
    let house = House::with(probe::ALL);
    let dir = house.dir().join("again");
    let system = open(&dir).expect("an empty store opens");
    let release = house.block_on(system.push(house.artifact("probe", "1.0.0"))).expect("it passes the gate");
    let slow = Hold::new(&house);
    let actor = house.block_on(system.start("probe/a", "1.0.0", Start::default())).expect("it starts");
    house.block_on(actor.tell(Do { act: Act::Block { until: slow.path() } })).expect("accepted");
    let quarantined = || system.runtime().quarantined(release.sha256).is_some();
    until("a turn that does not return is a hang", quarantined);
    drop(slow);
    until("one that has returned is none", || !quarantined());
    until("nothing is kept of it", || {
        let started = house.block_on(system.start("probe/b", "1.0.0", Start::default()));
        started.map_or_else(|error| error.code() != "SYS-QUARANTINED", |_| true)
    });
    drop(system);
    let again = open(&dir).expect("the store is free");
    house.block_on(again.start("probe/a", "1.0.0", Start::default())).expect("it was slow once, and no more than that");
}
