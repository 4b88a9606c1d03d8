//! A disk that is really full: a small file system in memory, where this machine lets a test mount one.

use super::Absent;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A small disk of its own, for as long as this lives.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn new(path: PathBuf) -> Result<Self, Absent> {
        fs::create_dir(&path).expect("it is ours");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(path)),
            _ => Err(Absent("right to mount a disk")),
        }
    }

    /// Nothing more goes onto it.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).expect("it is ours");
        for block in [1 << 20, 4096, 1] {
            let block = vec![0; block];
            while file.write_all(&block).is_ok() {}
        }
    }

    pub(crate) fn clear(&self) {
        fs::remove_file(self.filler()).expect("it is ours");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while somebody has it open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
