//! Where endpoints are: lists, files that somebody replaces, a real DNS server, and who registered.
#![forbid(unsafe_code)]

use futures_util::StreamExt;
use hickory_server::Server;
use hickory_server::proto::rr::rdata::{SOA, SRV};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType, RrKey};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use semver::Version;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use teneral_remote::discover::{
    Bounds, Discover, DiscoverError, Dns, Endpoint, EndpointSet, Leases, NONCE_BYTES, Registration, Registry, Seen,
    Sets, Static, Watched,
};
use teneral_runtime::clock::Sleeper;
use teneral_runtime::{Clock, ManualClock, Moment};
use tokio::net::UdpSocket;

/// For what is to come soon.
const SOON: Duration = Duration::from_secs(30);

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("it is one")
}

fn set(endpoints: &[(&str, u32)]) -> EndpointSet {
    let endpoints = endpoints.iter().map(|(text, weight)| (endpoint(text), *weight));
    EndpointSet::new(endpoints, 100).expect("they are few")
}

async fn next(sets: &mut Sets) -> Seen {
    tokio::time::timeout(SOON, sets.next()).await.expect("it is said soon").expect("it does not end")
}

/// Nothing is said for the moment.
async fn is_silent(sets: &mut Sets) -> bool {
    tokio::time::timeout(Duration::from_millis(300), sets.next()).await.is_err()
}

#[test]
fn an_endpoint_is_a_path_or_a_port_of_a_host_and_what_is_neither_is_refused_with_the_reason() {
    for good in ["unix:/run/a.sock", "tcp:localhost:1", "tcp:10.0.0.1:65535", "tcp:[::1]:7001", "tcp:_a.b-c:7"] {
        assert_eq!(endpoint(good).as_str(), good);
    }
    let long = format!("unix:/{}", "a".repeat(107));
    for (bad, why) in [
        ("", "neither"),
        ("run/a.sock", "neither"),
        ("unix:run/a.sock", "absolute"),
        (&*long, "107 bytes"),
        ("tcp:localhost", "neither"),
        ("tcp::7", "no name"),
        ("tcp:a b:7", "no name"),
        ("tcp:[::x]:7", "no name"),
        ("tcp:a:0", "port"),
        ("tcp:a:65536", "port"),
    ] {
        let refused = bad.parse::<Endpoint>().expect_err(bad);
        assert!(refused.to_string().contains(why), "{bad}: {refused}");
        assert_eq!(refused.code(), "MOD-ENDPOINT");
    }
}

#[tokio::test]
async fn a_list_that_is_written_down_is_said_once() {
    let list = set(&[("tcp:a:1", 1), ("tcp:b:2", 3)]);
    let mut sets = Box::new(Static(list.clone())).sets();
    assert_eq!(next(&mut sets).await, Seen::Set(list));
    assert!(is_silent(&mut sets).await);
    let many = EndpointSet::new([("tcp:a:1", 1), ("tcp:b:2", 1)].map(|(at, weight)| (endpoint(at), weight)), 1);
    assert_eq!(many, Err(DiscoverError::TooMany { endpoints_max: 1 }));
}

/// Puts a file in place of another, as it should be done.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("it is ours");
    fs::rename(&beside, path).expect("it is ours");
}

fn watched(path: &Path, bounds: Bounds) -> Sets {
    Box::new(Watched::new(path, bounds).every(Duration::from_millis(5))).sets()
}

