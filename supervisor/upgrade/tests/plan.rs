//! What a plan holds, and what it refuses before anybody is paused.
#![forbid(unsafe_code)]

mod common;

use common::{addr, digest, manifest, schema, version};
use std::collections::BTreeMap;
use teneral_contract::shape::variant_id;
use teneral_contract::{Fingerprint, Manifest, Tag};
use teneral_runtime::{Parked, Place};
use teneral_upgrade::*;

/// One actor, `counter/a`, that runs the first of these; all of them in the store.
fn snapshot(manifests: &[Manifest]) -> Snapshot {
    let subject = Subject {
        addr: addr("counter/a"),
        digest: digest(&manifests[0]),
        manifest: manifests[0].clone(),
        elsewhere: false,
        generation: 3,
        parked: Vec::new(),
        children: Vec::new(),
    };
    let releases = manifests.iter().map(|manifest| Released {
        version: manifest.version.clone(),
        digest: digest(manifest),
        manifest: Ok(manifest.clone()),
    });
    Snapshot {
        subjects: BTreeMap::from([(subject.addr.clone(), subject)]),
        names: vec![addr("counter/a"), addr("counter/web"), addr("ledger/main")],
        releases: BTreeMap::from([("counter".to_owned(), releases.collect())]),
        kinds: vec!["counter".to_owned(), "ledger".to_owned()],
        quarantined: BTreeMap::new(),
    }
}

fn to(text: &str) -> Request {
    Request::new("operator", [addr("counter/a")], &version(text))
}

fn back_to(text: &str) -> Request {
    let mut request = to(text);
    request.options.downgrades = Downgrades::Allow;
    request
}

fn refused(snapshot: &Snapshot, request: &Request) -> UpgradeError {
    plan(snapshot, request).expect_err("refused")
}

fn only_move(snapshot: &Snapshot, request: &Request) -> Move {
    let plan = plan(snapshot, request).expect("a plan");
    assert_eq!(plan.moves().len(), 1);
    plan.moves()[0].clone()
}

fn park(snapshot: &mut Snapshot, place: Place, name: &str, shape: u128) {
    let tag = Tag { variant: variant_id(name), fingerprint: Fingerprint(shape) };
    let subject = snapshot.subjects.get_mut(&addr("counter/a")).expect("the actor");
    subject.parked.push(Parked { place, tag, count: 2 });
}

// ---- the ladder

#[test]
fn u9_an_unchanged_schema_needs_no_migration_code() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("1.1.0", 1, &[], &[])]);
    let moved = only_move(&snapshot, &to("1.1.0"));
    assert_eq!((moved.direction, moved.ladder.len()), (Direction::Upgrade, 0));
    assert_eq!(moved.steps, Step::sequence(StateMode::Migrate, Trials::Every));
}

#[test]
fn u8_a_changed_schema_without_a_migration_is_refused() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[], &[])]);
    let error = refused(&snapshot, &to("2.0.0"));
    assert_eq!(error.code(), "UPG-LADDER");
    assert!(error.hint().contains("from schema 1 to 2"), "{}", error.hint());
}

#[test]
fn f10_a_field_removed_or_changed_without_a_migration_is_refused_with_the_difference_of_the_shapes() {
    let snapshot = snapshot(&[manifest("1.0.0", 2, &[], &[]), manifest("2.0.0", 3, &[1], &[])]);
    let error = refused(&snapshot, &to("2.0.0"));
    assert_eq!(error.code(), "UPG-LADDER");
    assert!(error.to_string().contains("field added: field_3: u64"), "{error}");
}

#[test]
fn f11_version_3_is_reached_from_version_1_by_way_of_version_2() {
    let (one, two, three) =
        (manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[2], &[]));
    let moved = only_move(&snapshot(&[one, two, three]), &to("3.0.0"));
    let hops: Vec<_> = moved.ladder.iter().map(|hop| (hop.by.version.to_string(), hop.to_schema)).collect();
    assert_eq!(hops, [("2.0.0".to_owned(), 2), ("3.0.0".to_owned(), 3)]);
}

