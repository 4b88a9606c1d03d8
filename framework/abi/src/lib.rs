//! The C ABI between a host and a plugin: the Rust mirror of `include/teneral.h`.
//!
//! The header is the contract; this file only says the same in Rust, so that hosts and SDKs share one set of layouts.
//! A test compiles the header with the system's C compiler and compares every size and offset. Nothing here is a
//! function with a body that touches memory: what may be called when is written beside the fields in the header.
#![no_std]

use core::ffi::{c_char, c_void};

/// ABI major: a plugin of another major is refused.
pub const ABI_MAJOR: u16 = 1;
/// ABI minor: a plugin of a higher minor is refused, of a lower one accepted.
pub const ABI_MINOR: u16 = 0;
/// First word of [`TnHost`] and [`TnPlugin`] after `size`: "TNL1".
pub const MAGIC: u32 = 0x314C_4E54;
/// First bytes of the manifest's section.
pub const MANIFEST_MAGIC: [u8; 4] = *b"TNRL";
/// The manifest's format number.
pub const MANIFEST_FORMAT: u16 = 1;
/// Name of the manifest's ELF section.
pub const MANIFEST_SECTION: &str = ".teneral";
/// The one exported symbol.
pub const ENTRY_SYMBOL: &str = "teneral_entry";

/// What a function of the ABI answers.
pub type TnStatus = i32;
/// Done.
pub const TN_OK: TnStatus = 0;
/// A panic was caught; in `started` and `handle` it poisons the instance.
pub const TN_PANIC: TnStatus = -1;
/// The actor's own error.
pub const TN_FAILED: TnStatus = -2;
/// Bytes that are no value of the shape their tag claims.
pub const TN_DECODE: TnStatus = -3;
/// No such variant.
pub const TN_UNKNOWN_MESSAGE: TnStatus = -4;
/// No path from that schema or shape to this one.
pub const TN_SCHEMA: TnStatus = -5;
/// The writer's budget in bytes or time is spent.
pub const TN_LIMIT: TnStatus = -6;
/// The target is gone, or the host is shutting down.
pub const TN_CLOSED: TnStatus = -7;
/// The host has not granted this.
pub const TN_DENIED: TnStatus = -8;
/// An ask's deadline passed.
pub const TN_TIMEOUT: TnStatus = -9;
/// An argument is out of range, or the call is not allowed here.
pub const TN_INVALID: TnStatus = -10;

/// Cause of a turn: a message from outside.
pub const TN_CAUSE_MESSAGE: u32 = 0;
/// Cause of a turn: the answer to an ask.
pub const TN_CAUSE_ANSWER: u32 = 1;
/// Cause of a turn: a timer.
pub const TN_CAUSE_TIMER: u32 = 2;
/// Cause of a turn: the instance went live.
pub const TN_CAUSE_STARTED: u32 = 3;
/// Cause of a turn: a monitored actor stopped.
pub const TN_CAUSE_DOWN: u32 = 4;
/// Cause of a turn: an effect could not be delivered.
pub const TN_CAUSE_UNDELIVERED: u32 = 5;

/// Why an instance goes live: it is new.
pub const TN_STARTED_FRESH: u32 = 0;
/// Why an instance goes live: an upgrade or a downgrade.
pub const TN_STARTED_UPGRADED: u32 = 1;
/// Why an instance goes live: a rollback after commit.
pub const TN_STARTED_ROLLED_BACK: u32 = 2;
/// Why an instance goes live: a restart by its supervisor.
pub const TN_STARTED_RESTARTED: u32 = 3;

/// Extension: JSON to and from the plugin's own types.
pub const EXT_JSON: &str = "teneral.json/1";
/// Extension: a snapshot of the current schema as one of an older schema.
pub const EXT_DOWNGRADE: &str = "teneral.downgrade/1";

/// Borrowed bytes; `ptr` may be null when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TnBytes {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl TnBytes {
    /// No bytes.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows `bytes` for as long as the caller keeps them.
    #[must_use]
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

/// 128 bits in two words, since C has no such type.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TnU128 {
    /// The upper 64 bits.
    pub hi: u64,
    /// The lower 64 bits.
    pub lo: u64,
}

impl From<u128> for TnU128 {
    fn from(value: u128) -> Self {
        Self { hi: (value >> 64) as u64, lo: value as u64 }
    }
}

