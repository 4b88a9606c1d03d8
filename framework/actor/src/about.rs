//! What a library says of one actor, as constants: name, version, and the ladder of its state.
//!
//! [`export_actor!`](crate::export_actor) and [`about!`](crate::about!) write it, the first for a library, the second
//! for an actor that is linked in. Each climb is composed of the author's single steps, so a missing step does not
//! compile.

use crate::actor::Actor;
use crate::error::{Fault, FaultKind};
use teneral_contract::manifest::SchemaEntry;
use teneral_contract::parts::{BodyParts, ManifestParts, StateParts};
use teneral_contract::{DecodeError, Downgrade, EncodeError, Message, Migrate, MigrateError, State, codec};

/// One actor kind in one version.
pub struct About<A: 'static> {
    /// The actor kind.
    pub kind: &'static str,
    /// The author's version.
    pub version: &'static str,
    /// What the author declares of its handlers.
    pub declared: &'static [Declared],
    /// The ladder of its state.
    pub ladder: Ladder<A>,
}

/// The older schemas that a state comes from and goes back to.
pub struct Ladder<A: 'static> {
    /// Schemas that are climbed from, oldest first.
    pub from: &'static [SchemaEntry],
    /// The climb from each of [`Ladder::from`]: its bytes to this state.
    pub climbs: &'static [Climb<A>],
    /// Schemas that are stepped down to, nearest first.
    pub down: &'static [SchemaEntry],
    /// The way down to each of [`Ladder::down`]: this state to its bytes.
    pub descents: &'static [Descent<A>],
}

/// A way up: reads the bytes of an older schema.
pub type Climb<A> = fn(&[u8]) -> Result<A, Fault>;

/// A way down: appends the bytes of an older schema.
pub type Descent<A> = fn(A, &mut Vec<u8>) -> Result<(), Fault>;

impl<A: Actor> About<A> {
    /// The manifest of this library, or of this program where the actor is linked in.
    ///
    /// # Panics
    /// When a rung of the ladder is not older than the state, which as a constant does not build.
    #[must_use]
    pub const fn parts(&self) -> ManifestParts<'static> {
        assert!(are_older(self.ladder.from, A::SCHEMA), "`from` lists older schemas only");
        assert!(are_older(self.ladder.down, A::SCHEMA), "`down` lists older schemas only");
        ManifestParts {
            abi: [teneral_abi::ABI_MAJOR, teneral_abi::ABI_MINOR],
            target: env!("TENERAL_TARGET"),
            panic: "unwind",
            compiler: env!("TENERAL_COMPILER"),
            kind: self.kind,
            version: self.version,
            state: StateParts::of::<A>(self.ladder.from, self.ladder.down),
            args: BodyParts::of::<A::Args>(),
            messages: A::Message::VARIANTS,
            requires: &[],
            capabilities: &[],
            deterministic: has(self.declared, Declared::Deterministic),
            blocking: has(self.declared, Declared::Blocking),
        }
    }
}

const fn are_older(rungs: &[SchemaEntry], own: u32) -> bool {
    let mut i = 0;
    while i < rungs.len() {
        if rungs[i].schema >= own {
            return false;
        }
        i += 1;
    }
    true
}

/// What an author declares of an actor's handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Equal inputs give equal effects: the host may offer a replay.
    Deterministic,
    /// A handler may block: the host gives its turns threads of their own.
    Blocking,
}

const fn has(declared: &[Declared], wanted: Declared) -> bool {
    let mut i = 0;
    while i < declared.len() {
        // `==` of a derived `PartialEq` is no constant.
        if declared[i] as u8 == wanted as u8 {
            return true;
        }
        i += 1;
    }
    false
}

/// Length of [`version`], in bytes.
#[doc(hidden)]
#[must_use]
pub const fn version_bytes(own: &str, build: Option<&str>) -> usize {
    own.len() + if let Some(build) = build { "+dev.".len() + build.len() } else { 0 }
}

/// The author's version; of a development build, with its number behind: `1.0.0+dev.3`. A version means one artifact
/// for ever, so that an author who changes the code and not the version needs one for each build. In the order of
/// versions it comes after the version itself and before the next one.
///
/// # Panics
/// When the build is no number, which as a constant does not compile.
#[doc(hidden)]
#[must_use]
pub const fn version<const BYTES: usize>(own: &str, build: Option<&str>) -> [u8; BYTES] {
    let mut text = [0; BYTES];
    let (mut length, mut has_metadata) = (0, false);
    while length < own.len() {
        text[length] = own.as_bytes()[length];
        has_metadata = has_metadata || text[length] == b'+';
        length += 1;
    }
    if let Some(build) = build {
        let (mark, number) = (if has_metadata { b".dev." } else { b"+dev." }, build.as_bytes());
        let mut i = 0;
        while i < mark.len() + number.len() {
            text[length + i] = if i < mark.len() { mark[i] } else { number[i - mark.len()] };
            assert!(i < mark.len() || text[length + i].is_ascii_digit(), "TENERAL_DEV_BUILD is a number");
            i += 1;
        }
        assert!(!number.is_empty() && (number[0] != b'0' || number.len() == 1), "TENERAL_DEV_BUILD is a number");
    }
    text
}

