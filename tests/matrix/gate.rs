//! Faults that are found before any code runs: what the gate, the plan, and the steps Verify, Check and Load refuse.

use super::stage::{Came, SUBJECT, Stage};
use super::{Case, Cell, Row, committed, not_begun, refused};
use crate::harness::c::{Source, bytes, file};
use crate::harness::desk::{Desk, key, production};
use crate::harness::house::{GENEROUS, House, overwrite, rehearsed};
use crate::harness::images::{CLOSE_IMAGES, answering, images_by_name};
use crate::harness::libraries::library;
use crate::harness::puppet::posing_as;
use crate::harness::{Absent, echo, probe};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use teneral::trust::{SecretKey, Signed, TrustedKey};
use teneral::upgrade::Downgrades;
use teneral::{Release, UpgradeOptions};

pub(super) fn cases() -> Vec<Case> {
    [verify(), trust(), older(), check(), shapes(), load()].into_iter().flatten().collect()
}

/// What somebody does to an artifact behind the store's back.
type Damage = fn(&Path);

fn cut(path: &Path, length: impl Fn(usize) -> usize) {
    let bytes = bytes(path);
    fs::write(path, &bytes[..length(bytes.len())]).expect("it is ours");
}

/// Between the plan and its run.
fn verify() -> Vec<Case> {
    let damages: [(&str, &str, Damage); 5] = [
        ("Verify: the file is missing", "STORE-MISSING", |path| fs::remove_file(path).expect("it is ours")),
        ("Verify: the file is empty", "GATE-DIGEST", |path| cut(path, |_| 0)),
        ("Verify: the file has 300 bytes", "GATE-DIGEST", |path| cut(path, |_| 300)),
        ("Verify: the file's tail is cut off", "GATE-DIGEST", |path| cut(path, |length| length - 64)),
        ("Verify: another library lies there", "GATE-DIGEST", |path| overwrite(path, library("probe-v3"))),
    ];
    let mut cases: Vec<Case> = damages
        .into_iter()
        .map(|(fault, code, damage)| {
            Case::new("F01", fault, refused("verify", code), move |cell| {
                let stage = Stage::raise(cell);
                let plan = stage.house.block_on(stage.house.system.plan(SUBJECT, "2.0.0", rehearsed()));
                damage(&stage.house.artifact("probe", "2.0.0"));
                let came = stage.apply(plan.expect("it is whole"));
                Ok(stage.end(came))
            })
        })
        .collect();
    let flipped = "Verify: one bit is flipped, at 64 offsets";
    cases.push(Case::new("F02", flipped, refused("verify", "GATE-DIGEST"), |cell| Ok(flips(cell))));
    cases
}

/// Each flip is refused as the first one is, or what came of the one that is not is the answer.
fn flips(cell: Cell) -> Row {
    const FLIPS: usize = 64;
    let stage = Stage::raise(cell);
    let artifact = stage.house.artifact("probe", "2.0.0");
    let whole = bytes(&artifact);
    let plan = stage.house.block_on(stage.house.system.plan(SUBJECT, "2.0.0", rehearsed())).expect("it is whole");
    let mut came = Vec::new();
    for flip in 0..FLIPS {
        let mut bent = whole.clone();
        bent[flip * (whole.len() - 1) / (FLIPS - 1)] ^= 1 << (flip % 8);
        fs::write(&artifact, bent).expect("it is ours");
        came.push(stage.apply(plan.clone()));
    }
    let last = came.pop().expect("there were some");
    let is_other = |other: &Came| (&other.what, &other.code, other.journal) != (&last.what, &last.code, last.journal);
    let other = came.into_iter().find(is_other);
    stage.end(other.unwrap_or(last))
}

/// What is pushed beside a running 1.0.0 by a stranger's hand.
fn trust() -> Vec<Case> {
    type Signs = fn(&House, &Desk, &SecretKey, &TrustedKey) -> Signed;
    let signed: [(&str, &str, Signs); 4] = [
        ("Verify: it is not signed", "TRUST-UNSIGNED", |_, desk, secret, _| Signed {
            signature: String::new(),
            ..desk.signed_by(secret)
        }),
        ("Verify: the signature is another artifact's", "TRUST-SIGNATURE", |_, desk, secret, _| Signed {
            signature: Desk::with("probe-v3").signed_by(secret).signature,
            ..desk.signed_by(secret)
        }),
        ("Verify: the key is unknown", "TRUST-KEY", |_, desk, _, _| desk.signed_by(&key().0)),
        ("Verify: the key has expired", "TRUST-KEY", |house, desk, secret, trusted| {
            let expires = Some("2026-02-01T00:00:00Z".parse().expect("a time"));
            house.system.trust(&TrustedKey { expires, ..trusted.clone() }).expect("the store writes");
            desk.signed_by(secret)
        }),
    ];
    let mut cases: Vec<Case> = signed
        .into_iter()
        .map(|(fault, code, signs)| {
            Case::new("F03", fault, not_begun("push", "1.0.0", code), move |cell| {
                let (stage, secret, trusted) = in_production(cell);
                let desk = Desk::with("probe-v2");
                desk.put(&signs(&stage.house, &desk, &secret, &trusted));
                Ok(pushed(stage, &desk.artifact))
            })
        })
        .collect();
    let taken_back = "Verify: the key is taken back after the push";
    cases.push(Case::new("F03", taken_back, not_begun("plan", "1.0.0", "GATE-TRUST"), |cell| {
        let (stage, secret, trusted) = in_production(cell);
        let desk = Desk::with("probe-v2");
        desk.put(&desk.signed_by(&secret));
        stage.house.push(&desk.artifact).expect("a trusted key signed it");
        stage.house.system.distrust(trusted.public.id()).expect("the store writes");
        let came = stage.moved();
        Ok(stage.end(came))
    }));
    cases
}

