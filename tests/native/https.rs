//! `native/http-client` and TLS: a host that trusts one private CA, a real actor in it, and servers whose certificates
//! are good and bad.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, test};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_server_of_a_ca_of_ones_own_is_spoken_to_over_tls_and_every_other_one_is_refused_with_its_cause),
        test(a_file_of_cas_that_is_none_keeps_the_host_from_starting_with_its_cause),
    ]
}

/// A CA of a test's own.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn called(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("it signs").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn pem(&self) -> String {
        let lines = BASE64_STANDARD.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    }

    /// A server with a certificate for that name, changed like this; its port.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> u16 {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs").der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        let config = Arc::new(config.expect("a certificate and its key"));
        listening(move |stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a configuration that fits");
            // Whoever does not trust it ends the conversation.
            let _ = answered(StreamOwned::new(tls, stream));
        })
    }
}

/// Something that listens on a port of its own, for as long as the tests run.
fn listening(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

fn answered(stream: impl Read + Write) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 && !line.ends_with("\r\n\r\n") {}
    let path = line.split(' ').nth(1).unwrap_or_default();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{path}", path.len());
    stream.get_mut().write_all(answer.as_bytes())?;
    stream.get_mut().flush()
}

fn notes(served: &Served) -> Vec<String> {
    let reply = served.json(&["actor", "ask", "errand/a", "Look"])["reply"]["notes"].clone();
    serde_json::from_value(reply).expect("texts")
}

/// What the errand is told of a request.
fn outcome(served: &Served, url: &str) -> String {
    let before = notes(served).len();
    let fetch: Value = json!({ "method": "GET", "url": url, "headers": [], "body": [] });
    let asked = json!({ "what": { "Fetch": fetch }, "timeout_ms": 60_000 });
    served.says(&["actor", "tell", "errand/a", "Do", &asked.to_string()]);
    until("it is answered", || notes(served).len() > before);
    notes(served).pop().expect("the last one")
}

fn a_server_of_a_ca_of_ones_own_is_spoken_to_over_tls_and_every_other_one_is_refused_with_its_cause() {
    let [ours, theirs, forged] = ["ours", "theirs", "ours"].map(Authority::called);
    let good = ours.server("localhost", |_| {});
    let unknown = theirs.server("localhost", |_| {});
    let forged = forged.server("localhost", |_| {});
    let misnamed = ours.server("elsewhere.example", |_| {});
    let expired = ours.server("localhost", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    });
    let early = ours.server("localhost", |params| params.not_before = date_time_ymd(4000, 1, 1));
    let plain = listening(|mut stream| {
        // As a server without TLS does at what it cannot read; the client may have gone.
        let _ = stream.read(&mut [0; 8192]).and_then(|_| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let desk = TempDir::with_prefix("teneral-https-").expect("a temporary directory");
    fs::write(desk.path().join("ours.pem"), ours.pem()).expect("it is ours");
    let granted: Vec<String> = [good, unknown, forged, misnamed, expired, early, plain]
        .iter()
        .map(|port| format!("localhost:{port}"))
        .collect();
    // Relative to the file that says so.
    let config = format!("[http_client]\nca_file = \"ours.pem\"\n[grants.errand]\nhttp-client = {granted:?}\n");
    fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["errand-v1"]);
    served.says(&["actor", "start", "errand/a", "{}", "--version", "1.0.0"]);
    let url = |port: u16| format!("https://localhost:{port}/orders/7");
    assert_eq!(outcome(&served, &url(good)), "200 /orders/7");
    for (port, cause) in [
        (unknown, "the certificate of localhost is signed by a CA that this host does not trust"),
        (forged, "the certificate of localhost is not signed by the CA that it names"),
        (misnamed, "the certificate of localhost is for another name: "),
        (expired, "the certificate of localhost has expired: "),
        (early, "the certificate of localhost is not valid yet: "),
        (plain, "localhost does not speak TLS at this port: "),
    ] {
        let said = outcome(&served, &url(port));
        assert!(said.starts_with(&format!("error: the actor refused: {cause}")), "{cause}: {said}");
    }
    let misnamed = outcome(&served, &url(misnamed));
    assert!(misnamed.contains("elsewhere.example"), "it says for which: {misnamed}");
    assert_eq!(outcome(&served, &url(good)), "200 /orders/7", "who was refused takes nothing from who is trusted");
}

fn a_file_of_cas_that_is_none_keeps_the_host_from_starting_with_its_cause() {
    let desk = TempDir::with_prefix("teneral-https-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), "http_client.ca_file = \"ca.pem\"\n").expect("it is ours");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    for (content, cause) in [
        (None, "No such file or directory"),
        (Some(""), "no certificate is in it"),
        (Some(key), "no certificate is in it"),
        (Some(cut), "it is no PEM: "),
        (Some(junk), "certificate 1 is none: "),
    ] {
        if let Some(content) = content {
            fs::write(desk.path().join("ca.pem"), content).expect("it is ours");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let output = command.arg("serve").current_dir(desk.path()).output().expect("the binary runs");
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{said}");
        for part in ["error[NATIVE-CA]: ", "ca.pem", cause, "\n  hint:  "] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
