//! Who is at the other end of a connection: what the kernel says, not what the caller says.

use crate::api::{CONNECTIONS_MAX, WATCHERS_MAX};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest user database that is looked into for a name.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// Who asks; an extension of every request that came through the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user id.
    pub uid: u32,
    /// The process id, where the kernel says it.
    pub pid: Option<i32>,
}

impl Caller {
    /// The user, as journals write it: `user NAME`, or `uid N` for one without a name here.
    #[must_use]
    pub fn user(&self) -> String {
        user(self.uid)
    }
}

/// See [`Caller::user`]. Blocks on `/etc/passwd`, and asks no network: who calls is not to wait for one.
#[must_use]
pub fn user(uid: u32) -> String {
    let known = fs::metadata("/etc/passwd").is_ok_and(|found| found.len() <= PASSWD_BYTES_MAX);
    let users = if known { fs::read_to_string("/etc/passwd").unwrap_or_default() } else { String::new() };
    name(&users, uid).map_or_else(|| format!("uid {uid}"), |name| format!("user {name}"))
}

fn name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The places of those who watch, and whether a connection has one; an extension of every request, as [`Caller`] is.
#[derive(Debug, Clone)]
pub struct Watching {
    room: Arc<Semaphore>,
    begun: Arc<AtomicBool>,
}

impl Watching {
    /// Among so many connections: a quarter of them at most, so that there is always room for a command.
    pub(super) fn among(connections_max: usize) -> Self {
        let room = Arc::new(Semaphore::new(WATCHERS_MAX.min(connections_max.div_ceil(4))));
        Self { room, begun: Arc::default() }
    }

    /// For another connection.
    pub(super) fn another(&self) -> Self {
        Self { room: Arc::clone(&self.room), begun: Arc::default() }
    }

    /// Takes a place for an answer that goes on until the host stops, if there is one: whoever closes the socket does
    /// not wait for a caller that does not read.
    #[must_use]
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.room).try_acquire_owned().ok()?;
        self.begun.store(true, Relaxed);
        Some(place)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Relaxed)
    }
}

/// Of routes that something else than our socket serves.
impl Default for Watching {
    fn default() -> Self {
        Self::among(CONNECTIONS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_or_a_number() {
        let users = "root:x:0:0:root:/:/bin/sh\n:x:7:7::/:\nada:x:1000:1000::/:/bin/sh\nbroken\n";
        assert_eq!((name(users, 0), name(users, 1000)), (Some("root"), Some("ada")));
        assert_eq!((name(users, 7), name(users, 12)), (None, None));
    }
}
