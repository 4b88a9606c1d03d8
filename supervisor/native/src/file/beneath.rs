//! Files opened beneath a granted directory, and nowhere else.
//!
//! The kernel resolves the path beneath the directory's descriptor (`RESOLVE_BENEATH`): no link and no `..` leads out,
//! also when somebody moves things about meanwhile. What was found is looked at before it is opened: opening a device
//! can do something, opening a fifo can wait for ever.

use crate::call::Refused;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use teneral_native_api::file::Place;

/// Mode of a file that is made.
const FILE_MODE: u32 = 0o600;

/// Entries of a directory that are looked at for a file that has another name now.
const ENTRIES_MAX: usize = 10_000;

/// Opens are tried again so often when a file comes and goes meanwhile.
const TRIES: usize = 8;

/// A path beneath a granted directory.
#[derive(Debug, Clone)]
pub(crate) struct Beneath {
    dir: PathBuf,
    within: PathBuf,
    /// Whether the grant is for the whole directory, and not for that file.
    all: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Directory,
    File,
}

/// A file that is open, and which it is.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    /// Its beginning.
    pub(crate) id: Place,
    pub(crate) file_bytes: u64,
}

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unopened {
    #[error("no such file")]
    Missing,
    #[error("it leads out of {}", .0.display())]
    Outside(PathBuf),
    #[error("it is {0}, and no regular file")]
    Irregular(&'static str),
    #[error("it cannot be opened: {0}")]
    Io(Errno),
}

impl Unopened {
    pub(crate) fn refused(self, path: &str) -> Refused {
        let text = format!("{path}: {self}");
        match self {
            Self::Outside(_) | Self::Irregular(_) => {
                tracing::warn!(code = "NATIVE-DENIED", hint = "grant what it leads to, if that is meant", "{text}");
                Refused::Denied(text)
            }
            Self::Missing | Self::Io(_) => Refused::failed(text),
        }
    }
}

impl Beneath {
    /// `path` within what is granted; both are plain and absolute.
    pub(crate) fn new(granted: PathBuf, path: &Path) -> Self {
        match path.strip_prefix(&granted) {
            Ok(within) if !within.as_os_str().is_empty() => {
                Self { within: within.to_owned(), dir: granted, all: Reach::Directory }
            }
            _ => Self {
                within: path.file_name().map(PathBuf::from).unwrap_or_default(),
                dir: path.parent().unwrap_or(path).to_owned(),
                all: Reach::File,
            },
        }
    }

    fn dir(&self) -> Result<OwnedFd, Unopened> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.dir, flags, Mode::empty()).map_err(|errno| self.unopened(errno))
    }

    fn resolve(&self) -> ResolveFlags {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match self.all {
            Reach::Directory => beneath,
            // That file was granted, and nothing that it may come to point to.
            Reach::File => beneath | ResolveFlags::NO_SYMLINKS,
        }
    }

    fn unopened(&self, errno: Errno) -> Unopened {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Unopened::Missing,
            Errno::XDEV | Errno::LOOP => Unopened::Outside(self.dir.clone()),
            errno => Unopened::Io(errno),
        }
    }

    /// Looks at what the path leads to, without opening it.
    fn find(&self, dir: &OwnedFd, within: &Path) -> Result<(OwnedFd, Stat), Unopened> {
        let mut tries = 0;
        let found = loop {
            let found = rustix::fs::openat2(dir, within, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), self.resolve());
            tries += 1;
            // The kernel says so when something moved while it looked.
            if !matches!(found, Err(Errno::AGAIN)) || tries == TRIES {
                break found;
            }
        };
        let fd = found.map_err(|errno| self.unopened(errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(Unopened::Io)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((fd, stat)),
            FileType::Directory => Err(Unopened::Irregular("a directory")),
            FileType::Fifo => Err(Unopened::Irregular("a fifo")),
            FileType::Socket => Err(Unopened::Irregular("a socket")),
            FileType::Symlink => Err(Unopened::Outside(self.dir.clone())),
            _ => Err(Unopened::Irregular("a device")),
        }
    }

    /// Which file has the name now.
    pub(crate) fn named(&self) -> Result<Place, Unopened> {
        let (_, stat) = self.find(&self.dir()?, &self.within)?;
        Ok(id(&stat))
    }

    /// Opens for reading.
    pub(crate) fn open(&self) -> Result<Opened, Unopened> {
        let (fd, stat) = self.find(&self.dir()?, &self.within)?;
        opened(&fd, &stat, OFlags::RDONLY)
    }

    /// Opens for appending, and makes the file if it is not there.
    pub(crate) fn append(&self) -> Result<Opened, Unopened> {
        let dir = self.dir()?;
        for _ in 0..TRIES {
            match self.find(&dir, &self.within) {
                Ok((fd, stat)) => return opened(&fd, &stat, OFlags::WRONLY | OFlags::APPEND),
                Err(Unopened::Missing) => {}
                Err(other) => return Err(other),
            }
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            match rustix::fs::openat2(&dir, &self.within, flags, Mode::from_raw_mode(FILE_MODE), self.resolve()) {
                Ok(fd) => {
                    let stat = rustix::fs::fstat(&fd).map_err(Unopened::Io)?;
                    return Ok(Opened { file: File::from(fd), id: id(&stat), file_bytes: 0 });
                }
                Err(Errno::EXIST | Errno::AGAIN) => {}
                Err(errno) => return Err(self.unopened(errno)),
            }
        }
        Err(Unopened::Missing)
    }

    /// Opens the file that a place is in, whatever it is called by now: in the same directory, if that is granted.
    pub(crate) fn open_renamed(&self, place: Place) -> Option<Opened> {
        let (Reach::Directory, dir) = (self.all, self.dir().ok()?) else { return None };
        let parent = self.within.parent().unwrap_or(Path::new(""));
        let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat2(&dir, listed, flags, Mode::empty(), self.resolve()).ok()?;
        let entries = rustix::fs::Dir::read_from(&listed).ok()?;
        for entry in entries.take(ENTRIES_MAX).flatten() {
            let Ok(stat) = rustix::fs::statat(&listed, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if is_same(id(&stat), place) {
                let name = parent.join(std::str::from_utf8(entry.file_name().to_bytes()).ok()?);
                let (fd, stat) = self.find(&dir, &name).ok()?;
                return opened(&fd, &stat, OFlags::RDONLY).ok().filter(|opened| is_same(opened.id, place));
            }
        }
        None
    }
}

/// Whether both places are in one file.
pub(crate) const fn is_same(one: Place, other: Place) -> bool {
    one.device == other.device && one.inode == other.inode
}

const fn id(stat: &Stat) -> Place {
    Place { device: stat.st_dev, inode: stat.st_ino, offset: 0 }
}

/// Opens what was found, and not what has its name by now.
fn opened(found: &OwnedFd, stat: &Stat, flags: OFlags) -> Result<Opened, Unopened> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).map_err(Unopened::Io)?;
    let file_bytes = u64::try_from(stat.st_size).unwrap_or_default();
    Ok(Opened { file: File::from(fd), id: id(stat), file_bytes })
}
