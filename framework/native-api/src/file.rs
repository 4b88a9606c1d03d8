//! `native/file`: files read, appended to and followed.
//!
//! Paths are absolute and plain: no `.`, no `..`. What is opened is a regular file beneath a directory that the asker's
//! kind is granted; a link that leads out of it, a fifo or a device is refused. Bytes are never changed.

use serde::{Deserialize, Serialize};
use teneral_contract::{Addr, Bytes, Request, Shape, Wire};

/// Whom to ask.
pub const NAME: &str = "file";

/// Largest chunk, in bytes: of a [`Part`], an [`Append`] and a [`Chunk`].
pub const CHUNK_BYTES_MAX: u32 = 512 << 10;

/// A chunk's size where nobody says, in bytes.
pub const CHUNK_BYTES: u32 = 64 << 10;

/// The file actor's address.
#[must_use]
pub fn addr() -> Addr {
    super::native(NAME)
}

/// Asks for a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Part)]
pub struct Read {
    /// Which file.
    pub path: String,
    /// From where.
    pub offset: u64,
    /// How much at most; at most [`CHUNK_BYTES_MAX`].
    pub bytes_max: u32,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Part {
    /// Its bytes; fewer than were asked for only at the end of the file.
    pub bytes: Bytes,
    /// How long the file is.
    pub file_bytes: u64,
}

/// Appends to a file, which is made if it is not there (mode 0600).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Appended)]
pub struct Append {
    /// Which file.
    pub path: String,
    /// What; at most [`CHUNK_BYTES_MAX`].
    pub bytes: Bytes,
    /// When it is answered.
    pub keep: Keep,
}

/// How safe appended bytes are when the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum Keep {
    /// They survive the death of the host.
    Written,
    /// They survive a loss of power.
    Synced,
}

/// The bytes are in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Appended {
    /// How long the file is now.
    pub file_bytes: u64,
}

/// Asks to be told what a file has and what is appended to it from now on, as [`Chunk`]s.
///
/// Rotated (another file has its name), the old one is read to its end first; truncated, it is read from its beginning.
/// A file that is not there is waited for. An actor follows a path once: asked again, the stream before it ends. It
/// ends with the actor and with the host, so an actor asks in `started`, with the place that it has kept in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Following)]
pub struct Follow {
    /// Which file.
    pub path: String,
    /// From where.
    pub since: Since,
    /// Stands in each chunk: by it an actor that has asked again tells what is still under way of a stream before.
    /// Any number that is new, `ctx.random()` for instance.
    pub stream: u64,
    /// Where chunks end.
    pub cut: Cut,
    /// Largest chunk; at most [`CHUNK_BYTES_MAX`].
    pub bytes_max: u32,
}

/// From where a file is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum Since {
    /// Its beginning.
    Start,
    /// Its end: only what is new.
    End,
    /// A place that a chunk named. When the file was rotated since, the rest of the old one is read first if it still
    /// lies in the same directory.
    Place(Place),
}

/// A place in a file, which is known again under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Place {
    /// The file system's number.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// Where chunks end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum Cut {
    /// Behind a line's end. A line longer than a chunk is cut all the same, and the last one of a file that was rotated
    /// away may have no end.
    Lines,
    /// Anywhere.
    Anywhere,
}

/// The file is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Following {}

/// Ends a stream; one that is not there is a no-op.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Unfollow {
    /// Which file's.
    pub path: String,
}

/// Told as a followed file grows: one of the asker's own messages.
///
/// An actor that keeps `place` in the same turn in which it handles `bytes` loses nothing and takes nothing twice, over
/// upgrades and over restarts of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Chunk {
    /// Which file.
    pub path: String,
    /// As it was asked for.
    pub stream: u64,
    /// What is new.
    pub bytes: Bytes,
    /// The place behind it.
    pub place: Place,
}

/// What the file actor handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Asks for a part of a file.
    Read(Read),
    /// Appends to a file.
    Append(Append),
    /// Asks to be told what a file has.
    Follow(Follow),
    /// Ends that.
    Unfollow(Unfollow),
}
