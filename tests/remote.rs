//! Kinds on other machines: hosts on addresses of loopback of their own, real certificates, and networks that fail.

use crate::harness::hosted::{Hosted, Network};
use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Absent, Test, test};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(p40_a_kind_on_another_host_answers_as_one_in_process),
        test(p40_actors_with_a_state_move_between_versions_on_another_host),
        test(p41_an_expired_certificate_is_refused_by_name),
        test(p42_a_certificate_of_another_ca_is_refused),
        test(p43_a_half_open_connection_is_found),
        test(p44_a_host_that_comes_back_is_used_again),
        test(r22_a_host_lets_in_nobody_without_a_certificate_for_a_supervisor),
        test(two_hosts_in_network_namespaces_of_their_own_serve_one_address),
        test(what_is_said_of_a_kind_on_other_machines_and_cannot_be_is_refused_with_its_line),
    ]
}

fn modules(served: &Served) -> Vec<Value> {
    served.json(&["module", "list"]).as_array().expect("a list").clone()
}

/// The health of the member of each slot.
fn health(served: &Served) -> Vec<String> {
    let of = |module: &Value| module["members"][0]["health"].as_str().unwrap_or("none").to_owned();
    modules(served).iter().map(of).collect()
}

fn serves(health: &str) -> bool {
    health == "serving" || health == "slow_start"
}

fn all_serve(served: &Served, slots: usize) -> bool {
    let health = health(served);
    health.len() == slots && health.iter().all(|one| serves(one))
}

fn lives(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn start(served: &Served) {
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
}

fn total(served: &Served) -> Value {
    served.json(&["actor", "ask", "counter/a", "Get"])["reply"].clone()
}

/// Two hosts with counter 1.0.0, and their endpoints.
fn two(network: &Network) -> (Hosted, Hosted, Vec<String>) {
    network.put("shelf", "counter-v1");
    for (name, address) in [("one", "127.0.0.2"), ("two", "127.0.0.3")] {
        network.cert(&["issue", "host", address, "--ca", "ca", "-o", name]);
    }
    let (one, two) = (network.host("127.0.0.2", "one", "shelf"), network.host("127.0.0.3", "two", "shelf"));
    let endpoints = vec![one.at("127.0.0.2"), two.at("127.0.0.3")];
    (one, two, endpoints)
}

fn p40_a_kind_on_another_host_answers_as_one_in_process() {
    let network = Network::new();
    let (_one, _two, endpoints) = two(&network);
    let far = network.supervisor("supervisor", "counter", &endpoints, "instances = 1\nbalance = \"round-robin\"");
    let near = Served::new(&[]);
    for served in [&far, &near] {
        start(served);
    }
    until("both serve", || all_serve(&far, 2));
    let shown: Vec<Value> = modules(&far);
    let at: Vec<_> = shown.iter().filter_map(|module| module["endpoint"].as_str()).collect();
    assert_eq!(at, endpoints, "{shown:#?}");
    assert!(shown.iter().all(|module| module["place"] == "remote" && module["found"] == "endpoints"), "{shown:#?}");
    assert!(far.says(&["module", "show", "counter"]).contains(&endpoints[1]));
    for _ in 0..4 {
        assert_eq!(total(&far), total(&near));
    }
    // A version that its hosts have not is refused with what they have, before anybody pauses.
    for served in [&far, &near] {
        served.push(&["counter-v2"]);
    }
    let refused = far.run(&["upgrade", "apply", "counter/a", "--to", "2.0.0"]);
    let said = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("MOD-ABSENT") && said.contains("it has counter 1.0.0"), "{said}");
    assert_eq!(total(&far), json!({ "total": 5 }));
    network.put("shelf", "counter-v2");
    for served in [&far, &near] {
        let report = served.json(&["upgrade", "apply", "counter/a", "--to", "2.0.0", "--max-pause", "60s"]);
        assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
    }
    until("members of the new version serve", || {
        all_serve(&far, 2) && modules(&far).iter().all(|module| module["version"] == "2.0.0")
    });
    assert_eq!(total(&far), total(&near));
}

