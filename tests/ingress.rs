//! A service without a program of its own: routes and grants in `teneral.toml`, real processes, real connections.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, free_port, test};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_request_is_an_ask_of_the_actor_that_it_names),
        test(a_request_that_cannot_be_meant_is_refused_with_a_status_and_a_code),
        test(a_route_to_a_kind_that_is_not_there_answers_503_until_it_is),
        test(at_its_bound_of_actors_a_host_makes_no_more_at_their_first_use),
        test(args_of_a_route_that_its_kind_does_not_read_are_the_hosts_fault_and_stand_in_its_log),
        test(what_an_actor_refuses_is_said_as_its_refusal_with_its_reason),
        test(head_is_get_without_a_body_and_options_says_what_a_path_takes),
        test(an_actor_that_is_paused_costs_its_callers_their_time_and_a_full_mailbox_is_tried_again),
        test(a_client_that_hangs_up_costs_nobody_else_and_what_it_told_is_handled_once),
        test(what_a_stranger_writes_or_causes_stays_in_the_log_on_its_line),
        test(an_order_to_an_actor_of_the_hosts_own_is_refused),
        test(what_is_wrong_with_routes_and_grants_is_said_with_its_lines),
        test(no_request_fails_while_its_actor_is_upgraded),
        test(r11_a_body_that_does_not_say_its_length_is_refused_at_the_bound),
        test(who_asks_while_an_actor_is_stopped_and_made_anew_is_served_or_told_to_try_again),
        test(a_caller_too_many_is_told_so_and_half_a_request_keeps_nobody_else),
        test(grants_in_the_configuration_are_what_actors_may_do),
        test(an_address_that_is_taken_is_said_and_no_state_is_used_up),
    ]
}

const ROUTES: &str = r#"
[[route]]
method = "GET"
path = "/counters/{name}"
kind = "counter"
key = "{name}"
message = "Get"

[[route]]
method = "POST"
path = "/counters/{name}"
kind = "counter"
key = "{name}"
message = "Add"
start = "on-first-use"
args = '{"total": 5}'

[[route]]
method = "POST"
path = "/counters/{name}/{amount}"
kind = "counter"
key = "{name}"
message = "Add"

[[route]]
method = "GET"
path = "/mine"
kind = "counter"
key = "header:x-customer"
message = "Get"
timeout = "10s"
"#;

/// One mistake a line.
const WRONG: &str = r#"[http]
listen = "here"
[[route]]
method = "get"
path = "x"
kind = "native"
key = "{a}"
timeot = 1
start = "always"
[grants.errand]
clok = true
file = { "/" = ["reed"] }
http-client = ["a b"]
"#;

/// A host with routes.
struct Shop {
    served: Served,
    port: u16,
}

/// An answer: status, head, body.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Shop {
    fn with(routes: &str, http: &str, packages: &[&str]) -> Self {
        let (desk, port) = (TempDir::with_prefix("teneral-ingress-").expect("a temporary directory"), free_port());
        let config = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n{http}\n{routes}");
        fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
        let served = Served::at(desk, &[]);
        served.push(packages);
        Self { served, port }
    }

    fn counters() -> Self {
        let shop = Self::with(ROUTES, "", &["counter-v1", "counter-v2"]);
        shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
        shop
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("it listens")
    }

    fn asks(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        request(&mut self.connect(), method, path, headers, body)
    }

    #[track_caller]
    fn refuses(&self, (method, path, headers, body): (&str, &str, &str, &str), status: u16, code: &str) -> Answer {
        let answer = self.asks(method, path, headers, body);
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{method} {path}: {}", answer.body);
        for part in ["what", "causes", "now", "hint"] {
            assert!(!answer.body[part].is_null(), "{method} {path} {part}: {}", answer.body);
        }
        answer
    }
}

fn request(stream: &mut TcpStream, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(head.as_bytes()).expect("it reads");
    answer(stream)
}

fn answer(stream: &mut TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("it answers") > 0, "an answer is whole: {head}");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: serde_json::from_slice(&body).expect("JSON") }
}

