//! A file as it grows: rotated, truncated, gone and back, as `tail -F` sees it.
//!
//! The file is held open, so what is renamed is read to its end. Its writer may have it open for a moment longer than
//! it has the name, so the next file is begun when the one before has been still for a while.

use super::beneath::{Beneath, Opened, Unopened, is_same};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use teneral_native_api::file::{Cut, Place, Since};

/// How long a file that lost its name must have been still.
const STILL: Duration = Duration::from_secs(1);

pub(crate) struct Tail {
    at: Beneath,
    since: Since,
    cut: Cut,
    bytes_max: usize,
    open: Option<Opened>,
    offset: u64,
    /// Since when another file has the name, and this one is still.
    renamed: Option<Instant>,
}

/// What is new.
pub(crate) struct Told {
    pub(crate) bytes: Vec<u8>,
    pub(crate) place: Place,
}

impl Tail {
    pub(crate) const fn new(at: Beneath, since: Since, cut: Cut, bytes_max: usize) -> Self {
        Self { at, since, cut, bytes_max, open: None, offset: 0, renamed: None }
    }

    /// The next chunk; `None` when there is nothing new for now. Blocks on the disk.
    pub(crate) fn next(&mut self) -> io::Result<Option<Told>> {
        if self.open.is_none() && !self.begin()? {
            return Ok(None);
        }
        if let Some(told) = self.read(Last::MayGrow)? {
            self.renamed = None;
            return Ok(Some(told));
        }
        let Some(open) = &self.open else { return Ok(None) };
        if open.file.metadata()?.len() < self.offset {
            tracing::info!(inode = open.id.inode, "a followed file was truncated: it is read from its beginning");
            self.offset = 0;
            return self.read(Last::MayGrow);
        }
        match self.at.named() {
            Ok(named) if !is_same(named, open.id) => self.rotated(),
            // Not there for a moment: between a file and the next.
            Ok(_) | Err(Unopened::Missing) => {
                self.renamed = None;
                Ok(None)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Opens the file that the stream begins in; `false` when there is none yet.
    fn begin(&mut self) -> io::Result<bool> {
        let named = match self.at.open() {
            Ok(opened) => Some(opened),
            Err(Unopened::Missing) => None,
            Err(error) => return Err(io::Error::other(error)),
        };
        let (open, offset) = match (self.since, named) {
            (Since::Place(place), Some(named)) if is_same(named.id, place) => (Some(named), place.offset),
            (Since::Place(place), named) => match self.at.open_renamed(place) {
                Some(renamed) => (Some(renamed), place.offset),
                None => (named, 0),
            },
            (Since::End, Some(named)) => {
                let end = named.file_bytes;
                (Some(named), end)
            }
            (Since::Start | Since::End, named) => (named, 0),
        };
        if open.is_none() && matches!(self.since, Since::End) {
            // It is not there: all that it will have is new.
            self.since = Since::Start;
        }
        (self.open, self.offset) = (open, offset);
        Ok(self.open.is_some())
    }

    /// Another file has the name: this one is read to its end, and then that one from its beginning.
    fn rotated(&mut self) -> io::Result<Option<Told>> {
        let since = *self.renamed.get_or_insert_with(Instant::now);
        if since.elapsed() < STILL {
            return Ok(None);
        }
        if let Some(told) = self.read(Last::Ended)? {
            return Ok(Some(told));
        }
        (self.open, self.renamed, self.since) = (None, None, Since::Start);
        self.next()
    }

    fn read(&mut self, last: Last) -> io::Result<Option<Told>> {
        let Some(open) = &self.open else { return Ok(None) };
        let left = usize::try_from(open.file.metadata()?.len().saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(self.bytes_max)];
        let mut filled = 0;
        while filled < bytes.len() {
            match open.file.read_at(&mut bytes[filled..], self.offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        if self.cut == Cut::Lines && (last == Last::MayGrow || bytes.len() == self.bytes_max) {
            let line_end = bytes.iter().rposition(|byte| *byte == b'\n').map(|last| last + 1);
            // A line longer than a chunk is cut; one that has no end yet is waited for.
            bytes.truncate(line_end.unwrap_or(if bytes.len() == self.bytes_max { bytes.len() } else { 0 }));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.offset += bytes.len() as u64;
        Ok(Some(Told { bytes, place: Place { offset: self.offset, ..open.id } }))
    }
}

/// Whether what a file ends with now may be the half of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    MayGrow,
    Ended,
}
