//! One copy of the file that nobody can change any more: what is hashed is what is checked is what is loaded.
//!
//! The path is opened once, without following a link, and copied into a memfd that is then sealed. Whatever happens to
//! the path afterwards, it is never looked at again.

use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use teneral_contract::Digest;

/// A sealed copy and what it holds. It is no code yet: the gate has not looked into it.
#[derive(Debug)]
pub struct Sealed {
    pub(crate) file: OwnedFd,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Sealed {
    /// SHA-256 of the bytes behind the seal.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why there is no sealed copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// Nothing at that path.
    #[error("no such file")]
    Missing,
    /// The last part of the path is a symbolic link.
    #[error("it is a symbolic link: name the file itself")]
    Link,
    /// A directory, a fifo, a device, a socket.
    #[error("it is no regular file but {0}")]
    Kind(&'static str),
    /// Larger than the limit.
    #[error("it has more than {bytes_max} bytes")]
    Size {
        /// Allowed.
        bytes_max: u64,
    },
    /// No permission, or an I/O error.
    #[error("it cannot be read: {0}")]
    Read(String),
    /// The kernel refused a memfd, or to seal it.
    #[error("the sealed copy cannot be made: {0}")]
    Copy(String),
}

/// Tries to seal a copy: with Linux's own patience about five seconds.
const SEAL_TRIES_MAX: u32 = 32;

/// Copies the file at `path` into a sealed memfd.
///
/// # Errors
/// [`SealError`]; a fifo or a device is refused without waiting for it.
pub(crate) fn seal_path(path: &Path, bytes_max: u64) -> Result<Sealed, SealError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => SealError::Missing,
        Errno::LOOP => SealError::Link,
        Errno::NXIO => SealError::Kind("a socket or a device without a driver"),
        errno => SealError::Read(errno.to_string()),
    })?;
    let stat = rustix::fs::fstat(&file).map_err(|errno| SealError::Read(errno.to_string()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(SealError::Kind("a directory")),
        FileType::Fifo => return Err(SealError::Kind("a fifo")),
        FileType::Socket => return Err(SealError::Kind("a socket")),
        _ => return Err(SealError::Kind("a device")),
    }
    // Room at once, as far as the file says and the limit goes: every page that is new to the process costs a fault.
    let room = u64::try_from(stat.st_size).unwrap_or(0).min(bytes_max) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    let read = File::from(file).take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| SealError::Read(error.to_string()))?;
    let sealed = seal(bytes, bytes_max)?;
    if cfg!(feature = "bug-r3") {
        let again = std::fs::read(path).and_then(sealed_copy).map_err(|error| SealError::Read(error.to_string()))?;
        return Ok(Sealed { file: again.0, ..sealed });
    }
    Ok(sealed)
}

/// Copies bytes that are at hand into a sealed memfd.
///
/// # Errors
/// [`SealError::Size`] and [`SealError::Copy`].
pub(crate) fn seal(bytes: Vec<u8>, bytes_max: u64) -> Result<Sealed, SealError> {
    if bytes.len() as u64 > bytes_max {
        return Err(SealError::Size { bytes_max });
    }
    let (file, copied) = sealed_copy(bytes).map_err(|error| SealError::Copy(error.to_string()))?;
    // Hashed and checked is what lies behind the seal, not what was read on the way there.
    let digest = Digest(Sha256::digest(&copied).into());
    Ok(Sealed { file, bytes: copied, digest })
}

/// Linux answers EBUSY while anybody has one of the pages in hand, itself included (it may be about to put them onto a
/// list of its own); it waits for 150 ms by itself, which a busy machine outlasts.
fn add_seals(file: &File) -> std::io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let mut tries = 0;
    loop {
        match rustix::fs::fcntl_add_seals(file, seals) {
            Err(Errno::BUSY) if tries < SEAL_TRIES_MAX => tries += 1,
            done => return Ok(done?),
        }
    }
}

/// The same, open in whatever this process becomes.
pub(crate) fn inheritable_copy(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("teneral-program", MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    add_seals(&file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(OwnedFd::from(file))
}

fn sealed_copy(mut bytes: Vec<u8>) -> std::io::Result<(OwnedFd, Vec<u8>)> {
    let memfd = rustix::fs::memfd_create("teneral", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memfd);
    file.write_all(&bytes)?;
    add_seals(&file)?;
    // Back into the same memory, of which nothing is kept.
    bytes.clear();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok((OwnedFd::from(file), bytes))
}
