//! How probations end, as it is written down: where the next life of the host finds it, and when.

use crate::common::{addr, manifest, version};
use crate::house::*;
use crate::probations::Opens;
use crate::three;
use crate::ways_back::looked;
use parking_lot::Mutex;
use semver::Version;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Manifest};
use teneral_runtime::ports::Provider;
use teneral_runtime::{ActorOptions, Event, Observer, Start, StartArgs, What};
use teneral_store::{EmbeddedStore, Entry, ProbationOver, Store, UpgradeId};
use teneral_upgrade::report::Now;
use teneral_upgrade::*;

/// A day: nobody passes by time.
const LONG: Duration = Duration::from_secs(86_400);

/// Moved to that version, on probation.
fn on_probation(house: &House, keys: &[&str], to: &str, watch: Watch) -> UpgradeId {
    let mut request = house.request(keys, to);
    request.options.probation = Probation::Watch(watch);
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert!(report.ok(), "{report}");
    report.id
}

/// How the one stands that is on probation.
fn on_probation_of(house: &House) -> OnProbation {
    let [on] = house.upgrades.on_probation().try_into().expect("one is on probation");
    on
}

/// Nobody takes it back by itself.
fn watched() -> Watch {
    Watch { rollback: Rollback::Never, ..Watch::new(LONG) }
}

/// What its journal says of the end of probations: of whom, and how.
fn ends(house: &House, id: &UpgradeId) -> Vec<(String, String)> {
    let journal = house.store.journal(id).expect("the store reads");
    let overs =
        journal.into_iter().filter_map(|entry| if let Entry::Probation(over) = entry { Some(over) } else { None });
    overs
        .flat_map(|ProbationOver { actors, how, .. }| {
            actors.into_iter().map(move |one| (one.key().to_owned(), how.clone()))
        })
        .collect()
}

fn end(key: &str, how: &str) -> (String, String) {
    (key.to_owned(), how.to_owned())
}

/// Keeps what it is told, as a host does.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Addr>>>);

impl Outcomes for Told {
    fn moved(&self, _: &UpgradeId, actors: &[ActorReport]) -> Result<(), Refused> {
        self.0.lock().extend(actors.iter().map(|report| report.actor.clone()));
        Ok(())
    }

    fn finalised(&self, _: &str, _: &Version) -> Result<(), Refused> {
        Ok(())
    }
}

#[test]
fn u44_who_is_taken_back_is_written_down_before_the_next_one_is_looked_at() {
    for way in [WayBack::Restore, WayBack::Downgrade] {
        let house = House::with(three());
        let told = Told::default();
        house.start("a", "1.0.0", 5);
        house.start("b", "1.0.0", 6);
        let id = on_probation(&house, &["a", "b"], "2.0.0", watched());
        house.upgrades.tell_outcomes(told.clone());
        // The second one's way back stands still until it may go on.
        let gate = Gate::new();
        let hang = Arc::clone(&gate);
        house.script("1.0.0").on(At::Restore, move |count| {
            if count == 6 {
                hang.enter();
            }
            Ok(())
        });
        let (upgrades, of) = (house.upgrades.clone(), id.clone());
        let back = move || {
            upgrades.roll_back(&of, (Some(way), PathlessPolicy::Refuse), &[], ("me", "wrong")).expect("it begins")
        };
        let back = std::thread::spawn(back);
        gate.await_entered();
        until("the first one is written down", || ends(&house, &id) == [end("a", "rolled_back")]);
        assert_eq!(*told.0.lock(), [addr("counter/a")], "{way}: its definition is, too");
        gate.open();
        let reports = back.join().expect("it ends");
        assert!(reports[0].ok(), "{}", reports[0]);
        assert_eq!(ends(&house, &id), [end("a", "rolled_back"), end("b", "rolled_back")], "{way}: each once");
        assert_eq!(*told.0.lock(), [addr("counter/a"), addr("counter/b")]);
        assert_eq!(house.store.rollbacks(&id).expect("the store reads"), [reports[0].id.clone()]);
    }
}

