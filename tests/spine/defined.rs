//! What comes back when the host does: each life of it is a system of its own on one directory.

use crate::harness::child::{self, Child};
use crate::harness::house::{GENEROUS, House, chain, until};
use crate::harness::probe::{self, Busy, Hold, lives, note, seen, state, tell, trap};
use crate::harness::{Test, test};
use probe_api::Start;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use teneral::runtime::{Generation, Intensity, Restart, RestartState};
use teneral::upgrade::Outcome;
use teneral::{ActorOptions, ActorRef, CameBack, Defined, Launch, System};
use teneral_store::{EmbeddedStore, Store};

pub(super) const CHILDREN: &[Child] = &[("defined-crash", crashes)];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(what_is_defined_comes_back_on_the_version_and_with_the_state_that_it_was_closed_with),
        test(who_still_has_messages_is_given_time_to_handle_them_before_it_is_saved),
        test(after_a_crash_a_defined_actor_comes_back_on_its_version_and_from_its_arguments),
        test(a_state_is_used_once_and_never_again_after_a_crash),
        test(a_state_that_was_begun_from_when_the_host_ended_is_not_used_again),
        test(one_that_cannot_come_back_keeps_nobody_else_and_keeps_what_it_had),
        test(what_is_undefined_does_not_come_back),
        test(an_actor_that_is_started_and_stopped_at_once_leaves_no_definition_behind),
        test(an_actor_that_cannot_be_saved_is_said_and_the_others_are_kept),
        test(who_hangs_in_a_turn_or_in_save_while_the_system_is_closed_takes_nobody_elses_time),
        test(a_definition_whose_caller_goes_away_is_made_to_its_end),
        test(who_is_stopped_in_the_moment_that_it_comes_back_is_not_left_running_without_a_definition),
        test(who_is_stopped_while_it_comes_back_or_is_made_anew_is_defined_and_runs_or_neither),
    ]
}

/// A directory that outlives its systems.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::with_prefix("teneral-test-").expect("a temporary directory"))
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// A life of the host.
    fn life(&self, packages: &[&str]) -> House {
        open(&self.store(), packages)
    }
}

fn open(store: &Path, packages: &[&str]) -> House {
    House::open(packages, |options| {
        options.dir = store.to_owned();
        options.runtime.hang_after = GENEROUS;
    })
}

fn launch(version: &str) -> Launch {
    let options = ActorOptions {
        restart: Restart::Transient,
        restart_state: RestartState::LastSnapshot,
        intensity: Intensity { restarts_max: 7, period: Duration::from_secs(9) },
        parent: None,
    };
    Launch { version: Some(version.parse().expect("a version")), options }
}

fn define(house: &House, addr: &str, version: &str) -> ActorRef {
    let defined = house.block_on(house.system.define(addr, launch(version), Start::default()));
    defined.unwrap_or_else(|error| panic!("{addr}: {}", chain(&error)))
}

/// Closes the system; the codes of those that could not be saved.
fn close(house: &House, timeout: Duration) -> Vec<(String, Option<String>)> {
    let closed = house.block_on(house.system.close(timeout)).expect("the store reads");
    let code = |closed: Defined<()>| (closed.addr.path().to_owned(), closed.outcome.err().map(|e| e.code().to_owned()));
    closed.into_iter().map(code).collect()
}

fn come_back(house: &House) -> Vec<Defined<CameBack>> {
    house.block_on(house.system.start_defined()).expect("the store reads")
}

/// All came back, with their state or not.
#[track_caller]
fn all_back(house: &House, with_state: bool) -> Vec<ActorRef> {
    let back = come_back(house).into_iter().map(|defined| match defined.outcome {
        Ok(back) => {
            assert_eq!(back.with_state, with_state, "{}", defined.addr);
            back.actor
        }
        Err(error) => panic!("{}: {}", defined.addr, chain(&error)),
    });
    back.collect()
}

fn a_definition_whose_caller_goes_away_is_made_to_its_end() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    house.block_on(async {
        let first = pin!(house.system.actor_or_define("probe/a", launch("1.0.0"), Start::default()));
        let named = pin!(house.system.define("probe/b", launch("1.0.0"), Start::default()));
        // Each has begun, and is given up before it is there.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.poll(&mut cx).is_pending() && named.poll(&mut cx).is_pending());
    });
    until("both are defined", || house.system.definitions().expect("the store reads").len() == 2);
    until("both run", || house.system.actors().len() == 2);
}

