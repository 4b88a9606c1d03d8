//! `deliver`: 16-byte tells from one and from four senders to one actor, asks one and 64 in flight.
#![forbid(unsafe_code)]

use benches::{
    Bench, Options,
    ours::{House, Ours, Place},
    peers::{Bare, Kameo, Ractor, erlang},
    work::{self, Counter},
};
use clap::Parser;
use ledger_api::Open;
use tokio::runtime::Runtime;

/// The contenders of our own: the name, where its turns run, and whether its code is loaded.
const OURS: [(&str, Place, bool); 4] = [
    ("teneral", Place::Pool, true),
    ("teneral linked in", Place::Pool, false),
    ("teneral on ambient", Place::Ambient, true),
    ("teneral linked in on ambient", Place::Ambient, false),
];
const MESSAGES: u64 = 1_000_000;
const CALLS: u64 = 100_000;

fn main() {
    let options = Options::parse();
    let runtime = work::runtime();
    let mut bench = Bench::new("deliver", &options);
    let (bare, ractor, kameo) = runtime.block_on(async { (Bare::start(), Ractor::start().await, Kameo::start()) });
    let (_houses, ours) = runtime.block_on(ours());
    for (case, senders) in [("tell 1 -> 1", 1), ("tell 4 -> 1", 4)] {
        let messages = options.work(MESSAGES);
        for (peer, actor) in &ours {
            tell(&mut bench, &runtime, (case, peer), actor, (senders, messages));
        }
        tell(&mut bench, &runtime, (case, "tokio"), &bare, (senders, messages));
        tell(&mut bench, &runtime, (case, "ractor"), &ractor, (senders, messages));
        tell(&mut bench, &runtime, (case, "kameo"), &kameo, (senders, messages));
        bench.add(case, "erlang", move || erlang::run(&format!("tell {senders} {messages}")));
    }
    for (case, in_flight) in [("ask, 1 in flight", 1), ("ask, 64 in flight", 64)] {
        let calls = options.work(CALLS).max(in_flight);
        for (peer, actor) in &ours {
            ask(&mut bench, &runtime, (case, peer), actor, (in_flight, calls));
        }
        ask(&mut bench, &runtime, (case, "tokio"), &bare, (in_flight, calls));
        ask(&mut bench, &runtime, (case, "ractor"), &ractor, (in_flight, calls));
        ask(&mut bench, &runtime, (case, "kameo"), &kameo, (in_flight, calls));
        bench.add(case, "erlang", move || erlang::run(&format!("ask {in_flight} {calls}")));
    }
    bench.run();
}

/// Our contenders, and the systems that they live in.
async fn ours() -> (Vec<House>, Vec<(&'static str, Ours)>) {
    let (mut houses, mut actors) = (Vec::new(), Vec::new());
    for (peer, place, is_loaded) in OURS {
        let house = House::open(place).await;
        let actor = if is_loaded { house.loaded("a", Open::EMPTY).await } else { house.linked() };
        actors.push((peer, actor));
        houses.push(house);
    }
    (houses, actors)
}

type Named<'a> = (&'a str, &'a str);

fn tell<'a, C: Counter>(
    bench: &mut Bench<'a>,
    runtime: &'a Runtime,
    (case, peer): Named<'_>,
    actor: &C,
    work: (u64, u64),
) {
    let actor = actor.clone();
    bench.add(case, peer, move || Ok(work::tell(runtime, &actor, work.0, work.1)));
}

fn ask<'a, C: Counter>(
    bench: &mut Bench<'a>,
    runtime: &'a Runtime,
    (case, peer): Named<'_>,
    actor: &C,
    work: (u64, u64),
) {
    let actor = actor.clone();
    bench.add(case, peer, move || Ok(work::ask(runtime, &actor, work.0, work.1)));
}
