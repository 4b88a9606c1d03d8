//! The work that every contender does: 16-byte messages to an actor that counts them.

use crate::frame::Figure;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Messages that may wait, where a peer bounds its mailbox: what teneral's default is.
pub const MAILBOX_MESSAGES_MAX: usize = 1024;

/// A handle of an actor that counts what it is told and echoes what it is asked.
pub trait Counter: Clone + Send + Sync + 'static {
    /// Tells it 16 bytes, waiting for room where its mailbox is bounded.
    fn add(&self) -> impl Future<Output = ()> + Send;
    /// Asks it to send 16 bytes back.
    fn echo(&self) -> impl Future<Output = [u8; 16]> + Send;
    /// Asks it how often it was told.
    fn count(&self) -> impl Future<Output = u64> + Send;
}

/// Two workers, as many as the machine of the published figures has cores.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs only threads")
}

/// `messages` tells from `senders` tasks, until the last is handled.
pub fn tell<C: Counter>(runtime: &Runtime, actor: &C, senders: u64, messages: u64) -> Vec<Figure> {
    let each = messages / senders;
    runtime.block_on(async {
        let before = actor.count().await;
        let started = Instant::now();
        let sender = |actor: C| async move {
            for _ in 0..each {
                actor.add().await;
            }
        };
        let tasks: Vec<_> = (0..senders).map(|_| tokio::spawn(sender(actor.clone()))).collect();
        for task in tasks {
            task.await.expect("a sender does not panic");
        }
        assert_eq!(actor.count().await - before, each * senders, "every message is handled once");
        per_message(each * senders, started.elapsed())
    })
}

/// `calls` asks, `in_flight` at a time.
pub fn ask<C: Counter>(runtime: &Runtime, actor: &C, in_flight: u64, calls: u64) -> Vec<Figure> {
    let each = calls / in_flight;
    let asker = |actor: C| async move {
        let mut each_ns = Vec::with_capacity(each as usize);
        for _ in 0..each {
            let asked = Instant::now();
            assert_eq!(actor.echo().await, [1; 16]);
            each_ns.push(asked.elapsed().as_nanos() as u64);
        }
        each_ns
    };
    runtime.block_on(async {
        let started = Instant::now();
        let tasks: Vec<_> = (0..in_flight).map(|_| tokio::spawn(asker(actor.clone()))).collect();
        let mut each_ns = Vec::new();
        for task in tasks {
            each_ns.extend(task.await.expect("an asker does not panic"));
        }
        of_calls(each_ns, started.elapsed())
    })
}

/// The figure of `messages` handled in `took`.
#[must_use]
pub fn per_message(messages: u64, took: Duration) -> Vec<Figure> {
    vec![Figure { what: "", value: took.as_nanos() as f64 / messages as f64, unit: "ns/msg", n: messages }]
}

/// The figures of asks, each with its nanoseconds, all done within `took`.
#[must_use]
pub fn of_calls(mut each_ns: Vec<u64>, took: Duration) -> Vec<Figure> {
    each_ns.sort_unstable();
    let n = each_ns.len() as u64;
    vec![
        Figure { what: "", value: n as f64 / took.as_secs_f64(), unit: "calls/s", n },
        Figure { what: "p50", value: share(&each_ns, 0.50), unit: "ns", n },
        Figure { what: "p99", value: share(&each_ns, 0.99), unit: "ns", n },
    ]
}

/// The value below which that share of a sorted list lies.
#[must_use]
pub fn share(sorted: &[u64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0) as f64
}

/// The figures of `actors` started in `took`, for which `bytes` of memory grew.
#[must_use]
pub fn of_idle(actors: u64, took: Duration, bytes: u64) -> Vec<Figure> {
    let each = |total: f64| total / actors as f64;
    vec![
        Figure { what: "spawn", value: each(took.as_nanos() as f64), unit: "ns", n: actors },
        Figure { what: "memory", value: each(bytes as f64), unit: "bytes", n: actors },
    ]
}
