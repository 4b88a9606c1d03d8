//! What is refused before anybody is paused: nothing of the new code runs, nobody notices, and the operator is told
//! what to do.

use crate::harness::c::Source;
use crate::harness::echo::{self, Count, Counted, Echo};
use crate::harness::house::{GENEROUS, House, Refuses, chain, only, overwrite, patient};
use crate::harness::libraries::{c_echo, library};
use crate::harness::probe::{self, Busy, lives, note, seen, tell};
use crate::harness::{Absent, Test, test};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use teneral::runtime::{Generation, Status};
use teneral::upgrade::{Outcome, Plan, Step};
use teneral::{ActorRef, Addr, Digest, SystemError, digest_of};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(u8_a_changed_schema_without_a_migration_is_refused_before_any_actor_is_paused),
        test(u26_a_plan_with_one_illegal_step_is_refused_whole),
        test(u27_a_library_that_is_missing_corrupt_or_another_is_refused_before_any_pause),
        test(u27_a_library_of_another_abi_is_refused_before_any_pause),
        test(a_damaged_artifact_is_mended_by_pushing_its_build_again),
        test(u30_a_plan_that_changes_nothing_pauses_nobody),
        test(u31_planning_leaves_no_trace_and_can_be_repeated),
        test(f10_a_state_that_changed_without_a_migration_is_refused_with_what_differs),
        test(f11_a_missing_step_of_the_chain_is_named_and_refused),
        test(e1_a_typo_in_a_name_is_refused_with_the_nearest_names),
        test(e2_the_right_library_for_another_actor_is_refused),
    ]
}

/// An actor that somebody has paused: whoever asked for a pause of it would be refused by that, and by nothing else.
struct Held(ActorRef);

