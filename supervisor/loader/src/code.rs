//! Loaded code: the class table of one image, checked against the manifest that vouched for it.
//!
//! A `Code` lives as long as the process, like the mapping behind it; the `Arc` around it only counts who still uses
//! it.

use crate::dl;
use crate::verified::Verified;
use rustix::fd::AsFd;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use teneral_abi as abi;
use teneral_abi::{TnClass, TnDowngrade, TnEntry, TnJson, TnPlugin};
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::{Fault, FaultKind};

/// Why checked bytes did not become code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The name is taken: the loader would hand back another library.
    #[error("a library is loaded under {0} already")]
    NameTaken(String),
    /// `dlopen` or `dlsym` failed.
    #[error("the dynamic loader refused it: {0}")]
    Refused(String),
    /// The process map could not be read.
    #[error("/proc/self/maps cannot be read: {0}")]
    Map(String),
    /// The symbol lies in another file than the one that was checked.
    #[error("the loader handed back another library: checked {expected}, got {found}")]
    Identity {
        /// The file that passed the gate.
        expected: String,
        /// The file that the symbol lies in.
        found: String,
    },
    /// The image in memory carries another GNU build-id note than the file.
    #[error("the loader handed back another build: checked {expected}, got {found}")]
    BuildId {
        /// The note in the file that passed the gate, in hexadecimal.
        expected: String,
        /// The note in memory.
        found: String,
    },
    /// The table that the plugin returned is not what its manifest says.
    #[error("the plugin's table disagrees: {0}")]
    Table(String),
    /// `init` failed.
    #[error("the plugin's init failed: {0}")]
    Init(String),
    /// A constructor or `init` did not return in time; the loader's lock may be held for ever.
    #[error("the library did not come back from its constructors within {0:?}")]
    Hung(std::time::Duration),
    /// An earlier library hung while it was loaded.
    #[error("the loader is degraded: {0} hung while it was loaded, and nothing can be loaded until the process ends")]
    Degraded(String),
    /// Too many images.
    #[error("{images} libraries are loaded, the limit is {images_max}; memory comes back only with a restart")]
    Budget {
        /// Loaded.
        images: usize,
        /// Allowed.
        images_max: usize,
    },
    /// It is a program of its own.
    #[error("it is a program, which runs in a process of its own and is never loaded into this one")]
    Program,
    /// No thread for the load.
    #[error("no thread for the load: {0}")]
    Thread(String),
}

impl LoadError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NameTaken(_) => "LOAD-NAME",
            Self::Refused(_) => "LOAD-REFUSED",
            Self::Map(_) => "LOAD-MAP",
            Self::Identity { .. } => "LOAD-IDENTITY",
            Self::BuildId { .. } => "LOAD-BUILD-ID",
            Self::Table(_) => "LOAD-TABLE",
            Self::Init(_) => "LOAD-INIT",
            Self::Hung(_) => "LOAD-HUNG",
            Self::Degraded(_) => "LOAD-DEGRADED",
            Self::Budget { .. } => "LOAD-BUDGET",
            Self::Program => "LOAD-PROGRAM",
            Self::Thread(_) => "LOAD-THREAD",
        }
    }
}

impl LoadError {
    /// Whether the library is in the process all the same: mapped, refused, and never unmapped.
    pub(crate) const fn stays_mapped(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Identity { .. } | Self::BuildId { .. } | Self::Table(_) | Self::Init(_))
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NameTaken(_) | Self::Identity { .. } | Self::BuildId { .. } => {
                "restart this process, and report this"
            }
            Self::Hung(_) | Self::Degraded(_) | Self::Budget { .. } => "restart this process when it suits",
            Self::Program => "report this: whoever asked should have started it",
            Self::Map(_) | Self::Thread(_) => "look at this process's limits",
            Self::Refused(_) => "look at what the dynamic loader says is missing",
            Self::Table(_) | Self::Init(_) => "build the library again with this teneral-actor",
        }
    }
}

/// The code of one image.
pub(crate) struct Code {
    manifest: Manifest,
    contract: Arc<Contract>,
    digest: Digest,
    name: String,
    plugin: &'static TnPlugin,
    class: &'static TnClass,
}