fn p40_actors_with_a_state_move_between_versions_on_another_host() {
    let network = Network::new();
    let (_one, _two, endpoints) = two(&network);
    network.put("shelf", "counter-v2");
    let served = network.supervisor("supervisor", "counter", &endpoints[..1], "");
    start(&served);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    assert_eq!(total(&served), json!({ "total": 8 }));
    served.push(&["counter-v2"]);
    let report = served.json(&["upgrade", "apply", "counter/a", "--to", "2.0.0", "--max-pause", "60s"]);
    assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 2}"#]);
    assert_eq!(total(&served), json!({ "total": 10, "additions": 1 }));
    assert_eq!(served.json(&["actor", "state", "counter/a"])["total"], 10);
    let pid = modules(&served)[0]["pid"].as_u64().expect("a process");
    let (desk, ended) = served.stop();
    assert!(ended.success());
    until("its process ends with its supervisor", || !lives(pid));
    // Its state was kept here.
    let served = Served::at(desk, &[]);
    assert_eq!(total(&served), json!({ "total": 10, "additions": 1 }));
}

fn p41_an_expired_certificate_is_refused_by_name() {
    let network = Network::new();
    let (one, _two, endpoints) = two(&network);
    // The first host shows one that is over.
    let port = one.kill();
    network.expired("ca", "127.0.0.2", ExtendedKeyUsagePurpose::ServerAuth);
    let _one = network.host_at(("127.0.0.2", port), ("ca/ca.pem", "127.0.0.2"), "shelf");
    let alone = network.supervisor("supervisor", "counter", &endpoints[..1], "instances = 1");
    alone.push(&["counter-v1"]);
    let start_it = ["actor", "start", "counter/a", "--version", "1.0.0", r#"{"total": 5}"#];
    let refused = alone.refuses(1, "MOD-CERT-EXPIRED", &start_it);
    assert!(refused.contains(&endpoints[0]) && refused.contains("it expired at 2020-02-01"), "{refused}");
    assert!(refused.contains("teneral cert issue host"), "{refused}");
    // Beside one that is good it is left out, and shown.
    let both = network.supervisor("supervisor", "counter", &endpoints, "instances = 1");
    start(&both);
    until("the other one serves", || health(&both).get(1).is_some_and(|health| serves(health)));
    assert_eq!(total(&both), json!({ "total": 5 }));
    let gone = modules(&both)[0]["gone"].as_str().unwrap_or_default().to_owned();
    assert!(gone.starts_with("[MOD-CERT-EXPIRED]"), "{gone}");
    // Renewed, it is let in without a restart of anybody.
    network.cert(&["issue", "host", "127.0.0.2", "--ca", "ca", "--replace"]);
    until("both serve", || all_serve(&both, 2));
    // And the other way round.
    network.expired("ca", "late", ExtendedKeyUsagePurpose::ClientAuth);
    let late = network.supervisor("late", "counter", &endpoints, "instances = 1");
    late.push(&["counter-v1"]);
    let refused = late.refuses(1, "MOD-CERT-REFUSED", &start_it);
    assert!(refused.contains("it is over"), "{refused}");
}

fn p42_a_certificate_of_another_ca_is_refused() {
    let network = Network::new();
    let (one, two, endpoints) = two(&network);
    network.cert(&["init", "other"]);
    network.cert(&["issue", "host", "127.0.0.2", "--ca", "other", "-o", "stranger"]);
    network.cert(&["issue", "host", "elsewhere.example", "--ca", "ca", "-o", "elsewhere"]);
    let (first, second) = (one.kill(), two.kill());
    let _one = network.host_at(("127.0.0.2", first), ("ca/ca.pem", "stranger"), "shelf");
    let _two = network.host_at(("127.0.0.3", second), ("ca/ca.pem", "elsewhere"), "shelf");
    let start_it = ["actor", "start", "counter/a", "--version", "1.0.0", r#"{"total": 5}"#];
    for (endpoint, code, says) in [
        (&endpoints[0], "MOD-CERT-CA", "an authority that is not believed here"),
        (&endpoints[1], "MOD-CERT-NAME", "elsewhere.example"),
    ] {
        let served = network.supervisor("supervisor", "counter", std::slice::from_ref(endpoint), "");
        served.push(&["counter-v1"]);
        let refused = served.refuses(1, code, &start_it);
        assert!(refused.contains(endpoint.as_str()) && refused.contains(says), "{refused}");
    }
    // And the other way round: a supervisor of another authority.
    network.cert(&["issue", "host", "127.0.0.4", "--ca", "ca", "-o", "four"]);
    network.cert(&["issue", "supervisor", "intruder", "--ca", "other"]);
    let good = network.host("127.0.0.4", "four", "shelf");
    let served = network.supervisor("intruder", "counter", &[good.at("127.0.0.4")], "");
    served.push(&["counter-v1"]);
    let refused = served.refuses(1, "MOD-CERT-REFUSED", &start_it);
    assert!(refused.contains("an authority that is not believed there"), "{refused}");
    assert!(good.log().contains("MOD-CERT-CA"), "{}", good.log());
}

/// Whether a network drops everything without a word.
#[derive(Default)]
struct Silence {
    is: Mutex<bool>,
    changed: Condvar,
}

impl Silence {
    fn set(&self, is: bool) {
        *self.is.lock().expect("nobody panics") = is;
        self.changed.notify_all();
    }

    fn is(&self) -> bool {
        *self.is.lock().expect("nobody panics")
    }

    fn over(&self) {
        drop(self.changed.wait_while(self.is.lock().expect("nobody panics"), |is| *is));
    }
}

/// Passes on what comes, until it is to drop everything without a word.
fn proxy(to: String) -> (u16, Arc<Silence>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let silent = Arc::new(Silence::default());
    let drops = Arc::clone(&silent);
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(there) = TcpStream::connect(&to) else { continue };
            let ends = [(from.try_clone(), there.try_clone()), (there.try_clone(), from.try_clone())];
            for (source, sink) in ends {
                let (Ok(source), Ok(sink)) = (source, sink) else { continue };
                let drops = Arc::clone(&drops);
                thread::spawn(move || passes(source, sink, &drops));
            }
        }
    });
    (port, silent)
}