fn what_is_defined_comes_back_on_the_version_and_with_the_state_that_it_was_closed_with() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let (a, b) = (define(&house, "probe/a", "1.0.0"), define(&house, "probe/b", "3.0.0"));
    let passing = probe::start(&house, "probe/passing", "1.0.0");
    for actor in [&a, &b, &passing] {
        (0..3).for_each(|number| tell(&house, actor, note(0, number)));
    }
    assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
    let before: Vec<_> = [&a, &b].map(|actor| (seen(&house, actor).log, state(&house, actor).bytes)).into();
    assert_eq!(close(&house, GENEROUS), [("probe/a".to_owned(), None), ("probe/b".to_owned(), None)]);
    drop(house);

    let again = place.life(&[]);
    let versions = again.system.definitions().expect("the store reads");
    let versions: Vec<String> = versions.iter().map(|defined| defined.version.to_string()).collect();
    assert_eq!(versions, ["2.0.0", "3.0.0"]);
    let back = all_back(&again, true);
    assert_eq!(back.iter().map(|actor| actor.addr().path()).collect::<Vec<_>>(), ["probe/a", "probe/b"]);
    for (actor, (log, _)) in back.iter().zip(&before) {
        let info = actor.info();
        let options = launch("1.0.0").options;
        assert_eq!((info.options, &seen(&again, actor).log), (options, log));
    }
    let lived = seen(&again, &back[0]);
    assert_eq!(lives(&lived), ["1: started Fresh", "2: started Upgraded", "2: started Restarted"]);
    assert_eq!((lived.version, back[0].info().generation), (2, Generation(1)));
    assert!(come_back(&again).is_empty(), "who runs is not started twice");
    // It goes on being upgraded, and comes back again.
    assert_eq!(again.moved("probe/a", "3.0.0").outcome, Outcome::Committed);
    tell(&again, &back[0], note(0, 3));
    probe::whole(&seen(&again, &back[0]).log, &[4]);
    close(&again, GENEROUS);
    drop(again);
    let third = place.life(&[]);
    let back = all_back(&third, true);
    probe::whole(&seen(&third, &back[0]).log, &[4]);
    assert_eq!((seen(&third, &back[0]).version, back[0].info().generation), (3, Generation(2)));
}

fn who_still_has_messages_is_given_time_to_handle_them_before_it_is_saved() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let actor = define(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &actor);
    (0..500).for_each(|number| tell(&house, &actor, note(0, number)));
    let system = house.system.clone();
    let closing = house.spawn(async move { system.close(GENEROUS).await });
    // It is closed with five hundred messages before it.
    assert_eq!(actor.info().queued_messages, 500);
    drop(busy);
    let closed = house.block_on(closing).expect("it ends").expect("the store reads");
    assert!(closed.iter().all(|defined| defined.outcome.is_ok()), "{closed:?}");
    drop(house);
    let again = place.life(&[]);
    let back = all_back(&again, true);
    probe::whole(&seen(&again, &back[0]).log, &[500]);
}

/// Run in a process of its own, which is killed in the middle of its work.
fn crashes() {
    let store = PathBuf::from(std::env::var("TENERAL_TEST_STORE").expect("the parent says where"));
    let house = open(&store, probe::ALL);
    for actor in come_back(&house) {
        let actor = actor.outcome.expect("it comes back").actor;
        tell(&house, &actor, note(1, 0));
        seen(&house, &actor);
    }
    if house.system.actor("probe/a").is_err() {
        let actor = define(&house, "probe/a", "1.0.0");
        tell(&house, &actor, note(0, 0));
        assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
        seen(&house, &actor);
    }
    println!("at work");
    // As kill -9: nothing is closed, nothing is written.
    let pid = std::process::id().to_string();
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status();
    panic!("a process that was killed went on: {killed:?}");
}

#[track_caller]
fn crash_in(place: &Place) {
    let output = child::command("defined-crash").env("TENERAL_TEST_STORE", place.store()).output();
    let output = output.expect("this binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("at work"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn after_a_crash_a_defined_actor_comes_back_on_its_version_and_from_its_arguments() {
    let place = Place::new();
    crash_in(&place);
    let house = place.life(&[]);
    let back = all_back(&house, false);
    let seen = seen(&house, &back[0]);
    assert_eq!((seen.version, seen.log.len()), (2, 0), "the version that wrote its state, and no state");
}

fn a_state_is_used_once_and_never_again_after_a_crash() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let actor = define(&house, "probe/a", "1.0.0");
    tell(&house, &actor, note(0, 0));
    close(&house, GENEROUS);
    drop(house);
    // It comes back with its state, does something, and the host is killed.
    crash_in(&place);
    let again = place.life(&[]);
    let back = all_back(&again, false);
    assert_eq!(seen(&again, &back[0]).log, [], "a state that it has outlived would be a lie");
}

