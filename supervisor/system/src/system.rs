//! The system: one handle on runtime, store, loader and upgrades.
//!
//! What can take long (the gate, an actor's `init`, an upgrade) runs on tokio's blocking threads, so that an async
//! caller never waits on its own worker. Dropping such a future does not stop the work.

use crate::events::{Happened, Source};
use crate::library::{Brought, Library};
use crate::members::Members;
use crate::modules::Processes;
use crate::name::is_key;
use crate::probations::Keeper;
use crate::rollouts::Turns;
use crate::scribe::Scribes;
use crate::served::Stage;
use crate::trusted::{keys, serve_as, to_record};
use crate::{Admission, Launch, Options, SystemError, ToAddr};
use semver::Version;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use teneral_contract::{Addr, Request, Wire};
use teneral_control::api::wire::ConfigRow;
use teneral_control::trust::{KeyId, Profile, TrustedKey};
use teneral_runtime::ports::Provider;
use teneral_runtime::{ActorOptions, ActorRef, Outgoing, Runtime, Start, StartArgs, StartError, SystemClock};
use teneral_store::{EmbeddedStore, Release, Store};
use teneral_upgrade::{Options as UpgradeOptions, TrialConfig, UpgradeConfig, Upgrades, nearest};

/// How long [`System::ask`] waits.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Actors, the code they run, and the means to change it. A cheap clone; all clones are one system.
#[derive(Debug, Clone)]
pub struct System {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) library: Arc<Library>,
    pub(crate) upgrades: Upgrades,
    upgrade: UpgradeOptions,
    pub(crate) natives: teneral_native::Host,
    pub(crate) scribes: Scribes,
    pub(crate) actors_max: usize,
    pub(crate) who: String,
    /// What it was told, and by whom.
    told: Vec<ConfigRow>,
    stage: Stage,
    /// Whose turn it is to make an actor at its first use.
    first_uses: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever writes a definition.
    definitions: Mutex<()>,
    pub(crate) routed: Turns,
    pub(crate) events: Source,
}