fn passes(mut source: TcpStream, mut sink: TcpStream, drops: &Silence) {
    let mut bytes = [0; 16 << 10];
    let mut dropped = false;
    loop {
        let read = source.read(&mut bytes).unwrap_or(0);
        dropped |= drops.is();
        // What was dropped once can never be made up for, and an end is not told either.
        if dropped {
            if read == 0 {
                drops.over();
                break;
            }
        } else if read == 0 || sink.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = sink.shutdown(std::net::Shutdown::Both);
}

fn p43_a_half_open_connection_is_found() {
    let network = Network::new();
    let (one, _two, mut endpoints) = two(&network);
    let (port, silent) = proxy(format!("127.0.0.2:{}", one.port));
    network.cert(&["issue", "host", "127.0.0.2", "127.0.0.1", "--ca", "ca", "-o", "one", "--replace"]);
    endpoints[0] = format!("tcp:127.0.0.1:{port}");
    let served = network.supervisor("supervisor", "counter", &endpoints, "instances = 1\nidempotent = [\"Get\"]");
    start(&served);
    until("both serve", || all_serve(&served, 2));
    let pid = modules(&served)[0]["pid"].as_u64().expect("a process");
    // Nothing is under way, nobody hangs up, and every byte is acknowledged.
    silent.set(true);
    until("its member is gone", || health(&served)[0] == "gone");
    until("its host ends the process", || !lives(pid));
    for _ in 0..4 {
        assert_eq!(total(&served), json!({ "total": 5 }));
    }
    silent.set(false);
    until("both serve again", || all_serve(&served, 2));
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
}

fn p44_a_host_that_comes_back_is_used_again() {
    let network = Network::new();
    let (one, _two, endpoints) = two(&network);
    let served = network.supervisor("supervisor", "counter", &endpoints, "instances = 1\nidempotent = [\"Get\"]");
    start(&served);
    until("both serve", || all_serve(&served, 2));
    let port = one.kill();
    until("its member is gone", || health(&served)[0] == "gone");
    for _ in 0..4 {
        assert_eq!(total(&served), json!({ "total": 5 }));
    }
    until("it is said why", || {
        modules(&served)[0]["gone"].as_str().is_some_and(|gone| gone.starts_with("[MOD-UNREACHABLE]"))
    });
    let _one = network.host_at(("127.0.0.2", port), ("ca/ca.pem", "one"), "shelf");
    until("both serve again", || all_serve(&served, 2));
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
}

fn r22_a_host_lets_in_nobody_without_a_certificate_for_a_supervisor() {
    let network = Network::new();
    let (one, two, endpoints) = two(&network);
    let host = ["host", "--listen", "tcp:127.0.0.2:0", "--artifacts", "shelf"];
    let without = network.run(&host);
    assert_eq!(without.status.code(), Some(2), "{}", text(&without.stderr));
    // Who does not speak TLS is not answered.
    let mut plain = TcpStream::connect(("127.0.0.2", one.port)).expect("it listens");
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.len() < 16 && answer.first() != Some(&0), "an alert, and no frame: {answer:?}");
    // Who shows no certificate is let in by nobody; of a host's own the same.
    let connects = |client: rustls::ClientConfig| {
        let name = rustls::pki_types::ServerName::try_from("127.0.0.2").expect("a name");
        let tls = rustls::ClientConnection::new(Arc::new(client), name).expect("it fits");
        let tcp = TcpStream::connect(("127.0.0.2", one.port)).expect("it listens");
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        // The preface of HTTP/2, which a server answers with its settings.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").and_then(|()| {
            let mut first = [0; 9];
            stream.read_exact(&mut first)
        })
    };
    let config = || {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(network.path("ca/ca.pem")).expect("a certificate");
        roots.add(ca).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        config.expect("versions").with_root_certificates(roots)
    };
    let with_alpn = |mut config: rustls::ClientConfig| {
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    };
    let refused = connects(with_alpn(config().with_no_client_auth())).expect_err("nobody vouches for it");
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    let shows = |name: &str| {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let certificate = CertificateDer::from_pem_file(network.path(&format!("{name}.pem"))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(network.path(&format!("{name}.key"))).expect("a key");
        with_alpn(config().with_client_auth_cert(vec![certificate], key).expect("they fit"))
    };
    connects(shows("two")).expect_err("a host is no supervisor");
    connects(shows("supervisor")).expect("a supervisor is let in");
    until("each refusal is logged", || one.log().matches("is refused").count() >= 3);
    // And no supervisor goes there without.
    let served = Served::new(&[]);
    let desk = served.desk.path();
    let config = format!("[kinds.counter]\nplace = \"remote\"\nendpoints = {endpoints:?}\n");
    fs::write(desk.join("teneral.toml"), config).expect("it is ours");
    let shown = served.refuses(2, "CLI-CONFIG", &["config", "show"]);
    assert!(shown.contains("remote.ca, remote.cert and remote.key are needed"), "{shown}");
    drop(two);
}