fn a_state_that_was_begun_from_when_the_host_ended_is_not_used_again() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let actor = define(&house, "probe/a", "1.0.0");
    tell(&house, &actor, note(0, 0));
    close(&house, GENEROUS);
    drop(house);
    // As a host leaves it that ends between taking the state and forgetting it.
    let store = EmbeddedStore::open(&place.store()).expect("it is free");
    store.take_state(actor.addr()).expect("the store writes");
    drop(store);
    let again = place.life(&[]);
    let back = all_back(&again, false);
    assert_eq!(seen(&again, &back[0]).log, [], "it may have outlived it");
    close(&again, GENEROUS);
    drop(again);
    all_back(&place.life(&[]), true);
}

fn one_that_cannot_come_back_keeps_nobody_else_and_keeps_what_it_had() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let (bad, good) = (define(&house, "probe/bad", "1.0.0"), define(&house, "probe/good", "1.0.0"));
    for actor in [&bad, &good] {
        tell(&house, actor, note(0, 0));
    }
    trap(&house, &bad, "restore", "error");
    close(&house, GENEROUS);
    drop(house);
    let again = place.life(&[]);
    for _ in 0..2 {
        // Each time it is tried anew.
        let mut back = come_back(&again).into_iter().filter(|defined| defined.addr.path() == "probe/bad");
        let error = back.next().expect("it is defined").outcome.map(drop).expect_err("it refuses");
        assert!(error.code() == "SYS-START" && chain(&error).contains("restore refuses, as told"), "{}", chain(&error));
    }
    let good = again.system.actor("probe/good").expect("it is there");
    probe::whole(&seen(&again, &good).log, &[1]);
}

fn what_is_undefined_does_not_come_back() {
    let place = Place::new();
    let house = place.life(&["probe-v1"]);
    define(&house, "probe/a", "1.0.0");
    define(&house, "probe/b", "1.0.0");
    house.system.undefine("probe/a").expect("the store writes");
    house.system.undefine("probe/nobody").expect("a no-op");
    let taken = house.block_on(house.system.define("probe/b", launch("1.0.0"), Start::default()));
    assert_eq!(taken.map(drop).expect_err("the name is taken").code(), "SYS-START");
    close(&house, GENEROUS);
    drop(house);
    let again = place.life(&[]);
    let back = all_back(&again, true);
    assert_eq!(back.iter().map(|actor| actor.addr().path()).collect::<Vec<_>>(), ["probe/b"]);
}

fn an_actor_that_cannot_be_saved_is_said_and_the_others_are_kept() {
    let place = Place::new();
    let house = place.life(probe::ALL);
    let (bad, good) = (define(&house, "probe/bad", "1.0.0"), define(&house, "probe/good", "1.0.0"));
    tell(&house, &good, note(0, 0));
    trap(&house, &bad, "save", "panic");
    let closed = close(&house, GENEROUS);
    let unsaved = ("probe/bad".to_owned(), Some("SYS-STATE".to_owned()));
    assert_eq!(closed, [unsaved, ("probe/good".to_owned(), None)]);
    drop(house);
    let again = place.life(&[]);
    let states: Vec<bool> = come_back(&again)
        .into_iter()
        .map(|defined| defined.outcome.unwrap_or_else(|error| panic!("{}", chain(&error))).with_state)
        .collect();
    assert_eq!(states, [false, true]);
}

fn who_hangs_in_a_turn_or_in_save_while_the_system_is_closed_takes_nobody_elses_time() {
    let place = Place::new();
    let house = House::open(probe::ALL, |options| {
        options.dir = place.store();
        let runtime = &mut options.runtime;
        // Nobody is waited for so long, and each who hangs leaves a thread to the others.
        (runtime.stop_timeout, runtime.hang_after, runtime.threads) = (GENEROUS, GENEROUS, 4);
    });
    // By name they come first.
    let (turn, save) = (define(&house, "probe/a-turn", "1.0.0"), define(&house, "probe/b-save", "1.0.0"));
    let good = ["probe/c", "probe/d", "probe/e", "probe/f"];
    for addr in good {
        tell(&house, &define(&house, addr, "1.0.0"), note(0, 0));
    }
    let held = Hold::new(&house);
    trap(&house, &save, "save", &format!("hang {}", held.path()));
    let _busy = Busy::make(&house, &turn);
    let begun = Instant::now();
    let closed = close(&house, Duration::from_secs(4));
    assert!(begun.elapsed() < GENEROUS, "it ends with its own timeout");
    let unsaved = ["probe/a-turn", "probe/b-save"].map(|addr| (addr.to_owned(), Some("SYS-STATE".to_owned())));
    let saved = good.map(|addr| (addr.to_owned(), None));
    assert_eq!(closed, [&unsaved[..], &saved[..]].concat());
    // Whoever hangs has the system: it goes with them.
    drop((held, _busy, house));
    let mut again = None;
    until("the store is free", || {
        again = System::open(place.store()).ok();
        again.is_some()
    });
    drop(again);
    let again = place.life(&[]);
    for back in come_back(&again) {
        let saved = good.contains(&back.addr.path());
        let back = back.outcome.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!((back.with_state, seen(&again, &back.actor).log.len()), (saved, usize::from(saved)));
    }
}

