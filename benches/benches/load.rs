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
    loader::{Gate, Loader, LoaderLimits, Policy, UnsignedRecord},
    runtime::ports::Provider,
};

fn main() {
    if let Some(words) = child_words() {
        let [library, _] = libraries();
        match words[0].as_str() {
            "gate" => print_figures(&gate(library)),
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
