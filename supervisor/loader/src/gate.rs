//! The gate: may these bytes become code? Decided from the bytes alone, before any of them runs.
//!
//! The checks stand in the order of [`CHECKS`], the first that fails ends it, and each has a code, a sentence that
//! names what was found and what was expected, and a hint. Number 4, the signature, is the [`Trust`] port; number 12's
//! live half (migration path, parked messages) belongs to the plan, which knows the actors; 13 and 14 are the loader's.

use crate::elf::{self, Elf, ElfError, Export, Trait};
use crate::seal::{SealError, Sealed, seal, seal_path};
use crate::verified::Verified;
use serde::{Deserialize, Serialize};
use std::path::Path;
use teneral_abi as abi;
use teneral_contract::manifest::ManifestError;
use teneral_contract::program::{self, ProgramError};
use teneral_contract::{Digest, Manifest};

/// What a release says of an artifact: who it is and which bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The actor kind.
    pub kind: String,
    /// The author's version.
    pub version: semver::Version,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// Who vouches for a release: check 4.
pub trait Trust: Send + Sync {
    /// Accepts or refuses; the text says why not.
    ///
    /// # Errors
    /// The reason for the refusal, a sentence.
    fn vouch(&self, release: &Release) -> Result<(), String>;
}

/// An unsigned release record in the host's own store vouches for the bytes it names.
#[derive(Debug, Clone, Copy)]
pub struct UnsignedRecord;

impl Trust for UnsignedRecord {
    fn vouch(&self, _release: &Release) -> Result<(), String> {
        Ok(())
    }
}

/// What the gate goes by. It crosses to the process that tries code first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    /// Largest file, in bytes.
    pub bytes_max: u64,
    /// Libraries that may be needed, by file name without what follows `.so`.
    pub needed_allowed: Vec<String>,
    /// Host extensions that are offered.
    pub extensions: Vec<String>,
    /// Capabilities that are granted to this kind.
    pub capabilities: Vec<String>,
    /// Digests that may not be loaded, each with the reason.
    pub quarantined: Vec<(Digest, String)>,
    /// Newest glibc that is present, as (major, minor).
    pub glibc: (u32, u32),
}

impl Policy {
    /// 256 MiB; libc's own libraries; no extension, no capability, no quarantine; the glibc that runs.
    #[must_use]
    pub fn standard() -> Self {
        let libraries =
            ["libc", "libm", "libgcc_s", "libpthread", "libdl", "librt", "ld-linux-x86-64", "ld-linux-aarch64"];
        Self {
            bytes_max: 256 << 20,
            needed_allowed: libraries.map(str::to_owned).to_vec(),
            extensions: Vec::new(),
            capabilities: Vec::new(),
            quarantined: Vec::new(),
            glibc: crate::dl::glibc_version(),
        }
    }
}

/// Why bytes may not become code. `code` is stable; the sentence names found and expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct GateError {
    /// The check that failed.
    pub check: Check,
    /// What was found and what was expected.
    pub text: String,
}