impl From<TnU128> for u128 {
    fn from(value: TnU128) -> Self {
        (Self::from(value.hi) << 64) | Self::from(value.lo)
    }
}

/// Which message, in which shape.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TnTag {
    /// FNV-1a-64 of the variant's name.
    pub variant: u64,
    /// FNV-1a-128 of the variant's shape.
    pub fingerprint: TnU128,
}

/// An address: its path and the path's hash.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TnAddr {
    /// FNV-1a-128 of the path.
    pub id: TnU128,
    /// `kind/key`, UTF-8.
    pub path: TnBytes,
}

/// Where output goes; valid only during the call that passes it.
#[repr(C)]
#[derive(Debug)]
pub struct TnWriter {
    /// Size of this struct as its maker knows it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// At least `n` writable bytes, or null: over budget.
    pub reserve: Option<unsafe extern "C" fn(*mut TnWriter, usize) -> *mut u8>,
    /// Takes `n` of the bytes that were reserved.
    pub commit: Option<unsafe extern "C" fn(*mut TnWriter, usize)>,
}

/// The host as a library sees it; lives as long as the process.
#[repr(C)]
#[derive(Debug)]
pub struct TnHost {
    /// Size of this struct as the host knows it.
    pub size: u32,
    /// [`MAGIC`].
    pub magic: u32,
    /// [`ABI_MAJOR`] of the host.
    pub abi_major: u16,
    /// [`ABI_MINOR`] of the host.
    pub abi_minor: u16,
    /// 0.
    pub reserved: u32,
    /// `[any]` an extension by name, or null.
    pub get_extension: Option<unsafe extern "C" fn(*const TnHost, *const c_char) -> *const c_void>,
    /// `[any]` a line of log: level, target, text.
    pub log: Option<unsafe extern "C" fn(*const TnHost, u32, TnBytes, TnBytes)>,
}

/// The host as a turn sees it; every function takes [`TnCall::turn`].
#[repr(C)]
#[derive(Debug)]
pub struct TnActorHost {
    /// Size of this struct as the host knows it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Sends a message.
    pub tell: Option<unsafe extern "C" fn(*mut c_void, *const TnAddr, *const TnTag, TnBytes) -> TnStatus>,
    /// Asks; the answer comes as a message.
    pub ask: Option<
        unsafe extern "C" fn(
            *mut c_void,
            *const TnAddr,
            *const TnTag,
            TnBytes,
            TnU128,
            u64,
            *const TnTag,
            TnBytes,
            *mut u64,
        ) -> TnStatus,
    >,
    /// A message to oneself after a delay, once or periodically.
    pub after: Option<unsafe extern "C" fn(*mut c_void, u64, u64, *const TnTag, TnBytes, *mut u64) -> TnStatus>,
    /// Cancels a timer.
    pub cancel_timer: Option<unsafe extern "C" fn(*mut c_void, u64) -> TnStatus>,
    /// Answers a call.
    pub reply: Option<unsafe extern "C" fn(*mut c_void, u64, u64, TnU128, TnBytes) -> TnStatus>,
    /// Starts a child: kind, key, version, args.
    pub spawn: Option<unsafe extern "C" fn(*mut c_void, TnBytes, TnBytes, TnBytes, TnU128, TnBytes) -> TnStatus>,
    /// Stops oneself after this turn.
    pub stop: Option<unsafe extern "C" fn(*mut c_void, TnBytes) -> TnStatus>,
    /// Nanoseconds since the Unix epoch, the same all turn long.
    pub now: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    /// 64 random bits.
    pub random: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
}

/// The input of one turn.
#[repr(C)]
#[derive(Debug)]
pub struct TnCall {
    /// Size of this struct as the host knows it.
    pub size: u32,
    /// One of `TN_CAUSE_*`.
    pub cause: u32,
    /// The message's place in the manifest's table; `u32::MAX`: there is none.
    pub index: u32,
    /// Cause answer: [`TN_OK`], or why there is none.
    pub status: TnStatus,
    /// The shape that `body` has.
    pub tag: TnTag,
    /// The message, borrowed.
    pub body: TnBytes,
    /// Cause answer: the reply's bytes, or the error's text.
    pub answer: TnBytes,
    /// The shape of `answer`.
    pub answer_shape: TnU128,
    /// Boot epoch of the host that made the call id.
    pub epoch: u64,
    /// What `reply` takes; 0: nobody waits.
    pub call_id: u64,
    /// The shape that the asker expects.
    pub reply: TnU128,
    /// How long the asker still waits; 0: no bound.
    pub deadline_ns: u64,
    /// Who handles.
    pub this: TnAddr,
    /// Who sent; an empty path: no actor.
    pub sender: TnAddr,
    /// W3C trace id, or zeros.
    pub trace_id: [u8; 16],
    /// The host's functions for this turn.
    pub host: *const TnActorHost,
    /// Their first argument.
    pub turn: *mut c_void,
}