// SAFETY: the tables are static and constant in the library, which is never unmapped; the header marks every function
// in them with the threads that may call it, and `Instance` and `Image` keep to that.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// Maps the file and proves that what came back is that file and what its manifest says.
    ///
    /// # Safety
    /// The library's constructors run: the file is sealed and has passed the gate, and the manifest was read from it,
    /// which `Verified` says.
    pub(crate) unsafe fn open(verified: Verified) -> Result<Self, LoadError> {
        let Verified { file, manifest, digest, build_id, .. } = verified;
        let name = dl::name_of(&file);
        if !cfg!(feature = "bug-f08") && dl::is_open(&name) {
            return Err(LoadError::NameTaken(name.to_string_lossy().into_owned()));
        }
        // SAFETY: the caller's promise about the file.
        let handle = unsafe { dl::open(&name) }.map_err(LoadError::Refused)?;
        // Used or refused, the image never goes: a file that were closed would give its name to the next one.
        let file: &OwnedFd = if cfg!(feature = "bug-r4") { &file } else { Box::leak(Box::new(file)) };
        let symbol = dl::symbol(&handle, c"teneral_entry").map_err(LoadError::Table)?;
        if !cfg!(feature = "bug-f08") {
            prove(file, build_id.as_deref(), symbol as usize)?;
        }
        // SAFETY: the gate has seen that the file exports a function `teneral_entry` and nothing else; the ABI, whose
        // major the manifest declares, gives it this type.
        let entry: TnEntry = unsafe { std::mem::transmute(symbol) };
        // SAFETY: `teneral_entry` is pure and returns null or a table that lives as long as the library: for ever.
        let plugin = unsafe { entry().as_ref() };
        let plugin = plugin.ok_or_else(|| LoadError::Table("teneral_entry returned NULL".into()))?;
        check_plugin(plugin)?;
        // SAFETY: `classes` points to `class_count` (1, checked) pointers to static tables, by the header.
        let class = unsafe { plugin.classes.as_ref().and_then(|class| class.as_ref()) };
        let class = class.ok_or_else(|| LoadError::Table("the class is NULL".into()))?;
        check_class(class, &manifest)?;
        let contract = Arc::new(Contract::new(&manifest));
        let name = format!("{} {}", manifest.kind, manifest.version);
        Ok(Self { manifest, contract, digest, name, plugin, class })
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn class(&self) -> &'static TnClass {
        self.class
    }

    pub(crate) fn plugin(&self) -> &'static TnPlugin {
        self.plugin
    }

    /// The plugin's JSON functions.
    pub(crate) fn json(&self) -> Result<&'static TnJson, Fault> {
        // SAFETY: the header gives extension "teneral.json/1" this type, static in the library.
        let json = unsafe { self.extension(c"teneral.json/1").cast::<TnJson>().as_ref() };
        sized(json, |json| json.size, size_of::<TnJson>(), "JSON")
    }

    /// The plugin's way back to older schemas.
    pub(crate) fn downgrade(&self) -> Result<&'static TnDowngrade, Fault> {
        // SAFETY: the header gives extension "teneral.downgrade/1" this type, static in the library.
        let downgrade = unsafe { self.extension(c"teneral.downgrade/1").cast::<TnDowngrade>().as_ref() };
        sized(downgrade, |downgrade| downgrade.size, size_of::<TnDowngrade>(), "downgrades")
    }

    fn extension(&self, id: &CStr) -> *const std::ffi::c_void {
        // SAFETY: `id` is NUL-terminated; the function is [any] and pure.
        self.plugin.get_extension.map_or(std::ptr::null(), |get| unsafe { get(id.as_ptr()) })
    }
}

fn sized<T>(found: Option<&'static T>, size: fn(&T) -> u32, at_least: usize, what: &str) -> Result<&'static T, Fault> {
    match found {
        Some(table) if size(table) as usize >= at_least => Ok(table),
        Some(_) => Err(Fault::new(FaultKind::Protocol, format!("the code's table for {what} is too short"))),
        None => Err(Fault::new(FaultKind::Denied, format!("the code offers no {what}"))),
    }
}

/// What was loaded is the file, and the build, that was checked.
fn prove(file: &OwnedFd, build_id: Option<&[u8]>, address: usize) -> Result<(), LoadError> {
    let expected = dl::identity_of(file.as_fd()).map_err(|error| LoadError::Map(error.to_string()))?;
    let found = dl::identity_at(address).map_err(|error| LoadError::Map(error.to_string()))?;
    if found != Some(expected) {
        let found = found.map_or_else(|| "no file".into(), |found| found.to_string());
        return Err(LoadError::Identity { expected: expected.to_string(), found });
    }
    let found = dl::build_id_at(address);
    if found.as_deref() == build_id {
        return Ok(());
    }
    let text = |id: Option<&[u8]>| id.map_or_else(|| "no build id".into(), hexadecimal);
    Err(LoadError::BuildId { expected: text(build_id), found: text(found.as_deref()) })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_plugin(plugin: &TnPlugin) -> Result<(), LoadError> {
    let wrong = |text: String| Err(LoadError::Table(text));
    // The size is read first: of a shorter table no other field may be.
    if (plugin.size as usize) < size_of::<TnPlugin>() {
        return wrong(format!("tn_plugin has {} bytes, {} are needed", plugin.size, size_of::<TnPlugin>()));
    }
    if plugin.magic != abi::MAGIC {
        return wrong(format!("magic {:08x}, expected {:08x}", plugin.magic, abi::MAGIC));
    }
    if plugin.abi_major != abi::ABI_MAJOR || plugin.abi_minor > abi::ABI_MINOR {
        return wrong(format!("ABI {}.{}, this host speaks 1.0", plugin.abi_major, plugin.abi_minor));
    }
    if plugin.class_count != 1 {
        return wrong(format!("{} classes, format 1 has one", plugin.class_count));
    }
    Ok(())
}

fn check_class(class: &TnClass, manifest: &Manifest) -> Result<(), LoadError> {
    let wrong = |text: String| Err(LoadError::Table(text));
    if (class.size as usize) < size_of::<TnClass>() {
        return wrong(format!("tn_class has {} bytes, {} are needed", class.size, size_of::<TnClass>()));
    }
    if class.kind.is_null() {
        return wrong("the class has no kind".into());
    }
    // SAFETY: not null; the header says NUL-terminated and static.
    let kind = unsafe { CStr::from_ptr(class.kind) }.to_string_lossy();
    if kind != manifest.kind {
        return wrong(format!("the class is of kind {kind}, the manifest says {}", manifest.kind));
    }
    if class.state_schema != manifest.state.schema {
        return wrong(format!(
            "the class runs schema {}, the manifest says {}",
            class.state_schema, manifest.state.schema
        ));
    }
    let missing = [
        ("create", class.create.is_none()),
        ("restore", class.restore.is_none()),
        ("handle", class.handle.is_none()),
        ("save", class.save.is_none()),
        ("destroy", class.destroy.is_none()),
    ];
    match missing.iter().find(|(_, missing)| *missing) {
        Some((name, _)) => wrong(format!("the class has no function {name}")),
        None => Ok(()),
    }
}
