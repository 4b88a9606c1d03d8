//! `probation`: what it costs an actor that the version before and what came since the commit are kept.
//!
//! The same tells to the same code, moved to its second version: on no probation, on one that keeps all of them, and on
//! one past its bound, which keeps nothing any more.
#![forbid(unsafe_code)]

use benches::{
    Bench, Options,
    ours::{House, Ours, Place},
    work,
};
use clap::Parser;
use ledger_api::Open;
use std::time::Duration;
use teneral::{Probation, Rollback, UpgradeOptions, Watch};
use tokio::runtime::Runtime;

const MESSAGES: u64 = 1_000_000;
/// Nobody passes while the bench runs.
const LONG: Duration = Duration::from_secs(86_400);

fn main() {
    teneral::trial_hook();
    let options = Options::parse();
    let runtime = work::runtime();
    let messages = options.work(MESSAGES);
    let house = runtime.block_on(House::open(Place::Pool));
    let (house, runtime) = (&house, &runtime);
    let mut bench = Bench::new("probation", &options);
    // Each round has an actor of its own: what is kept grows.
    for (peer, keep) in [("no probation", None), ("all is kept", Some(usize::MAX)), ("past the bound", Some(1))] {
        let mut round = 0;
        bench.add("tell 1 -> 1", peer, move || {
            round += 1;
            let key = format!("{}-{round}", peer.replace(' ', "-"));
            let actor = moved(runtime, house, &key, keep);
            let told = work::tell(runtime, &actor, 1, messages);
            runtime.block_on(actor.0.stop("", Duration::from_secs(30))).expect("a ledger stops");
            Ok(told)
        });
    }
    bench.run();
}

/// An actor that was moved to its second version, on probation for it if something is to be kept.
fn moved(runtime: &Runtime, house: &House, key: &str, keep: Option<usize>) -> Ours {
    let watch =
        |keep| Watch { keep_messages: keep, keep_bytes: usize::MAX, rollback: Rollback::Never, ..Watch::new(LONG) };
    let probation = keep.map_or(Probation::Off, |keep| Probation::Watch(watch(keep)));
    let options = UpgradeOptions { probation, max_pause: Duration::from_secs(20), ..UpgradeOptions::new() };
    runtime.block_on(async {
        let actor = house.loaded(key, Open::EMPTY).await;
        let report = house.system.upgrade(actor.0.addr().path(), "2.0.0", options).await.expect("the plan holds");
        assert!(report.ok(), "{report}");
        actor
    })
}
