//! `load`: from a file to code that may run.
//!
//! Each round is a process of its own: a process maps the library of one digest once and keeps it.
#![forbid(unsafe_code)]

use benches::{
    Bench, Figure, Options, child_figures, child_words,
    ours::{House, Place, libraries},
    peers::erlang,
    print_figures,
    work::{self, Counter},
};
use clap::Parser;
use ledger_api::Open;
use std::time::{Duration, Instant};
use teneral::{
    UpgradeOptions,
    loader::{Gate, Loader, LoaderLimits, Policy, UnsignedRecord},
    runtime::ports::Provider,
    upgrade::TrialOutcome,
};

fn main() {
    teneral::trial_hook();
    if let Some(words) = child_words() {
        let [library, _] = libraries();
        match words[0].as_str() {
            "gate" => print_figures(&gate(library)),
            "trial" => print_figures(&work::runtime().block_on(trial())),
            "system" => print_figures(&work::runtime().block_on(system(library))),
            other => unreachable!("no case {other}"),
        }
        return;
    }
    let options = Options::parse();
    let mut bench = Bench::new("load", &options);
    bench.add("load a new version", "teneral", || child_figures("gate"));
    bench.add("load a new version", "erlang", || erlang::run("load 20"));
    bench.add("through the store", "teneral", || child_figures("system"));
    bench.add("try an upgrade", "teneral", || child_figures("trial"));
    bench.run();
}

fn us(what: &'static str, took: Duration) -> Figure {
    Figure { what, value: took.as_secs_f64() * 1e6, unit: "us", n: 1 }
}

/// The gate and dlopen by themselves: from the path to code that an instance can be made of.
fn gate(library: &std::path::Path) -> Vec<Figure> {
    let loader = Loader::new();
    let gate = Gate { policy: Policy::standard(), trust: UnsignedRecord };
    let started = Instant::now();
    let verified = gate.verify(library, None).expect("the gate lets our own library in");
    let (checked, bytes, digest) = (started.elapsed(), verified.bytes(), verified.digest());
    let image = loader.load(verified, LoaderLimits::standard()).expect("our own library loads");
    let took = started.elapsed();
    let again = Instant::now();
    let same = loader.image(digest).expect("it is there");
    let found = again.elapsed();
    assert_eq!(image.manifest(), same.manifest(), "one image a digest");
    let size = Figure { what: "library", value: bytes as f64, unit: "bytes", n: 1 };
    vec![us("", took), us("gate", checked), us("dlopen", took - checked), us("again", found), size]
}

/// A rehearsal of an upgrade of one actor with next to no state, and of it what the migration took: the rest is a
/// process, the gate and the load in it, the migration a second time, and the way back.
async fn trial() -> Vec<Figure> {
    let house = House::open(Place::Pool).await;
    let ledger = house.loaded("tried", Open::EMPTY).await;
    let plan = house.system.plan(ledger.0.addr(), "2.0.0", UpgradeOptions::new()).await.expect("there is a way");
    let started = Instant::now();
    let plan = house.system.rehearse(plan).await.expect("there is a thread for it");
    let took = started.elapsed();
    let [trialled] = plan.rehearsed() else { unreachable!("one actor is rehearsed") };
    let TrialOutcome::Passed(told) = &trialled.outcome else { unreachable!("it passes: {plan}") };
    vec![us("", took), us("migration", Duration::from_micros(told.migrate_us))]
}

/// What an embedder waits for: a push, and the first and the second actor of the version.
async fn system(library: &std::path::Path) -> Vec<Figure> {
    let house = House::empty(Place::Pool);
    let started = Instant::now();
    house.system.push(library).await.expect("the gate lets our own library in");
    let pushed = started.elapsed();
    let started = Instant::now();
    let first = house.loaded("first", Open::EMPTY).await;
    let loaded = started.elapsed();
    let started = Instant::now();
    let second = house.loaded("second", Open::EMPTY).await;
    let again = started.elapsed();
    assert_eq!(first.count().await + second.count().await, 0, "both answer");
    vec![us("push", pushed), us("first start", loaded), us("again", again)]
}