#[test]
fn f11_a_ladder_that_the_new_code_holds_whole_needs_nobody_in_between() {
    let manifests =
        [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[1, 2], &[])];
    let moved = only_move(&snapshot(&manifests), &to("3.0.0"));
    let hops: Vec<_> = moved.ladder.iter().map(|hop| hop.by.version.to_string()).collect();
    assert_eq!(hops, ["3.0.0"]);
}

#[test]
fn f11_without_a_chain_the_missing_step_is_named() {
    let cases = [
        (vec![manifest("1.0.0", 1, &[], &[]), manifest("3.0.0", 3, &[2], &[])], "from schema 1 to 2"),
        (
            vec![manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[], &[])],
            "from schema 2 to 3",
        ),
    ];
    for (manifests, missing) in cases {
        let error = refused(&snapshot(&manifests), &to("3.0.0"));
        assert_eq!(error.code(), "UPG-LADDER");
        assert!(error.hint().contains(missing) && error.to_string().contains(missing), "{error}: {}", error.hint());
    }
}

#[test]
fn u12_a_downgrade_takes_the_newer_codes_steps_down() {
    let manifests =
        [manifest("3.0.0", 3, &[2], &[2]), manifest("2.0.0", 2, &[1], &[1]), manifest("1.0.0", 1, &[], &[])];
    let moved = only_move(&snapshot(&manifests), &back_to("1.0.0"));
    assert_eq!(moved.direction, Direction::Downgrade);
    let hops: Vec<_> =
        moved.ladder.iter().map(|hop| (hop.by.version.to_string(), hop.from_schema, hop.to_schema)).collect();
    assert_eq!(hops, [("3.0.0".to_owned(), 3, 2), ("2.0.0".to_owned(), 2, 1)]);
}

#[test]
fn a_downgrade_that_nobody_offers_is_refused_with_the_missing_step() {
    let snapshot = snapshot(&[manifest("2.0.0", 2, &[1], &[]), manifest("1.0.0", 1, &[], &[])]);
    let error = refused(&snapshot, &back_to("1.0.0"));
    assert_eq!(error.code(), "UPG-LADDER");
    assert!(error.hint().contains("from schema 2 to 1"), "{}", error.hint());
}

#[test]
fn a_downgrade_that_was_not_asked_for_is_refused() {
    let snapshot = snapshot(&[manifest("2.0.0", 2, &[1], &[1]), manifest("1.0.0", 1, &[], &[])]);
    assert_eq!(refused(&snapshot, &to("1.0.0")).code(), "UPG-DIRECTION");
}

#[test]
fn one_schema_number_with_two_shapes_is_refused() {
    let mut bent = manifest("1.1.0", 1, &[], &[]);
    bent.state.fingerprint = Fingerprint(77);
    let error = refused(&snapshot(&[manifest("1.0.0", 1, &[], &[]), bent]), &to("1.1.0"));
    assert_eq!(error.code(), "UPG-SHAPE");
    let mut bent = manifest("2.0.0", 2, &[], &[]);
    bent.state.from = vec![teneral_contract::manifest::SchemaEntry { fingerprint: Fingerprint(77), ..schema(1) }];
    let error = refused(&snapshot(&[manifest("1.0.0", 1, &[], &[]), bent]), &to("2.0.0"));
    assert_eq!(error.code(), "UPG-SHAPE", "the ladder's first rung is another schema 1");
    assert_eq!(error.to_string(), "counter/a: schema 1 has another shape in 2.0.0 than in 1.0.0");
    let (two, mut three) = (manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[], &[]));
    three.state.from = vec![teneral_contract::manifest::SchemaEntry { fingerprint: Fingerprint(77), ..schema(2) }];
    let error = refused(&snapshot(&[manifest("1.0.0", 1, &[], &[]), two, three]), &to("3.0.0"));
    let whose = "counter/a: schema 2 has another shape in 3.0.0 than in 2.0.0";
    assert_eq!(error.to_string(), whose, "the running version has no schema 2");
}

#[test]
fn a_reset_needs_no_ladder_but_arguments_that_the_new_code_reads() {
    let mut snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[], &[])]);
    let mut request = to("2.0.0");
    request.options.state = StateMode::Reset;
    park(&mut snapshot, Place::RestartArgs, "", 100);
    let moved = only_move(&snapshot, &request);
    assert_eq!((moved.ladder.len(), moved.steps.contains(&Step::Snapshot)), (0, false));
    park(&mut snapshot, Place::RestartArgs, "", 101);
    assert_eq!(refused(&snapshot, &request).code(), "UPG-ARGS");
}

