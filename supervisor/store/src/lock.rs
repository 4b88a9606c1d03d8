//! One process at a time: a lock on a file that says whose it is.
//!
//! The kernel drops the lock with its holder, so a crash leaves nothing to clean up. redb locks its own file too, but
//! with a lock that names nobody.

use crate::StoreError;
use crate::dir::Dir;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The file's name in the store's directory.
const LOCK: &str = "lock";

/// How long a lock of this very process is waited for. A child that it forks has a share in every lock until it has
/// become another program, so one that was let go a moment ago may still be there.
const FORK_MAX: Duration = Duration::from_secs(1);

/// How often it is tried meanwhile.
const TICK: Duration = Duration::from_millis(2);

/// Held for as long as the store is open.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, at once or not at all.
    pub(crate) fn take(dir: &Dir) -> Result<Self, StoreError> {
        let mut file = dir.open_or_make(LOCK)?;
        let asked = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let pid = holder(&mut file);
                    if pid != Some(std::process::id()) || asked.elapsed() > FORK_MAX {
                        return Err(StoreError::Locked { path: dir.path(), pid });
                    }
                    thread::sleep(TICK);
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::io("lock the store", source)),
            }
        }
        // Without our pid in it the lock still holds: a full disk must not keep an operator from reading.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// The process that has the store in this directory open, if one has. It takes no lock itself, not for a moment: a host
/// that starts just then would find it taken.
#[must_use]
pub fn holder_of(dir: &Path) -> Option<u32> {
    let path = dir.join(LOCK);
    let pid = holder(&mut File::open(&path).ok()?)?;
    let inode = std::fs::metadata(&path).ok()?.ino().to_string();
    // Of each lock: its number, FLOCK, how, for what, whose, and device and inode of the file.
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().any(|line| {
        let parts: Vec<&str> = line.split_ascii_whitespace().collect();
        matches!(parts.as_slice(), [_, "FLOCK", _, _, whose, file, ..]
            if *whose == pid.to_string() && file.rsplit(':').next() == Some(inode.as_str()))
    });
    held.then_some(pid)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
