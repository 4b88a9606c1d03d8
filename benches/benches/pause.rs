//! `pause`: how long an upgrade holds an actor, and what a caller sees of it, under 20,000 messages a second.
//!
//! Each round is a process of its own, as it is a node of its own for Erlang, and does what `bench_peer:pause` does:
//! 10,000 tells a second, those due sent each millisecond, and 10,000 calls a second; the longest gap between two
//! replies within half a second is taken once without an upgrade, the control, and once with one.
#![forbid(unsafe_code)]

use benches::{
    Bench, Figure, Options, child_figures, child_words,
    ours::{House, Ours, Place},
    peers::erlang,
    print_figures,
    stream::Stream,
    work::{self, share},
};
use clap::Parser;
use ledger_api::Open;
use std::time::{Duration, Instant};
use teneral::{Probation, UpgradeOptions, Watch};

/// Accounts, and bytes besides.
const STATES: [(u64, u64); 5] = [(0, 0), (0, 4 << 10), (0, 1 << 20), (1_000, 0), (100_000, 0)];
/// As long as Erlang's.
const WINDOW: Duration = Duration::from_millis(500);
const OURS: [(&str, &str); 3] =
    [("teneral", "pool"), ("teneral, on probation after it", "probation"), ("teneral on ambient", "ambient")];
/// Nobody passes while the bench runs.
const LONG: Duration = Duration::from_secs(86_400);

fn main() {
    teneral::trial_hook();
    if let Some(words) = child_words() {
        print_figures(&child(&words));
        return;
    }
    let options = Options::parse();
    let mut bench = Bench::new("pause", &options);
    bench.add("pause + resume, idle", "teneral", || child_figures("pool lease 10000"));
    bench.add("pause + resume, idle", "erlang", || erlang::run("lease 10000"));
    for (accounts, bytes) in STATES {
        let case = match bytes {
            0 => format!("upgrade, {accounts} entries"),
            _ => format!("upgrade, {} KiB", bytes >> 10),
        };
        let more = match (accounts, bytes) {
            (0, 0) => 100,
            _ if accounts > 10_000 => 5,
            _ => 30,
        };
        let more = if options.short { 1 } else { more };
        for (peer, place) in OURS {
            bench.add(&case, peer, move || child_figures(&format!("{place} upgrade {accounts} {bytes} {more}")));
        }
        bench.add(&case, "erlang", move || erlang::run(&format!("pause {accounts} {bytes}")));
    }
    let upgrades = options.work(200).max(2);
    for (peer, place) in OURS {
        bench.add("others", peer, move || child_figures(&format!("{place} others {upgrades}")));
    }
    bench.run();
}

fn child(words: &[String]) -> Vec<Figure> {
    let place = if words[0] == "ambient" { Place::Ambient } else { Place::Pool };
    let probation = if words[0] == "probation" { Probation::Watch(Watch::new(LONG)) } else { Probation::Off };
    let number = |at: usize| words[at].parse::<u64>().expect("the parent asks for a number");
    work::runtime().block_on(async {
        match words[1].as_str() {
            "lease" => lease(place, number(2)).await,
            "upgrade" => {
                let open = Open { accounts: number(2), ballast_bytes: number(3) };
                upgrade((place, probation), open, number(4)).await
            }
            "others" => others((place, probation), number(2)).await,
            other => unreachable!("no case {other}"),
        }
    })
}

/// Pauses and resumes an actor that does nothing.
async fn lease(place: Place, times: u64) -> Vec<Figure> {
    let house = House::open(place).await;
    let Ours(actor) = house.loaded("a", Open::EMPTY).await;
    let mut each: Vec<u64> = (0..times)
        .map(|_| {
            let started = Instant::now();
            actor.pause("bench", Duration::from_secs(1)).expect("an idle actor pauses");
            actor.resume("bench");
            started.elapsed().as_nanos() as u64
        })
        .collect();
    each.sort_unstable();
    vec![Figure { what: "", value: share(&each, 0.5) / 1000.0, unit: "us", n: times }]
}