#[track_caller]
fn is_unknown(seen: Seen, why: &str) {
    match seen {
        Seen::Unknown(error @ DiscoverError::List { .. }) => assert!(error.to_string().contains(why), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn p24_a_file_that_is_replaced_is_taken_and_one_that_is_broken_keeps_the_set_before() {
    let desk = TempDir::new().expect("a directory");
    let path = desk.path().join("parsers.toml");
    let mut sets = watched(&path, Bounds { file_bytes_max: 200, endpoints_max: 2 });
    is_unknown(next(&mut sets).await, "No such file");
    replace(&path, "[[endpoint]]\nat = \"tcp:a:1\"\n");
    assert_eq!(next(&mut sets).await, Seen::Set(set(&[("tcp:a:1", 1)])));
    replace(&path, "[[endpoint]]\nat = \"tcp:b:2\"\nweight = 5\n[[endpoint]]\nat = \"unix:/run/c\"\n");
    let both = set(&[("tcp:b:2", 5), ("unix:/run/c", 1)]);
    assert_eq!(next(&mut sets).await, Seen::Set(both.clone()));
    for (text, why) in [
        ("[[endpoint]]\nat = \"tcp:", "line 2"),
        ("[[endpoint]]\nat = \"tcp:a\"\n", "endpoint 1: \"tcp:a\" is no endpoint"),
        ("[[endpoint]]\nat = \"tcp:a:1\"\nwaight = 1\n", "waight"),
        ("[[endpoint]]\nat = \"tcp:a:1\"\nweight = -1\n", "weight"),
        (&*"# long\n".repeat(40), "more than 200 bytes"),
        (
            "[[endpoint]]\nat = \"tcp:a:1\"\n[[endpoint]]\nat = \"tcp:a:2\"\n[[endpoint]]\nat = \"tcp:a:3\"\n",
            "more than 2",
        ),
    ] {
        replace(&path, text);
        is_unknown(next(&mut sets).await, why);
    }
    assert!(is_silent(&mut sets).await, "it is said once");
    replace(&path, "[[endpoint]]\nat = \"tcp:b:2\"\nweight = 5\n[[endpoint]]\nat = \"unix:/run/c\"\n");
    assert_eq!(next(&mut sets).await, Seen::Set(both), "it is well again: the set that stood all the time");
    replace(&path, "# nobody\n");
    assert_eq!(next(&mut sets).await, Seen::Set(EndpointSet::default()), "a list of nobody is a list");
    fs::remove_file(&path).expect("it is ours");
    is_unknown(next(&mut sets).await, "No such file");
    fs::create_dir(&path).expect("it is ours");
    is_unknown(next(&mut sets).await, "no file");
}

#[tokio::test]
async fn p24_json_is_read_where_the_name_says_so_and_two_writes_within_one_tick_are_told_apart() {
    let desk = TempDir::new().expect("a directory");
    let path = desk.path().join("parsers.json");
    fs::write(&path, r#"{"endpoint": [{"at": "tcp:a:1"}]}"#).expect("it is ours");
    let mut sets = watched(&path, Bounds::standard());
    assert_eq!(next(&mut sets).await, Seen::Set(set(&[("tcp:a:1", 1)])));
    let modified = fs::metadata(&path).and_then(|of| of.modified()).expect("it has one");
    let beside = path.with_extension("new");
    fs::write(&beside, r#"{"endpoint": [{"at": "tcp:b:1"}]}"#).expect("it is ours");
    let file = fs::File::options().append(true).open(&beside).expect("it is ours");
    file.set_modified(modified).expect("it is ours");
    fs::rename(&beside, &path).expect("it is ours");
    assert_eq!(next(&mut sets).await, Seen::Set(set(&[("tcp:b:1", 1)])), "of the same size, at the same time");
    replace(&path, r#"{"endpoint": [{"at": "tcp:b:1"}"#);
    is_unknown(next(&mut sets).await, "line 1");
}

/// A zone on a name server of its own.
struct Zone {
    handler: Arc<InMemoryZoneHandler>,
    at: SocketAddr,
    server: Server<Catalog>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("it is one")
}

const SERVICE: &str = "_parser._tcp.example.";

impl Zone {
    async fn serves(at: SocketAddr) -> Self {
        let origin = name("example.");
        let handler = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(name("ns.example."), name("who.example."), 1, 60, 60, 60, 1);
        assert!(handler.upsert(Record::from_rdata(origin.clone(), 1, RData::SOA(soa)), 1).await);
        let handler = Arc::new(handler);
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::new(&origin), vec![handler.clone()]);
        let socket = UdpSocket::bind(at).await.expect("the port is free");
        let at = socket.local_addr().expect("it has one");
        let mut server = Server::new(catalog);
        server.register_socket(socket);
        Self { handler, at, server }
    }

    /// Replaces the records by these: priority, weight, port, target.
    async fn has(&self, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        self.handler.records_mut().await.remove(&RrKey::new(LowerName::new(&name(SERVICE)), RecordType::SRV));
        for (priority, weight, port, target) in records {
            let srv = SRV::new(*priority, *weight, *port, name(target));
            let record = Record::from_rdata(name(SERVICE), ttl, RData::SRV(srv));
            assert!(self.handler.upsert(record, 1).await);
        }
    }

    fn asked(&self) -> Sets {
        Box::new(Dns::by(SERVICE, &[self.at], Bounds::standard()).expect("it is a name")).sets()
    }

    async fn ends(mut self) -> SocketAddr {
        self.server.shutdown_gracefully().await.expect("it ends");
        self.at
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn p25_srv_records_are_endpoints_and_asked_for_again_when_their_time_is_over() {
    let zone = Zone::serves(any_port()).await;
    zone.has(2, &[(10, 60, 7001, "a.example."), (10, 20, 7002, "b.example."), (20, 1, 7003, "far.example.")]).await;
    let mut sets = zone.asked();
    let near = set(&[("tcp:a.example:7001", 60), ("tcp:b.example:7002", 20)]);
    assert_eq!(next(&mut sets).await, Seen::Set(near), "of the priorities the lowest");
    let told = Instant::now();
    zone.has(2, &[(10, 6000, 7001, "a.example."), (10, 60000, 7009, "c.example.")]).await;
    let scaled = set(&[("tcp:a.example:7001", 10), ("tcp:c.example:7009", 100)]);
    assert_eq!(next(&mut sets).await, Seen::Set(scaled));
    assert!(
        told.elapsed() >= Duration::from_millis(1900),
        "an answer is good as long as it says: {:?}",
        told.elapsed()
    );
    zone.ends().await;
}

#[tokio::test]
async fn p25_a_name_server_that_is_silent_keeps_the_set_before_and_one_that_says_that_there_is_none_does_not() {
    let zone = Zone::serves(any_port()).await;
    zone.has(1, &[(1, 0, 7001, "a.example.")]).await;
    let mut sets = zone.asked();
    let one = set(&[("tcp:a.example:7001", 1)]);
    assert_eq!(next(&mut sets).await, Seen::Set(one.clone()), "a weight of nothing is the least there is");
    let at = zone.ends().await;
    match next(&mut sets).await {
        Seen::Unknown(error @ DiscoverError::Dns { .. }) => assert_eq!(error.code(), "MOD-DNS"),
        other => panic!("{other:?}"),
    }
    let zone = Zone::serves(at).await;
    zone.has(1, &[(1, 0, 7001, "a.example.")]).await;
    assert_eq!(next(&mut sets).await, Seen::Set(one.clone()), "it is there again");
    zone.has(1, &[]).await;
    let none = Seen::Nobody(DiscoverError::NoName { name: SERVICE.to_owned() });
    assert_eq!(next(&mut sets).await, none, "NXDOMAIN is an answer");
    zone.has(1, &[(1, 0, 7001, "a.example.")]).await;
    assert_eq!(next(&mut sets).await, Seen::Set(one));
    zone.has(1, &[(0, 0, 0, ".")]).await;
    assert_eq!(next(&mut sets).await, none, "decidedly not available, as RFC 2782 has it");
    zone.ends().await;
    assert!(matches!(Dns::by("", &[at], Bounds::standard()).err(), Some(DiscoverError::Dns { .. })));
}

fn registration(at: &str, nonce: u8) -> Registration {
    Registration {
        endpoint: endpoint(at),
        kind: "parser".to_owned(),
        version: Version::new(1, 0, 0),
        digest: None,
        weight: 1,
        nonce: [nonce; NONCE_BYTES],
    }
}

const LEASE: Duration = Duration::from_secs(10);

#[test]
fn p26_a_lease_that_is_not_renewed_is_over_and_only_who_has_it_renews_or_ends_it() {
    let seconds = Duration::from_secs;
    let mut registry = Registry::new(LEASE, 2);
    let parsers = |registry: &Registry, at| registry.of("parser", None, at);
    assert_eq!(registry.register(registration("tcp:a:1", 1), seconds(0)), Ok(LEASE));
    assert_eq!(registry.register(registration("tcp:b:1", 2), seconds(5)), Ok(LEASE));
    let (a, b) = (endpoint("tcp:a:1"), endpoint("tcp:b:1"));
    let taken = Err(DiscoverError::Taken { endpoint: a.clone() });
    assert_eq!(registry.register(registration("tcp:a:1", 3), seconds(5)), taken);
    let lost = Err(DiscoverError::Lost { endpoint: a.clone() });
    assert_eq!(registry.renew(&a, &[3; NONCE_BYTES], seconds(5)), lost);
    assert_eq!(registry.leave(&a, &[3; NONCE_BYTES], seconds(5)), lost.clone().map(drop));
    let many = Err(DiscoverError::TooMany { endpoints_max: 2 });
    assert_eq!(registry.register(registration("tcp:c:1", 3), seconds(9)), many);
    assert_eq!(parsers(&registry, seconds(9)).len(), 2);
    assert_eq!(registry.renew(&b, &[2; NONCE_BYTES], seconds(9)), Ok(LEASE));
    assert_eq!(registry.next_end(), Some(seconds(10)));
    assert_eq!(parsers(&registry, seconds(10)), set(&[("tcp:b:1", 1)]), "ten seconds are over");
    assert_eq!(registry.renew(&a, &[1; NONCE_BYTES], seconds(10)), lost, "too late");
    assert_eq!(registry.register(registration("tcp:a:1", 3), seconds(11)), Ok(LEASE), "it is free");
    assert_eq!(registry.of("parser", Some(&Version::new(2, 0, 0)), seconds(12)).len(), 0);
    assert_eq!(registry.of("lexer", None, seconds(12)).len(), 0);
    assert_eq!(registry.leave(&b, &[2; NONCE_BYTES], seconds(12)), Ok(()));
    assert_eq!(registry.all(seconds(12)).map(|leased| leased.until).collect::<Vec<_>>(), [seconds(21)]);
}

#[tokio::test]
async fn p26_who_registers_is_said_and_who_leaves_or_does_not_renew_is_said_to_be_gone() {
    let lease = Duration::from_millis(500);
    let leases = Leases::new(lease, 10, teneral_runtime::SystemClock::new());
    let mut sets = Box::new(leases.of("parser", None)).sets();
    assert_eq!(next(&mut sets).await, Seen::Set(EndpointSet::default()));
    leases.register(registration("tcp:a:1", 1)).expect("it is free");
    assert_eq!(next(&mut sets).await, Seen::Set(set(&[("tcp:a:1", 1)])));
    leases.leave(&endpoint("tcp:a:1"), &[1; NONCE_BYTES]).expect("it is its own");
    assert_eq!(next(&mut sets).await, Seen::Set(EndpointSet::default()));
    leases.register(registration("tcp:a:1", 1)).expect("it is free");
    assert_eq!(next(&mut sets).await, Seen::Set(set(&[("tcp:a:1", 1)])));
    assert_eq!(next(&mut sets).await, Seen::Set(EndpointSet::default()), "nobody renewed it");
    assert_eq!(leases.all(), []);
}

/// A clock whose wall somebody sets.
#[derive(Debug)]
struct Jumps {
    steady: Arc<ManualClock>,
    wall_ns: AtomicU64,
}

impl Clock for Jumps {
    fn now(&self) -> Moment {
        self.steady.now()
    }

    fn wall_ns(&self) -> u64 {
        self.wall_ns.load(Ordering::Relaxed)
    }

    fn sleeper(&self) -> Sleeper {
        self.steady.sleeper()
    }

    fn sleep(&self, sleeper: &Sleeper, until: Option<Moment>) {
        self.steady.sleep(sleeper, until);
    }
}

#[test]
fn p26_a_wall_clock_that_jumps_an_hour_changes_nothing() {
    const HOUR_NS: u64 = 3600 * 1_000_000_000;
    let steady = ManualClock::new();
    let clock = Arc::new(Jumps { steady: steady.clone(), wall_ns: AtomicU64::new(100 * HOUR_NS) });
    let leases = Leases::new(LEASE, 10, clock.clone());
    leases.register(registration("tcp:a:1", 1)).expect("it is free");
    for hour in [101, 99] {
        clock.wall_ns.store(hour * HOUR_NS, Ordering::Relaxed);
        assert_eq!(leases.all().len(), 1, "{hour}");
        leases.renew(&endpoint("tcp:a:1"), &[1; NONCE_BYTES]).expect("it holds");
    }
    steady.advance(LEASE);
    assert_eq!(leases.all().len(), 0, "ten seconds are ten seconds, whatever the wall says");
}
