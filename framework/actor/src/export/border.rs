//! Bytes over the border: what comes in is borrowed for the call, what goes out is copied into the host's writer.

use crate::error::{Fault, FaultKind};
use crate::wall::wall;
use std::slice;
use teneral_abi as abi;
use teneral_abi::{TnBytes, TnStatus, TnWriter};

/// Longest text of an error, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Runs one entry: no panic leaves it, and what went wrong is its status and the text in `err`.
pub(super) fn cross(err: Out, entry: impl FnOnce() -> Result<(), Fault>) -> TnStatus {
    let Err(fault) = wall(entry) else { return abi::TN_OK };
    // A writer without room for the reason takes nothing from the status.
    let _ = err.put(&fault.text.as_bytes()[..fault.text.floor_char_boundary(TEXT_BYTES_MAX)]);
    status(fault.kind)
}

const fn status(kind: FaultKind) -> TnStatus {
    match kind {
        FaultKind::Panic => abi::TN_PANIC,
        FaultKind::Failed => abi::TN_FAILED,
        FaultKind::Decode => abi::TN_DECODE,
        FaultKind::UnknownMessage => abi::TN_UNKNOWN_MESSAGE,
        FaultKind::Schema => abi::TN_SCHEMA,
        FaultKind::Limit => abi::TN_LIMIT,
        FaultKind::Closed => abi::TN_CLOSED,
        FaultKind::Denied => abi::TN_DENIED,
        FaultKind::Invalid => abi::TN_INVALID,
    }
}

/// Where output goes: null, or a writer that the host lends for the length of an entry.
pub(super) struct Out(*mut TnWriter);

impl Out {
    /// The host's writer.
    ///
    /// # Safety
    /// `writer` is null, or valid for as long as this value is used.
    pub(super) const unsafe fn lent(writer: *mut TnWriter) -> Self {
        Self(writer)
    }

    /// Writes all of `bytes`, or nothing.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), Fault> {
        let over = || Fault::new(FaultKind::Limit, format!("{} bytes are over the host's budget", bytes.len()));
        // SAFETY: whoever made this value said that it is null or valid.
        let (reserve, commit) = match unsafe { self.0.as_ref() } {
            Some(TnWriter { reserve: Some(reserve), commit: Some(commit), .. }) => (*reserve, *commit),
            _ => return Err(Fault::new(FaultKind::Invalid, "a call without a writer")),
        };
        // SAFETY: the writer is valid, and its own functions take it.
        let room = unsafe { reserve(self.0, bytes.len()) };
        if room.is_null() {
            return Err(over());
        }
        // SAFETY: `reserve` answered at least `bytes.len()` writable bytes, which are the host's and so apart from
        // `bytes`; exactly those are committed.
        unsafe {
            room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            commit(self.0, bytes.len());
        }
        Ok(())
    }
}

/// The bytes that the host lends.
///
/// # Safety
/// `bytes` comes from the host and is valid for `'a`: null, or `len` readable bytes that nobody writes meanwhile.
#[inline]
pub(super) unsafe fn borrow<'a>(bytes: TnBytes) -> &'a [u8] {
    if bytes.ptr.is_null() {
        return &[];
    }
    // SAFETY: not null, and the caller says the rest.
    unsafe { slice::from_raw_parts(bytes.ptr, bytes.len) }
}

/// Bytes of the host that must be text.
pub(super) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| Fault::new(FaultKind::Decode, format!("{what}: {error}")))
}

/// Writes `value` where the host wants it, or nowhere.
///
/// # Safety
/// `place` is null or writable for one `T`.
pub(super) unsafe fn set<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not null, and the caller says that it is writable.
        unsafe { place.write(value) };
    }
}