impl Held {
    fn new(actor: &ActorRef) -> Self {
        actor.pause("a witness", GENEROUS).expect("it comes to rest");
        Self(actor.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let kept = self.0.info().status == Status::Paused { owner: "a witness".to_owned() };
        assert!(kept || std::thread::panicking(), "somebody took its pause");
        self.0.resume("a witness");
    }
}

/// A probe at 1.0.0 that has three notes.
fn probe_at_one(house: &House, addr: &str) -> ActorRef {
    let actor = probe::start(house, addr, "1.0.0");
    (0..3).for_each(|number| tell(house, &actor, note(0, number)));
    probe::whole(&seen(house, &actor).log, &[3]);
    actor
}

/// It serves as if nothing had been tried.
#[track_caller]
fn untouched(house: &House, actor: &ActorRef) {
    let seen = seen(house, actor);
    assert_eq!((seen.version, lives(&seen)), (1, vec!["1: started Fresh"]));
    probe::whole(&seen.log, &[3]);
    assert_eq!(actor.info().generation, Generation(0));
}

/// A library that leaves a file where it is loaded.
fn telltale(source: Source, house: &House) -> (Source, PathBuf) {
    let loaded = house.dir().join("loaded");
    let touch = format!(
        "#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void loaded(void) {{ \
         close(open(\"{}\", O_CREAT | O_WRONLY, 0600)); }}",
        loaded.display()
    );
    (source.end(&touch), loaded)
}

fn echo_at_one(house: &House) -> Result<ActorRef, Absent> {
    house.push(c_echo(1).ok_or(Absent("make with a C compiler"))?).expect("it passes");
    let actor = house.start("c-echo/a", "1.0.0", echo::Nothing {});
    house.block_on(actor.ask(Echo { text: "one".to_owned() }, GENEROUS)).expect("an echo");
    Ok(actor)
}

#[track_caller]
fn echo_untouched(house: &House, actor: &ActorRef) {
    assert_eq!(house.block_on(actor.ask(Count {}, GENEROUS)), Ok(Counted { echoes: 1 }));
    assert_eq!((actor.info().version.major, actor.info().generation), (1, Generation(0)));
}

fn u8_a_changed_schema_without_a_migration_is_refused_before_any_actor_is_paused() -> Result<(), Absent> {
    let house = House::patient(&[]);
    let actor = echo_at_one(&house)?;
    let (two, loaded) = telltale(Source::c_echo(2).says("/state/from", json!([])), &house);
    house.push(two.build()?.path()).expect("it passes");
    let held = Held::new(&actor);
    assert_eq!(house.refused("c-echo/a", "2.0.0").0, "UPG-LADDER");
    drop(held);
    assert!(!loaded.exists(), "nothing of the new code ran");
    echo_untouched(&house, &actor);
    Ok(())
}

fn u26_a_plan_with_one_illegal_step_is_refused_whole() {
    let house = House::patient(probe::ALL);
    let actors = ["a", "b", "c"].map(|key| probe_at_one(&house, &format!("probe/{key}")));
    let plan = house.block_on(house.system.plan("probe", "2.0.0", patient())).expect("a plan");
    let good = serde_json::to_value(&plan).expect("JSON");
    let steps = good["moves"][1]["steps"].as_array().expect("a list").clone();
    let mut bent = Vec::new();
    for at in 0..steps.len() {
        let (mut without, mut twice, mut late) = (steps.clone(), steps.clone(), steps.clone());
        without.remove(at);
        twice.insert(at, steps[at].clone());
        late.swap(at, (at + 1) % steps.len());
        bent.extend([without, twice, late].map(|steps| ("/moves/1/steps", Value::from(steps), "UPG-STEPS")));
    }
    bent.push(("/moves/1/ladder", json!([]), "UPG-STEPS"));
    bent.push(("/moves/1/ladder/0/from_schema", json!(2), "UPG-STEPS"));
    bent.push(("/moves/1/to/kind", json!("counter"), "UPG-STEPS"));
    bent.push(("/moves/1/addr", json!("probe/a"), "UPG-TWICE"));
    for (place, value, code) in bent {
        let mut forged = good.clone();
        *forged.pointer_mut(place).expect("a plan has that") = value.clone();
        let read = Plan::from_json(&forged.to_string()).map(drop).expect_err("refused when it is read");
        assert_eq!(read.code(), code, "{place} {value}");
        // Nor does a program get by that which makes a plan of its own.
        let forged: Plan = serde_json::from_value(forged).expect("the fields of a plan");
        let error = house.block_on(house.system.apply(forged)).expect_err("refused when it is applied");
        assert_eq!(error.code(), code, "{place} {value}");
    }
    actors.iter().for_each(|actor| untouched(&house, actor));
    assert!(house.block_on(house.system.apply(plan)).expect("it begins").ok(), "and the plan itself is good");
}

/// What somebody does to a file behind the store's back, and the code that a plan is refused with then.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 6] = [
    ("STORE-MISSING", |file| std::fs::remove_file(file).expect("it is there")),
    ("GATE-EMPTY", |file| std::fs::write(file, []).expect("it is writable")),
    ("GATE-DIGEST", |file| {
        let bytes = std::fs::read(file).expect("it is there");
        std::fs::write(file, &bytes[..bytes.len() - 1]).expect("it is writable");
    }),
    ("GATE-DIGEST", |file| {
        let mut bytes = std::fs::read(file).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).expect("it is writable");
    }),
    ("GATE-DIGEST", |file| overwrite(file, library("probe-v3"))),
    ("STORE-FILE", |file| {
        std::fs::remove_file(file).expect("it is there");
        std::os::unix::fs::symlink(library("probe-v2"), file).expect("it is writable");
    }),
];

fn u27_a_library_that_is_missing_corrupt_or_another_is_refused_before_any_pause() {
    for (code, damage) in DAMAGES {
        // Before the plan is made, and between the plan and its run.
        let house = House::patient(probe::ALL);
        let actor = probe_at_one(&house, "probe/a");
        let held = Held::new(&actor);
        damage(&house.artifact("probe", "2.0.0"));
        assert_eq!(house.refused("probe/a", "2.0.0").0, code);
        drop(held);
        untouched(&house, &actor);

        let house = House::patient(probe::ALL);
        let actor = probe_at_one(&house, "probe/a");
        let held = Held::new(&actor);
        let plan = house.block_on(house.system.plan("probe/a", "2.0.0", patient())).expect("a plan");
        damage(&house.artifact("probe", "2.0.0"));
        let report = house.block_on(house.system.apply(plan)).expect("it begins");
        let entry = only(&report);
        let Outcome::Refused(failure) = &entry.outcome else { panic!("{report}") };
        // Of bytes that were recorded nothing is asked but whether they are the same.
        let code = if code == "GATE-EMPTY" { "GATE-DIGEST" } else { code };
        assert_eq!((failure.code.as_str(), entry.step, entry.pause_us), (code, Step::Verify, 0), "{report}");
        assert!(failure.cause.contains("probe 2.0.0"), "it says which library: {failure:?}");
        drop(held);
        untouched(&house, &actor);
    }
}

