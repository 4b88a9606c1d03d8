//! Where a system lives and within which bounds; how one actor is started.

use crate::modules::{CheckpointPolicy, ModuleLimits, Place, Remote};
use semver::Version;
use std::collections::BTreeMap;
use std::path::PathBuf;
use teneral_control::api::wire::ConfigRow;
use teneral_control::trust::{Profile, Signed};
use teneral_loader::{LoaderLimits, Policy};
use teneral_native::{Grants, Limits};
use teneral_remote::spread::SpreadPolicy;
use teneral_runtime::{ActorOptions, RuntimeConfig, Spawn};
use teneral_upgrade::{Options as UpgradeOptions, TrialProgram};

/// How many actors there may be for one more to be made at its first use, where nobody says.
pub const ACTORS_MAX: usize = 100_000;

/// How many threads actors' code reads and writes JSON on, where nobody says.
pub const JSON_THREADS_MAX: usize = 32;

/// How a system is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The store's directory; made if its parent exists. One process at a time has it open.
    pub dir: PathBuf,
    /// The runtime's bounds.
    pub runtime: RuntimeConfig,
    /// Where turns run.
    pub spawn: Spawn,
    /// Whether this host's own development key may sign what is pushed to it.
    pub profile: Profile,
    /// What the gate goes by; what is in quarantine comes from the store besides.
    pub gate: Policy,
    /// How many libraries may be loaded, and how long one may take. They count by process, whatever systems it has.
    pub loader: LoaderLimits,
    /// What becomes of a directory that was served as production before and is opened as something less.
    pub after_production: AfterProduction,
    /// Bounds and choices of the upgrades that are asked for over the control socket, where a request makes none.
    pub upgrade: UpgradeOptions,
    /// Which program rehearses upgrades: see [`TrialProgram`].
    pub trial_program: TrialProgram,
    /// Where the actors of a kind run; of one that is not here, in the host.
    pub places: BTreeMap<String, Place>,
    /// Which of the kinds in processes of their own are spread over several, and how.
    pub spreads: BTreeMap<String, SpreadPolicy>,
    /// How hosts on other machines are reached, and which kinds have modules there.
    pub remote: Option<Remote>,
    /// When checkpoints are taken of the actors of a kind in processes of their own; of one that is not here, as
    /// [`CheckpointPolicy::standard`] says. Of kinds that are spread none are.
    pub checkpoints: BTreeMap<String, CheckpointPolicy>,
    /// The bounds of the processes that serve modules.
    pub modules: ModuleLimits,
    /// Which kinds may use the host's HTTP client, files and clock.
    pub grants: Grants,
    /// A file of certificates, in PEM, of CAs that the host's HTTP client trusts besides the machine's.
    pub ca_file: Option<PathBuf>,
    /// The bounds of the host's own actors.
    pub natives: Limits,
    /// Threads on which actors' code reads and writes JSON at a time; as many may be lost to code that hangs there
    /// before all JSON is refused.
    pub json_threads_max: usize,
    /// At so many actors, the host's own with them, none is made at its first use.
    pub actors_max: usize,
    /// Who asks for upgrades, in journals and reports.
    pub who: String,
    /// What the host was told and by whom, for whoever asks over the control socket. It goes by the fields above.
    pub told: Vec<ConfigRow>,
}

impl Options {
    /// The store in `dir`; a development host, which is refused where a production one was before; nothing granted; the
    /// documented defaults of runtime, gate, loader, native actors and upgrades; the machine's CAs; turns on the
    /// runtime's own threads.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let who = format!("process {}", std::process::id());
        let (gate, loader) = (Policy::standard(), LoaderLimits::standard());
        let (runtime, profile) = (RuntimeConfig::new(), Profile::Development);
        let (after_production, upgrade) = (AfterProduction::Refuse, UpgradeOptions::new());
        let (dir, spawn, grants, natives) = (dir.into(), Spawn::Pool, Grants::none(), Limits::standard());
        let (ca_file, json_threads_max, actors_max) = (None, JSON_THREADS_MAX, ACTORS_MAX);
        Self {
            dir,
            runtime,
            spawn,
            profile,
            gate,
            loader,
            after_production,
            upgrade,
            trial_program: TrialProgram::ByRule,
            places: BTreeMap::new(),
            spreads: BTreeMap::new(),
            remote: None,
            checkpoints: BTreeMap::new(),
            modules: ModuleLimits::standard(),
            grants,
            ca_file,
            natives,
            json_threads_max,
            actors_max,
            who,
            told: Vec::new(),
        }
    }
}

/// What becomes of a directory that was served as production before and is opened as something less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterProduction {
    /// It is not opened: a profile that was left out by mistake would let in what anybody signed.
    Refuse,
    /// It is development from now on: somebody asked for that.
    Leave,
}

/// How an artifact is admitted.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// What somebody signed of it; `None`: what lies beside it, `X.so.release` and `X.so.release.minisig`.
    pub signed: Option<Signed>,
    /// Whether a version may come that is below the highest that was here.
    pub older: bool,
}

/// How one actor is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Which version; `None` is the kind's default.
    pub version: Option<Version>,
    /// How it lives.
    pub options: ActorOptions,
}
