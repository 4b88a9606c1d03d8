//! The service of `supervisor/system/examples/carts.rs`: customers shop while its operator changes the carts' code.

use crate::harness::house::{Ending, until};
use crate::harness::{Test, libraries, test};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(customers_shop_on_without_one_failure_while_the_operator_moves_the_carts_up_and_down),
        test(a_service_answers_each_kind_of_failure_with_a_status_of_its_own),
        test(carts_are_there_again_when_the_service_was_stopped_and_started),
    ]
}

/// The service in a process of its own.
struct Shop {
    desk: TempDir,
    child: Child,
    address: String,
}

impl Shop {
    fn open(desk: TempDir) -> Self {
        let library = libraries::library("cart-v1");
        let mut command = Command::new(library.with_file_name("carts"));
        command.arg("127.0.0.1:0").arg(library).current_dir(desk.path()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("cargo has built it");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit('/').next().expect("an address").to_owned();
        Self { desk, child, address }
    }

    /// Status and body of the answer.
    fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(&self.address, method, path, body)
    }

    fn put(&self, customer: &str, pieces: u32) -> (u16, String) {
        let body = json!({ "item": "tea", "pieces": pieces }).to_string();
        self.http("POST", &format!("/carts/{customer}"), &body)
    }

    fn cart(&self, customer: &str) -> Value {
        let (status, body) = self.http("GET", &format!("/carts/{customer}"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    #[track_caller]
    fn operator(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let output = command.args(arguments).arg("--json").current_dir(self.desk.path()).env_remove("TENERAL_DIR");
        let output = output.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn stop(mut self, signal: &str) -> TempDir {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        assert!(self.child.wait().expect("it ends").success());
        std::mem::replace(&mut self.desk, TempDir::new().expect("a temporary directory"))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Ended already, where the test has stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn desk() -> TempDir {
    TempDir::with_prefix("teneral-carts-").expect("a temporary directory")
}

fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json");
    stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

fn customers_shop_on_without_one_failure_while_the_operator_moves_the_carts_up_and_down() {
    let shop = Shop::open(desk());
    let (over, put) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let closing = Ending(&over);
        // All of them begin with the same customers: a first visit has company.
        let customers = (0..4).map(|_| {
            scope.spawn(|| {
                let mut visits = 0u64;
                while !over.load(Ordering::Relaxed) {
                    let (status, body) = shop.put(&format!("c{}", visits % 8), 1);
                    assert_eq!(status, 200, "{body}");
                    put.fetch_add(1, Ordering::Relaxed);
                    visits += 1;
                }
            })
        });
        let customers: Vec<_> = customers.collect();
        let shopped = |more: u64| {
            let before = put.load(Ordering::Relaxed);
            until("customers shop", || {
                put.load(Ordering::Relaxed) >= before + more || customers.iter().any(|thread| thread.is_finished())
            });
        };
        shopped(40);
        shop.operator(&["artifact", "push", libraries::library("cart-v2").to_str().expect("a path that cargo prints")]);
        for (to, more) in [("2.0.0", &[][..]), ("1.0.0", &["--allow-downgrade"]), ("2.0.0", &[])] {
            // It ends with 0 when every cart has moved.
            shop.operator(&[&["upgrade", "apply", "cart", "--to", to], more].concat());
            shopped(40);
        }
        drop(closing);
        customers.into_iter().for_each(|thread| thread.join().expect("no customer was turned away"));
    });
    let carts = (0..8).map(|customer| shop.cart(&format!("c{customer}")));
    let (mut pieces, mut points) = (0, 0);
    for cart in carts {
        pieces += cart["items"]["tea"].as_u64().expect("pieces");
        points += cart["points"].as_u64().expect("2.0.0 counts points, and the service shows them as it is");
    }
    assert_eq!((pieces, points), (put.load(Ordering::Relaxed), pieces));
}

fn a_service_answers_each_kind_of_failure_with_a_status_of_its_own() {
    let shop = Shop::open(desk());
    assert_eq!(shop.put("ann", 2).0, 200);
    let (status, body) = shop.put("ann", 0);
    assert_eq!(status, 422);
    assert!(body.contains("error[SYS-ASK]") && body.contains("no pieces to put"), "{body}");
    let (status, body) = shop.put("no%2Fcustomer%00", 1);
    assert_eq!(status, 400, "{body}");
    shop.operator(&["actor", "pause", "cart/ann", "--max", "60s"]);
    let (status, body) = shop.put("ann", 1);
    assert_eq!(status, 503, "{body}");
    shop.operator(&["actor", "resume", "cart/ann"]);
}

fn carts_are_there_again_when_the_service_was_stopped_and_started() {
    let shop = Shop::open(desk());
    shop.put("ann", 2);
    shop.put("ben", 5);
    // By a person, and by whatever supervises services.
    let shop = Shop::open(shop.stop("-INT"));
    shop.put("ann", 1);
    let shop = Shop::open(shop.stop("-TERM"));
    assert_eq!(shop.cart("ann"), json!({ "items": { "tea": 3 } }));
    assert_eq!(shop.cart("ben"), json!({ "items": { "tea": 5 } }));
}