#[test]
fn who_is_upgraded_is_written_down_while_the_next_one_is_still_on_its_way() {
    let house = House::with(three());
    let told = Told::default();
    house.upgrades.tell_outcomes(told.clone());
    house.start("a", "1.0.0", 5);
    house.start("b", "1.0.0", 6);
    let gate = Gate::new();
    let hang = Arc::clone(&gate);
    house.script("2.0.0").on(At::Restore, move |count| {
        if count == 6 {
            hang.enter();
        }
        Ok(())
    });
    let (upgrades, request) = (house.upgrades.clone(), house.request(&["a", "b"], "2.0.0"));
    let up = std::thread::spawn(move || upgrades.upgrade(&request).expect("it begins"));
    let opens = Opens(Arc::clone(&gate));
    gate.await_entered();
    until("the first one is written down", || *told.0.lock() == [addr("counter/a")]);
    drop(opens);
    assert!(up.join().expect("it ends").ok());
    assert_eq!(*told.0.lock(), [addr("counter/a"), addr("counter/b")], "each once");
}

/// Keeps nothing as long as it is told so.
#[derive(Clone, Default)]
struct Keeps {
    refuses: Arc<AtomicBool>,
    kept: Arc<Mutex<Vec<(Addr, Now)>>>,
}

impl Outcomes for Keeps {
    fn moved(&self, _: &UpgradeId, actors: &[ActorReport]) -> Result<(), Refused> {
        if self.refuses.load(Ordering::SeqCst) {
            let (cause, hint) = ("no room".to_owned(), "make room".to_owned());
            return Err(Refused { code: "STORE-FULL".to_owned(), cause, hint });
        }
        self.kept.lock().extend(actors.iter().map(|report| (report.actor.clone(), report.now.clone())));
        Ok(())
    }

    fn finalised(&self, _: &str, _: &Version) -> Result<(), Refused> {
        Ok(())
    }
}

#[test]
fn what_an_actor_comes_back_on_is_owed_where_it_cannot_be_kept_and_kept_when_it_can_be() {
    for way in [None, Some(WayBack::Restore), Some(WayBack::Downgrade)] {
        let (house, keeps) = (House::with(three()), Keeps::default());
        house.upgrades.tell_outcomes(keeps.clone());
        house.start("a", "1.0.0", 5);
        // Of the way back, or of the upgrade.
        keeps.refuses.store(way.is_none(), Ordering::SeqCst);
        let mut request = house.request(&["a"], "2.0.0");
        request.options.probation = Probation::Watch(watched());
        let mut report = house.upgrades.upgrade(&request).expect("it begins");
        let id = report.id.clone();
        if way.is_some() {
            keeps.refuses.store(true, Ordering::SeqCst);
            let way_and_losses = (way, PathlessPolicy::Refuse);
            let reports = house.upgrades.roll_back(&id, way_and_losses, &[], ("me", "wrong")).expect("it begins");
            [report] = reports.try_into().expect("one way");
        }
        assert!(report.ok(), "{report}");
        let said = "are not kept yet, and that is tried again: counter/a: [STORE-FULL] no room";
        assert!(report.warnings.iter().any(|warning| warning.contains(said)), "{way:?}: {:?}", report.warnings);
        let owed = house.upgrades.owed(&id);
        assert_eq!(owed.moved.iter().map(|report| &report.actor).collect::<Vec<_>>(), [&addr("counter/a")]);
        assert_eq!(owed.unkept.expect("why").code, "STORE-FULL");
        keeps.refuses.store(false, Ordering::SeqCst);
        until("it is kept", || house.upgrades.owed(&id) == Owed::default());
        let kept = keeps.kept.lock().last().cloned();
        assert_eq!(kept, Some((addr("counter/a"), report.actors[0].now.clone())), "{way:?}");
    }
}

/// What was told, whether all that ever began was over, and how many had been said to have moved.
type Look = (&'static str, bool, usize);

/// Looks at the moment at which an end is told.
struct Looks {
    upgrades: Upgrades,
    store: Arc<EmbeddedStore>,
    moved: Told,
    seen: Arc<Mutex<Vec<Look>>>,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").finish_non_exhaustive()
    }
}

