//! The keys that have one value each: what they are called, in what they are counted, within what they lie, and where
//! they go. The defaults are those of the parts that they go to.

use super::value::{Format, Slot};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use teneral::api::CONNECTIONS_MAX;
use teneral::api::wire::ConfigRow;
use teneral::discover::Endpoint;
use teneral::ingress::{HTTP_BODY_BYTES_MAX, HTTP_CONNECTIONS_MAX, Ingress, Routes};
use teneral::loader::{LoaderLimits, Policy};
use teneral::options::{ACTORS_MAX, JSON_THREADS_MAX};
use teneral::spread::SpreadPolicy;
use teneral::store::ARTIFACT_BYTES_MAX;
use teneral::tls::{Identity, Pings};
use teneral::trust::Profile;
use teneral::{CheckpointPolicy, Grants, ModuleLimits, Options, Place, Remote, RuntimeConfig, UpgradeOptions};

/// All that a host is told before it starts.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it lives.
    pub(crate) dir: PathBuf,
    /// What it is served as.
    pub(crate) profile: Profile,
    /// How long a stop may take.
    pub(crate) stop_timeout: Duration,
    /// What it logs: levels, or what `RUST_LOG` takes.
    pub(crate) log_level: String,
    /// How it logs.
    pub(crate) log_format: Format,
    /// The bounds of its actors.
    runtime: RuntimeConfig,
    /// The bounds of its libraries.
    loader: LoaderLimits,
    /// Actors at a time, for one more to be made at its first use.
    actors_max: usize,
    /// Threads for JSON.
    json_threads_max: usize,
    /// Largest artifact.
    artifact_bytes_max: u64,
    /// Callers at a time.
    pub(crate) connections_max: usize,
    /// Upgrades, where a request does not say.
    upgrade: UpgradeOptions,
    /// Where the service's own routes are listened for, if anywhere.
    pub(crate) http_listen: Option<SocketAddr>,
    /// Where metrics are, if anywhere besides the control socket.
    pub(crate) metrics_listen: Option<SocketAddr>,
    http_connections_max: usize,
    http_body_bytes_max: usize,
    /// Which request is which message.
    pub(crate) routes: Routes,
    /// Which kinds may use the host's HTTP client, files and clock.
    pub(crate) grants: Grants,
    /// Where the actors of a kind run.
    pub(crate) places: BTreeMap<String, Place>,
    /// Which of them run in several processes, and how messages are spread over these.
    pub(crate) spreads: BTreeMap<String, SpreadPolicy>,
    /// Where the hosts of kinds on other machines are.
    pub(crate) endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// Whom those must be vouched for by, and what is shown to them.
    remote_ca: Option<PathBuf>,
    remote_cert: Option<PathBuf>,
    remote_key: Option<PathBuf>,
    pings: Pings,
    /// What is kept of the actors of others of them.
    pub(crate) checkpoints: BTreeMap<String, CheckpointPolicy>,
    modules: ModuleLimits,
    /// Every value with where it came from, for whoever asks the host.
    pub(crate) told: Vec<ConfigRow>,
    /// CAs that the host's HTTP client trusts besides the machine's.
    ca_file: Option<PathBuf>,
}

impl Serving {
    /// The documented defaults.
    pub(crate) fn usual() -> Self {
        Self {
            dir: PathBuf::from(".teneral"),
            profile: Profile::Development,
            stop_timeout: Duration::from_secs(30),
            log_level: "info".to_owned(),
            log_format: Format::Text,
            runtime: RuntimeConfig::new(),
            loader: LoaderLimits::standard(),
            actors_max: ACTORS_MAX,
            json_threads_max: JSON_THREADS_MAX,
            artifact_bytes_max: Policy::standard().bytes_max,
            connections_max: CONNECTIONS_MAX,
            upgrade: UpgradeOptions::new(),
            http_listen: None,
            metrics_listen: None,
            http_connections_max: HTTP_CONNECTIONS_MAX,
            http_body_bytes_max: HTTP_BODY_BYTES_MAX,
            routes: Routes::none(),
            grants: Grants::none(),
            places: BTreeMap::new(),
            spreads: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            remote_ca: None,
            remote_cert: None,
            remote_key: None,
            pings: Pings::standard(),
            checkpoints: BTreeMap::new(),
            modules: ModuleLimits::standard(),
            told: Vec::new(),
            ca_file: None,
        }
    }

