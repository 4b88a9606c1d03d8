//! `native/http-client` against a server of the test's own, which is slow, large or gone when it is told to be.

use super::{errand, granted, notes, outcome, run, seen, tell};
use crate::harness::house::{House, until};
use crate::harness::{Test, test};
use errand_api::What;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use teneral_native_api::http::Fetch;

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_request_reaches_the_server_as_it_was_said_and_its_answer_the_asker),
        test(an_answer_under_way_reaches_the_version_that_runs_by_then),
        test(a_slow_server_costs_its_asker_the_time_that_it_gave),
        test(r11_an_answer_over_its_bound_is_refused),
        test(a_stop_with_requests_under_way_answers_whoever_waits),
        test(what_is_no_request_is_refused),
    ]
}

/// A server of one test: it says what it was asked, and answers when it is told what.
struct Server {
    port: u16,
    asked: Receiver<(String, Sender<Vec<u8>>)>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (say, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let say = say.clone();
                std::thread::spawn(move || serve(stream, &say));
            }
        });
        Self { port, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn house(&self) -> House {
        granted(|grant| grant.host(&format!("127.0.0.1:{}", self.port)))
    }

    /// The next request, and where to answer it.
    fn next(&self) -> (String, Sender<Vec<u8>>) {
        self.asked.recv_timeout(crate::harness::house::GENEROUS).expect("a request comes")
    }
}

/// One request a connection: its head and body are said, and what comes back is written as it is.
fn serve(mut stream: TcpStream, say: &Sender<(String, Sender<Vec<u8>>)>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut said, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
        said.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole body");
    said.push_str(&String::from_utf8_lossy(&body));
    let (answer, answered) = channel::<Vec<u8>>();
    if say.send((said, answer)).is_ok()
        && let Ok(bytes) = answered.recv()
    {
        // The client may have gone.
        let _ = stream.write_all(&bytes);
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

fn a_request_reaches_the_server_as_it_was_said_and_its_answer_the_asker() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    let fetch = Fetch::post(&server.url("/orders?of=7"), "one more").header("x-who", "errand");
    run(&house, &errand, What::Fetch(fetch));
    let (said, answer) = server.next();
    assert!(said.starts_with("POST /orders?of=7 HTTP/1.1\r\n"), "{said}");
    assert!(said.contains("x-who: errand\r\n"), "{said}");
    assert!(said.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{said}");
    assert!(said.ends_with("one more"), "{said}");
    answer.send(b"HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 4\r\n\r\ngone".to_vec()).expect("it waits");
    assert_eq!(notes(&house, &errand, 1), ["302 gone"], "a redirect is an answer");
}

fn an_answer_under_way_reaches_the_version_that_runs_by_then() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    run(&house, &errand, What::Fetch(Fetch::get(&server.url("/"))));
    let (_, answer) = server.next();
    house.moved("errand/a", "2.0.0");
    answer.send(ok("after all")).expect("it waits");
    assert_eq!(notes(&house, &errand, 1), ["200 after all"]);
    assert_eq!(seen(&house, &errand).version, "2.0.0");
}

fn a_slow_server_costs_its_asker_the_time_that_it_gave() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    let impatient = Fetch { timeout_ms: Some(50), ..Fetch::get(&server.url("/slow")) };
    run(&house, &errand, What::Fetch(impatient));
    let (_, held) = server.next();
    assert_eq!(notes(&house, &errand, 1), ["error: the actor refused: no whole answer within 50ms"]);
    tell(&house, &errand, What::Fetch(Fetch::get(&server.url("/slow"))), Duration::from_millis(50));
    let (_, held_too) = server.next();
    let second = notes(&house, &errand, 2).pop().expect("the second");
    assert!(second.starts_with("error: no answer within") || second.contains("no whole answer"), "{second}");
    // Others are served meanwhile.
    run(&house, &errand, What::Fetch(Fetch::get(&server.url("/quick"))));
    server.next().1.send(ok("quick")).expect("it waits");
    assert_eq!(notes(&house, &errand, 3)[2], "200 quick");
    drop((held, held_too));
}

fn r11_an_answer_over_its_bound_is_refused() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    let small = Fetch { body_bytes_max: Some(10), ..Fetch::get(&server.url("/")) };
    run(&house, &errand, What::Fetch(small));
    server.next().1.send(ok("eleven byte")).expect("it waits");
    assert_eq!(
        notes(&house, &errand, 1),
        ["error: the actor refused: the answer's body is over the limit of 10 bytes"]
    );
    // Larger than any message may be, whatever the actor would take, and never whole in memory.
    let greedy = Fetch { body_bytes_max: Some(u32::MAX), ..Fetch::get(&server.url("/")) };
    run(&house, &errand, What::Fetch(greedy));
    server.next().1.send(ok(&"x".repeat(2 << 20))).expect("it waits");
    assert!(notes(&house, &errand, 2)[1].contains("over the limit of"), "{:?}", notes(&house, &errand, 2));
}

fn a_stop_with_requests_under_way_answers_whoever_waits() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    run(&house, &errand, What::Fetch(Fetch::get(&server.url("/"))));
    let (_, held) = server.next();
    let client = house.system.actor("native/http-client").expect("it runs");
    house.block_on(client.stop("", Duration::from_secs(5))).expect("it stops in time");
    assert_eq!(notes(&house, &errand, 1), ["error: the actor stopped before it answered"]);
    drop(held);
    // The whole system stops with a request under way, and waits for no server.
    let house = server.house();
    let errand = super::errand(&house);
    run(&house, &errand, What::Fetch(Fetch::get(&server.url("/"))));
    let (_, held) = server.next();
    house.block_on(house.system.shutdown(Duration::from_secs(30)));
    until("it has stopped", || errand.is_stopped());
    drop(held);
}

fn what_is_no_request_is_refused() {
    let server = Server::new();
    let house = server.house();
    let errand = errand(&house);
    let url = server.url("/");
    for (fetch, said) in [
        (Fetch::get("file:///etc/passwd"), "is no URL"),
        (Fetch::get("no url at all"), "is no URL"),
        (Fetch::with("GE T", &url, Vec::new()), "invalid HTTP method"),
        (Fetch::with("CONNECT", &url, Vec::new()), "CONNECT"),
        (Fetch::get(&url).header("host", "elsewhere"), "the client's own"),
        (Fetch::get(&url).header("x-two", "a\r\nx-smuggled: b"), "failed to parse header value"),
        (
            Fetch::get(&format!("http://127.0.0.1:{}@10.0.0.1/", server.port)),
            "denied: errand may not speak to 10.0.0.1",
        ),
        (Fetch::get("http://127.0.0.1:1/"), "denied: errand may not speak to 127.0.0.1:1"),
    ] {
        let note = outcome(&house, &errand, What::Fetch(fetch));
        assert!(note.starts_with("error: ") && note.contains(said), "{said}: {note}");
    }
    // Granted, and nobody is there.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let house = granted(|grant| grant.host(&format!("127.0.0.1:{nobody}")));
    let errand = super::errand(&house);
    let note = outcome(&house, &errand, What::Fetch(Fetch::get(&format!("http://127.0.0.1:{nobody}/"))));
    assert!(note.contains("Connection refused"), "{note}");
}
