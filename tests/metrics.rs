//! What Prometheus reads, as it reads it: over an address of its own, from a host that moves and stops actors.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, free_port, test};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(c6_what_is_counted_by_version_never_falls_and_misses_nothing_that_ended_in_order),
        test(figures_are_where_metrics_listen_says_and_nothing_else_is),
        test(an_address_for_metrics_that_is_taken_is_said_and_nothing_starts),
    ]
}

/// A host that is scraped.
struct Scraped {
    served: Served,
    port: u16,
}

impl Scraped {
    fn new() -> Self {
        let (desk, port) = (TempDir::with_prefix("teneral-metrics-").expect("a temporary directory"), free_port());
        let config = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
        fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
        let served = Served::at(desk, &[]);
        served.push(&["counter-v1", "counter-v2"]);
        served.says(&["kind", "set-default", "counter", "1.0.0"]);
        until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { served, port }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// Every sample by its name and labels; each line of the answer is one that Prometheus reads.
    fn samples(&self) -> BTreeMap<String, f64> {
        let answer = self.get("/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
        assert_eq!(body.lines().last(), Some("# EOF"), "{body}");
        let mut samples = BTreeMap::new();
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
        samples
    }
}

/// One sample of a version of `counter`; nothing where there is none.
fn of(samples: &BTreeMap<String, f64>, name: &str, version: &str, more: &str) -> f64 {
    let labels = format!("{name}{{kind=\"counter\",version=\"{version}\"{more}}}");
    samples.get(&labels).copied().unwrap_or(0.0)
}

fn c6_what_is_counted_by_version_never_falls_and_misses_nothing_that_ended_in_order() {
    let scraped = Scraped::new();
    let served = &scraped.served;
    let keys = ["counter/a", "counter/b", "counter/c"];
    keys.iter().for_each(|key| drop(served.json(&["actor", "start", key, &json!({ "total": 0 }).to_string()])));
    let add = |key: &str, times: u32| {
        (0..times).for_each(|_| drop(served.says(&["actor", "tell", key, "Add", r#"{"amount": 1}"#])));
        served.json(&["actor", "ask", key, "Get"]);
    };
    let ok = r#",end="ok""#;
    let mut before = scraped.samples();
    let mut look = |what: &str| {
        let now = scraped.samples();
        for (name, value) in before.iter().filter(|(name, _)| name.contains("_total{")) {
            let now = now.get(name).unwrap_or_else(|| panic!("{what}: {name} is gone"));
            assert!(now >= value, "{what}: {name} fell from {value} to {now}");
        }
        before.clone_from(&now);
        now
    };
    // Each Add is a turn, and so is the Get behind them.
    keys.iter().for_each(|key| add(key, 4));
    let now = look("all on one version");
    assert_eq!((of(&now, "teneral_actors", "1.0.0", ""), of(&now, "teneral_turns_total", "1.0.0", ok)), (3.0, 15.0));
    served.says(&["upgrade", "apply", "counter/a", "--to", "2.0.0", "--max-pause", "60s"]);
    add("counter/a", 2);
    let now = look("one has moved");
    assert_eq!((of(&now, "teneral_actors", "1.0.0", ""), of(&now, "teneral_actors", "2.0.0", "")), (2.0, 1.0));
    let turns = |now: &_| (of(now, "teneral_turns_total", "1.0.0", ok), of(now, "teneral_turns_total", "2.0.0", ok));
    assert_eq!(turns(&now), (15.0, 3.0));
    served.says(&["actor", "stop", "counter/b"]);
    let now = look("one is stopped");
    assert_eq!((of(&now, "teneral_actors", "1.0.0", ""), turns(&now)), (1.0, (15.0, 3.0)));
    let down = ["upgrade", "apply", "counter/a", "--to", "1.0.0", "--allow-downgrade", "--max-pause", "60s"];
    served.says(&down);
    add("counter/a", 1);
    let now = look("one is back");
    assert_eq!((of(&now, "teneral_actors", "2.0.0", ""), turns(&now)), (0.0, (17.0, 3.0)));
    // Nobody's name is a label, and what the actors say is nowhere.
    assert!(now.keys().all(|name| !name.contains("counter/")), "{now:#?}");
}

fn figures_are_where_metrics_listen_says_and_nothing_else_is() {
    let scraped = Scraped::new();
    assert_eq!(scraped.samples()["teneral_actors_down"], 0.0);
    let tcp = scraped.get("/v1/health");
    assert!(tcp.starts_with("HTTP/1.1 404 "), "{tcp}");
    let socket = scraped.served.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(socket.starts_with("HTTP/1.1 200 ") && socket.contains("\nteneral_actors_down 0\n"), "{socket}");
}

fn an_address_for_metrics_that_is_taken_is_said_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let desk = TempDir::with_prefix("teneral-metrics-").expect("a temporary directory");
    let address = taken.local_addr().expect("bound");
    fs::write(desk.path().join("teneral.toml"), format!("[metrics]\nlisten = \"{address}\"\n")).expect("it is ours");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = serve.arg("serve").current_dir(desk.path()).output().expect("the binary runs");
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("error[HTTP-LISTEN]: ") && said.contains(&address.to_string()), "{said}");
}