    /// How a system is opened for it.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new(&self.dir);
        options.profile = self.profile;
        options.runtime = self.runtime.clone();
        options.loader = self.loader;
        options.gate.bytes_max = self.artifact_bytes_max;
        options.upgrade = self.upgrade;
        options.actors_max = self.actors_max;
        options.json_threads_max = self.json_threads_max;
        options.grants = self.grants.clone();
        options.places = self.places.clone();
        options.spreads = self.spreads.clone();
        options.checkpoints = self.checkpoints.clone();
        options.modules = self.modules;
        options.remote =
            self.identity().map(|identity| Remote { identity, pings: self.pings, endpoints: self.endpoints.clone() });
        options.told = self.told.clone();
        options.ca_file = self.ca_file.clone();
        options
    }

    /// What is shown to hosts on other machines, where it is named whole.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let (ca, certificate, key) = (self.remote_ca.clone()?, self.remote_cert.clone()?, self.remote_key.clone()?);
        Some(Identity { ca, certificate, key })
    }

    /// What is listened for besides the control socket.
    pub(crate) fn ingress(&self) -> Option<Ingress> {
        Some(Ingress {
            listen: self.http_listen?,
            connections_max: self.http_connections_max,
            body_bytes_max: self.http_body_bytes_max,
            routes: self.routes.clone(),
        })
    }
}

/// A key with one value.
pub(crate) struct Setting {
    /// Its name: its table, a dot, and its name there.
    pub(crate) key: &'static str,
    /// In what it is counted.
    pub(crate) unit: &'static str,
    /// The least and the most: of numbers as they are, of times in milliseconds.
    pub(crate) bounds: (u64, u64),
    /// A variable that is older than this program and says the same; it counts more than the program's own.
    pub(crate) variable: Option<&'static str>,
    /// Where its value is kept.
    pub(crate) slot: fn(&mut Serving) -> Slot<'_>,
}

impl Setting {
    const fn new(key: &'static str, unit: &'static str, slot: fn(&mut Serving) -> Slot<'_>) -> Self {
        Self { key, unit, bounds: (0, u64::MAX), variable: None, slot }
    }

    const fn within(mut self, least: u64, most: u64) -> Self {
        self.bounds = (least, most);
        self
    }

    const fn or_variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }
}

/// The directory, which other commands ask for, too.
pub(crate) const DIR: Setting = Setting::new("dir", "path", |all| Slot::Path(&mut all.dir));

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const YEAR_MS: u64 = 365 * DAY_MS;
/// What waits for one actor, and what one actor keeps.
const MEMORY_BYTES: u64 = 1 << 30;
/// What is counted by actor.
const COUNT: u64 = 1 << 20;
const THREADS: u64 = 4096;
/// Each image takes a key of the thread library, which has 1,024.
const IMAGES: u64 = 1000;

