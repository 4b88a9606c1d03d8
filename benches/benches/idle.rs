//! `idle`: what starting an actor costs, and what one that does nothing keeps of memory; each in a process of its own.
#![forbid(unsafe_code)]

use benches::{
    Bench, Figure, Options, child_figures, child_words,
    ours::{House, Ours, Place},
    peers::{Bare, Kameo, Ractor, erlang},
    print_figures, resident_bytes,
    work::{self, Counter},
};
use clap::Parser;
use ledger_api::Open;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const ACTORS: [u64; 2] = [100_000, 1_000_000];
/// What the peers need for a million actors is not to be had on small machines.
const PEERS_ACTORS_MAX: u64 = 100_000;

fn main() {
    if let Some(words) = child_words() {
        print_figures(&child(&words));
        return;
    }
    let options = Options::parse();
    let mut bench = Bench::new("idle", &options);
    for full in ACTORS {
        let (case, actors) = (format!("{full} actors"), options.work(full));
        bench.add(&case, "teneral", move || child_figures(&format!("teneral {actors}")));
        if full <= PEERS_ACTORS_MAX {
            for peer in ["tokio", "ractor", "kameo"] {
                bench.add(&case, peer, move || child_figures(&format!("{peer} {actors}")));
            }
            bench.add(&case, "erlang", move || erlang::run(&format!("idle {actors}")));
        }
    }
    bench.run();
}

fn child(words: &[String]) -> Vec<Figure> {
    let actors: u64 = words[1].parse().expect("the parent asks for a number");
    work::runtime().block_on(async {
        match words[0].as_str() {
            "teneral" => {
                let house = House::open(Place::Pool).await;
                // The first one loads the library.
                let code = house.loaded("first", Open::EMPTY).await.0.provider();
                let numbers = AtomicU64::new(0);
                let start = async || Ours::start(&house.system, &code, numbers.fetch_add(1, Relaxed));
                idle(actors, start).await
            }
            "tokio" => idle(actors, async || Bare::start()).await,
            "ractor" => idle(actors, Ractor::start).await,
            "kameo" => idle(actors, async || Kameo::start()).await,
            other => unreachable!("no contender {other}"),
        }
    })
}

/// Starts them all and waits until the last one answers.
async fn idle<C: Counter>(actors: u64, start: impl AsyncFn() -> C) -> Vec<Figure> {
    let mut kept = Vec::with_capacity(actors as usize);
    // The list's own pages are no part of the actors.
    let spare = kept.capacity() as u64 * size_of::<C>() as u64;
    let before = resident_bytes();
    let started = Instant::now();
    for _ in 0..actors {
        kept.push(start().await);
    }
    kept[kept.len() - 1].count().await;
    let took = started.elapsed();
    work::of_idle(actors, took, (resident_bytes() - before).saturating_sub(spare))
}