/// Upgrades ledgers under load, `more` times after the two whose gaps are taken.
async fn upgrade((place, probation): (Place, Probation), open: Open, more: u64) -> Vec<Figure> {
    let house = House::open(place).await;
    let stream = Stream::start();
    let mut cold = None;
    let mut gaps = Vec::new();
    // The first one maps the new library; Erlang's was loaded once before, so the second one is what compares.
    for key in ["first", "second"] {
        let actor = house.loaded(key, open).await;
        stream.turn_to(&actor, open.accounts).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.window();
        tokio::time::sleep(WINDOW).await;
        let control = stream.window();
        let started = Instant::now();
        let paused_us = moved(&house, &actor, probation).await;
        let took = started.elapsed();
        tokio::time::sleep(WINDOW).await;
        let gap = stream.window();
        stream.turn_away(&actor).await;
        if key == "first" {
            cold = Some(gap);
        } else {
            gaps = vec![
                us("longest gap", gap),
                us("control gap", control),
                Figure { what: "paused", value: paused_us as f64, unit: "us", n: 1 },
                us("", took),
            ];
        }
        actor.0.stop("", Duration::from_secs(5)).await.expect("a ledger stops");
    }
    gaps.extend(cold.map(|gap| us("longest gap, first", gap)));
    let mut each = Vec::new();
    for number in 0..more {
        let actor = house.loaded(&number.to_string(), open).await;
        stream.turn_to(&actor, open.accounts).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        each.push(moved(&house, &actor, probation).await);
        stream.turn_away(&actor).await;
        actor.0.stop("", Duration::from_secs(5)).await.expect("a ledger stops");
    }
    stream.stop().await;
    each.sort_unstable();
    for (what, at) in [("p50 paused", 0.5), ("p99 paused", 0.99), ("max paused", 1.0)] {
        gaps.push(Figure { what, value: share(&each, at), unit: "us", n: more });
    }
    gaps
}

/// Upgrades it, and says for how many microseconds it was paused.
async fn moved(house: &House, actor: &Ours, probation: Probation) -> u64 {
    let options = UpgradeOptions { probation, max_pause: Duration::from_secs(20), ..UpgradeOptions::new() };
    let report = house.system.upgrade(actor.0.addr().path(), "2.0.0", options).await.expect("the plan holds");
    assert!(report.ok(), "{report}");
    report.actors[0].pause_us
}

/// What another actor's callers see of so many upgrades, one after the other.
async fn others((place, probation): (Place, Probation), upgrades: u64) -> Vec<Figure> {
    let house = House::open(place).await;
    let other = house.loaded("other", Open::EMPTY).await;
    let stream = Stream::start();
    stream.turn_to(&other, 0).await;
    let mut keys = Vec::new();
    for number in 0..upgrades {
        keys.push(house.loaded(&format!("moved-{number}"), Open::EMPTY).await);
    }
    // Maps the new library.
    moved(&house, &keys[0], probation).await;
    drop(stream.calls_ns());
    let started = Instant::now();
    for actor in &keys[1..] {
        moved(&house, actor, probation).await;
        // One after the other without a break they would measure how two cores are shared.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = started.elapsed();
    let meanwhile = stream.calls_ns();
    tokio::time::sleep(took).await;
    let calm = stream.calls_ns();
    stream.stop().await;
    let p99 = |what, mut each: Vec<u64>| {
        each.sort_unstable();
        Figure { what, value: share(&each, 0.99) / 1000.0, unit: "us", n: each.len() as u64 }
    };
    vec![p99("p99, upgrades", meanwhile), p99("p99, calm", calm)]
}

fn us(what: &'static str, took: Duration) -> Figure {
    Figure { what, value: took.as_secs_f64() * 1e6, unit: "us", n: 1 }
}