// ---- names

#[test]
fn e1_a_mistyped_actor_kind_or_version_is_refused_with_the_nearest_names() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    let error = refused(&snapshot, &Request::new("operator", [addr("counter/wbe")], &version("2.0.0")));
    assert_eq!((error.code(), error.hint().as_str()), ("UPG-ACTOR", "did you mean counter/web?"));
    let error = refused(&snapshot, &to("2.0.1"));
    assert_eq!((error.code(), error.hint().as_str()), ("UPG-VERSION", "did you mean 2.0.0 or 1.0.0?"));

    let mut no_artifacts = snapshot.clone();
    no_artifacts.releases.clear();
    no_artifacts.kinds = vec!["count".to_owned(), "ledger".to_owned()];
    let error = refused(&no_artifacts, &to("2.0.0"));
    assert_eq!((error.code(), error.hint().as_str()), ("UPG-KIND", "did you mean count?"));
}

#[test]
fn e2_the_right_artifact_for_another_actor_is_refused() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    let mut request = to("2.0.0");
    request.actors[0].kind = Some("ledger".to_owned());
    assert_eq!(refused(&snapshot, &request).code(), "UPG-WRONG-KIND");
    request.actors[0].kind = Some("counter".to_owned());
    assert!(plan(&snapshot, &request).is_ok());
}

#[test]
fn an_actor_named_twice_and_nobody_at_all_are_refused() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    let twice = Request::new("operator", [addr("counter/a"), addr("counter/a")], &version("2.0.0"));
    assert_eq!(refused(&snapshot, &twice).code(), "UPG-TWICE");
    assert_eq!(refused(&snapshot, &Request::new("operator", [], &version("2.0.0"))).code(), "UPG-EMPTY");
}

#[test]
fn u11_version_identifiers_round_trip_through_a_plan() {
    for text in ["0.0.1", "1.2.3-rc.1+build.5", "10.0.0-alpha", "18446744073709551615.0.0"] {
        let snapshot = snapshot(&[manifest("0.0.0", 1, &[], &[]), manifest(text, 1, &[], &[])]);
        let plan = plan(&snapshot, &to(text)).expect("a plan");
        let back = Plan::from_json(&plan.to_json().expect("JSON")).expect("a plan again");
        assert_eq!(back, plan);
        assert_eq!(back.moves()[0].to.version.to_string(), text);
    }
}

// ---- what waits

#[test]
fn f37_waiting_messages_without_a_path_are_refused_unless_they_may_become_dead_letters_and_are_listed_then() {
    let mut new = manifest("2.0.0", 2, &[1], &[]);
    new.messages.retain(|message| message.name != "Add");
    new.messages[0].also = vec![Fingerprint(6)];
    let mut snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), new]);
    park(&mut snapshot, Place::Mailbox, "Get", 6);
    park(&mut snapshot, Place::Mailbox, "Add", 7);
    park(&mut snapshot, Place::Timer, "Get", 5);
    let mut request = to("2.0.0");
    assert_eq!(refused(&snapshot, &request).code(), "UPG-CONTRACT");
    request.options.pathless = PathlessPolicy::DeadLetter;
    let plan_with_losses = plan(&snapshot, &request).expect("a plan");
    let lost: Vec<String> = plan_with_losses.moves()[0].pathless.iter().map(ToString::to_string).collect();
    assert_eq!(lost.len(), 2, "the one that is up-cast is not listed: {lost:?}");
    assert_eq!(lost[0], "2 in the mailbox: message Add is unknown to 2.0.0");
    assert!(lost[1].starts_with("2 in the timer: message Get is known in shape"), "{}", lost[1]);
    assert_eq!(plan_with_losses.warnings().len(), 2);
}

#[test]
fn start_arguments_that_the_new_code_cannot_read_are_warned_of() {
    let mut snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    park(&mut snapshot, Place::RestartArgs, "", 99);
    let plan = plan(&snapshot, &to("2.0.0")).expect("a plan");
    assert!(plan.warnings()[0].contains("start arguments"), "{:?}", plan.warnings());
}