fn u27_a_library_of_another_abi_is_refused_before_any_pause() -> Result<(), Absent> {
    let house = House::patient(&[]);
    let actor = echo_at_one(&house)?;
    let held = Held::new(&actor);
    let (two, loaded) = telltale(Source::c_echo(2), &house);
    let newer = two.clone().says("/abi/0", 2).build()?;
    let error = house.push(newer.path()).expect_err("the gate refuses it");
    assert_eq!(error.code(), "GATE-ABI", "{}", chain(&error));
    assert_eq!(house.refused("c-echo/a", "2.0.0").0, "UPG-VERSION", "it never came in");
    // Nor does it when somebody puts it where a good one was.
    house.push(two.build()?.path()).expect("it passes");
    overwrite(&house.artifact("c-echo", "2.0.0"), newer.path());
    assert_eq!(house.refused("c-echo/a", "2.0.0").0, "GATE-DIGEST");
    drop(held);
    assert!(!loaded.exists(), "nothing of it ran");
    echo_untouched(&house, &actor);
    Ok(())
}

fn a_damaged_artifact_is_mended_by_pushing_its_build_again() {
    for (code, damage) in DAMAGES {
        let house = House::patient(probe::ALL);
        let actor = probe_at_one(&house, "probe/a");
        damage(&house.artifact("probe", "2.0.0"));
        assert_eq!(house.refused("probe/a", "2.0.0").0, code);
        house.push(library("probe-v2")).expect("it is the same file");
        let entry = house.moved("probe/a", "2.0.0");
        assert_eq!(entry.outcome, Outcome::Committed, "after {code}: {entry}");
        probe::whole(&seen(&house, &actor).log, &[3]);
    }
}

fn u30_a_plan_that_changes_nothing_pauses_nobody() {
    let house = House::patient(probe::ALL);
    let (idle, working) = (probe_at_one(&house, "probe/idle"), probe_at_one(&house, "probe/working"));
    let (held, busy) = (Held::new(&idle), Busy::make(&house, &working));
    let plan = house.block_on(house.system.plan("probe", "1.0.0", patient())).expect("a plan");
    assert!(plan.changes_nothing());
    let applied = house.block_on(house.system.apply(plan)).expect("it begins");
    let report = house.upgrade("probe", "1.0.0");
    assert!(applied.ok() && report.ok(), "a busy actor is no obstacle: {report}");
    for addr in ["probe/idle", "probe/working"] {
        let entry = report.of(&Addr::new(addr).expect("an address")).expect("an entry");
        assert_eq!((&entry.outcome, entry.pause_us), (&Outcome::Unchanged, 0));
    }
    drop((held, busy));
    untouched(&house, &idle);
    untouched(&house, &working);
}

/// Every file below a directory, with its digest.
fn files(dir: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            let digest = digest_of(&std::fs::read(&path).expect("a file"));
            found.insert(path, digest);
        }
    }
    found
}

fn u31_planning_leaves_no_trace_and_can_be_repeated() -> Result<(), Absent> {
    let house = House::patient(&[]);
    let actor = echo_at_one(&house)?;
    let (two, loaded) = telltale(Source::c_echo(2), &house);
    house.push(two.build()?.path()).expect("it passes");
    let held = Held::new(&actor);
    let before = files(house.dir());
    let plan = || house.block_on(house.system.plan("c-echo/a", "2.0.0", patient())).expect("a plan");
    let (first, second) = (plan(), plan());
    assert_eq!(first, second);
    assert_eq!(files(house.dir()), before, "no journal, no new file");
    assert!(!loaded.exists(), "nothing of the new code ran");
    drop(held);
    echo_untouched(&house, &actor);
    let report = house.block_on(house.system.apply(second)).expect("it begins");
    assert!(report.ok(), "{report}");
    assert!(loaded.exists(), "the witness works");
    let stale = house.block_on(house.system.apply(first)).expect_err("somebody was faster");
    assert_eq!(stale.code(), "UPG-STALE");
    Ok(())
}