/// All of them, in the order in which they are shown.
pub(crate) const SETTINGS: &[Setting] = &[
    DIR,
    Setting::new("profile", "name", |all| Slot::Profile(&mut all.profile)),
    Setting::new("stop_timeout", "time", |all| Slot::Time(&mut all.stop_timeout)).within(0, DAY_MS),
    Setting::new("log.level", "name", |all| Slot::Filter(&mut all.log_level)).or_variable("RUST_LOG"),
    Setting::new("log.format", "name", |all| Slot::Format(&mut all.log_format)),
    Setting::new("limits.connections_max", "connections", |all| Slot::Count(&mut all.connections_max)).within(1, 4096),
    Setting::new("limits.actors_max", "actors", |all| Slot::Count(&mut all.actors_max)).within(1, COUNT),
    Setting::new("limits.artifact_bytes_max", "bytes", |all| Slot::FileBytes(&mut all.artifact_bytes_max))
        .within(1, ARTIFACT_BYTES_MAX),
    Setting::new("limits.images_warn", "images", |all| Slot::Count(&mut all.loader.images_warn)).within(1, IMAGES),
    Setting::new("limits.images_max", "images", |all| Slot::Count(&mut all.loader.images_max)).within(1, IMAGES),
    Setting::new("limits.load_timeout", "time", |all| Slot::Time(&mut all.loader.load_timeout)).within(1, DAY_MS),
    Setting::new("limits.mailbox_messages_max", "messages", |all| Slot::Count(&mut all.runtime.mailbox_messages_max))
        .within(1, COUNT),
    Setting::new("limits.mailbox_bytes_max", "bytes", |all| Slot::Bytes(&mut all.runtime.mailbox_bytes_max))
        .within(1, MEMORY_BYTES),
    Setting::new("limits.message_bytes_max", "bytes", |all| Slot::Bytes(&mut all.runtime.message_bytes_max))
        .within(1, MEMORY_BYTES),
    Setting::new("limits.state_bytes_max", "bytes", |all| Slot::Bytes(&mut all.runtime.state_bytes_max))
        .within(1, MEMORY_BYTES),
    Setting::new("limits.effects_per_turn_max", "effects", |all| Slot::Count(&mut all.runtime.effects_per_turn_max))
        .within(1, COUNT),
    Setting::new("limits.outbox_effects_max", "effects", |all| Slot::Count(&mut all.runtime.outbox_effects_max))
        .within(1, COUNT),
    Setting::new("limits.outbox_timeout", "time", |all| Slot::Time(&mut all.runtime.outbox_timeout)).within(1, DAY_MS),
    Setting::new("limits.timers_max", "timers", |all| Slot::Count(&mut all.runtime.timers_max)).within(0, COUNT),
    Setting::new("limits.asks_in_flight_max", "asks", |all| Slot::Count(&mut all.runtime.asks_in_flight_max))
        .within(0, COUNT),
    Setting::new("limits.hang_after", "time", |all| Slot::Time(&mut all.runtime.hang_after)).within(1, DAY_MS),
    Setting::new("limits.actor_start_timeout", "time", |all| Slot::Time(&mut all.runtime.start_timeout))
        .within(1, DAY_MS),
    Setting::new("limits.child_stop_timeout", "time", |all| Slot::Time(&mut all.runtime.stop_timeout))
        .within(1, DAY_MS),
    Setting::new("limits.dead_letters_max", "messages", |all| Slot::Count(&mut all.runtime.dead_letters_max))
        .within(1, COUNT),
    Setting::new("limits.events_max", "events", |all| Slot::Count(&mut all.runtime.events_max)).within(1, COUNT),
    Setting::new("limits.turn_threads", "threads", |all| Slot::Count(&mut all.runtime.threads)).within(1, THREADS),
    Setting::new("limits.turn_threads_max", "threads", |all| Slot::Count(&mut all.runtime.threads_max))
        .within(1, THREADS),
    Setting::new("limits.blocking_threads_max", "threads", |all| Slot::Count(&mut all.runtime.blocking_threads_max))
        .within(1, THREADS),
    Setting::new("limits.json_threads_max", "threads", |all| Slot::Count(&mut all.json_threads_max)).within(1, THREADS),
    Setting::new("http.listen", "address", |all| Slot::Address(&mut all.http_listen)),
    Setting::new("http.connections_max", "connections", |all| Slot::Count(&mut all.http_connections_max))
        .within(1, 65_536),
    Setting::new("http.body_bytes_max", "bytes", |all| Slot::Bytes(&mut all.http_body_bytes_max))
        .within(1, MEMORY_BYTES),
    Setting::new("metrics.listen", "address", |all| Slot::Address(&mut all.metrics_listen)),
    Setting::new("http_client.ca_file", "path", |all| Slot::File(&mut all.ca_file)),
    Setting::new("modules.memory_bytes_max", "bytes", |all| Slot::FileBytes(&mut all.modules.memory_bytes_max))
        .within(1 << 20, 1 << 50),
    Setting::new("modules.threads", "threads", |all| Slot::Count(&mut all.modules.threads)).within(1, THREADS),
    Setting::new("modules.ready_timeout", "time", |all| Slot::Time(&mut all.modules.ready_timeout)).within(1, DAY_MS),
    Setting::new("modules.call_timeout", "time", |all| Slot::Time(&mut all.modules.call_timeout)).within(1, DAY_MS),
    Setting::new("modules.turns_timeout", "time", |all| Slot::Time(&mut all.modules.turns_timeout)).within(1, DAY_MS),
    Setting::new("remote.ca", "path", |all| Slot::File(&mut all.remote_ca)),
    Setting::new("remote.cert", "path", |all| Slot::File(&mut all.remote_cert)),
    Setting::new("remote.key", "path", |all| Slot::File(&mut all.remote_key)),
    Setting::new("remote.ping_every", "time", |all| Slot::Time(&mut all.pings.every)).within(10, DAY_MS),
    Setting::new("remote.ping_timeout", "time", |all| Slot::Time(&mut all.pings.timeout)).within(10, DAY_MS),
    Setting::new("upgrade.max_pause", "time", |all| Slot::Time(&mut all.upgrade.max_pause)).within(1, DAY_MS),
    Setting::new("upgrade.quiesce_timeout", "time", |all| Slot::Time(&mut all.upgrade.quiesce_timeout))
        .within(1, DAY_MS),
    Setting::new("upgrade.trial_timeout", "time", |all| Slot::Time(&mut all.upgrade.trial_timeout)).within(1, DAY_MS),
    Setting::new("upgrade.snapshot_bytes_max", "bytes", |all| Slot::Bytes(&mut all.upgrade.snapshot_bytes_max))
        .within(1, MEMORY_BYTES),
    Setting::new("upgrade.probation", "time", |all| Slot::Probation(&mut all.upgrade.probation)).within(1, YEAR_MS),
];

/// Of each two the first is at most the second.
pub(crate) const AT_MOST: &[(&str, &str)] = &[
    ("limits.message_bytes_max", "limits.mailbox_bytes_max"),
    ("limits.images_warn", "limits.images_max"),
    ("limits.turn_threads", "limits.turn_threads_max"),
];