impl Observer for Looks {
    fn saw(&self, event: &Arc<Event>) {
        let what = match &event.what {
            What::UpgradeEnded { .. } => "ended",
            What::Probation { phase: phase @ "rolled_back", .. } => phase,
            _ => return,
        };
        let ids = self.store.upgrades().expect("the store reads");
        let is_over = |id: &UpgradeId| Entry::end_of(&self.store.journal(id).expect("the store reads")).is_some();
        let over = self.upgrades.running().is_empty() && ids.iter().all(is_over);
        self.seen.lock().push((what, over, self.moved.0.lock().len()));
    }
}

#[test]
fn whoever_is_told_of_the_end_of_an_upgrade_or_of_the_last_that_is_back_finds_it_over_and_written_down() {
    for way in [WayBack::Restore, WayBack::Downgrade] {
        let house = House::with(three());
        let (moved, seen) = (Told::default(), Arc::<Mutex<Vec<Look>>>::default());
        house.upgrades.tell_outcomes(moved.clone());
        let (upgrades, store, seen_by) = (house.upgrades.clone(), house.store.clone(), Arc::clone(&seen));
        let looks = Looks { upgrades, store, moved, seen: seen_by };
        assert!(house.runtime.event_sink().observe(Arc::new(looks)), "it is the first");
        house.start("a", "1.0.0", 5);
        house.start("b", "1.0.0", 6);
        let id = on_probation(&house, &["a", "b"], "2.0.0", watched());
        assert_eq!(*seen.lock(), [("ended", true, 2)], "{way}");
        let way_and_losses = (Some(way), PathlessPolicy::Refuse);
        house.upgrades.roll_back(&id, way_and_losses, &[], ("me", "wrong")).expect("it begins");
        let seen = std::mem::take(&mut *seen.lock());
        assert_eq!(seen[seen.len() - 2..], [("rolled_back", true, 4), ("ended", true, 4)], "{way}: {seen:?}");
    }
}

#[test]
fn an_upgrade_without_a_probation_is_final_of_those_only_who_run_what_it_moved_them_to() {
    let house = House::with(three());
    house.start("a", "1.0.0", 5);
    house.start("b", "1.0.0", 6);
    let up = |keys: &[&str], to| house.upgrades.upgrade(&house.request(keys, to)).expect("it begins").id;
    let first = up(&["a", "b"], "2.0.0");
    up(&["b"], "3.0.0");
    assert_eq!(house.upgrades.finalise(&first, &[], "me").expect("one is there still"), [addr("counter/a")]);
    up(&["a"], "3.0.0");
    let refused = house.upgrades.finalise(&first, &[], "me").expect_err("nobody is there any more");
    assert_eq!(refused.code(), "UPG-PROBATION");
    assert!(refused.to_string().contains("counter/a runs 3.0.0"), "{refused}");
    assert_eq!(ends(&house, &first), [end("a", "finalised")]);
}

fn default(house: &House, kind: &str) -> Option<String> {
    house.store.default_version(kind).expect("the store reads").map(|version| version.to_string())
}

#[test]
fn the_end_of_a_probation_that_cannot_be_written_is_known_all_the_same_and_written_when_there_is_room() {
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 5);
    let id = on_probation(&house, &["a"], "2.0.0", Watch { messages: 3, ..Watch::new(Duration::ZERO) });
    house.disk.full.store(u64::MAX, Ordering::SeqCst);
    (0..3).for_each(|_| tell(&actor, "Add"));
    let owed = || house.upgrades.owed(&id);
    until("it has passed", || !owed().ends.is_empty());
    assert!(house.upgrades.on_probation().is_empty());
    let [end_owed] = owed().ends.try_into().expect("one end");
    assert_eq!((end_owed.how.as_str(), end_owed.actors), ("finalised", vec![addr("counter/a")]));
    until("it is said why it is not the default", || owed().default.is_some());
    house.disk.full.store(0, Ordering::SeqCst);
    until("nothing is owed", || owed() == Owed::default());
    assert_eq!(ends(&house, &id), [end("a", "finalised")], "once");
    assert_eq!(default(&house, "counter").as_deref(), Some("2.0.0"));
}