/// One actor kind.
#[repr(C)]
#[derive(Debug)]
pub struct TnClass {
    /// Size of this struct as the plugin knows it.
    pub size: u32,
    /// The schema that this code saves and runs.
    pub state_schema: u32,
    /// NUL-terminated; equals the manifest's.
    pub kind: *const c_char,
    /// `[any]` a new instance from args.
    pub create: Option<unsafe extern "C" fn(TnU128, TnBytes, *mut *mut c_void, *mut TnWriter) -> TnStatus>,
    /// `[any]` an instance from a snapshot, through the ladder.
    pub restore: Option<unsafe extern "C" fn(u32, TnBytes, *mut *mut c_void, *mut TnWriter) -> TnStatus>,
    /// `[actor]` the first effects. May be absent.
    pub started: Option<unsafe extern "C" fn(*mut c_void, u32, *const TnCall, *mut TnWriter) -> TnStatus>,
    /// `[actor]` one turn.
    pub handle: Option<unsafe extern "C" fn(*mut c_void, *const TnCall, *mut TnWriter) -> TnStatus>,
    /// `[actor]` the state as bytes; the instance is unchanged, also when it fails.
    pub save: Option<unsafe extern "C" fn(*const c_void, *mut TnWriter, *mut TnWriter) -> TnStatus>,
    /// `[any]` frees everything.
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// What `teneral_entry` returns.
#[repr(C)]
#[derive(Debug)]
pub struct TnPlugin {
    /// Size of this struct as the plugin knows it.
    pub size: u32,
    /// [`MAGIC`].
    pub magic: u32,
    /// ABI major of the plugin.
    pub abi_major: u16,
    /// ABI minor of the plugin.
    pub abi_minor: u16,
    /// 1 in manifest format 1.
    pub class_count: u32,
    /// The classes.
    pub classes: *const *const TnClass,
    /// `[load]` once per process, before any class function.
    pub init: Option<unsafe extern "C" fn(*const TnHost, *mut TnWriter) -> TnStatus>,
    /// `[load]` at most once, when the process ends.
    pub deinit: Option<unsafe extern "C" fn() -> TnStatus>,
    /// `[any]` an extension by name, or null. Absent: there are none.
    pub get_extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
}

/// The function type of [`ENTRY_SYMBOL`].
pub type TnEntry = unsafe extern "C" fn() -> *const TnPlugin;

/// Extension [`EXT_JSON`].
#[repr(C)]
#[derive(Debug)]
pub struct TnJson {
    /// Size of this struct as the plugin knows it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// A message by name from JSON.
    pub message: Option<
        unsafe extern "C" fn(TnBytes, TnBytes, *mut TnTag, *mut TnU128, *mut TnWriter, *mut TnWriter) -> TnStatus,
    >,
    /// Start arguments from JSON.
    pub args: Option<unsafe extern "C" fn(TnBytes, *mut TnU128, *mut TnWriter, *mut TnWriter) -> TnStatus>,
    /// A reply as JSON.
    pub reply: Option<unsafe extern "C" fn(u64, TnU128, TnBytes, *mut TnWriter, *mut TnWriter) -> TnStatus>,
    /// A snapshot as JSON.
    pub state: Option<unsafe extern "C" fn(TnBytes, *mut TnWriter, *mut TnWriter) -> TnStatus>,
    /// JSON as a snapshot.
    pub state_from: Option<unsafe extern "C" fn(TnBytes, *mut TnWriter, *mut TnWriter) -> TnStatus>,
}

/// Extension [`EXT_DOWNGRADE`].
#[repr(C)]
#[derive(Debug)]
pub struct TnDowngrade {
    /// Size of this struct as the plugin knows it.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// A snapshot of the current schema as one of `to_schema`.
    pub downgrade: Option<unsafe extern "C" fn(TnBytes, u32, *mut TnWriter, *mut TnWriter) -> TnStatus>,
}