/// A production host that runs what the key signed.
fn in_production(cell: Cell) -> (Stage, SecretKey, TrustedKey) {
    let (secret, trusted) = key();
    let house = production();
    house.system.trust(&trusted).expect("the store writes");
    let desk = Desk::with("probe-v1");
    desk.put(&desk.signed_by(&secret));
    house.push(&desk.artifact).expect("a trusted key signed it");
    let actor = probe::start(&house, SUBJECT, "1.0.0");
    (Stage::on(cell, house, actor), secret, trusted)
}

/// What is pushed is refused, or it would be moved to.
fn pushed(stage: Stage, library: &Path) -> Row {
    let came = match stage.house.push(library) {
        Ok(_) => stage.moved(),
        Err(refusal) => stage.not_begun("push", &refusal),
    };
    stage.end(came)
}

fn older() -> Vec<Case> {
    let allowed = UpgradeOptions { downgrades: Downgrades::Allow, ..rehearsed() };
    let below = "Verify: a version below the high-water mark";
    vec![
        Case::new("F04", below, not_begun("push", "2.0.0", "TRUST-OLDER"), |cell| {
            Ok(pushed(Stage::with(cell, &["probe-v2"], "2.0.0"), library("probe-v1")))
        }),
        Case::new("F04", "Verify: an older version, asked for and allowed", committed("", "1.0.0"), move |cell| {
            let stage = Stage::with(cell, &["probe-v2"], "2.0.0");
            stage.house.push_older(library("probe-v1")).expect("it was asked for");
            let came = stage.upgrade("1.0.0", allowed);
            Ok(stage.end(came))
        }),
        Case::new(
            "F04",
            "Verify: a way down that is not allowed",
            not_begun("plan", "2.0.0", "UPG-DIRECTION"),
            |cell| {
                let stage = Stage::with(cell, &["probe-v1", "probe-v2"], "2.0.0");
                let came = stage.upgrade("1.0.0", UpgradeOptions { downgrades: Downgrades::Refuse, ..rehearsed() });
                Ok(stage.end(came))
            },
        ),
    ]
}

/// Libraries that say that they are probe 2.0.0.
fn check() -> Vec<Case> {
    type Make = fn() -> Result<Source, Absent>;
    let made: [(&str, &str, &str, Make); 7] =
        [
            ("F05", "Check: a library that it needs is not allowed", "GATE-NEEDED", || {
                Ok(posing_as("probe-v2").flag("-Wl,--no-as-needed").flag("-lresolv"))
            }),
            ("F06", "Check: the entry symbol is missing", "GATE-EXPORTS", || {
                Ok(posing_as("probe-v2").flag("-Dteneral_entry=other_entry"))
            }),
            ("F06", "Check: a second symbol is exported", "GATE-EXPORTS", || {
                Ok(posing_as("probe-v2")
                    .end("__attribute__((visibility(\"default\"))) int also_here(void) { return 1; }"))
            }),
            ("F07", "Check: another ABI", "GATE-ABI", || Ok(posing_as("probe-v2").says("/abi/0", 2))),
            ("F07", "Check: a newer minor ABI", "GATE-ABI", || Ok(posing_as("probe-v2").says("/abi/1", 9))),
            ("F07", "Check: a build with panic = abort", "GATE-PANIC", || {
                Ok(posing_as("probe-v2").says("/panic", "abort"))
            }),
            ("F07", "Check: a build that only says that it unwinds", "GATE-PANIC", || {
                Ok(posing_as("probe-v2").says("/panic", "unwind"))
            }),
        ];
    let mut cases: Vec<Case> = made
        .into_iter()
        .map(|(id, fault, code, make)| {
            Case::new(id, fault, not_begun("push", "1.0.0", code), move |cell| {
                let library = make()?.build()?;
                Ok(pushed(Stage::with(cell, &["probe-v1"], "1.0.0"), library.path()))
            })
        })
        .collect();
    cases.push(Case::new("F05", "Check: another architecture", not_begun("push", "1.0.0", "GATE-ARCH"), |cell| {
        let mut foreign = bytes(library("probe-v2"));
        foreign[18] = 0xf3; // e_machine: RISC-V
        Ok(pushed(Stage::with(cell, &["probe-v1"], "1.0.0"), file(&foreign).path()))
    }));
    let lacks = "Check: a class lacks a function";
    cases.push(Case::new("F06", lacks, refused("trial", "LOAD-TABLE"), |cell| {
        let library = posing_as("probe-v2").edit(".destroy = destroy,", "").build()?;
        Ok(pushed(Stage::with(cell, &["probe-v1"], "1.0.0"), library.path()))
    }));
    cases
}