/// A machine of its own on the network, as far as the kernel is concerned.
struct Namespace {
    name: String,
    address: String,
}

impl Namespace {
    fn new(number: u8) -> Option<Self> {
        let name = format!("tn{}-{number}", std::process::id());
        let (here, there) = (format!("tnh{}{number}", std::process::id() % 10_000), format!("tnt{number}"));
        let subnet = 10 + u32::from(number) + std::process::id() % 200;
        let (gateway, address) = (format!("10.213.{subnet}.1/30"), format!("10.213.{subnet}.2"));
        let own = Self { name: name.clone(), address: address.clone() };
        let inside = format!("{address}/30");
        let steps: [&[&str]; 6] = [
            &["netns", "add", &name],
            &["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &name],
            &["addr", "add", &gateway, "dev", &here],
            &["link", "set", &here, "up"],
            &["-n", &name, "addr", "add", &inside, "dev", &there],
            &["-n", &name, "link", "set", &there, "up"],
        ];
        let done = |step: &&[&str]| Command::new("ip").args(*step).output().is_ok_and(|done| done.status.success());
        steps.iter().all(done).then_some(own)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_teneral")]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its devices go with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn two_hosts_in_network_namespaces_of_their_own_serve_one_address() -> Result<(), Absent> {
    let (Some(first), Some(second)) = (Namespace::new(1), Namespace::new(2)) else {
        return Err(Absent("leave to make network namespaces"));
    };
    let network = Network::new();
    network.put("shelf", "counter-v1");
    let host = |space: &Namespace, name: &str| {
        network.cert(&["issue", "host", &space.address, "--ca", "ca", "-o", name]);
        network.launch(&mut space.command(), (&space.address, 0), ("ca/ca.pem", name), "shelf")
    };
    let (one, two) = (host(&first, "one"), host(&second, "two"));
    let endpoints = vec![one.at(&first.address), two.at(&second.address)];
    let served = network.supervisor("supervisor", "counter", &endpoints, "instances = 1\nidempotent = [\"Get\"]");
    start(&served);
    until("both serve", || all_serve(&served, 2));
    // The cable is pulled: no packet is answered any more, and nobody hangs up.
    let link = |how: &str| {
        let done = Command::new("ip").args(["-n", &first.name, "link", "set", "tnt1", how]).status();
        assert!(done.is_ok_and(|done| done.success()), "{how}");
    };
    link("down");
    until("its member is gone", || health(&served)[0] == "gone");
    assert_eq!(total(&served), json!({ "total": 5 }));
    link("up");
    until("both serve again", || all_serve(&served, 2));
    Ok(())
}

fn what_is_said_of_a_kind_on_other_machines_and_cannot_be_is_refused_with_its_line() {
    let network = Network::new();
    let served = Served::new(&[]);
    let refused = |kind: &str| {
        let at = |name: &str| network.path(name).display().to_string();
        let (ca, cert, key) = (at("ca/ca.pem"), at("supervisor.pem"), at("supervisor.key"));
        let remote = format!("[remote]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n");
        fs::write(served.desk.path().join("teneral.toml"), format!("{remote}[kinds.k]\n{kind}\n")).expect("ours");
        served.refuses(2, "CLI-CONFIG", &["config", "show"])
    };
    for (kind, says) in [
        ("place = \"remote\"", "kinds.k.endpoints does not say where"),
        ("endpoints = [\"tcp:a:1\"]", "teneral.toml:6:1"),
        ("place = \"process\"\nendpoints = [\"tcp:a:1\"]", "needs kinds.k.place = \"remote\""),
        ("place = \"remote\"\nendpoints = []", "it goes from 1 to 64"),
        ("place = \"remote\"\nendpoints = [\"a:1\"]", "it is neither unix:/a/path nor tcp:host:port"),
        ("place = \"remote\"\nendpoints = [\"unix:/a\"]", "which is on this machine"),
        ("place = \"remote\"\nendpoints = [\"tcp:a:1\", \"tcp:a:1\"]", "tcp:a:1 twice"),
        ("place = \"remote\"\nendpoints = [\"tcp:a:1\"]\ninstances = 2\nweights = [1, 2]", "has 2 of them, for 1"),
    ] {
        let shown = refused(kind);
        assert!(shown.contains(says), "{kind}: {shown}");
    }
    let config = "[remote]\nca = \"nowhere.pem\"\ncert = \"x.pem\"\nkey = \"x.key\"\n[kinds.k]\nplace = \"remote\"\n\
                  endpoints = [\"tcp:a:1\"]\n";
    fs::write(served.desk.path().join("teneral.toml"), config).expect("it is ours");
    let shown = served.refuses(2, "CLI-CONFIG", &["config", "show"]);
    assert!(shown.contains("nowhere.pem cannot be used as the authorities"), "{shown}");
}
