//! Where a plugin writes to: a `tn_writer` over a `Vec` with a budget in bytes.
//!
//! The plugin gets memory only as far as the budget goes; past it `reserve` answers NULL and the plugin says
//! `TN_LIMIT`. Nothing it does with the writer, short of writing past what it reserved, can grow the host beyond that.

use teneral_abi::TnWriter;

/// How much is reserved at least, so that small writes do not grow the buffer one by one.
const CHUNK_BYTES: usize = 256;

/// A `tn_writer` and the buffer behind it. The writer is the first field: the plugin's pointer to it is a pointer to
/// all.
#[repr(C)]
pub(crate) struct Writer {
    raw: TnWriter,
    buffer: Vec<u8>,
    bytes_max: usize,
    reserved: usize,
    refused: bool,
}

impl Writer {
    /// An empty writer that takes at most `bytes_max`.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        let raw =
            TnWriter { size: size_of::<TnWriter>() as u32, reserved: 0, reserve: Some(reserve), commit: Some(commit) };
        Self { raw, buffer: Vec::new(), bytes_max, reserved: 0, refused: false }
    }

    /// What a plugin is given. Valid as long as `self` is not moved, so for one call.
    pub(crate) const fn raw(&mut self) -> *mut TnWriter {
        std::ptr::from_mut(self).cast()
    }

    /// Whether a reservation was refused.
    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    /// What was written, as text; what is no UTF-8 is replaced.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.buffer).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

unsafe extern "C" fn reserve(writer: *mut TnWriter, bytes: usize) -> *mut u8 {
    // SAFETY: the only TnWriter with this function is the first field of a `Writer` (repr C), and `Writer::raw` made
    // the pointer from `&mut Writer`, so it is valid for the whole struct and used by one call at a time.
    let writer = unsafe { &mut *writer.cast::<Writer>() };
    if bytes > writer.bytes_max - writer.buffer.len() {
        writer.refused = true;
        return std::ptr::null_mut();
    }
    let room = bytes.max(CHUNK_BYTES.min(writer.bytes_max - writer.buffer.len()));
    if writer.buffer.try_reserve(room).is_err() {
        writer.refused = true;
        return std::ptr::null_mut();
    }
    // Zeroed, so that a plugin which commits more than it wrote shows zeros and not the host's memory.
    let start = writer.buffer.len();
    writer.buffer.resize(start + bytes, 0);
    writer.buffer.truncate(start);
    writer.reserved = bytes;
    writer.buffer.spare_capacity_mut().as_mut_ptr().cast()
}

unsafe extern "C" fn commit(writer: *mut TnWriter, bytes: usize) {
    // SAFETY: as in `reserve`.
    let writer = unsafe { &mut *writer.cast::<Writer>() };
    let bytes = bytes.min(writer.reserved);
    writer.reserved = 0;
    // SAFETY: `reserve` made capacity for `reserved` bytes past the length and zeroed them, and nothing has touched the
    // buffer since.
    unsafe { writer.buffer.set_len(writer.buffer.len() + bytes) };
}