#[test]
fn an_end_that_may_be_written_or_not_is_read_back_and_stands_there_once() {
    let house = House::with(three());
    house.start("a", "1.0.0", 5);
    house.start("b", "1.0.0", 6);
    let id = on_probation(&house, &["a", "b"], "2.0.0", watched());
    house.disk.loses_a_sync.store(true, Ordering::SeqCst);
    house.upgrades.finalise(&id, &[addr("counter/a")], "me").expect("it is on probation");
    until("nothing is owed", || house.upgrades.owed(&id) == Owed::default() && !ends(&house, &id).is_empty());
    assert_eq!(ends(&house, &id), [end("a", "finalised")]);
}

#[test]
fn a_host_that_is_closed_writes_the_ends_that_it_owes() {
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 5);
    let id = on_probation(&house, &["a"], "2.0.0", Watch { messages: 3, ..Watch::new(Duration::ZERO) });
    house.disk.full.store(u64::MAX, Ordering::SeqCst);
    (0..3).for_each(|_| tell(&actor, "Add"));
    until("it has passed", || !house.upgrades.owed(&id).ends.is_empty());
    house.disk.full.store(0, Ordering::SeqCst);
    house.upgrades.close();
    assert_eq!(ends(&house, &id), [end("a", "finalised")]);
}

#[test]
fn u44_a_version_that_passes_late_leaves_a_higher_default_as_it_is() {
    let house = House::with(three());
    let (slow, fast) = (house.start("a", "1.0.0", 5), house.start("b", "1.0.0", 6));
    let watch = || Watch { messages: 3, ..Watch::new(Duration::ZERO) };
    let first = on_probation(&house, &["a"], "2.0.0", watch());
    let second = on_probation(&house, &["b"], "3.0.0", watch());
    (0..3).for_each(|_| tell(&fast, "Add"));
    until("the second has passed", || ends(&house, &second) == [end("b", "finalised")]);
    assert_eq!(default(&house, "counter").as_deref(), Some("3.0.0"));
    (0..3).for_each(|_| tell(&slow, "Add"));
    until("the first has passed", || ends(&house, &first) == [end("a", "finalised")]);
    assert_eq!(default(&house, "counter").as_deref(), Some("3.0.0"));
    // Somebody may say otherwise.
    house.upgrades.finalise(&first, &[], "me").expect("it moved somebody");
    assert_eq!(default(&house, "counter").as_deref(), Some("2.0.0"));
}

#[test]
fn u44_a_version_that_passes_leaves_a_default_that_was_set_meanwhile_and_never_lowers_it() {
    let house = House::with(three());
    let watch = || Watch { messages: 3, ..Watch::new(Duration::ZERO) };
    let passes = |key: &str, id: &UpgradeId| {
        (0..3).for_each(|_| tell(&house.actor(key), "Add"));
        until("it has passed", || ends(&house, id) == [end(key, "finalised")]);
        default(&house, "counter")
    };
    house.start("a", "1.0.0", 5);
    let id = on_probation(&house, &["a"], "2.0.0", watch());
    house.store.set_default("counter", &version("1.0.0")).expect("it is stored");
    assert_eq!(passes("a", &id).as_deref(), Some("1.0.0"), "somebody has said so since");
    house.start("b", "1.0.0", 5);
    let id = on_probation(&house, &["b"], "3.0.0", watch());
    assert_eq!(passes("b", &id).as_deref(), Some("3.0.0"));
    let id = on_probation(&house, &["b"], "2.0.0", watch());
    assert_eq!(passes("b", &id).as_deref(), Some("3.0.0"), "a way down");
}

