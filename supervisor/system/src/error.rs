//! Why the system did not do what it was asked: a variant an act, so that a service can match on it.

use crate::fallen::Fall;
use crate::name::better_key;
use semver::Version;
use std::time::Duration;
use teneral_contract::addr::AddrError;
use teneral_contract::{Addr, AskError, EncodeError};
use teneral_control::trust::TrustError;
use teneral_native::NotNative;
use teneral_rollout::RouteError;
use teneral_runtime::{StartError, StateError, TellError};
use teneral_store::StoreError;
use teneral_upgrade::{BackError, Refused, UpgradeError};

/// Every code of this crate with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("MOD-DIGEST", "a module serves something else than it was started for"),
    ("MOD-ENDED", "a module's process ended before it was ready"),
    ("MOD-MANIFEST", "a module's manifest cannot be read"),
    ("MOD-OUTPUT", "no process of that version has written anything"),
    ("MOD-READY", "a module did not listen in time"),
    ("MOD-REFUSED", "a module refuses to be asked"),
    ("MOD-SOCKET", "a module's socket or file cannot be used"),
    ("MOD-START", "a module's program could not be started"),
    ("MOD-STRANGER", "somebody else answers on a module's socket"),
    ("SYS-ACTOR", "no actor of that name"),
    ("SYS-ACTORS", "as many actors as there may be"),
    ("SYS-ADDRESS", "a text that is no address"),
    ("SYS-ARGS", "start arguments that cannot be written"),
    ("SYS-ASK", "an ask without an answer"),
    ("SYS-DEFAULT", "a kind without a default version"),
    ("SYS-DEFINED", "a defined actor that does not run"),
    ("SYS-FAILED", "an actor that is down since it failed"),
    ("SYS-FULL", "a mailbox without room"),
    ("SYS-IN-USE", "an artifact that somebody needs"),
    ("SYS-JSON", "JSON that the actor's code cannot read or write"),
    ("SYS-JSON-BUSY", "no thread for JSON in time"),
    ("SYS-JSON-HUNG", "code that does not return from JSON"),
    ("SYS-KEY", "a key that names nobody safely"),
    ("SYS-KIND", "no artifact of that kind"),
    ("SYS-MEMBER", "an order to a member of an address"),
    ("SYS-MESSAGE", "no message of that name"),
    ("SYS-NATIVE", "an actor of the host's own that cannot be"),
    ("SYS-NOBODY", "no actor of that kind"),
    ("SYS-OWN", "an order to an actor of the host's own"),
    ("SYS-PROFILE", "a production host that was to become a development one"),
    ("SYS-QUARANTINED", "the version is in quarantine"),
    ("SYS-SPREAD", "an address that has no state of its own"),
    ("SYS-START", "the actor could not be started"),
    ("SYS-RESERVED", "an artifact of a kind that is the host's own"),
    ("SYS-STATE", "a state that cannot be read"),
    ("SYS-STOPPED", "an actor that is down since it stopped"),
    ("SYS-SUSPENDED", "an actor without an instance"),
    ("SYS-TASK", "work that was cut off by the end of the caller's tokio"),
    ("SYS-TELL", "a message that was not accepted"),
    ("SYS-VERSION", "no artifact of that version"),
    ("SYS-VERSION-TEXT", "a text that is no version"),
];

