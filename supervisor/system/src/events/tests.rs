//! The ring, the gap and the end, without a host.

use super::*;
use semver::Version;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use teneral_runtime::What;

fn hub() -> Hub {
    Hub { kept: Arc::new(Kept { boot: 3, ring: Mutex::default() }), changed: watch::Sender::new(()) }
}

fn stream(hub: &Hub, next: u64) -> Stream {
    let (kept, changed) = (Arc::clone(&hub.kept), hub.changed.subscribe());
    Stream { kept, changed, next, anew: false, ended: false, system: Weak::new() }
}

fn ready(actors: usize) -> Happened {
    Happened::Ready { actors }
}

/// What is there without waiting.
fn poll(stream: &mut Stream) -> Poll<Option<String>> {
    let seen = pin!(stream.next()).poll(&mut Context::from_waker(Waker::noop()));
    seen.map(|seen| {
        seen.map(|seen| match seen {
            Seen::Event(event) => format!("{} {}", event.id(), event.what),
            other => format!("{other:?}"),
        })
    })
}

#[test]
fn a_watcher_sees_everything_once_and_in_order_and_then_waits() {
    let hub = hub();
    let mut stream = stream(&hub, 1);
    assert_eq!(poll(&mut stream), Poll::Pending);
    hub.take(0, ready(1));
    hub.take(0, ready(2));
    assert_eq!(poll(&mut stream), Poll::Ready(Some("3-1 the host is ready, 1 actors".to_owned())));
    assert_eq!(poll(&mut stream), Poll::Ready(Some("3-2 the host is ready, 2 actors".to_owned())));
    assert_eq!(poll(&mut stream), Poll::Pending);
}

#[test]
fn a_slow_watcher_is_told_how_many_events_it_missed() {
    let hub = hub();
    let mut stream = stream(&hub, 1);
    for number in 0..EVENTS_KEPT_MAX + 7 {
        hub.take(0, ready(number));
    }
    assert_eq!(poll(&mut stream), Poll::Ready(Some("Lagged(7)".to_owned())));
    assert_eq!(poll(&mut stream), Poll::Ready(Some("3-8 the host is ready, 7 actors".to_owned())));
}

#[test]
fn the_stream_ends_after_the_hosts_last_word_or_when_the_host_is_gone() {
    let hub = hub();
    let (mut told, mut left) = (stream(&hub, 1), stream(&hub, 3));
    hub.take(0, Happened::Stopping {});
    hub.take(0, ready(0));
    assert_eq!(poll(&mut told), Poll::Ready(Some("3-1 the host stops".to_owned())));
    assert_eq!(poll(&mut told), Poll::Ready(None));
    drop(hub);
    assert_eq!(poll(&mut left), Poll::Ready(None));
}

#[test]
fn a_filter_takes_what_is_about_its_actor_or_its_kind_and_the_hosts_own_words() {
    let addr = |text: &str| Addr::new(text).expect("an address");
    let stopped = |of: &str| Happened::Stopped { actor: addr(of), reason: String::new() };
    let by_actor = Filter { actor: Some(addr("counter/a")), kind: None };
    let by_kind = Filter { actor: None, kind: Some("counter".to_owned()) };
    let takes = |what: &Happened| (by_actor.takes(what), by_kind.takes(what));
    assert_eq!(takes(&stopped("counter/a")), (true, true));
    assert_eq!(takes(&stopped("counter/b")), (false, true));
    assert_eq!(takes(&stopped("probe/a")), (false, false));
    assert_eq!(takes(&ready(0)), (true, true));
}

#[test]
fn an_event_about_very_many_actors_is_one_that_every_watcher_can_read() {
    let name = |number: usize| Addr::new(&format!("counter/{number:0>500}")).expect("an address");
    let all: Vec<Addr> = (0..20_000).map(name).collect();
    let version = Version::new(1, 0, 0);
    let moves = all.iter().map(|actor| (actor.clone(), version.clone())).collect();
    let (who, why) = ("user x".to_owned(), "\u{1}".repeat(4 << 20));
    let begun = What::UpgradeBegun { upgrade: "up-1".to_owned(), who, why, moves };
    let outcomes = all.iter().map(|actor| (actor.clone(), "committed")).collect();
    let ended = What::UpgradeEnded { upgrade: "up-1".to_owned(), outcomes };
    let by_actor = Filter { actor: all.last().cloned(), kind: None };
    for what in [begun, ended] {
        let translate::Seen::Told(told) = translate::translate(&what) else { panic!("it is told") };
        let bytes = serde_json::to_vec(&told).expect("JSON").len();
        assert!(bytes < 1 << 20, "{bytes}");
        assert!(told.to_string().contains(" 20000 actors"), "{told}");
        assert!(by_actor.takes(&told), "who is not named may be meant");
    }
}