impl System {
    /// Opens the system in `dir` with the defaults of [`Options::new`].
    ///
    /// # Errors
    /// [`SystemError::Store`]: for instance, another process has it open. [`SystemError::Profile`]: it was served as
    /// production before.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SystemError> {
        Self::open_with(Options::new(dir))
    }

    /// Opens the system as `options` say. Blocks on the disk.
    ///
    /// # Errors
    /// As [`System::open`].
    pub fn open_with(options: Options) -> Result<Self, SystemError> {
        let Options { dir, runtime: mut config, spawn, profile, gate, loader, after_production, .. } = options;
        let store = Arc::new(EmbeddedStore::open(&dir)?);
        // A module's process is somewhere else.
        let absolute = std::path::absolute(&dir).unwrap_or_else(|_| dir.clone());
        serve_as(&store, profile, after_production)?;
        config.epoch = store.next_epoch()?;
        let events = Source::new(config.epoch);
        let spread = (options.places, options.spreads, options.remote);
        let bounds = (options.modules, config.state_bytes_max);
        let (checkpoints, program) = (options.checkpoints, options.trial_program.clone());
        let processes = Processes::new(spread, checkpoints, bounds, program, absolute.join("modules"));
        let library = Arc::new(Library::new(Arc::clone(&store), profile, (gate, loader), processes));
        let clock = SystemClock::new();
        let runtime = Runtime::new(config, spawn, clock.clone(), library.clone());
        let natives = crate::natives::start(&runtime, options.natives, options.grants, options.ca_file.as_deref())?;
        let trials = TrialConfig { program: options.trial_program, keep_dir: Some(dir.join("trials")) };
        let upgrades = Upgrades::new(runtime.clone(), library.clone(), store, clock, UpgradeConfig::new(), trials);
        let scribes = Scribes::new(runtime.clone(), options.json_threads_max)?;
        let (stage, first_uses, definitions) = (Stage::new(), Arc::default(), Mutex::new(()));
        let (upgrade, actors_max, who, told) = (options.upgrade, options.actors_max, options.who, options.told);
        let inner = Inner {
            runtime,
            library,
            upgrades,
            upgrade,
            natives,
            scribes,
            actors_max,
            who,
            told,
            stage,
            first_uses,
            definitions,
            routed: Turns::default(),
            events,
        };
        let inner = Arc::new(inner);
        inner.upgrades.tell_outcomes(Keeper(Arc::downgrade(&inner)));
        inner.library.processes().serve_for(Arc::new(Members(Arc::downgrade(&inner))));
        Ok(Self::of(inner))
    }

    /// Brings a library into the store, through the gate: it is read, checked and kept by its digest. Nothing of it
    /// runs. The same file again is a no-op.
    ///
    /// Its release file and signature lie beside it. Where there are none, a development host signs with a key of its
    /// own, and a production host refuses.
    ///
    /// # Errors
    /// [`SystemError::Trust`] when nobody who is trusted signed it, or it is older than what was here;
    /// [`SystemError::Gate`] names the check that refused it; [`SystemError::Store`].
    pub async fn push(&self, path: impl AsRef<Path>) -> Result<Release, SystemError> {
        self.push_as(path, Admission::default()).await
    }

    /// As [`System::push`], with the signature at hand, or with leave to be older.
    ///
    /// # Errors
    /// As [`System::push`].
    pub async fn push_as(&self, path: impl AsRef<Path>, admission: Admission) -> Result<Release, SystemError> {
        let brought = Brought::File(path.as_ref().to_owned());
        self.say_pushed(self.blocking("a push", move |inner| inner.library.push(brought, admission)).await)
    }

    /// As [`System::push_as`], of a library whose bytes are at hand; nothing lies beside them.
    ///
    /// # Errors
    /// As [`System::push`].
    pub async fn push_bytes(&self, library: Vec<u8>, admission: Admission) -> Result<Release, SystemError> {
        let brought = Brought::Bytes(library);
        self.say_pushed(self.blocking("a push", move |inner| inner.library.push(brought, admission)).await)
    }

    /// What the host was told when it was opened, and by whom.
    pub(crate) fn told(&self) -> &[ConfigRow] {
        &self.inner.told
    }

    /// What this host is served as.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.library.profile()
    }

    /// Bounds and choices of upgrades where a request on the control socket makes none.
    #[must_use]
    pub fn upgrade_options(&self) -> UpgradeOptions {
        self.inner.upgrade
    }

    /// Largest artifact that the gate lets in, in bytes.
    #[must_use]
    pub fn artifact_bytes_max(&self) -> u64 {
        self.inner.library.artifact_bytes_max()
    }

    /// Accepts the signatures of a key from now on. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn trust(&self, key: &TrustedKey) -> Result<(), SystemError> {
        self.inner.library.store().trust(&to_record(key))?;
        let (id, name, by) = (key.public.id(), &key.name, &key.by);
        self.say(|| Happened::KeyTrusted { key: id.to_string(), name: name.clone(), by: by.clone() });
        Ok(())
    }

    /// Accepts a key's signatures no longer: what it signed is not loaded any more. An unknown key is a no-op. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn distrust(&self, key: KeyId) -> Result<(), SystemError> {
        self.inner.library.store().distrust(&key.to_string())?;
        self.say(|| Happened::KeyDistrusted { key: key.to_string() });
        Ok(())
    }

    /// The keys whose signatures are accepted. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn trusted_keys(&self) -> Result<Vec<TrustedKey>, SystemError> {
        keys(self.inner.library.store())
    }

    /// Takes what is left of the high-water marks for all there is, after the store said that it cannot rely on them.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn accept_marks(&self) -> Result<(), SystemError> {
        Ok(self.inner.library.store().accept_marks()?)
    }

    /// What the store holds, by kind and version. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn releases(&self) -> Result<Vec<Release>, SystemError> {
        Ok(self.inner.library.store().releases()?)
    }

    /// Names the version that new actors of a kind get. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`] and [`SystemError::Version`] when there is no such artifact; [`SystemError::Route`] while
    /// the kind's route has the say; [`SystemError::Store`].
    pub fn set_default(&self, kind: &str, version: &str) -> Result<(), SystemError> {
        let version = parse(version)?;
        // Nobody takes it away in between.
        let _alone = self.defining();
        self.inner.library.release(kind, &version)?;
        self.keep_default(kind, &version)?;
        tracing::info!(kind, %version, "new actors of the kind get this version");
        self.say(|| Happened::DefaultChanged { kind: kind.to_owned(), version });
        Ok(())
    }

    /// The version that new actors of a kind get. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn default_version(&self, kind: &str) -> Result<Option<Version>, SystemError> {
        Ok(self.inner.library.store().default_version(kind)?)
    }

    /// Takes a version out of quarantine, here and for the next process: for code that hung for a reason of its
    /// surroundings. One that is in none is left as it is. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`] and [`SystemError::Version`] when there is no such artifact; [`SystemError::Store`].
    pub fn pardon(&self, kind: &str, version: &str) -> Result<(), SystemError> {
        let digest = self.inner.library.release(kind, &parse(version)?)?.sha256;
        self.inner.library.store().pardon(digest)?;
        self.inner.runtime.release(digest);
        Ok(())
    }

    /// Starts a permanent actor of this version. It is up when this returns.
    ///
    /// # Errors
    /// [`SystemError::Start`] when the name is taken or `init` fails; what [`System::start_with`] says of names and
    /// versions.
    pub async fn start<A: Wire>(&self, addr: impl ToAddr, version: &str, args: A) -> Result<ActorRef, SystemError> {
        let launch = Launch { version: Some(parse(version)?), options: ActorOptions::permanent() };
        self.start_with(addr, launch, args).await
    }

    /// Starts an actor.
    ///
    /// # Errors
    /// [`SystemError::Kind`], [`SystemError::Version`], [`SystemError::Default`] when there is no such code,
    /// [`SystemError::Quarantined`] when it hung before,
    /// [`SystemError::Gate`] when it does not load here, [`SystemError::Args`], [`SystemError::Start`].
    pub async fn start_with<A: Wire>(
        &self,
        addr: impl ToAddr,
        launch: Launch,
        args: A,
    ) -> Result<ActorRef, SystemError> {
        let addr = addr.to_addr()?;
        let args = written(&addr, &args)?;
        self.start_written(addr, launch, args).await
    }

    pub(crate) async fn start_written(
        &self,
        addr: Addr,
        launch: Launch,
        args: StartArgs,
    ) -> Result<ActorRef, SystemError> {
        let system = self.clone();
        self.blocking("a start", move |_| {
            let provider = system.code(&addr, launch.version)?;
            system.start_of(addr, provider, args, launch.options)
        })
        .await
    }

    /// The code that an actor would start on, loaded; `None` is what its kind's route says, or its default. Blocks.
    pub(crate) fn code(&self, addr: &Addr, version: Option<Version>) -> Result<Arc<dyn Provider>, SystemError> {
        let version = if version.is_some() { version } else { self.routed(addr)? };
        self.inner.library.open(addr.kind(), version.as_ref())
    }

    /// Starts an actor of code that is at hand. Blocks.
    pub(crate) fn start_of(
        &self,
        addr: Addr,
        provider: Arc<dyn Provider>,
        args: StartArgs,
        options: ActorOptions,
    ) -> Result<ActorRef, SystemError> {
        is_key(&addr)?;
        let (kind, version) = (addr.kind().to_owned(), provider.version().clone());
        let start = Start { addr: addr.clone(), provider, args, options };
        self.inner.runtime.start(start).map_err(|source| match source {
            StartError::Quarantined { why, .. } => SystemError::Quarantined { kind, version, why },
            source => SystemError::Start { addr, source },
        })
    }

    /// The actor of that name: tell and ask it, look at it, stop it.
    ///
    /// # Errors
    /// [`SystemError::Actor`] with the nearest names.
    pub fn actor(&self, addr: impl ToAddr) -> Result<ActorRef, SystemError> {
        let addr = addr.to_addr()?;
        self.inner.runtime.actor(&addr).ok_or_else(|| {
            // The host's own are in no list, and are meant by whoever names their kind.
            let own = addr.kind() == teneral_native_api::KIND;
            let names = if own { self.inner.runtime.actors_of(addr.kind()) } else { self.actors() };
            let hint = nearest::hint(addr.path(), names.iter().map(|actor| actor.addr().path()));
            SystemError::Actor { addr, hint }
        })
    }

    /// As [`System::actor`], where the disk may be asked why there is none.
    ///
    /// # Errors
    /// [`SystemError::Actor`]; [`SystemError::Defined`] when it should run and does not.
    pub(crate) async fn up(&self, addr: impl ToAddr) -> Result<ActorRef, SystemError> {
        let missing = match self.actor(addr) {
            Err(SystemError::Actor { addr, hint }) => SystemError::Actor { addr, hint },
            found => return found,
        };
        let system = self.clone();
        self.blocking("a look", move |_| Err(system.down_or(missing))).await
    }

    /// An actor that is defined is no stranger: it is down. Blocks on the disk.
    pub(crate) fn down_or(&self, missing: SystemError) -> SystemError {
        let SystemError::Actor { addr, .. } = &missing else { return missing };
        match self.defined(addr) {
            Ok(Some(_)) => self.is_down(addr.clone()),
            Ok(None) => missing,
            Err(error) => error,
        }
    }

    /// All actors, sorted by name; not the host's own.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorRef> {
        let all = self.inner.runtime.actors().into_iter();
        all.filter(|actor| actor.addr().kind() != teneral_native_api::KIND).collect()
    }

    /// Sends a message, waiting for room in the mailbox. Cancel-safe: a dropped future has sent nothing.
    ///
    /// To get a refused message back, or not to wait, take the [`System::actor`] and its `tell` or `try_tell`.
    ///
    /// # Errors
    /// [`SystemError::Actor`], [`SystemError::Tell`].
    pub async fn tell<M: Outgoing>(&self, addr: impl ToAddr, message: M) -> Result<(), SystemError> {
        let actor = self.up(addr).await?;
        let told = actor.tell(message).await;
        told.map_err(|why| SystemError::Tell { addr: actor.addr().clone(), source: why.without_message() })
    }

    /// Asks, waiting at most [`ASK_TIMEOUT`] for room and for the answer.
    ///
    /// # Errors
    /// As [`System::ask_within`].
    pub async fn ask<R: Request>(&self, addr: impl ToAddr, request: R) -> Result<R::Reply, SystemError> {
        self.ask_within(addr, request, ASK_TIMEOUT).await
    }

    /// Asks, waiting at most `timeout` for room and for the answer. A dropped future cancels the wait, not the request.
    ///
    /// # Errors
    /// [`SystemError::Actor`], [`SystemError::Ask`].
    pub async fn ask_within<R: Request>(
        &self,
        addr: impl ToAddr,
        request: R,
        timeout: Duration,
    ) -> Result<R::Reply, SystemError> {
        let actor = self.up(addr).await?;
        let answer = actor.ask(request, timeout).await;
        answer.map_err(|source| SystemError::Ask { addr: actor.addr().clone(), source })
    }

    pub(crate) fn library(&self) -> &Library {
        &self.inner.library
    }

    pub(crate) fn definitions_lock(&self) -> &Mutex<()> {
        &self.inner.definitions
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.inner.stage
    }

    /// The handle of what all clones share.
    pub(crate) const fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(crate) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn store(&self) -> &EmbeddedStore {
        self.inner.library.store()
    }

    pub(crate) fn first_uses(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.inner.first_uses
    }

    /// The runtime beneath: pausing by hand, dead letters, quarantine.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    /// Stops all actors, children first, waiting at most `timeout`; those that do not stop are cut off.
    pub async fn shutdown(&self, timeout: Duration) {
        self.inner.runtime.shutdown(timeout).await;
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|source| SystemError::Task { what, source })?
    }
}

/// Start arguments as the actor's code reads them.
pub(crate) fn written<A: Wire>(addr: &Addr, args: &A) -> Result<StartArgs, SystemError> {
    let mut bytes = Vec::new();
    let encoded = args.encode_as(A::FINGERPRINT, &mut bytes);
    encoded.map_err(|source| SystemError::Args { addr: addr.clone(), source })?;
    Ok(StartArgs { shape: A::FINGERPRINT, bytes })
}

pub(crate) fn parse(text: &str) -> Result<Version, SystemError> {
    Version::parse(text).map_err(|source| SystemError::VersionText { text: text.to_owned(), source })
}