/// A [`version`] as text; it is made of texts.
#[doc(hidden)]
#[must_use]
pub const fn text(version: &[u8]) -> &str {
    match std::str::from_utf8(version) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// Reads a state of the schema that it claims to be.
///
/// # Errors
/// [`FaultKind::Decode`] with the schema and the codec's reason.
pub fn decode<S: State>(bytes: &[u8]) -> Result<S, Fault> {
    let fault = |error: DecodeError| Fault::new(FaultKind::Decode, format!("state of schema {}: {error}", S::SCHEMA));
    codec::decode_state(bytes).map_err(fault)
}

/// Writes a state.
///
/// # Errors
/// [`FaultKind::Failed`] with the schema and the codec's reason.
pub fn encode<S: State>(state: &S, out: &mut Vec<u8>) -> Result<(), Fault> {
    let fault = |error: EncodeError| Fault::new(FaultKind::Failed, format!("state of schema {}: {error}", S::SCHEMA));
    codec::encode_state(state, out).map_err(fault)
}

/// One step up.
///
/// # Errors
/// The author's, as [`FaultKind::Failed`].
pub fn up<Old: State, New: State + Migrate<Old>>(old: Old) -> Result<New, Fault> {
    New::migrate(old).map_err(|error| between(Old::SCHEMA, New::SCHEMA, &error))
}

/// One step down.
///
/// # Errors
/// The author's, as [`FaultKind::Failed`].
pub fn down<New: State + Downgrade<Old>, Old: State>(new: New) -> Result<Old, Fault> {
    new.downgrade().map_err(|error| between(New::SCHEMA, Old::SCHEMA, &error))
}

fn between(from: u32, to: u32, error: &MigrateError) -> Fault {
    Fault::new(FaultKind::Failed, format!("schema {from} to {to}: {error}"))
}

/// Describes an actor, for a host that links it in: as [`export_actor!`](crate::export_actor), without the library.
#[macro_export]
macro_rules! about {
    (@ $actor:tt $kind:tt [] $down:tt $declared:tt, from = [$($old:ty),* $(,)?] $($rest:tt)*) => {
        $crate::about!(@ $actor $kind [$($old),*] $down $declared $($rest)*)
    };
    (@ $actor:tt $kind:tt $from:tt [] $declared:tt, down = [$($old:ty),* $(,)?] $($rest:tt)*) => {
        $crate::about!(@ $actor $kind $from [$($old),*] $declared $($rest)*)
    };
    (@ $actor:tt $kind:tt $from:tt $down:tt [$($declared:tt)*], deterministic $($rest:tt)*) => {
        $crate::about!(@ $actor $kind $from $down [$($declared)* $crate::about::Declared::Deterministic,] $($rest)*)
    };
    (@ $actor:tt $kind:tt $from:tt $down:tt [$($declared:tt)*], blocking $($rest:tt)*) => {
        $crate::about!(@ $actor $kind $from $down [$($declared)* $crate::about::Declared::Blocking,] $($rest)*)
    };
    (@ [$actor:ty] [$kind:literal] [$($from:ty),*] [$($down:ty),*] [$($declared:tt)*] $(,)?) => {
        const {
            $crate::About::<$actor> {
                kind: $kind,
                version: $crate::__version!(),
                declared: &[$($declared)*],
                ladder: $crate::about::Ladder {
                    from: &[$($crate::contract::manifest::SchemaEntry::of::<$from>()),*],
                    climbs: $crate::ladder!(@up $actor; []; $($from,)*),
                    down: &[$($crate::contract::manifest::SchemaEntry::of::<$down>()),*],
                    descents: $crate::ladder!(@down $actor; []; []; $($down,)*),
                },
            }
        }
    };
    ($actor:ty, kind = $kind:literal $($rest:tt)*) => {
        $crate::about!(@ [$actor] [$kind] [] [] [] $($rest)*)
    };
}

/// The package's version. `teneral dev` builds one version many times over: it numbers its builds in the environment.
#[doc(hidden)]
#[macro_export]
macro_rules! __version {
    () => {{
        const OWN: &str = ::core::env!("CARGO_PKG_VERSION");
        const BUILD: ::core::option::Option<&str> = ::core::option_env!("TENERAL_DEV_BUILD");
        const BYTES: [u8; $crate::about::version_bytes(OWN, BUILD)] = $crate::about::version(OWN, BUILD);
        const TEXT: &str = $crate::about::text(&BYTES);
        TEXT
    }};
}

/// The single steps of a ladder, composed: `from` oldest first, `down` nearest first.
#[doc(hidden)]
#[macro_export]
macro_rules! ladder {
    (@up $actor:ty; [$($climb:tt)*];) => { &[$($climb)*] };
    (@up $actor:ty; [$($climb:tt)*]; $old:ty, $($newer:ty,)*) => {
        $crate::ladder!(@up $actor; [$($climb)*
            |bytes| {
                let state = $crate::about::decode::<$old>(bytes)?;
                $(let state: $newer = $crate::about::up(state)?;)*
                $crate::about::up(state)
            },
        ]; $($newer,)*)
    };
    (@down $actor:ty; [$($descent:tt)*]; [$($newer:ty,)*];) => { &[$($descent)*] };
    (@down $actor:ty; [$($descent:tt)*]; [$($newer:ty,)*]; $old:ty, $($older:ty,)*) => {
        $crate::ladder!(@down $actor; [$($descent)*
            |state: $actor, out| {
                $(let state: $newer = $crate::about::down(state)?;)*
                let state: $old = $crate::about::down(state)?;
                $crate::about::encode(&state, out)
            },
        ]; [$($newer,)* $old,]; $($older,)*)
    };
}

#[cfg(test)]
mod tests {
    use super::{text, version};

    #[test]
    fn a_development_build_has_its_number_behind_the_version() {
        assert_eq!(text(&version::<5>("1.0.0", None)), "1.0.0");
        assert_eq!(text(&version::<12>("1.0.0", Some("10"))), "1.0.0+dev.10");
        assert_eq!(text(&version::<15>("1.0.0+abc", Some("0"))), "1.0.0+abc.dev.0");
    }
}
