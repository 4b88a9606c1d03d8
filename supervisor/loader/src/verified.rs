//! Bytes that passed the gate: the token without which nothing is loaded or run.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use teneral_contract::{Digest, Manifest};

/// A sealed copy of a library, or of a program with its manifest, that passed every check. Only the gate makes one.
#[derive(Debug)]
pub struct Verified {
    pub(crate) file: OwnedFd,
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    /// The GNU build-id note, if the linker wrote one.
    pub(crate) build_id: Option<Vec<u8>>,
    /// Of a program, how many of its last bytes are what is run.
    pub(crate) program_bytes: Option<usize>,
}

impl Verified {
    /// What the library says of itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Size of the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is a program of its own, which no process loads.
    #[must_use]
    pub const fn is_program(&self) -> bool {
        self.program_bytes.is_some()
    }

    /// The program alone, in a sealed memory file that outlives an `exec`: what runs is what was checked. An
    /// interpreter that the program names opens it by its number. `None`: it is a library.
    ///
    /// # Errors
    /// What the system says when memory files cannot be made or read.
    pub fn program(&self) -> std::io::Result<Option<OwnedFd>> {
        let Some(program_bytes) = self.program_bytes else { return Ok(None) };
        let contents = self.contents()?;
        let at = contents.len().saturating_sub(program_bytes);
        crate::seal::inheritable_copy(&contents[at..]).map(Some)
    }

    /// The bytes themselves, read from the sealed copy: what is kept is what was checked.
    ///
    /// # Errors
    /// What the system says when memory files cannot be read.
    pub fn contents(&self) -> std::io::Result<Vec<u8>> {
        let mut file = File::from(self.file.try_clone()?);
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
