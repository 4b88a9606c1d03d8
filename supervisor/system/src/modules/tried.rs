//! A process of a module that was started for a trial, and serves nobody.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use teneral_remote::client::{Fate, Process};
use teneral_runtime::ports::Provider;
use teneral_upgrade::{How, Tried};

/// Of what it wrote, so much is read: the end.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// See the module.
pub(super) struct OnTrial {
    pub(super) process: Arc<Process>,
    /// A memory file.
    pub(super) output: File,
}

impl Tried for OnTrial {
    fn code(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.process) as _
    }

    fn ended(&self) -> Option<How> {
        Some(match self.process.fate()? {
            Fate::Exit(code) => How::Exit(code),
            Fate::Signal(signal) => How::Signal(signal),
            Fate::Hung(timeout) => How::Hung(timeout),
        })
    }

    fn end(&self) {
        self.process.end("its trial is over");
    }

    fn output(&self) -> String {
        end_of(&self.output)
    }
}

/// The end of what a process wrote, read at a place of our own: where it writes next is the file's one place.
pub(super) fn end_of(output: &File) -> String {
    let end = output.metadata().map_or(0, |file| file.len());
    let from = end.saturating_sub(OUTPUT_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(end - from).unwrap_or(0)];
    // A memory file of ours that cannot be read has nothing to say.
    let read = output.read_at(&mut bytes, from).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