/// c-echo whose manifest says this of its state.
fn with_state(major: u32, schema: u32, fingerprint: u32, shape: &Value) -> Result<NamedTempFile, Absent> {
    Source::c_echo(1)
        .version(&format!("{major}.0.0"))
        .says("/state/schema", schema)
        .says("/state/fingerprint", format!("{fingerprint:032x}"))
        .says("/state/shape", shape.clone())
        .edit("SCHEMA = 1", &format!("SCHEMA = {schema}"))
        .build()
}

fn f10_a_state_that_changed_without_a_migration_is_refused_with_what_differs() -> Result<(), Absent> {
    let shape = |echoes: &str, levels: [&str; 2], more: &[(&str, &str)]| {
        let mut fields = vec![json!(["echoes", echoes])];
        fields.push(json!(["level", { "enum": [[levels[0], "unit"], [levels[1], "unit"]] }]));
        fields.extend(more.iter().map(|(name, shape)| json!([name, shape])));
        json!({ "struct": fields })
    };
    let old = shape("u64", ["Low", "High"], &[("last", "string")]);
    let changes = [
        (shape("u64", ["Low", "High"], &[]), vec!["field removed: last: string"]),
        (shape("u32", ["Low", "High"], &[("last", "string")]), vec!["type changed: echoes: u64 -> u32"]),
        (
            shape("u64", ["High", "Low"], &[("last", "string")]),
            vec!["variant reordered: level.High", "variant reordered: level.Low"],
        ),
        (
            shape("u64", ["Low", "High"], &[("first", "string")]),
            vec!["field removed: last: string", "field added: first: string"],
        ),
    ];
    for (change, differences) in changes {
        let house = House::patient(&[]);
        house.push(with_state(1, 1, 1, &old)?.path()).expect("it passes");
        // Once with a number of its own and no migration, once under the old number.
        house.push(with_state(2, 2, 2, &change)?.path()).expect("it passes");
        house.push(with_state(3, 1, 3, &change)?.path()).expect("it passes");
        let actor = house.start("c-echo/a", "1.0.0", echo::Nothing {});
        let held = Held::new(&actor);
        for (to, code) in [("2.0.0", "UPG-LADDER"), ("3.0.0", "UPG-SHAPE")] {
            let error = house.try_upgrade("c-echo/a", to, patient()).expect_err("refused");
            assert_eq!(error.code(), code);
            let text = chain(&error);
            for difference in &differences {
                assert!(text.contains(difference), "{difference}: {text}");
            }
        }
        drop(held);
        assert_eq!((actor.info().version.major, actor.info().generation), (1, Generation(0)));
    }
    Ok(())
}

fn f11_a_missing_step_of_the_chain_is_named_and_refused() -> Result<(), Absent> {
    let house = House::patient(&[]);
    let actor = echo_at_one(&house)?;
    let three = Source::c_echo(2)
        .edit("SCHEMA = 2", "SCHEMA = 3")
        .says("/version", "3.0.0")
        .says("/state/schema", 3)
        .says("/state/from/0/schema", 2)
        .says("/state/from/0/fingerprint", "5b69d7400a01e925fa5c9df39bae90ad")
        .says("/state/down", json!([]));
    house.push(three.build()?.path()).expect("it passes");
    let error = house.try_upgrade("c-echo/a", "3.0.0", patient()).expect_err("refused");
    assert_eq!(error.code(), "UPG-LADDER");
    let (text, hint) = (chain(&error), error.hint());
    assert!(text.contains("from schema 1 to 2") && hint.contains("from schema 1 to 2"), "{text}; {hint}");
    echo_untouched(&house, &actor);
    // With the version in between the very same is possible.
    house.push_older(Source::c_echo(2).build()?.path()).expect("it passes");
    house.block_on(house.system.plan("c-echo/a", "3.0.0", patient())).expect("a plan");
    Ok(())
}

