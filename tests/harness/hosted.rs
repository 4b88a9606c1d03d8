//! Hosts of modules on "other machines": `teneral host` on addresses of loopback of their own, and a supervisor's
//! certificate for them.

use super::house::until;
use super::libraries;
use super::served::{Served, text};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// An authority, certificates for hosts and a supervisor, and a shelf of artifacts.
pub(crate) struct Network {
    pub(crate) desk: TempDir,
    logs: AtomicUsize,
}

/// `teneral host`, which ends with this.
pub(crate) struct Hosted {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Network {
    /// One authority, which has signed `supervisor` and nobody else.
    pub(crate) fn new() -> Self {
        let desk = TempDir::with_prefix("teneral-network-").expect("a temporary directory");
        let network = Self { desk, logs: AtomicUsize::new(0) };
        network.cert(&["init", "ca"]);
        network.cert(&["issue", "supervisor", "supervisor", "--ca", "ca"]);
        fs::create_dir(network.path("shelf")).expect("it is ours");
        network
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    #[track_caller]
    pub(crate) fn cert(&self, arguments: &[&str]) {
        let done = self.run(&[&["cert"], arguments].concat());
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        command.args(arguments).current_dir(self.desk.path()).output().expect("the binary runs")
    }

    /// A certificate that the authority of that directory has signed for a host or a supervisor, which is over.
    pub(crate) fn expired(&self, ca: &str, name: &str, usage: ExtendedKeyUsagePurpose) {
        let read = |name: &str| fs::read(self.path(ca).join(name)).expect("it is ours");
        let key = PrivateKeyDer::from_pem_slice(&read("ca.key")).expect("a key");
        let key = KeyPair::try_from(&key).expect("a key");
        let certificate = CertificateDer::from_pem_slice(&read("ca.pem")).expect("a certificate");
        let issuer = Issuer::from_ca_cert_der(&certificate, key).expect("an authority");
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        params.extended_key_usages = vec![usage];
        let signed = params.signed_by(&own, &issuer).expect("it signs");
        self.write(&format!("{name}.pem"), "CERTIFICATE", signed.der());
        self.write(&format!("{name}.key"), "PRIVATE KEY", own.serialized_der());
    }

    fn write(&self, name: &str, label: &str, der: &[u8]) {
        use base64::Engine;
        let lines = base64::prelude::BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n");
        fs::write(self.path(name), pem).expect("it is ours");
    }

    /// Puts an artifact onto the shelf of all hosts, or of one.
    pub(crate) fn put(&self, shelf: &str, package: &str) {
        let from = libraries::library(package);
        let to = self.path(shelf);
        fs::create_dir_all(&to).expect("it is ours");
        fs::copy(from, to.join(from.file_name().expect("a name"))).expect("it copies");
    }

    /// A host at that address, which shows the certificate of that name, and has what is on that shelf.
    pub(crate) fn host(&self, address: &str, certificate: &str, shelf: &str) -> Hosted {
        self.host_at((address, 0), ("ca/ca.pem", certificate), shelf)
    }

    /// The same at a port, with supervisors whom that authority has signed.
    pub(crate) fn host_at(&self, (address, port): (&str, u16), (ca, cert): (&str, &str), shelf: &str) -> Hosted {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        self.launch(&mut command, (address, port), (ca, cert), shelf)
    }

    /// The same by a command that runs it somewhere else.
    pub(crate) fn launch(
        &self,
        command: &mut Command,
        (address, port): (&str, u16),
        (ca, cert): (&str, &str),
        shelf: &str,
    ) -> Hosted {
        let number = self.logs.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("host-{number}.log"));
        let (certificate, key) = (format!("{cert}.pem"), format!("{cert}.key"));
        let child = command
            .args(["host", "--listen", &format!("tcp:{address}:{port}"), "--artifacts", shelf])
            .args(["--tls-ca", ca, "--tls-cert", &certificate, "--tls-key", &key])
            .args(["--dir", &format!("host-{number}"), "--ping-every", "2s", "--ping-timeout", "4s"])
            .current_dir(self.desk.path())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("it is ours"))
            .spawn()
            .expect("the binary runs");
        let mut hosted = Hosted { child, log, port };
        let start = format!("listen=tcp:{address}:");
        until("it listens", || {
            assert!(hosted.child.try_wait().expect("it is ours").is_none(), "{}", hosted.log());
            let log = hosted.log();
            let listens = log.lines().find_map(|line| line.split_once(&start));
            let port = listens.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            port.map(|port| hosted.port = port).is_some()
        });
        hosted
    }

    /// A supervisor that shows the certificate of that name, and has a kind at these endpoints.
    pub(crate) fn supervisor(&self, certificate: &str, kind: &str, endpoints: &[String], more: &str) -> Served {
        let desk = TempDir::with_prefix("teneral-remote-").expect("a temporary directory");
        self.configure(desk.path(), certificate, (kind, endpoints), more);
        Served::at(desk, &[])
    }

    /// Writes the configuration of such a one.
    pub(crate) fn configure(&self, desk: &Path, cert: &str, (kind, endpoints): (&str, &[String]), more: &str) {
        let at = |name: &str| self.path(name).display().to_string();
        let (ca, key, cert) = (at("ca/ca.pem"), at(&format!("{cert}.key")), at(&format!("{cert}.pem")));
        let mut config = File::create(desk.join("teneral.toml")).expect("it is ours");
        write!(
            config,
            "[remote]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\nping_every = \"2s\"\nping_timeout = \"4s\"\n\
             [kinds.{kind}]\nplace = \"remote\"\nendpoints = {endpoints:?}\n{more}\n"
        )
        .expect("it is ours");
    }
}

impl Hosted {
    /// Where it listens, at an address.
    pub(crate) fn at(&self, address: &str) -> String {
        format!("tcp:{address}:{}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it is ours")
    }

    /// As a loss of power would.
    pub(crate) fn kill(mut self) -> u16 {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.port
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // Ended already, in the tests that end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
