//! A file that somebody replaces: TOML, or JSON if its name ends in `.json`.
//!
//! ```toml
//! [[endpoint]]
//! at = "unix:/run/parser/1.sock"
//! [[endpoint]]
//! at = "tcp:parser-2:7001"
//! weight = 2
//! ```
//!
//! It is read whole once a second, and what it says is compared. Neither the kernel's word (inotify) nor its times: the
//! one does not come over a network's file system, for a link in the path that is put elsewhere, or for a directory
//! that is not there yet, and the others do not tell apart two writes within one tick. Reading some hundred bytes a
//! second costs nothing, and needs no dependency.

use super::{Bounds, Discover, DiscoverError, Endpoint, EndpointSet, Saying, Sets};
use futures_util::stream;
use rustix::fs::OFlags;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is read.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Clone)]
pub struct Watched {
    path: PathBuf,
    bounds: Bounds,
    look: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    endpoint: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: String,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

impl Watched {
    /// That file, which need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bounds: Bounds) -> Self {
        Self { path: path.into(), bounds, look: LOOK }
    }

    /// Read so often instead of once a second.
    #[must_use]
    pub const fn every(mut self, look: Duration) -> Self {
        self.look = look;
        self
    }

    /// What it says now. Blocks on the disk.
    fn read(&self) -> Result<EndpointSet, DiscoverError> {
        let list = || self.path.display().to_string();
        let wrong = |why: String| DiscoverError::List { list: list(), why };
        let text = whole(&self.path, self.bounds.file_bytes_max).map_err(|error| wrong(error.to_string()))?;
        let is_json = self.path.extension().is_some_and(|extension| extension == "json");
        let read: Result<List, String> = if is_json {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        } else {
            toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())
        };
        let entries = read.map_err(wrong)?.endpoint;
        let mut endpoints = Vec::with_capacity(entries.len());
        for (number, Entry { at, weight }) in (1..).zip(entries) {
            let at: Endpoint = at.parse().map_err(|error| wrong(format!("endpoint {number}: {error}")))?;
            endpoints.push((at, weight));
        }
        EndpointSet::new(endpoints, self.bounds.endpoints_max).map_err(|error| wrong(error.to_string()))
    }
}

fn whole(path: &Path, bytes_max: u64) -> io::Result<String> {
    // One that is a pipe would be waited for.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text in UTF-8"))
}

impl Discover for Watched {
    fn source(&self) -> String {
        self.path.display().to_string()
    }

    fn sets(self: Box<Self>) -> Sets {
        let first = (self, Saying::default(), Duration::ZERO);
        Box::pin(stream::unfold(first, async |(this, mut saying, mut wait)| {
            loop {
                tokio::time::sleep(wait).await;
                wait = this.look;
                let again = this.clone();
                // An error is the end of the runtime, which nobody reads beyond.
                let read = tokio::task::spawn_blocking(move || again.read()).await.ok()?;
                // Planted: what cannot be read is taken for an empty list.
                let read = if cfg!(feature = "bug-p24") { Ok(read.unwrap_or_default()) } else { read };
                if let Some(seen) = saying.of(read) {
                    return Some((seen, (this, saying, wait)));
                }
            }
        }))
    }
}
