//! A directory held by its descriptor: every file is opened beneath it, by a name that cannot lead elsewhere.
//!
//! Names are `[a-z0-9._-]{1,64}`, the last step never follows a link, and what was opened is looked at before it is
//! used: a plain file with one name, ours, closed to others. Checking the path first and opening it later would leave a
//! gap; here there is none.

use crate::StoreError;
use crate::disk::Shaky;
use crate::port::Faults;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use teneral_contract::addr::is_kind;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory that only its owner may enter.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a directory, making it if its parent exists.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let unopened = |errno: Errno| StoreError::Unopened { path: path.to_owned(), source: errno.into() };
        let made = made(rustix::fs::mkdir(path, Mode::from_raw_mode(DIR_MODE))).map_err(unopened)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(unopened)?;
        if made {
            let within = rustix::fs::openat(&fd, "..", flags, Mode::empty()).map_err(unopened)?;
            rustix::fs::fsync(within).map_err(unopened)?;
        }
        checked_dir(fd, path.to_owned())
    }

    /// A directory in this one, made if it is not there.
    pub(crate) fn sub(&self, name: &str) -> Result<Self, StoreError> {
        let path = self.path.join(name);
        let unopened = |errno: Errno| StoreError::Unopened { path: path.clone(), source: errno.into() };
        let made = rustix::fs::mkdirat(&self.fd, checked(name)?, Mode::from_raw_mode(DIR_MODE));
        if self::made(made).map_err(unopened)? {
            rustix::fs::fsync(&self.fd).map_err(unopened)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(unopened)?;
        checked_dir(fd, path)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// A file for reading and writing, made empty if it is not there.
    pub(crate) fn open_or_make(&self, name: &str) -> Result<File, StoreError> {
        self.file(name, OFlags::RDWR | OFlags::CREATE, "open a file of the store")
    }

    /// A file for reading; `None` when there is none.
    pub(crate) fn open_existing(&self, name: &str) -> Result<Option<File>, StoreError> {
        match self.file(name, OFlags::RDONLY, "open a file of the store") {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// A file's bytes; `None` when there is none.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.open_existing(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| StoreError::io("read a file of the store", source))?;
        if bytes.len() as u64 > bytes_max {
            return Err(StoreError::Limit { bytes: bytes.len() as u64, limit_bytes: bytes_max });
        }
        Ok(Some(bytes))
    }

    /// A file with these bytes, whole or not at all, durable when this returns.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], faults: &dyn Faults) -> Result<(), StoreError> {
        const ACT: &str = "write a file of the store";
        let failed = |errno: Errno| StoreError::io(ACT, errno.into());
        let part = part_of(checked(name)?);
        // What an earlier crash left; the store's lock says that nobody is writing it now.
        match rustix::fs::unlinkat(&self.fd, &part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let file = self.file(&part, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, ACT)?;
        let mut shaky = Shaky::new(&file, faults);
        if let Err(source) = shaky.write_all(bytes).and_then(|()| shaky.sync()) {
            let _ = rustix::fs::unlinkat(&self.fd, &part, AtFlags::empty());
            return Err(StoreError::io(ACT, source));
        }
        rustix::fs::renameat(&self.fd, &part, &self.fd, name).map_err(failed)?;
        rustix::fs::fsync(&self.fd).map_err(failed)
    }

    /// Removes a file; one that is not there is a no-op.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("remove a file of the store", errno.into())),
        }
    }

    fn file(&self, name: &str, flags: OFlags, act: &'static str) -> Result<File, StoreError> {
        let what = self.path.join(name).display().to_string();
        // NONBLOCK: a fifo in our place must not hang the host before it is seen to be one.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.fd, checked(name)?, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(fd) => checked_file(fd, what),
            Err(Errno::LOOP) => Err(StoreError::File { what, found: "a symbolic link" }),
            Err(Errno::ISDIR) => Err(StoreError::File { what, found: "a directory" }),
            Err(Errno::NXIO | Errno::OPNOTSUPP) => Err(StoreError::File { what, found: "a device, fifo or socket" }),
            Err(errno) => Err(StoreError::io(act, errno.into())),
        }
    }
}

/// Whether there is a new directory, whose name is durable once the one that it lies in is synced.
fn made(mkdir: rustix::io::Result<()>) -> rustix::io::Result<bool> {
    match mkdir {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

// Beside its file, under a name that is never a digest.
fn part_of(name: &str) -> String {
    format!("part.{}", &name[..name.len().min(56)])
}

fn checked(name: &str) -> Result<&str, StoreError> {
    // The same set of names as an actor kind's, for the same reason: it can be one path component and nothing else.
    if is_kind(name) { Ok(name) } else { Err(StoreError::Name(name.chars().take(80).collect())) }
}

fn checked_dir(fd: OwnedFd, path: PathBuf) -> Result<Dir, StoreError> {
    owned_and_closed(&fd, &path.display().to_string(), DIR_MODE)?;
    Ok(Dir { fd, path })
}

fn checked_file(fd: OwnedFd, what: String) -> Result<File, StoreError> {
    let stat = owned_and_closed(&fd, &what, FILE_MODE)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink == 1 => Ok(File::from(fd)),
        FileType::RegularFile => Err(StoreError::File { what, found: "a file with several names" }),
        FileType::Directory => Err(StoreError::File { what, found: "a directory" }),
        _ => Err(StoreError::File { what, found: "a device, fifo or socket" }),
    }
}

fn owned_and_closed(fd: &OwnedFd, what: &str, mode: u32) -> Result<rustix::fs::Stat, StoreError> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| StoreError::io("look at a file of the store", errno.into()))?;
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(StoreError::Owner { what: what.to_owned(), found: stat.st_uid, expected: user });
    }
    let found = stat.st_mode & 0o777;
    // A tighter mode is welcome; one that lets anybody else in is not.
    if found & !mode != 0 {
        return Err(StoreError::Mode { what: what.to_owned(), found, expected: mode });
    }
    Ok(stat)
}
