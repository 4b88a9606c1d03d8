//! `replay`: how long the version before takes to do anew what came since a commit, beside how long it took at first.
//!
//! An actor is moved to the very code that it runs, so that both are the same work: it is told, all is kept, and an
//! instance from before the move handles all of it again, as a rollback has it do. The actor is paused for that.
#![forbid(unsafe_code)]

use benches::{
    Bench, Figure, Options,
    ours::{House, Ours, Place},
    work::{self, Counter, per_message},
};
use clap::Parser;
use ledger_api::Open;
use std::sync::Arc;
use std::time::{Duration, Instant};
use teneral::runtime::ports::{Behaviour, Provider, Why};
use teneral::runtime::{LeaseRequest, LeaseStep, Quiesced, Recording};
use tokio::runtime::Runtime;

/// As many as a probation keeps, unless it is told otherwise.
const MESSAGES: u64 = 10_000;
const LONG: Duration = Duration::from_secs(60);
const OURS: [(&str, bool); 2] = [("teneral", true), ("teneral linked in", false)];

fn main() {
    let options = Options::parse();
    let runtime = work::runtime();
    let house = runtime.block_on(House::open(Place::Pool));
    let (runtime, house) = (&runtime, &house);
    let messages = options.work(MESSAGES);
    let mut bench = Bench::new("replay", &options);
    for (peer, is_loaded) in OURS {
        bench.add("10000 messages", peer, move || {
            let actor = if is_loaded { runtime.block_on(house.loaded("a", Open::EMPTY)) } else { house.linked() };
            let figures = round(runtime, &actor, messages);
            runtime.block_on(actor.0.stop("", LONG)).expect("a ledger stops");
            Ok(figures)
        });
    }
    bench.run();
}

/// Handled at first, and anew.
fn round(runtime: &Runtime, actor: &Ours, messages: u64) -> Vec<Figure> {
    let code = actor.0.provider();
    let frozen = recorded(actor, &code, messages);
    let mut figures = work::tell(runtime, actor, 1, messages);
    let mut paused = pause(actor);
    let recorded = paused.take_record().expect("it is paused").expect("all of it was kept");
    let started = Instant::now();
    let state = frozen.save(1 << 20).expect("a ledger saves");
    let work = code.restore(code.schema(), &state).expect("its own state");
    let replayed = recorded.replay(&code, work, LONG, || true).expect("it can be done anew");
    let took = started.elapsed();
    assert_eq!((replayed.tally.failed, replayed.tally.unsaid), (0, 0));
    paused.commit_replayed(replayed, Some(recorded), code, || {}).expect("nobody takes it back");
    assert_eq!(runtime.block_on(actor.count()), messages, "as before");
    figures.extend(per_message(messages, took).into_iter().map(|figure| Figure { what: "anew", ..figure }));
    figures
}

/// Has what it is told kept from now on, and gives out the instance of until now.
fn recorded(actor: &Ours, code: &Arc<dyn Provider>, messages: u64) -> Box<dyn Behaviour> {
    let mut paused = pause(actor);
    let state = paused.save(1 << 20).expect("a ledger saves");
    let made = paused.make(LeaseStep::Migrate, || code.restore(code.schema(), &state)).expect("its own state");
    let recording = Recording {
        owner: "bench".to_owned(),
        // Beside them it is asked how many there were.
        messages_max: usize::try_from(messages).expect("they fit into memory") + 16,
        bytes_max: usize::MAX,
        old: Arc::clone(code),
        no_replay: None,
        slow_over: None,
        on_crash: Some(Box::new(drop)),
    };
    let done = paused.commit_recorded(made, Arc::clone(code), Why::Upgraded, Some(recording), || {});
    done.expect("nobody takes it back").old.expect("there was one before")
}

fn pause(actor: &Ours) -> Quiesced {
    let request = LeaseRequest {
        owner: "bench".to_owned(),
        generation: actor.0.info().generation,
        quiesce_timeout: LONG,
        max_pause: LONG,
        on_lost: Box::new(drop),
    };
    actor.0.quiesce(request).expect("nobody else pauses it")
}
