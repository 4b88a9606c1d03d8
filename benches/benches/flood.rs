//! `flood`: what an actor's callers see of a user who asks the control socket as fast as it answers.
//!
//! Each round is a process of its own with a host on a socket, and a second one that floods it over as many connections
//! as there are. Windows with and without the flood alternate within the round: 10,000 tells and 10,000 calls a second
//! go to one actor all the while, and the calls' p99 is what is compared.
#![forbid(unsafe_code)]

use benches::{
    Bench, Figure, Options, child_figures, child_words,
    ours::{House, Place},
    print_figures,
    stream::Stream,
    work::{self, share},
};
use clap::Parser;
use ledger_api::Open;
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use teneral::api::{CONNECTIONS_MAX, SOCKET, Socket};

const OURS: [(&str, &str); 2] = [("teneral", "pool"), ("teneral on ambient", "ambient")];

fn main() {
    if let Some(words) = child_words() {
        match words[0].as_str() {
            "flood" => print_figures(&flood(Path::new(&words[1]), millis(&words[2]))),
            place => {
                let place = if place == "ambient" { Place::Ambient } else { Place::Pool };
                print_figures(&work::runtime().block_on(others(place, millis(&words[1]))));
            }
        }
        return;
    }
    let options = Options::parse();
    let mut bench = Bench::new("flood", &options);
    let window_ms = options.work(3000).max(300);
    for (peer, place) in OURS {
        bench.add("others", peer, move || child_figures(&format!("{place} {window_ms}")));
    }
    bench.run();
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(word.parse().expect("the parent asks for a number"))
}

/// What the actor's callers see, in windows of that length: two without a flood and two with one, in turns.
async fn others(place: Place, window: Duration) -> Vec<Figure> {
    let house = House::open(place).await;
    let alone = fs::Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().permissions(alone).tempdir().expect("there is room for a socket");
    let (system, dir) = (house.system.clone(), folder.path().to_owned());
    let listening = Socket::listen(&dir).expect("the directory is ours alone");
    let serving = tokio::spawn(async move { listening.serve(system.routes()).await });
    let socket: PathBuf = folder.path().join(SOCKET);
    let actor = house.loaded("other", Open::EMPTY).await;
    let stream = Stream::start();
    stream.turn_to(&actor, 0).await;
    tokio::time::sleep(window / 10).await;
    let (mut calm, mut flooded, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 {
        drop(stream.calls_ns());
        tokio::time::sleep(window).await;
        calm.extend(stream.calls_ns());
        let words = format!("flood {} {}", socket.display(), window.as_millis());
        let flood = tokio::task::spawn_blocking(move || child_figures(&words));
        figures = flood.await.expect("it is waited for").expect("the flood runs");
        flooded.extend(stream.calls_ns());
    }
    stream.stop().await;
    serving.abort();
    let p99 = |what, mut each: Vec<u64>| {
        each.sort_unstable();
        Figure { what, value: share(&each, 0.99) / 1000.0, unit: "us", n: each.len() as u64 }
    };
    figures.extend([p99("p99, flood", flooded), p99("p99, calm", calm)]);
    figures
}

/// Asks over all connections that there are, each as fast as it is answered, for that long.
fn flood(socket: &Path, window: Duration) -> Vec<Figure> {
    let until = Instant::now() + window;
    let counts: Vec<(u64, u64)> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CONNECTIONS_MAX).map(|_| scope.spawn(|| caller(socket, until))).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).collect()
    });
    let sum = |count: fn(&(u64, u64)) -> u64| counts.iter().map(count).sum::<u64>();
    let rate = |what, n: u64| Figure { what, value: n as f64 / window.as_secs_f64(), unit: "calls/s", n };
    vec![rate("answered", sum(|counts| counts.0)), rate("refused", sum(|counts| counts.1))]
}

/// How often it was answered, and refused. One that is thrown out comes again.
fn caller(socket: &Path, until: Instant) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    while Instant::now() < until {
        let Ok(mut stream) = UnixStream::connect(socket) else { continue };
        let mut piece = [0; 16 << 10];
        while Instant::now() < until {
            let asked = stream.write_all(b"GET /v1/actors HTTP/1.1\r\nhost: x\r\n\r\n");
            let Ok(read) = asked.and_then(|()| stream.read(&mut piece)) else { break };
            match &piece[..read] {
                [] => break,
                answer if answer.starts_with(b"HTTP/1.1 200 ") => answered += 1,
                _ => refused += 1,
            }
        }
    }
    (answered, refused)
}
