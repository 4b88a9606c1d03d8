//! `remote`: what it costs that an actor's code runs in a process of its own, beside the same code in the host, and
//! beside unary calls of tonic to a process that does nothing but send 16 bytes back.
#![forbid(unsafe_code)]

use benches::{
    Bench, Options,
    ours::{House, Ours, Place},
    work::{self, Counter},
};
use clap::Parser;
use ledger_api::Open;
use std::process::{Child, Command, Stdio};
use teneral::{CheckpointPolicy, Place as Where};
use tokio::runtime::Runtime;

mod unary;

const MESSAGES: u64 = 500_000;
const CALLS: u64 = 50_000;

/// The contenders of our own: the name, where turns are run from, where the code is, and when there are checkpoints.
const OURS: [(&str, Place, Where, CheckpointPolicy); 6] = [
    ("teneral in process", Place::Pool, Where::InProcess, CheckpointPolicy::standard()),
    ("teneral, a process of its own", Place::Pool, Where::Process, CheckpointPolicy::standard()),
    ("the same, a checkpoint every 100 messages", Place::Pool, Where::Process, OFTEN),
    ("the same without checkpoints", Place::Pool, Where::Process, CheckpointPolicy::Never),
    ("teneral in process on ambient", Place::Ambient, Where::InProcess, CheckpointPolicy::standard()),
    ("teneral, a process of its own, on ambient", Place::Ambient, Where::Process, CheckpointPolicy::standard()),
];

const OFTEN: CheckpointPolicy = CheckpointPolicy::Every { messages: 100, bytes: 1 << 20 };

/// The tonic server, ended with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    teneral::trial_hook();
    if let Some(socket) = std::env::var_os(unary::SERVE) {
        return unary::serve(socket.as_ref());
    }
    let options = Options::parse();
    let runtime = work::runtime();
    let mut bench = Bench::new("remote", &options);
    let folder = tempfile::tempdir().expect("there is room for a socket");
    let socket = folder.path().join("unary.sock");
    let own = std::env::current_exe().expect("it runs");
    let server = Command::new(own).env(unary::SERVE, &socket).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let _server = Server(server.expect("it starts again"));
    let tonic = runtime.block_on(unary::Unary::connect(&socket));
    let (_houses, ours) = runtime.block_on(ours());
    for (peer, actor) in &ours {
        let (actor, messages, runtime) = (actor.clone(), options.work(MESSAGES), &runtime);
        bench.add("tell 1 -> 1", peer, move || Ok(work::tell(runtime, &actor, 1, messages)));
    }
    for (case, in_flight) in [("ask, 1 in flight", 1), ("ask, 64 in flight", 64)] {
        let calls = options.work(CALLS).max(in_flight);
        for (peer, actor) in &ours {
            ask(&mut bench, &runtime, (case, peer), actor, (in_flight, calls));
        }
        ask(&mut bench, &runtime, (case, "tonic unary"), &tonic, (in_flight, calls));
    }
    bench.run();
}

/// Our contenders, and the systems that they live in.
async fn ours() -> (Vec<House>, Vec<(&'static str, Ours)>) {
    let (mut houses, mut actors) = (Vec::new(), Vec::new());
    for (peer, turns, code, checkpoint) in OURS {
        let place = |options: &mut teneral::Options| {
            options.places.insert("ledger".to_owned(), code);
            options.checkpoints.insert("ledger".to_owned(), checkpoint);
        };
        let house = House::open_with(turns, place).await;
        actors.push((peer, house.loaded("a", Open::EMPTY).await));
        houses.push(house);
    }
    (houses, actors)
}

fn ask<'a, C: Counter>(
    bench: &mut Bench<'a>,
    runtime: &'a Runtime,
    (case, peer): (&str, &str),
    actor: &C,
    work: (u64, u64),
) {
    let actor = actor.clone();
    bench.add(case, peer, move || Ok(work::ask(runtime, &actor, work.0, work.1)));
}