/// Why the system did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The store could not be opened, read or written.
    #[error("the store refused")]
    Store(#[source] Box<StoreError>),
    /// No process serves a version that runs in one of its own.
    #[error("no process serves {what}")]
    Module {
        /// Kind and version.
        what: String,
        /// Why.
        #[source]
        refused: Box<Refused>,
    },
    /// No process of a version has written anything here.
    #[error("no process of {kind} {version} has written anything{}", if *previous { " before the latest" } else { "" })]
    Output {
        /// The kind.
        kind: String,
        /// The version.
        version: Version,
        /// Whether the process before the latest was asked about.
        previous: bool,
    },
    /// The gate refused an artifact.
    #[error("the gate refused {what}")]
    Gate {
        /// The file, or kind and version.
        what: String,
        /// Why.
        #[source]
        refused: Box<Refused>,
    },
    /// Nobody who is trusted here vouches for an artifact.
    #[error("the release is not trusted")]
    Trust(#[source] Box<TrustError>),
    /// The directory was served as production before.
    #[error("this directory was served as production, and is to be served as development now")]
    Profile,
    /// The text is no address.
    #[error("cannot name an actor")]
    Address(#[from] AddrError),
    /// The text is no version.
    #[error("{text:?} is no version")]
    VersionText {
        /// As it was typed.
        text: String,
        /// Why.
        source: semver::Error,
    },
    /// No actor of that name.
    #[error("no actor {addr}")]
    Actor {
        /// As it was typed.
        addr: Addr,
        /// The nearest names.
        hint: String,
    },
    /// As many actors run as may be made at their first use.
    #[error("{addr} cannot be made at its first use: {actors_max} actors run")]
    Actors {
        /// Who was to be made.
        addr: Addr,
        /// How many there may be, the host's own with them.
        actors_max: usize,
    },
    /// The actor is the host's own: it lives as long as the host, and takes no orders.
    #[error("{addr} is the host's own")]
    Own {
        /// Who.
        addr: Addr,
    },
    /// The actor is a member of an address whose kind is spread over several processes.
    #[error("{addr} is a member of {address}")]
    Member {
        /// Who.
        addr: Addr,
        /// Whose it is.
        address: Addr,
    },
    /// The address is served by members, and has no state of its own.
    #[error("{addr} has no state of its own: it is served by members")]
    Spread {
        /// Which.
        addr: Addr,
        /// One of those who have.
        member: Addr,
    },
    /// A kind without a slash, for all its actors, and there are none.
    #[error("no actor of kind {kind}")]
    Nobody {
        /// As it was typed.
        kind: String,
        /// The nearest kinds that have actors, or the nearest actors.
        hint: String,
    },
    /// No artifact of that kind.
    #[error("no artifact of kind {kind} in the store")]
    Kind {
        /// As it was typed.
        kind: String,
        /// The nearest names.
        hint: String,
    },
    /// No artifact of that version.
    #[error("no {kind} {version} in the store")]
    Version {
        /// The kind.
        kind: String,
        /// As it was typed.
        version: Version,
        /// What there is.
        hint: String,
    },
    /// The artifact's kind is the one of the host's own actors.
    #[error("{kind} is the kind of the host's own actors: no artifact may be of it")]
    Reserved {
        /// The kind.
        kind: String,
    },
    /// A key that an actor may not be started under.
    #[error("{key:?} cannot be a key: it holds {holds}, and a key is one word without '/'")]
    Key {
        /// As it was typed.
        key: String,
        /// What it holds.
        holds: &'static str,
    },
    /// Somebody needs the artifact.
    #[error("{kind} {version} is in use: {}", .needed.join("; "))]
    InUse {
        /// The kind.
        kind: String,
        /// The version.
        version: Version,
        /// By whom, each as a sentence.
        needed: Vec<String>,
    },
    /// No version was named, and the kind has no default.
    #[error("{kind} has no default version")]
    Default {
        /// The kind.
        kind: String,
    },
    /// The version hung before, in this process or in an earlier one.
    #[error("{kind} {version} is in quarantine: {why}")]
    Quarantined {
        /// The kind.
        kind: String,
        /// The version.
        version: Version,
        /// What it did.
        why: String,
    },
    /// The actor is defined already, and did not come back.
    #[error("{addr} is defined and does not run")]
    Defined {
        /// Who.
        addr: Addr,
        /// Why not.
        source: Box<Fall>,
    },
    /// The start arguments could not be written.
    #[error("the start arguments of {addr} cannot be encoded")]
    Args {
        /// Who was to start.
        addr: Addr,
        /// Why.
        source: EncodeError,
    },
    /// The actor did not start; its name is free.
    #[error("cannot start {addr}")]
    Start {
        /// Who was to start.
        addr: Addr,
        /// Why.
        source: StartError,
    },
    /// The actor's code knows no message of that name.
    #[error("the code of {addr} has no message {message}")]
    Message {
        /// Whom.
        addr: Addr,
        /// As it was typed.
        message: String,
        /// The nearest names.
        hint: String,
    },
    /// JSON that the actor's code cannot read or write.
    #[error("{addr}: {why}")]
    Json {
        /// Whom.
        addr: Addr,
        /// What the code says, with the place in the text where it is about one.
        why: String,
        /// What it takes, or where that stands.
        hint: String,
    },
    /// The actor's code does not return from reading or writing JSON.
    #[error("{addr}: {why}")]
    JsonHung {
        /// Whom.
        addr: Addr,
        /// What it does, or did before.
        why: String,
    },
    /// No thread was free to read or write JSON on.
    #[error("{addr}: none of the {threads_max} threads for JSON was free in time")]
    JsonBusy {
        /// Whom.
        addr: Addr,
        /// How many there are.
        threads_max: usize,
    },
    /// The actor's state cannot be read.
    #[error("the state of {addr} cannot be read")]
    State {
        /// Whose.
        addr: Addr,
        /// Why.
        source: StateError,
    },
    /// A message was not accepted.
    #[error("{addr} did not accept the message")]
    Tell {
        /// Whom.
        addr: Addr,
        /// Why.
        source: TellError<()>,
    },
    /// A mailbox had no room in time.
    #[error("the mailbox of {addr} had no room within {waited:?}")]
    Full {
        /// Whose.
        addr: Addr,
        /// How long was waited.
        waited: Duration,
    },
    /// An ask has no answer.
    #[error("{addr} did not answer")]
    Ask {
        /// Whom.
        addr: Addr,
        /// Why.
        source: AskError,
    },
    /// An actor of the host's own cannot be.
    #[error("an actor of the host's own cannot be")]
    Native(#[source] NotNative),
    /// An upgrade was refused whole: nobody was paused.
    #[error("the upgrade was refused")]
    Upgrade(#[source] Box<UpgradeError>),
    /// A route was not set, or cannot be read.
    #[error("the route was refused")]
    Route(#[source] Box<RouteError>),
    /// A version was not made final or not taken back, or a held effect was not sent.
    #[error(transparent)]
    Back(Box<BackError>),
    /// The caller's tokio went away while work of this system ran on it; the work itself goes on to its end.
    #[error("the runtime that waited for {what} is gone")]
    Task {
        /// What was waited for.
        what: &'static str,
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl From<StoreError> for SystemError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<TrustError> for SystemError {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}

impl From<RouteError> for SystemError {
    fn from(error: RouteError) -> Self {
        Self::Route(Box::new(error))
    }
}

impl From<UpgradeError> for SystemError {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Back(error) => Self::Back(Box::new(error)),
            error => Self::Upgrade(Box::new(error)),
        }
    }
}

impl SystemError {
    /// The error as an operator reads it: code, what happened and why, and what to do.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("error[{}]: {self}", self.code());
        let causes = std::iter::successors(std::error::Error::source(self), |cause| (*cause).source());
        causes.for_each(|cause| text.push_str(&format!("\n  cause: {cause}")));
        format!("{text}\n  hint:  {}", self.hint())
    }

    /// The stable code of the cause.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Store(error) => error.code(),
            Self::Gate { refused, .. } | Self::Module { refused, .. } => &refused.code,
            Self::Output { .. } => "MOD-OUTPUT",
            Self::Upgrade(error) => error.code(),
            Self::Back(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Route(error) => error.code(),
            Self::Profile => "SYS-PROFILE",
            Self::Address(_) => "SYS-ADDRESS",
            Self::VersionText { .. } => "SYS-VERSION-TEXT",
            Self::Actor { .. } => "SYS-ACTOR",
            Self::Actors { .. } => "SYS-ACTORS",
            Self::Own { .. } => "SYS-OWN",
            Self::Member { .. } => "SYS-MEMBER",
            Self::Spread { .. } => "SYS-SPREAD",
            Self::Native(NotNative::CaFile { .. }) => "NATIVE-CA",
            Self::Native(_) => "SYS-NATIVE",
            Self::Nobody { .. } => "SYS-NOBODY",
            Self::Kind { .. } => "SYS-KIND",
            Self::Version { .. } => "SYS-VERSION",
            Self::Reserved { .. } => "SYS-RESERVED",
            Self::Key { .. } => "SYS-KEY",
            Self::InUse { .. } => "SYS-IN-USE",
            Self::Default { .. } => "SYS-DEFAULT",
            Self::Quarantined { .. } => "SYS-QUARANTINED",
            Self::Defined { .. } => "SYS-DEFINED",
            Self::Args { .. } => "SYS-ARGS",
            Self::Start { .. } => "SYS-START",
            Self::Message { .. } => "SYS-MESSAGE",
            Self::Json { .. } => "SYS-JSON",
            Self::JsonHung { .. } => "SYS-JSON-HUNG",
            Self::JsonBusy { .. } => "SYS-JSON-BUSY",
            Self::State { .. } => "SYS-STATE",
            Self::Tell { .. } => "SYS-TELL",
            Self::Full { .. } => "SYS-FULL",
            Self::Ask { .. } => "SYS-ASK",
            Self::Task { .. } => "SYS-TASK",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Store(error) => error.hint().to_owned(),
            Self::Gate { refused, .. } | Self::Module { refused, .. } => refused.hint.clone(),
            Self::Output { .. } => "see what runs in processes of its own: teneral module list".to_owned(),
            Self::Upgrade(error) => error.hint(),
            Self::Back(error) => error.hint(),
            Self::Trust(error) => error.hint().to_owned(),
            Self::Route(error) => error.hint(),
            Self::Actor { hint, .. }
            | Self::Nobody { hint, .. }
            | Self::Kind { hint, .. }
            | Self::Message { hint, .. }
            | Self::Json { hint, .. }
            | Self::Version { hint, .. } => hint.clone(),
            Self::JsonHung { .. } => {
                "push a mended version and upgrade its actors; the log says which code hangs, by this code".to_owned()
            }
            Self::JsonBusy { .. } => "try again; limits.json_threads_max is the bound: teneral config show".to_owned(),
            Self::State { .. } => "look at the actor's status, or wait longer".to_owned(),
            Self::Profile => {
                "as before: teneral serve --profile production; to let in what anybody signed here: teneral serve \
                 --profile development --leave-production"
                    .to_owned()
            }
            Self::Address(_) => "write kind/key, as in log-handler/web".to_owned(),
            Self::VersionText { .. } => "write major.minor.patch, as in 1.0.0".to_owned(),
            Self::Reserved { .. } => {
                "give the kind another name in its library's export_actor!, and build it anew".to_owned()
            }
            Self::Key { key, .. } => format!("write it without: {:?}", better_key(key)),
            Self::InUse { kind, .. } => format!(
                "actors are moved by teneral upgrade apply {kind} --to VERSION, the default by teneral kind \
                 set-default {kind} VERSION; see teneral kind show {kind}"
            ),
            Self::Default { kind } => {
                format!("name a version, or the kind's default: teneral kind set-default {kind} VERSION")
            }
            Self::Quarantined { kind, version, .. } => format!(
                "push a mended version: the quarantine is by digest; if the code is not to blame: teneral artifact \
                 pardon {kind} {version}"
            ),
            Self::Defined { addr, .. } => {
                format!(
                    "teneral actor restart {addr} brings it back with its state; teneral actor stop {addr} gives it up"
                )
            }
            Self::Args { .. } => "start it with the kind's own argument type".to_owned(),
            Self::Start { source: StartError::Taken(_), .. } => "stop that one first, or take another name".to_owned(),
            Self::Start { .. } => "mend what the cause says; the name is free".to_owned(),
            Self::Actors { .. } => {
                "stop actors that nobody needs, or raise limits.actors_max: teneral config show".to_owned()
            }
            Self::Own { .. } => {
                "look at it: teneral actor show; it ends with the host, and grants in teneral.toml say who may use it"
                    .to_owned()
            }
            Self::Spread { member, .. } => format!("look at a member's: teneral actor state {member}"),
            Self::Member { address, .. } => format!("give the order to {address}: its members follow it"),
            Self::Native(NotNative::CaFile { .. }) => {
                "name a file of certificates in PEM, as a CA gives it away: http_client.ca_file; or none".to_owned()
            }
            Self::Native(_) => "call it by a key of an address, as in mailer; mend what the cause says".to_owned(),
            Self::Tell { addr, .. } => format!("look: teneral actor show {addr}; teneral kind show {}", addr.kind()),
            Self::Full { .. } => "send less, or wait longer: teneral actor show says how much waits".to_owned(),
            Self::Ask { source, addr } => unanswered(source, addr),
            Self::Task { .. } => "keep the tokio runtime until the system is shut down".to_owned(),
        }
    }
}

/// What to do about an ask without an answer.
fn unanswered(why: &AskError, addr: &Addr) -> String {
    match why {
        AskError::Timeout => "look at what the actor does, or wait longer".to_owned(),
        AskError::UnknownMessage(_) | AskError::UnknownShape(_) => {
            format!("ask what its version knows: teneral kind show {}", addr.kind())
        }
        AskError::Denied(_) => "write what the cause says into teneral.toml, and start the host again".to_owned(),
        AskError::Failed(_) => "mend what its code says".to_owned(),
        AskError::Lost(_) => "ask again, if it may be done twice; kinds.KIND.idempotent names what may".to_owned(),
        AskError::Panicked(_) => "look at the log: the actor has begun anew, as its options say".to_owned(),
        _ => "look at the actor's status".to_owned(),
    }
}