/// What is done to the fields of a probe's body.
type Change = fn(&mut Value);

/// probe 2.0.0 with another shape of state, and no migration.
fn shapes() -> Vec<Case> {
    let changes: [(&str, Change); 3] = [
        ("Check: a field removed, no migration", |body| _ = body.as_array_mut().expect("fields").remove(1)),
        ("Check: a field's type changed, no migration", |body| body[1][1] = json!({ "seq": "u64" })),
        ("Check: a field added, no migration", |body| {
            body.as_array_mut().expect("fields").push(json!(["more", "u64"]))
        }),
    ];
    let mut cases = Vec::new();
    for (fault, change) in changes {
        cases.push(Case::new("F10", fault, not_begun("plan", "1.0.0", "UPG-LADDER"), move |cell| {
            Ok(pushed(Stage::with(cell, &["probe-v1"], "1.0.0"), other_shape(2, change).build()?.path()))
        }));
    }
    let (_, removed) = changes[0];
    let disguised = "Check: a field removed, under the old schema's number";
    cases.push(Case::new("F10", disguised, not_begun("plan", "1.0.0", "UPG-SHAPE"), move |cell| {
        Ok(pushed(Stage::with(cell, &["probe-v1"], "1.0.0"), other_shape(1, removed).build()?.path()))
    }));
    let with_chain = "Check: from schema 1 to 3 with a chain";
    cases.push(Case::new("F11", with_chain, committed("", "3.0.0"), |cell| {
        let stage = Stage::raise(cell);
        let came = stage.upgrade("3.0.0", rehearsed());
        Ok(stage.end(came))
    }));
    let without = "Check: from schema 1 to 3 without a chain";
    cases.push(Case::new("F11", without, not_begun("plan", "1.0.0", "UPG-LADDER"), |cell| {
        let only_two = json!([{ "schema": 2, "fingerprint": "b3f324fdfed63fe5829d512da53921e3" }]);
        let library = posing_as("probe-v3").says("/state/from", only_two).build()?;
        let stage = Stage::with(cell, &["probe-v1"], "1.0.0");
        stage.house.push(library.path()).expect("it passes the gate");
        let came = stage.upgrade("3.0.0", rehearsed());
        Ok(stage.end(came))
    }));
    cases
}

fn other_shape(schema: u32, change: Change) -> Source {
    let source = posing_as("probe-v1").version("2.0.0");
    let manifest: Value = serde_json::from_str(&source.manifest()).expect("JSON");
    let mut shape = manifest["state"]["shape"].clone();
    change(shape.pointer_mut("/struct/0/1/struct").expect("the body's fields"));
    let source = source.says("/state/shape", shape).says("/state/fingerprint", "0123456789abcdef0123456789abcdef");
    source.says("/state/schema", schema).flag("-USCHEMA").flag(format!("-DSCHEMA={schema}"))
}

/// A plugin closes the files that images were loaded from, so that their names are free for the next library.
fn load() -> Vec<Case> {
    let reused = "Load: the name of an older library is used again";
    vec![Case::new("F08", reused, refused("load", "LOAD-NAME"), |cell| {
        let closes = answering("close_images()", CLOSE_IMAGES).build()?;
        let stage = Stage::raise(cell);
        let Release { version, .. } = stage.house.push(closes.path()).expect("it passes the gate");
        let thief = stage.house.start("c-echo/thief", &version.to_string(), echo::Nothing {});
        // Everything below is taken, so that the numbers which are let go are the next ones to be used.
        let highest = *images_by_name().last().expect("images are loaded");
        let open = || File::open("/dev/null").expect("it is there");
        let _taken: Vec<_> = std::iter::repeat_with(open).take_while(|file| file.as_raw_fd() <= highest).collect();
        stage.house.block_on(thief.ask(echo::Count {}, GENEROUS)).expect("it answers");
        let came = stage.moved();
        Ok(stage.end(came))
    })]
}