fn a_request_is_an_ask_of_the_actor_that_it_names() {
    let shop = Shop::counters();
    let added = shop.asks("POST", "/counters/ann", "", r#"{"amount": 3}"#);
    assert_eq!((added.status, added.body), (202, json!({ "accepted": true })));
    let total = shop.asks("GET", "/counters/ann", "x-request-id: mine-7\r\n", "");
    assert_eq!((total.status, &total.body), (200, &json!({ "total": 8 })), "it began with 5");
    assert!(total.head.contains("x-request-id: mine-7\r\n"), "{}", total.head);
    assert!(total.head.contains("content-type: application/json\r\n"), "{}", total.head);
    assert_eq!(shop.asks("POST", "/counters/ann/30", "", "").status, 202);
    assert_eq!(shop.asks("GET", "/mine", "x-customer: ann\r\n", "").body, json!({ "total": 38 }));
    // A name as it is written in a URL is that name at the terminal.
    assert_eq!(shop.asks("POST", "/counters/ada%2Bshop%40example.org", "", r#"{"amount": 1}"#).status, 202);
    let asked = shop.served.json(&["actor", "ask", "counter/ada+shop@example.org", "Get"]);
    assert_eq!(asked["reply"], json!({ "total": 6 }));
    let defined = shop.served.json(&["actor", "show", "counter/ann"]);
    assert_eq!(defined["desired"], "1.0.0", "it comes back with the host");
}

fn a_request_that_cannot_be_meant_is_refused_with_a_status_and_a_code() {
    let shop = Shop::with(ROUTES, "body_bytes_max = 1000", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    shop.refuses(("GET", "/nowhere", "", ""), 404, "HTTP-PATH");
    let wrong = shop.refuses(("DELETE", "/counters/ann", "", ""), 405, "HTTP-PATH");
    assert!(wrong.head.contains("allow: GET, HEAD, OPTIONS, POST\r\n"), "{}", wrong.head);
    let nobody = shop.refuses(("GET", "/counters/anne", "", ""), 404, "SYS-ACTOR");
    assert!(!nobody.body["hint"].as_str().is_some_and(|hint| hint.contains("ann")), "{}", nobody.body);
    shop.refuses(("GET", "/mine", "", ""), 400, "HTTP-REQUEST");
    shop.refuses(("GET", "/counters/%ff", "", ""), 400, "HTTP-REQUEST");
    shop.refuses(("GET", "/counters/a%00b", "", ""), 400, "SYS-ADDRESS");
    for key in ["a%20b", "a%2Fb", "a%E2%80%8Bb"] {
        let nobody = (&*format!("/counters/{key}"), r#"{"amount": 1}"#);
        shop.refuses(("POST", nobody.0, "", nobody.1), 400, "SYS-KEY");
    }
    shop.refuses(("POST", "/counters/ann", "", "{"), 400, "HTTP-REQUEST");
    shop.refuses(("POST", "/counters/ann", "", r#"{"amount": "three"}"#), 400, "SYS-JSON");
    shop.refuses(("POST", "/counters/ann/three", "", ""), 400, "HTTP-REQUEST");
    shop.refuses(("POST", "/counters/ann/3", "", r#"{"amount": 4}"#), 400, "HTTP-REQUEST");
    shop.refuses(("POST", "/counters/ann/3", "", "[3]"), 400, "HTTP-REQUEST");
    shop.refuses(("POST", "/counters/ann", "", &"x".repeat(1001)), 413, "CTL-LARGE");
    // Nothing of the control API is there.
    shop.refuses(("GET", "/v1/actors", "", ""), 404, "HTTP-PATH");
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 6 }));
}

fn a_route_to_a_kind_that_is_not_there_answers_503_until_it_is() {
    let shop = Shop::with(ROUTES, "", &[]);
    let missing = shop.refuses(("GET", "/counters/ann", "", ""), 503, "HTTP-ROUTE");
    assert!(missing.head.contains("retry-after: "), "{}", missing.head);
    assert!(missing.body["hint"].as_str().is_some_and(|hint| hint.contains("x-request-id")), "{}", missing.body);
    shop.refuses(("POST", "/counters/ann", "", r#"{"amount": 1}"#), 503, "SYS-KIND");
    shop.served.push(&["counter-v1"]);
    shop.refuses(("POST", "/counters/ann", "", r#"{"amount": 1}"#), 503, "SYS-DEFAULT");
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 6 }));
}

fn at_its_bound_of_actors_a_host_makes_no_more_at_their_first_use() {
    // The bound counts the host's own.
    let shop = Shop::with(&format!("{ROUTES}\n[limits]\nactors_max = 10\n"), "", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let add = |number: u32| shop.asks("POST", &format!("/counters/{number}"), "", r#"{"amount": 1}"#);
    let made = (0..11).take_while(|number| add(*number).status == 202).count();
    assert!((1..10).contains(&made), "{made}");
    let refused = shop.refuses(("POST", "/counters/one-more", "", r#"{"amount": 1}"#), 503, "SYS-ACTORS");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(add(0).status, 202, "who is there is served");
    assert_eq!(shop.served.json(&["actor", "list"]).as_array().map(Vec::len), Some(made));
    shop.served.says(&["actor", "stop", "counter/0"]);
    assert_eq!(add(100).status, 202, "there is room again");
}

fn args_of_a_route_that_its_kind_does_not_read_are_the_hosts_fault_and_stand_in_its_log() {
    let shop = Shop::with(&ROUTES.replace(r#"{"total": 5}"#, r#"{"totl": 5}"#), "", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let refused = shop.refuses(("POST", "/counters/ann", "", r#"{"amount": 1}"#), 500, "HTTP-ARGS");
    assert!(!refused.body.to_string().contains("totl"), "a stranger is told nothing of it: {}", refused.body);
    let log = shop.served.log();
    let line = log.lines().find(|line| line.contains("HTTP-ARGS") && line.contains("ERROR")).expect("it is said");
    for part in ["teneral.toml:12", "totl", "POST /counters/{name}"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(shop.served.json(&["actor", "list"]), json!([]), "nothing was made");
    // One that is there is asked all the same.
    shop.served.says(&["actor", "start", "counter/ann", r#"{"total": 1}"#]);
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 2 }));
}

const VILLAINS: &str = r#"
[[route]]
method = "GET"
path = "/villains/{name}"
kind = "villain"
key = "{name}"
message = "Count"

[[route]]
method = "PUT"
path = "/villains/{name}"
kind = "villain"
key = "{name}"
message = "Conspire"
start = "on-first-use"
args = '{"misdeeds": []}'
"#;

fn what_an_actor_refuses_is_said_as_its_refusal_with_its_reason() {
    let shop = Shop::with(VILLAINS, "", &["villain-v1"]);
    shop.served.says(&["kind", "set-default", "villain", "1.0.0"]);
    let plan = |how: &str| json!({ "misdeeds": [{ "at": "Handle", "how": how }] }).to_string();
    assert_eq!(shop.asks("PUT", "/villains/a", "", &plan("Fail")).status, 202);
    let refused = shop.refuses(("GET", "/villains/a", "", ""), 422, "HTTP-REFUSED");
    assert_eq!(refused.body["what"], "villain/a refused: refused, as planned");
    // One that breaks does not say no.
    assert_eq!(shop.asks("PUT", "/villains/b", "", &plan("Panic")).status, 202);
    shop.refuses(("GET", "/villains/b", "", ""), 502, "SYS-ASK");
}

/// The head of an answer after which its connection is closed, and whatever follows it.
fn closed(shop: &Shop, method: &str, path: &str) -> (String, String) {
    let mut stream = shop.connect();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn head_is_get_without_a_body_and_options_says_what_a_path_takes() {
    let shop = Shop::counters();
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 3}"#).status, 202);
    let (got, body) = closed(&shop, "GET", "/counters/ann");
    assert_eq!(body, r#"{"total":8}"#);
    let lines = |head: &str| -> Vec<String> {
        let own = |line: &&str| !line.starts_with("date:") && !line.starts_with("x-request-id:");
        head.lines().filter(own).map(str::to_owned).collect()
    };
    let (head, body) = closed(&shop, "HEAD", "/counters/ann");
    assert_eq!((lines(&head), body.as_str()), (lines(&got), ""), "the same head, and nothing after it");
    let (head, body) = closed(&shop, "HEAD", "/counters/nobody");
    assert!(head.starts_with("HTTP/1.1 404 ") && body.is_empty(), "{head}{body}");
    for (path, allow) in [("/counters/ann", "GET, HEAD, OPTIONS, POST"), ("/counters/ann/3", "OPTIONS, POST")] {
        let (head, body) = closed(&shop, "OPTIONS", path);
        assert!(head.starts_with("HTTP/1.1 204 ") && body.is_empty(), "{head}{body}");
        assert!(head.contains(&format!("allow: {allow}\r\n")), "{head}");
    }
    assert!(closed(&shop, "HEAD", "/counters/ann/3").0.starts_with("HTTP/1.1 405 "), "there is no GET to answer as");
    assert!(closed(&shop, "OPTIONS", "/nowhere").0.starts_with("HTTP/1.1 404 "));
}

fn an_actor_that_is_paused_costs_its_callers_their_time_and_a_full_mailbox_is_tried_again() {
    let routes = ROUTES.replace("message =", "timeout = \"200ms\"\nmessage =").replace("timeout = \"10s\"\n", "");
    let shop = Shop::with(&format!("{routes}\n[limits]\nmailbox_messages_max = 3\n"), "", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    // Its making takes as long as it takes.
    shop.served.says(&["actor", "start", "counter/ann", r#"{"total": 5}"#]);
    shop.served.says(&["actor", "pause", "counter/ann"]);
    shop.refuses(("GET", "/counters/ann", "", ""), 504, "SYS-ASK");
    let add = || shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#);
    let mut accepted = 0;
    let full = loop {
        let answer = add();
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted <= 3, "a mailbox is bounded");
    };
    assert_eq!((full.status, &full.body["code"]), (503, &json!("SYS-FULL")), "{}", full.body);
    assert!(full.head.contains("retry-after: 1\r\n"), "{}", full.head);
    let asked = shop.refuses(("GET", "/counters/ann", "", ""), 503, "SYS-ASK");
    assert!(asked.head.contains("retry-after: 1\r\n"), "{}", asked.head);
    shop.served.says(&["actor", "resume", "counter/ann"]);
    let total = json!({ "total": 5 + accepted });
    until("all that was accepted is handled", || shop.asks("GET", "/counters/ann", "", "").body == total);
    assert_eq!(add().status, 202, "there is room again");
}

fn a_client_that_hangs_up_costs_nobody_else_and_what_it_told_is_handled_once() {
    let shop = Shop::counters();
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    shop.served.says(&["actor", "pause", "counter/ann"]);
    let waiting = || shop.served.json(&["actor", "show", "counter/ann"])["queued_messages"].as_u64();
    let gone: Vec<TcpStream> = (0..3)
        .map(|number| {
            let mut stream = shop.connect();
            stream.write_all(b"GET /counters/ann HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
            until("it waits", || waiting() == Some(number + 1));
            stream
        })
        .collect();
    drop(gone);
    let mut half = shop.connect();
    half.write_all(b"POST /counters/ann HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"amo").expect("it reads");
    drop(half);
    let mut told = shop.connect();
    told.write_all(b"POST /counters/ann HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{\"amount\": 1}")
        .expect("it reads");
    until("it is told", || waiting() == Some(4));
    drop(told);
    shop.served.says(&["actor", "resume", "counter/ann"]);
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 7 }));
    let log = shop.served.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

fn what_a_stranger_writes_or_causes_stays_in_the_log_on_its_line() {
    let shop = Shop::counters();
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    shop.refuses(("POST", "/counters/ann", "", r#"{"a\nWARN forged": 1}"#), 400, "SYS-JSON");
    let log = shop.served.log();
    assert!(log.contains("forged") && !log.lines().any(|line| line.starts_with("WARN forged")), "{log}");
}

fn an_order_to_an_actor_of_the_hosts_own_is_refused() {
    let shop = Shop::counters();
    for verb in ["stop", "pause", "resume", "restart"] {
        shop.served.refuses(1, "SYS-OWN", &["actor", verb, "native/clock"]);
    }
    assert_eq!(shop.served.json(&["actor", "show", "native/clock"])["status"], "running");
}

fn what_is_wrong_with_routes_and_grants_is_said_with_its_lines() {
    let desk = TempDir::with_prefix("teneral-ingress-").expect("a temporary directory");
    let refused = |config: &str| {
        fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let output = command.args(["config", "show"]).current_dir(desk.path()).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    let twice = ROUTES.replace("{name}/{amount}", "{other}");
    let said =
        refused(&format!("[http]\nlisten = \"127.0.0.1:0\"\n{}", twice.replace("key = \"{name}\"", "key = \"k\"")));
    let line = "teneral.toml:20:1: POST /counters/{other} is written twice, first at teneral.toml:11: no request";
    assert!(said.contains(line), "{said}");
    assert!(refused(ROUTES).contains("there are routes, and http.listen does not say where they are"));
    let said = refused(WRONG);
    for part in [
        "teneral.toml:2:10: http.listen takes an address and a port",
        "teneral.toml:3:1: a route needs message",
        "teneral.toml:5:8: \"x\" is no path",
        "teneral.toml:8:1: no key route.timeot: did you mean timeout?",
        "teneral.toml:9:9: route.start cannot be always",
        "teneral.toml:11:1: no key grants.errand.clok: did you mean clock?",
        "teneral.toml:12:17: \"reed\" is nothing that is done with a file",
        "teneral.toml:13:16: \"a b\" is no host",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn no_request_fails_while_its_actor_is_upgraded() {
    const CUSTOMERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];
    let shop = Shop::counters();
    let (over, port) = (Arc::new(AtomicBool::new(false)), shop.port);
    let customers = CUSTOMERS.map(|name| {
        let (over, path) = (Arc::clone(&over), format!("/counters/{name}"));
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let mut requests = 0_i64;
            while !over.load(Ordering::Relaxed) {
                let added = request(&mut stream, "POST", &path, "", r#"{"amount": 1}"#);
                assert_eq!(added.status, 202, "{}", added.body);
                requests += 1;
                let total = request(&mut stream, "GET", &path, "", "");
                assert_eq!((total.status, &total.body["total"]), (200, &json!(5 + requests)), "{}", total.body);
            }
            requests
        })
    });
    let total = |name: &str| shop.asks("GET", &format!("/counters/{name}"), "", "").body["total"].as_i64().unwrap_or(0);
    let busy = |least: i64| CUSTOMERS.iter().all(|name| total(name) > least);
    until("customers come", || busy(20));
    let moved = shop.served.json(&["upgrade", "apply", "--max-pause", "60s", "counter", "--to", "2.0.0"]);
    let outcomes: Vec<&Value> = moved["actors"].as_array().expect("a list").iter().map(|a| &a["outcome"]).collect();
    assert_eq!(outcomes, ["committed"; 4], "{moved:#}");
    let then = CUSTOMERS.iter().map(|name| total(name)).max().unwrap_or(0);
    until("customers come on", || busy(then + 20));
    over.store(true, Ordering::Relaxed);
    for (customer, name) in customers.into_iter().zip(CUSTOMERS) {
        assert_eq!(5 + customer.join().expect("no request failed"), total(name), "{name}: each was added once");
    }
}

fn r11_a_body_that_does_not_say_its_length_is_refused_at_the_bound() {
    let shop = Shop::with(ROUTES, "body_bytes_max = 1000", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let chunked = |body: &str| {
        let mut stream = shop.connect();
        let head = "POST /counters/ann HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let request = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        stream.write_all(request.as_bytes()).expect("it reads");
        answer(&mut stream)
    };
    let within = format!("{}{}", r#"{"amount": 1}"#, " ".repeat(900));
    assert_eq!(chunked(&within).status, 202);
    let over = format!("{}{}", r#"{"amount": 1}"#, " ".repeat(1000));
    let refused = chunked(&over);
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("CTL-LARGE")), "{}", refused.body);
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 6 }));
}

fn who_asks_while_an_actor_is_stopped_and_made_anew_is_served_or_told_to_try_again() {
    let shop = Shop::counters();
    let (over, served) = (AtomicBool::new(false), &shop.served);
    std::thread::scope(|scope| {
        let customers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut stream, mut accepted) = (shop.connect(), 0);
                    while !over.load(Ordering::Relaxed) {
                        let added = request(&mut stream, "POST", "/counters/ann", "", r#"{"amount": 1}"#);
                        assert!([202, 503].contains(&added.status), "{}: {}", added.status, added.body);
                        assert_eq!(added.status == 503, added.head.contains("retry-after: "), "{}", added.head);
                        accepted += u32::from(added.status == 202);
                    }
                    accepted
                })
            })
            .collect();
        for _ in 0..30 {
            until("she is made", || served.run(&["actor", "show", "counter/ann"]).status.success());
            // Somebody may have made her anew before, and then she is stopped the next time.
            let stopped = served.run(&["actor", "stop", "counter/ann"]);
            assert!(
                stopped.status.success() || text(&stopped.stderr).contains("SYS-ACTOR"),
                "{}",
                text(&stopped.stderr)
            );
        }
        over.store(true, Ordering::Relaxed);
        for customer in customers {
            assert!(customer.join().expect("each answer was one of the two") > 0);
        }
    });
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    let ann = served.json(&["actor", "show", "counter/ann"]);
    assert_eq!((&ann["desired"], &ann["status"]), (&json!("1.0.0"), &json!("running")), "she comes back");
}

fn a_caller_too_many_is_told_so_and_half_a_request_keeps_nobody_else() {
    let shop = Shop::with(ROUTES, "connections_max = 2", &["counter-v1"]);
    shop.served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let mut half = shop.connect();
    half.write_all(b"POST /counters/ann HTTP/1.1\r\nhost: x\r\n").expect("it reads");
    let mut other = shop.connect();
    assert_eq!(request(&mut other, "POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    until("there is no room", || {
        let mut third = shop.connect();
        let answer = request(&mut third, "GET", "/counters/ann", "", "");
        answer.status == 503 && answer.body["code"] == "HTTP-BUSY"
    });
    drop(half);
    until("there is room again", || shop.asks("GET", "/counters/ann", "", "").status == 200);
}

fn grants_in_the_configuration_are_what_actors_may_do() {
    let desk = TempDir::with_prefix("teneral-ingress-").expect("a temporary directory");
    fs::create_dir(desk.path().join("logs")).expect("it is ours");
    fs::write(desk.path().join("logs/a.log"), "granted").expect("it is ours");
    fs::write(desk.path().join("other.log"), "not granted").expect("it is ours");
    let config = "[grants.errand]\nfile = { \"logs\" = [\"read\"] }\n";
    fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["errand-v1"]);
    served.says(&["actor", "start", "errand/a", "{}", "--version", "1.0.0"]);
    let base = served.desk.path().canonicalize().expect("it is there");
    for name in ["logs/a.log", "other.log"] {
        let read = json!({ "what": { "Read": { "path": base.join(name), "offset": 0, "bytes_max": 100 } },
            "timeout_ms": 60_000 });
        served.says(&["actor", "tell", "errand/a", "Do", &read.to_string()]);
    }
    let notes = || served.json(&["actor", "ask", "errand/a", "Look"])["reply"]["notes"].clone();
    until("both are answered", || notes().as_array().is_some_and(|notes| notes.len() == 2));
    let mut notes: Vec<String> = serde_json::from_value(notes()).expect("texts");
    notes.sort();
    assert_eq!(notes[1], "granted of 7");
    assert!(notes[0].starts_with("error: denied: errand may not read "), "{notes:?}");
}

fn an_address_that_is_taken_is_said_and_no_state_is_used_up() {
    let shop = Shop::counters();
    assert_eq!(shop.asks("POST", "/counters/ann", "", r#"{"amount": 1}"#).status, 202);
    let port = shop.port;
    let (desk, ended) = shop.served.stop();
    assert!(ended.success(), "{ended}");
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let mut again = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = again.arg("serve").current_dir(desk.path()).output().expect("the binary runs");
    assert!(text(&output.stderr).contains("error[HTTP-LISTEN]: "), "{}", text(&output.stderr));
    drop(taken);
    let shop = Shop { served: Served::at(desk, &[]), port };
    until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(shop.asks("GET", "/counters/ann", "", "").body, json!({ "total": 6 }));
}
