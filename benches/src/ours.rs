//! teneral: a ledger in a library that went through the whole gate, and the same ledger linked in.

use crate::work::Counter;
use ledger_api::{Add, Count, Echo, Echoed, Open};
use serde::Deserialize;
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};
use teneral::{
    ActorOptions, ActorRef, Addr, Options, Shape, Spawn, System, Wire,
    runtime::{Start, StartArgs, ports::Provider},
};
use teneral_testkit::StaticProvider;

/// Nothing takes as long, but a bench must end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where turns run, for a bench's contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The runtime's own threads: the default.
    Pool,
    /// The tokio runtime that the callers run on.
    Ambient,
}

/// A system with both versions of the ledger in its store.
#[derive(Debug)]
pub struct House {
    /// The system.
    pub system: System,
    _folder: tempfile::TempDir,
}

impl House {
    /// Opens one; within a tokio runtime.
    pub async fn open(place: Place) -> Self {
        Self::open_with(place, |_| {}).await
    }

    /// The same, with other options.
    pub async fn open_with(place: Place, change: impl FnOnce(&mut Options)) -> Self {
        let house = Self::empty_with(place, change);
        for library in libraries() {
            house.system.push(library).await.expect("the gate lets our own library in");
        }
        house
    }

    /// One without libraries; within a tokio runtime.
    #[must_use]
    pub fn empty(place: Place) -> Self {
        Self::empty_with(place, |_| {})
    }

    fn empty_with(place: Place, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a store");
        let mut options = Options::new(folder.path().join("store"));
        if place == Place::Ambient {
            options.spawn = Spawn::Ambient(tokio::runtime::Handle::current());
        }
        change(&mut options);
        let system = System::open_with(options).expect("a new store opens");
        Self { system, _folder: folder }
    }

    /// Starts a ledger 1.0.0 of the library.
    pub async fn loaded(&self, key: &str, open: Open) -> Ours {
        let started = self.system.start(format!("ledger/{key}").as_str(), "1.0.0", open).await;
        Ours(started.expect("our own library starts"))
    }

    /// Starts a ledger 1.0.0 that is linked in, on the same runtime.
    #[must_use]
    pub fn linked(&self) -> Ours {
        let about = teneral_actor::about!(ledger_v1::Ledger, kind = "ledger");
        let provider: Arc<dyn Provider> = StaticProvider::<ledger_v1::Ledger>::new(about);
        Ours::start(&self.system, &provider, 0)
    }
}

/// A ledger.
#[derive(Debug, Clone)]
pub struct Ours(pub ActorRef);

impl Ours {
    /// Starts an empty ledger of this code, as an actor that the program itself keeps.
    #[must_use]
    pub fn start(system: &System, code: &Arc<dyn Provider>, number: u64) -> Self {
        let mut bytes = Vec::new();
        Open::EMPTY.encode_as(Open::FINGERPRINT, &mut bytes).expect("two numbers encode");
        let started = system.runtime().start(Start {
            addr: Addr::new(&format!("ledger/{number}")).expect("a number is a key"),
            provider: Arc::clone(code),
            args: StartArgs { shape: Open::FINGERPRINT, bytes },
            options: ActorOptions::permanent(),
        });
        Self(started.expect("our own code starts"))
    }
}

impl Counter for Ours {
    async fn add(&self) {
        self.0.tell(Add { account: 1, amount: 1 }).await.expect("the actor lives");
    }
    async fn echo(&self) -> [u8; 16] {
        let Echoed { account, amount } =
            self.0.ask(Echo { account: ONES, amount: ONES }, TIMEOUT).await.expect("the actor lives");
        let mut body = [0; 16];
        body[..8].copy_from_slice(&account.to_le_bytes());
        body[8..].copy_from_slice(&amount.to_le_bytes());
        body
    }
    async fn count(&self) -> u64 {
        self.0.ask(Count {}, TIMEOUT).await.expect("the actor lives").additions
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A line of cargo's JSON output, as far as it matters.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The ledger's libraries, oldest first, built through cargo as they would be shipped.
///
/// # Panics
/// When cargo cannot build them; it has said why.
pub fn libraries() -> &'static [PathBuf; 2] {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--examples", "--message-format=json-render-diagnostics", "--quiet"]);
        command.args(["--package", "ledger-v1", "--package", "ledger-v2"]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output();
        let output = output.expect("cargo runs the bench, so it is there");
        assert!(output.status.success(), "cargo could not build the ledger's libraries");
        let text = String::from_utf8_lossy(&output.stdout);
        let files: Vec<PathBuf> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok())
            .flat_map(|line| line.filenames)
            .collect();
        ["libledger_v1.so", "libledger_v2.so"].map(|name| {
            let found = files.iter().find(|file| file.ends_with(name));
            found.expect("cargo names what it built").clone()
        })
    })
}