fn e1_a_typo_in_a_name_is_refused_with_the_nearest_names() {
    let house = House::with(&["probe-v1", "probe-v2", "counter-v1", "counter-v2"]);
    let actor = probe_at_one(&house, "probe/web");
    house.start("counter/a", "1.0.0", counter_api::Start { total: 1 });
    let cases = [
        ("probe/wbe", "2.0.0", "UPG-ACTOR", "did you mean probe/web?"),
        ("prob/web", "2.0.0", "UPG-ACTOR", "did you mean probe/web?"),
        ("probe/web", "2.0.1", "UPG-VERSION", "did you mean 2.0.0 or 1.0.0?"),
        ("countr", "2.0.0", "SYS-NOBODY", "did you mean counter?"),
        ("probe-web", "2.0.0", "SYS-NOBODY", "did you mean probe/web?"),
        ("web", "2.0.0", "SYS-NOBODY", "did you mean probe/web?"),
        ("ledger", "2.0.0", "SYS-NOBODY", "there is counter, probe"),
        ("probe/", "2.0.0", "SYS-ADDRESS", "write kind/key, as in log-handler/web"),
        // A request whose version is none is no request: the socket says so of the whole body.
        match house.is_operated() {
            true => ("probe/web", "2", "CTL-REQUEST", "write the body as docs/control.md says"),
            false => ("probe/web", "2", "SYS-VERSION-TEXT", "write major.minor.patch, as in 1.0.0"),
        },
    ];
    for (target, to, code, hint) in cases {
        let refused = house.refused(target, to);
        assert_eq!((refused.0.as_str(), refused.1.as_str()), (code, hint), "{target} {to}");
    }
    let typed = |error: SystemError| (error.code().to_owned(), error.hint());
    let near = Err(("SYS-ACTOR".to_owned(), "did you mean probe/web?".to_owned()));
    assert_eq!(house.system.actor("probe/wbe").map(drop).map_err(typed), near);
    let started = house.block_on(house.system.start("prob/a", "1.0.0", probe_api::Start::default()));
    let near = Err(("SYS-KIND".to_owned(), "did you mean probe?".to_owned()));
    assert_eq!(started.map(drop).map_err(typed), near);
    untouched(&house, &actor);
}

fn e2_the_right_library_for_another_actor_is_refused() {
    let house = House::patient(&["probe-v1", "probe-v2", "probe-v3", "counter-v1", "counter-v2"]);
    let actor = probe_at_one(&house, "probe/a");
    let counter = house.start("counter/a", "1.0.0", counter_api::Start { total: 1 });
    let held = (Held::new(&actor), Held::new(&counter));
    // 3.0.0 is a probe's version, and no counter's.
    let (code, hint) = house.refused("counter/a", "3.0.0");
    assert_eq!((code.as_str(), hint.as_str()), ("UPG-VERSION", "did you mean 1.0.0 or 2.0.0?"));
    // A plan that somebody has given another actor's library.
    let plan = house.block_on(house.system.plan("probe/a", "2.0.0", patient())).expect("a plan");
    let counters = house.block_on(house.system.plan("counter/a", "2.0.0", patient())).expect("a plan");
    let (good, other) = (serde_json::to_value(&plan), serde_json::to_value(&counters));
    let (good, other) = (good.expect("JSON"), other.expect("JSON"));
    let mut taken = good.clone();
    taken["moves"][0]["to"] = other["moves"][0]["to"].clone();
    assert_eq!(Plan::from_json(&taken.to_string()).map(drop).expect_err("refused").code(), "UPG-STEPS");
    let mut disguised = good;
    disguised["moves"][0]["to"]["digest"] = other["moves"][0]["to"]["digest"].clone();
    let disguised = Plan::from_json(&disguised.to_string()).expect("nothing in it says so");
    let report = house.block_on(house.system.apply(disguised)).expect("it begins");
    let entry = only(&report);
    let Outcome::Refused(failure) = &entry.outcome else { panic!("{report}") };
    assert_eq!((failure.code.as_str(), entry.step), ("GATE-RECORD", Step::Check), "{report}");
    drop(held);
    untouched(&house, &actor);
    assert_eq!(counter.info().generation, Generation(0));
}