#[test]
fn u44_of_an_upgrade_of_two_kinds_both_versions_become_the_default() {
    let meter = |text, runs, from: &[u32]| Manifest { kind: "meter".to_owned(), ..manifest(text, runs, from, &[]) };
    let house = House::with(three().into_iter().chain([meter("10.0.0", 1, &[]), meter("20.0.0", 2, &[1])]));
    let counter = house.start("a", "1.0.0", 5);
    let start = Start {
        addr: addr("meter/a"),
        provider: Arc::new(Code(house.script("10.0.0"))),
        args: StartArgs { shape: Fingerprint(100), bytes: Vec::new() },
        options: ActorOptions::permanent(),
    };
    let meter = house.runtime.start(start).expect("it starts");
    let mut request = house.request(&["a"], "2.0.0");
    request.actors.push(Wanted { addr: addr("meter/a"), kind: None, to: version("20.0.0") });
    request.options.probation = Probation::Watch(Watch { messages: 3, ..Watch::new(Duration::ZERO) });
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert!(report.ok(), "{report}");
    for actor in [&counter, &meter] {
        (0..3).for_each(|_| tell(actor, "Add"));
    }
    until("both have passed", || ends(&house, &report.id).len() == 2);
    let defaults = ["counter", "meter"].map(|kind| default(&house, kind));
    assert_eq!(defaults, [Some("2.0.0".to_owned()), Some("20.0.0".to_owned())]);
}

#[test]
fn f39_who_is_well_stays_on_probation_when_another_ones_migration_has_hung() {
    let house = House::with(three());
    let well = house.start("a", "1.0.0", 5);
    house.start("b", "1.0.0", 6);
    let gate = Gate::new();
    let hang = Arc::clone(&gate);
    house.script("2.0.0").on(At::Restore, move |count| {
        if count == 6 {
            hang.enter();
        }
        Ok(())
    });
    let mut request = house.request(&["a", "b"], "2.0.0");
    request.options.max_pause = PAUSE;
    let watch = Watch { messages: 3, rollback: Rollback::Restore, ..Watch::new(Duration::ZERO) };
    request.options.probation = Probation::Watch(watch);
    let report = house.upgrades.upgrade(&request).expect("it begins");
    let outcome = |key: &str| report.of(&addr(&format!("counter/{key}"))).expect("an entry").outcome.name();
    assert_eq!((outcome("a"), outcome("b")), ("committed", "rolled_back"), "{report}");
    assert!(house.runtime.quarantined(Code(house.script("2.0.0")).digest()).is_some(), "for the other one's sake");
    (0..3).for_each(|_| tell(&well, "Add"));
    assert_eq!(see(&well).version, "2.0.0");
    looked(&house, "c", "3.0.0");
    // Nobody could be started on it, and its way back is there as long as that is so.
    let on = on_probation_of(&house);
    assert_eq!((on.messages_left, on.phase, ends(&house, &report.id).len()), (0, Phase::Watching, 0));
    assert!(on.quarantined.is_some() && on.ways.contains(&WayBack::Restore), "{:?}", on.ways);
    assert_eq!(default(&house, "counter"), None);
    gate.open();
    // A migration that has hung is not taken back by its return.
    let digest = Code(house.script("2.0.0")).digest();
    house.store.pardon(digest).expect("the store writes");
    house.runtime.release(digest);
    until("its probation is over", || ends(&house, &report.id) == [end("a", "finalised")]);
    until("it is the default", || default(&house, "counter").as_deref() == Some("2.0.0"));
}

#[test]
fn f38_of_two_of_a_version_the_one_whose_turn_does_not_return_is_taken_back() {
    let house = House::with(three());
    let (hangs, well) = (house.start("a", "1.0.0", 5), house.start("b", "1.0.0", 6));
    let id = on_probation(&house, &["a", "b"], "2.0.0", Watch { rollback: Rollback::Restore, ..Watch::new(LONG) });
    let gate = Gate::new();
    house.script("2.0.0").hang_at(At::Handle, &gate);
    tell(&hangs, "Hang");
    until("it is taken back", || ends(&house, &id) == [end("a", "rolled_back")]);
    let on = on_probation_of(&house);
    assert_eq!((see(&well).version.as_str(), on.actor.key(), &on.phase), ("2.0.0", "b", &Phase::Watching));
    // Not for the other one's sake, but it may be started by nobody: an operator waits until that is over.
    let refused = house.upgrades.finalise(&id, &[], "me").expect_err("it is in quarantine");
    assert_eq!(refused.code(), "UPG-QUARANTINED");
    gate.open();
    until("it has returned", || on_probation_of(&house).quarantined.is_none());
    assert_eq!(house.upgrades.finalise(&id, &[], "me").expect("it is over"), [addr("counter/b")]);
}