// ---- the plan as a thing

#[test]
fn u30_a_plan_that_changes_nothing_moves_nobody() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[])]);
    let plan = plan(&snapshot, &to("1.0.0")).expect("a plan");
    assert!(plan.changes_nothing());
    assert_eq!(plan.unchanged()[0].addr, addr("counter/a"));
}

#[test]
fn u31_a_plan_can_be_made_again_and_is_the_same() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    assert_eq!(plan(&snapshot, &to("2.0.0")).expect("a plan"), plan(&snapshot, &to("2.0.0")).expect("a plan"));
}

#[test]
fn u26_a_plan_with_an_illegal_step_is_refused_whole() {
    let snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    let json = plan(&snapshot, &to("2.0.0")).expect("a plan").to_json().expect("JSON");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let with_steps = |steps: serde_json::Value| {
        let mut value = value.clone();
        value["moves"][0]["steps"] = steps;
        Plan::from_json(&value.to_string()).expect_err("refused").code().to_owned()
    };
    let legal: Vec<serde_json::Value> = value["moves"][0]["steps"].as_array().expect("steps").clone();
    for at in 0..legal.len() {
        let mut without = legal.clone();
        without.remove(at);
        assert_eq!(with_steps(without.into()), "UPG-STEPS", "without step {at}");
        let mut doubled = legal.clone();
        doubled.insert(at, legal[at].clone());
        assert_eq!(with_steps(doubled.into()), "UPG-STEPS", "step {at} twice");
        let mut swapped = legal.clone();
        swapped.swap(at, (at + 1) % legal.len());
        assert_eq!(with_steps(swapped.into()), "UPG-STEPS", "step {at} too late");
    }
    assert_eq!(with_steps(serde_json::json!(["verify", "hope"])), "UPG-PLAN");
    let mut bent = value.clone();
    bent["moves"][0]["ladder"][0]["from_schema"] = 7.into();
    assert_eq!(Plan::from_json(&bent.to_string()).expect_err("refused").code(), "UPG-STEPS");
    let mut newer = value.clone();
    newer["format"] = 4.into();
    assert_eq!(Plan::from_json(&newer.to_string()).expect_err("refused").code(), "UPG-PLAN");
}

#[test]
fn u27_an_artifact_that_cannot_be_read_is_refused_with_the_gates_own_code() {
    let mut snapshot = snapshot(&[manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[])]);
    let refusal =
        Refused { code: "GATE-ABI".to_owned(), cause: "ABI 2.0, want 1.x".to_owned(), hint: "rebuild it".to_owned() };
    snapshot.releases.get_mut("counter").expect("releases")[1].manifest = Err(refusal);
    let error = refused(&snapshot, &to("2.0.0"));
    assert_eq!((error.code(), error.hint().as_str()), ("GATE-ABI", "rebuild it"));
    let shown = "error[GATE-ABI]: an artifact was refused\n  \
                 cause: counter 2.0.0: refused at check: ABI 2.0, want 1.x\n  \
                 now:   nobody was paused, nothing has changed\n  hint:  rebuild it";
    assert_eq!(error.render(), shown);
}

#[test]
fn an_artifact_in_quarantine_is_neither_a_target_nor_a_rung() {
    let manifests = [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[2], &[])];
    let mut snapshot = snapshot(&manifests);
    snapshot.quarantined.insert(digest(&manifests[1]), "it hung in migrate".to_owned());
    let error = refused(&snapshot, &to("2.0.0"));
    assert_eq!(error.code(), "UPG-QUARANTINED");
    assert!(error.to_string().contains("it hung in migrate"));
    assert_eq!(refused(&snapshot, &to("3.0.0")).code(), "UPG-LADDER");
}

#[test]
fn every_code_has_one_title_and_every_title_one_code() {
    let codes: std::collections::BTreeSet<_> = CODES.iter().map(|(code, _)| code).collect();
    let titles: std::collections::BTreeSet<_> = CODES.iter().map(|(_, title)| title).collect();
    assert_eq!((codes.len(), titles.len()), (CODES.len(), CODES.len()));
}