/// Defines [`Check`], so that number, code, title and hint of a check stand on one line.
macro_rules! checks {
    ($($name:ident $number:literal $code:literal $title:literal $hint:literal;)*) => {
        /// A check of the gate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check { $(#[doc = $title] $name,)* }

        /// Every check, in the order in which they are made.
        pub const CHECKS: &[Check] = &[$(Check::$name,)*];

        impl Check {
            /// Its row in the table of docs/abi.md.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }
            /// The stable error code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
            /// What is checked.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
            /// What to do about it.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

checks! {
    File 2 "GATE-FILE" "the file can be read and sealed"
        "name the library itself, a regular file that this user may read";
    Size 2 "GATE-SIZE" "the file is within the size limit" "strip the library, or raise the limit";
    Empty 2 "GATE-EMPTY" "the file is not empty" "build the library again; the copy may have been cut off";
    Digest 3 "GATE-DIGEST" "SHA-256 equals the release record"
        "push the artifact again; the file changed after it was recorded";
    Quarantine 1 "GATE-QUARANTINE" "the digest is not quarantined"
        "this version hung or crashed before; ship a new one";
    Trust 4 "GATE-TRUST" "somebody trusted vouches for the release" "sign the release with a key that this host trusts";
    Program 5 "GATE-PROGRAM" "a well-formed program with its manifest"
        "pack it again: teneral artifact pack; the file may be cut off";
    Elf 5 "GATE-ELF" "a well-formed ELF file" "build a shared library for Linux; the file may be cut off";
    Arch 5 "GATE-ARCH" "ELF class and architecture are this machine's" "build for this machine's target";
    Type 5 "GATE-TYPE" "a shared library" "build a cdylib, not a program or an object file";
    NoManifest 6 "GATE-NO-MANIFEST" "section .teneral is there"
        "write export_actor!(..) in the library; in C see docs/abi.md";
    TwoManifests 6 "GATE-TWO-MANIFESTS" "section .teneral is there once"
        "one library holds one actor kind: one export_actor!";
    ManifestSize 6 "GATE-MANIFEST-SIZE" "the manifest is at most 1 MiB"
        "split the messages' types, or make parts of them opaque";
    Manifest 6 "GATE-MANIFEST" "the manifest reads" "build the library with a teneral-actor of this major version";
    Record 6 "GATE-RECORD" "kind and version equal the release record" "push the artifact again under its own name";
    Abi 7 "GATE-ABI" "the ABI is one that this host speaks" "build against an older teneral-actor, or update this host";
    Target 7 "GATE-TARGET" "the target triple is this host's" "build for this host's target";
    Extension 7 "GATE-EXTENSION" "every required host extension is offered" "update this host";
    Capability 7 "GATE-CAPABILITY" "every capability is granted"
        "grant the capability to this kind, if it should have it";
    Panic 8 "GATE-PANIC" "panics unwind and are caught" "set panic = \"unwind\" in the profile that builds the library";
    Exports 9 "GATE-EXPORTS" "exactly teneral_entry is exported"
        "hide the other symbols: -fvisibility=hidden, no #[no_mangle]";
    Needed 10 "GATE-NEEDED" "only libc's own libraries are needed" "link the library statically into the plugin";
    Search 10 "GATE-RPATH" "no RPATH, RUNPATH, AUDIT or FILTER" "link without -rpath";
    Glibc 10 "GATE-GLIBC" "the glibc versions are present here" "build on a system with this glibc or an older one";
    StaticTls 11 "GATE-STATIC-TLS" "no static TLS"
        "build without -ftls-model=initial-exec; leave the allocator to the host";
    TextRelocations 11 "GATE-TEXTREL" "no relocations in code" "build with -fPIC";
    Stack 11 "GATE-EXEC-STACK" "the stack is not executable" "link with -z noexecstack";
    WritableCode 11 "GATE-WX" "no segment is writable and executable" "link without -N and without hand-made segments";
    Ifunc 11 "GATE-IFUNC" "no indirect functions" "build without ifunc attributes";
}

impl GateError {
    fn new(check: Check, text: impl Into<String>) -> Self {
        Self { check, text: text.into() }
    }

    /// Check 3 by itself.
    ///
    /// # Errors
    /// [`Check::Digest`] when the two differ.
    pub fn unless_recorded(found: Digest, recorded: Digest) -> Result<(), Self> {
        if found == recorded {
            return Ok(());
        }
        let text = format!("the file's SHA-256 is {found}, the release record says {recorded}");
        Err(Self::new(Check::Digest, text))
    }

    /// The end of check 6 by itself.
    ///
    /// # Errors
    /// [`Check::Record`] when the manifest is of another kind or version than the release.
    pub fn unless_described(manifest: &Manifest, release: &Release) -> Result<(), Self> {
        let (found, expected) = ((&manifest.kind, &manifest.version), (&release.kind, &release.version));
        if found == expected {
            return Ok(());
        }
        let text =
            format!("the manifest says {} {}, the release record {} {}", found.0, found.1, expected.0, expected.1);
        Err(Self::new(Check::Record, text))
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.check.code()
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        self.check.hint()
    }
}

/// What a file says of itself, whether or not it would be let in.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its manifest.
    pub manifest: Manifest,
    /// Functions that would run when it is loaded.
    pub constructors: u64,
    /// The libraries that it needs.
    pub needed: Vec<String>,
}

/// Reads what a file says of itself. Nothing of it runs.
///
/// # Errors
/// [`GateError`]: it is neither a library nor a program with a manifest.
pub fn described(bytes: &[u8]) -> Result<Described, GateError> {
    if program::is_program(bytes) {
        let (manifest, _) = program::read(bytes).map_err(|error| no_program(&error))?;
        return Ok(Described { manifest, constructors: 0, needed: Vec::new() });
    }
    let elf = elf::read(bytes).map_err(malformed)?;
    Ok(Described { manifest: manifest(&elf)?, constructors: elf.constructors, needed: elf.needed })
}

/// The gate, with what it goes by.
#[derive(Debug, Clone)]
pub struct Gate<T> {
    /// What is allowed.
    pub policy: Policy,
    /// Who vouches.
    pub trust: T,
}

impl<T: Trust> Gate<T> {
    /// Checks the file at `path`; with a `release`, also that it is that one.
    ///
    /// # Errors
    /// [`GateError`]: the first check that failed. Nothing of the file has run.
    pub fn verify(&self, path: &Path, release: Option<&Release>) -> Result<Verified, GateError> {
        self.verify_sealed(seal_path(path, self.policy.bytes_max).map_err(sealing)?, release)
    }

    /// Checks bytes that are at hand, from a store or a socket.
    ///
    /// # Errors
    /// As [`Gate::verify`].
    pub fn verify_bytes(&self, bytes: Vec<u8>, release: Option<&Release>) -> Result<Verified, GateError> {
        self.verify_sealed(self.seal(bytes)?, release)
    }

    /// Seals bytes that are at hand: for whoever wants to compare their digest before they are checked.
    ///
    /// # Errors
    /// [`Check::Size`] and [`Check::File`].
    pub fn seal(&self, bytes: Vec<u8>) -> Result<Sealed, GateError> {
        seal(bytes, self.policy.bytes_max).map_err(sealing)
    }

    /// Checks what is sealed.
    ///
    /// # Errors
    /// As [`Gate::verify`].
    pub fn verify_sealed(&self, sealed: Sealed, release: Option<&Release>) -> Result<Verified, GateError> {
        let Sealed { file, bytes, digest } = sealed;
        if bytes.is_empty() {
            return Err(GateError::new(Check::Empty, "the file is empty"));
        }
        if let Some(release) = release.filter(|_| !cfg!(feature = "bug-r1")) {
            GateError::unless_recorded(digest, release.digest)?;
        }
        if let Some((_, why)) = self.policy.quarantined.iter().find(|(found, _)| *found == digest) {
            return Err(GateError::new(Check::Quarantine, format!("{digest} is quarantined: {why}")));
        }
        if let Some(release) = release {
            self.trust.vouch(release).map_err(|why| GateError::new(Check::Trust, why))?;
        }
        if program::is_program(&bytes) {
            let (manifest, body) = program::read(&bytes).map_err(|error| no_program(&error))?;
            let program_bytes = Some(body.len());
            if body.starts_with(b"\x7fELF") {
                machine(elf::read(body).map_err(malformed)?.machine)?;
            }
            if let Some(release) = release {
                GateError::unless_described(&manifest, release)?;
            }
            granted(&manifest, &self.policy)?;
            tracing::debug!(kind = manifest.kind, version = %manifest.version, "verified, a program");
            return Ok(Verified { file, manifest, digest, bytes: bytes.len() as u64, build_id: None, program_bytes });
        }
        let elf = elf::read(&bytes).map_err(malformed)?;
        file_type(&elf)?;
        let manifest = manifest(&elf)?;
        if let Some(release) = release {
            GateError::unless_described(&manifest, release)?;
        }
        offered(&manifest, &self.policy)?;
        panics(&manifest, &elf)?;
        exports(&elf)?;
        libraries(&elf, &self.policy)?;
        memory(&elf)?;
        if let Some(release) = release.filter(|_| cfg!(feature = "bug-r1")) {
            GateError::unless_recorded(digest, release.digest)?;
        }
        tracing::debug!(kind = manifest.kind, version = %manifest.version, constructors = elf.constructors, "verified");
        Ok(Verified { file, manifest, digest, bytes: bytes.len() as u64, build_id: elf.build_id, program_bytes: None })
    }
}

fn sealing(error: SealError) -> GateError {
    let check = if matches!(error, SealError::Size { .. }) { Check::Size } else { Check::File };
    GateError::new(check, error.to_string())
}

fn malformed(error: ElfError) -> GateError {
    let check = if error == ElfError::Class { Check::Arch } else { Check::Elf };
    GateError::new(check, error.to_string())
}

fn no_program(error: &ProgramError) -> GateError {
    let check = match error {
        ProgramError::Manifest(ManifestError::Size { .. }) => Check::ManifestSize,
        ProgramError::Manifest(_) | ProgramError::Library | ProgramError::Field { .. } => Check::Manifest,
        _ => Check::Program,
    };
    GateError::new(check, error.to_string())
}

fn machine(found: u16) -> Result<(), GateError> {
    let expected = if cfg!(target_arch = "aarch64") { object::elf::EM_AARCH64 } else { object::elf::EM_X86_64 };
    if found == expected {
        return Ok(());
    }
    let text = format!("the file is for machine {found}, this one is {expected} (ELF e_machine)");
    Err(GateError::new(Check::Arch, text))
}

fn file_type(elf: &Elf) -> Result<(), GateError> {
    machine(elf.machine)?;
    if elf.kind != object::elf::ET_DYN {
        return Err(GateError::new(Check::Type, format!("ELF type {}, a shared library has 3 (ET_DYN)", elf.kind)));
    }
    Ok(())
}

fn manifest(elf: &Elf) -> Result<Manifest, GateError> {
    let section = match elf.manifests.as_slice() {
        [] => return Err(GateError::new(Check::NoManifest, "the file has no section .teneral")),
        [section] => section,
        many => {
            let text = format!("the file has {} sections .teneral, one is allowed", many.len());
            return Err(GateError::new(Check::TwoManifests, text));
        }
    };
    Manifest::parse(section).map_err(|error| {
        let check = match error {
            ManifestError::Size { .. } => Check::ManifestSize,
            ManifestError::Doubled => Check::TwoManifests,
            _ => Check::Manifest,
        };
        GateError::new(check, error.to_string())
    })
}

fn offered(manifest: &Manifest, policy: &Policy) -> Result<(), GateError> {
    let [major, minor] = manifest.abi;
    if major != abi::ABI_MAJOR || minor > abi::ABI_MINOR {
        let text =
            format!("the library wants ABI {major}.{minor}, this host speaks {}.{}", abi::ABI_MAJOR, abi::ABI_MINOR);
        return Err(GateError::new(Check::Abi, text));
    }
    let target = concat_target();
    if manifest.target != target {
        let text = format!("the library is built for {}, this host is {target}", manifest.target);
        return Err(GateError::new(Check::Target, text));
    }
    granted(manifest, policy)
}

fn granted(manifest: &Manifest, policy: &Policy) -> Result<(), GateError> {
    if let Some(missing) = manifest.requires.iter().find(|name| !policy.extensions.contains(name)) {
        return Err(GateError::new(
            Check::Extension,
            format!("the library requires {missing}, this host does not offer it"),
        ));
    }
    if let Some(missing) = manifest.capabilities.iter().find(|name| !policy.capabilities.contains(name)) {
        let text = format!("the library wants capability {missing}, kind {} has no such grant", manifest.kind);
        return Err(GateError::new(Check::Capability, text));
    }
    Ok(())
}

fn concat_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn panics(manifest: &Manifest, elf: &Elf) -> Result<(), GateError> {
    let text = match manifest.panic.as_str() {
        "none" => return Ok(()),
        "unwind" if elf.imports.contains("_Unwind_RaiseException") => return Ok(()),
        "unwind" => {
            "the manifest says panic = \"unwind\", but _Unwind_RaiseException is not imported: it would abort".into()
        }
        other => format!("the manifest says panic = {other:?}, \"unwind\" or (without unwinding) \"none\" is expected"),
    };
    Err(GateError::new(Check::Panic, text))
}

fn exports(elf: &Elf) -> Result<(), GateError> {
    let wanted = (abi::ENTRY_SYMBOL.to_owned(), Export::Function);
    if elf.exports.len() == 1 && elf.exports.contains(&wanted) {
        return Ok(());
    }
    let text = if elf.exports.contains(&wanted) {
        let extra: Vec<_> = elf.exports.iter().filter(|export| **export != wanted).map(|export| &*export.0).collect();
        format!("besides teneral_entry the library exports {}", few(&extra))
    } else {
        "the library exports no function teneral_entry".into()
    };
    Err(GateError::new(Check::Exports, text))
}

fn few(names: &[&str]) -> String {
    match names {
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a}, {b}, {c} and {} more", rest.len()),
        names => names.join(", "),
    }
}

fn libraries(elf: &Elf, policy: &Policy) -> Result<(), GateError> {
    let allowed = |name: &str| {
        let stem = name.split_once(".so").map_or(name, |(stem, _)| stem);
        !name.contains('/') && policy.needed_allowed.iter().any(|allowed| allowed == stem)
    };
    if let Some(name) = elf.needed.iter().find(|name| !allowed(name)) {
        return Err(GateError::new(Check::Needed, format!("the library needs {name}, which is not on the allow-list")));
    }
    if let Some((tag, value)) = elf.searches.first() {
        return Err(GateError::new(Check::Search, format!("the library has {tag} {value:?}")));
    }
    for version in &elf.versions {
        let Some(wanted) = version.strip_prefix("GLIBC_") else { continue };
        let (major, minor) = policy.glibc;
        if parse_version(wanted).is_none_or(|wanted| wanted > policy.glibc) {
            let text = format!("the library needs {version}, here is GLIBC_{major}.{minor}");
            return Err(GateError::new(Check::Glibc, text));
        }
    }
    Ok(())
}

/// `2.34` and `2.2.5` as (major, minor).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn memory(elf: &Elf) -> Result<(), GateError> {
    let Some(found) = elf.traits.first() else { return Ok(()) };
    let (check, text) = match found {
        Trait::StaticTls => (Check::StaticTls, "DT_FLAGS has DF_STATIC_TLS"),
        Trait::TextRelocations => (Check::TextRelocations, "the library has text relocations (DT_TEXTREL)"),
        Trait::ExecutableStack => (Check::Stack, "PT_GNU_STACK is missing or executable"),
        Trait::WritableCode => (Check::WritableCode, "a segment is writable and executable"),
        Trait::IndirectFunctions => (Check::Ifunc, "the library has indirect functions (STT_GNU_IFUNC)"),
    };
    Err(GateError::new(check, text))
}