fn an_actor_that_is_started_and_stopped_at_once_leaves_no_definition_behind() {
    let place = Place::new();
    let house = place.life(&["probe-v1"]);
    let system = &house.system;
    for _ in 0..100 {
        let (starting, stopping) = (system.clone(), system.clone());
        let started = house.spawn(async move { starting.define("probe/a", launch("1.0.0"), Start::default()).await });
        // As soon as it runs, which is before it is written down.
        let stopped = house.spawn(async move {
            while stopping.actor("probe/a").is_err() {
                tokio::task::yield_now().await;
            }
            stopping.stop("probe/a", "", GENEROUS).await
        });
        house.block_on(started).expect("the caller lives").unwrap_or_else(|error| panic!("{}", chain(&error)));
        house.block_on(stopped).expect("the caller lives").unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(system.actor("probe/a").is_err(), "it was told to stop");
        assert_eq!(system.definitions().expect("the store reads"), [], "nobody is to come back");
    }
}

fn who_is_stopped_in_the_moment_that_it_comes_back_is_not_left_running_without_a_definition() {
    let place = Place::new();
    let house = place.life(&["probe-v1"]);
    let system = &house.system;
    define(&house, "probe/a", "1.0.0");
    let running = system.actor("probe/a").expect("it runs");
    house.block_on(running.stop("", GENEROUS)).expect("it stops");
    // One thread for what blocks: the stop looks before the actor comes back, and forgets the definition after.
    let mut tokio = tokio::runtime::Builder::new_multi_thread();
    let narrow = tokio.worker_threads(1).max_blocking_threads(1).enable_all().build().expect("a tokio");
    let (open, gate) = std::sync::mpsc::channel::<()>();
    narrow.spawn_blocking(move || gate.recv());
    narrow.block_on(async {
        let mut back = pin!(system.start_defined_actor("probe/a"));
        let mut stopped = pin!(system.stop("probe/a", "", GENEROUS));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(back.as_mut().poll(&mut cx).is_pending() && stopped.as_mut().poll(&mut cx).is_pending());
        open.send(()).expect("it waits");
        // It came back, and was stopped in that moment or is still there: the stop's answer says how it ended.
        let _ = back.await;
        stopped.await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    });
    assert_eq!(system.definitions().expect("the store reads"), []);
    assert!(system.actor("probe/a").is_err(), "it was told to stop");
}

/// One act of somebody; what it comes to is its own affair.
async fn act(system: System, number: u32) {
    let addr = "probe/a";
    match number {
        0 | 1 => drop(system.stop(addr, "", GENEROUS).await),
        2 | 3 => drop(system.start_defined_actor(addr).await),
        4 => drop(system.define(addr, launch("1.0.0"), Start::default()).await),
        _ => drop(system.actor_or_define(addr, launch("1.0.0"), Start::default()).await),
    }
}

fn who_is_stopped_while_it_comes_back_or_is_made_anew_is_defined_and_runs_or_neither() {
    const ROUNDS: u64 = 300;
    let place = Place::new();
    let house = place.life(&["probe-v1"]);
    let system = &house.system;
    for round in 0..ROUNDS {
        let mut random = SmallRng::seed_from_u64(round);
        if random.random_bool(0.7) {
            // Down: defined, and not running.
            define(&house, "probe/a", "1.0.0");
            let running = system.actor("probe/a").expect("it runs");
            house.block_on(running.stop("", GENEROUS)).expect("it stops");
        }
        let numbers: Vec<u32> = (0..random.random_range(2..6)).map(|_| random.random_range(0..6)).collect();
        let acts: Vec<_> = numbers.iter().map(|number| house.spawn(act(system.clone(), *number))).collect();
        for act in acts {
            house.block_on(act).expect("nobody panics");
        }
        let (defined, runs) = (system.definitions().expect("the store reads").len(), system.actors().len());
        // One that is down may stay so where nobody has stopped it or brought it back; what runs comes back.
        assert!(runs <= defined, "round {round}, {numbers:?}: it runs, and would not come back");
        let _ = house.block_on(system.stop("probe/a", "", GENEROUS));
        assert!(system.definitions().expect("the store reads").is_empty() && system.actors().is_empty(), "{numbers:?}");
    }
}
