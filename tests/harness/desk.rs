//! An author's desk: a library with its release file and signature beside it, the key, and a host that asks for them.

use super::house::{GENEROUS, House};
use super::libraries::library;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use teneral::trust::{KeyPurpose, Profile, PublicKey, ReleaseFile, SecretKey, Signed, TrustedKey};
use teneral::trusted::{release_path, signature_path};

/// A library in a directory of its own, with what lies beside it.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) artifact: PathBuf,
}

impl Desk {
    pub(crate) fn with(package: &str) -> Self {
        let dir = TempDir::with_prefix("teneral-desk-").expect("a temporary directory");
        let artifact = dir.path().join("libprobe.so");
        fs::copy(library(package), &artifact).expect("it copies");
        Self { dir, artifact }
    }

    /// The release file of the library, as its author would write it.
    pub(crate) fn release(&self) -> ReleaseFile {
        let bytes = fs::read(&self.artifact).expect("it is there");
        let elf = teneral::loader::elf::read(&bytes).expect("an ELF file");
        let manifest = teneral::Manifest::parse(&elf.manifests[0]).expect("a manifest");
        ReleaseFile::of(&manifest, teneral::digest_of(&bytes), bytes.len() as u64)
    }

    pub(crate) fn put(&self, signed: &Signed) {
        let release = release_path(&self.artifact);
        fs::write(&release, &signed.release).expect("it is writable");
        fs::write(signature_path(&release), &signed.signature).expect("it is writable");
    }

    pub(crate) fn signed_by(&self, key: &SecretKey) -> Signed {
        key.sign(self.release().to_bytes().expect("JSON"), "by ada").expect("signed")
    }
}

/// A house that takes only what a trusted key has signed.
pub(crate) fn production() -> House {
    House::open(&[], |options| {
        options.profile = Profile::Production;
        options.runtime.hang_after = GENEROUS;
    })
}

/// A key, and what a host knows of it that trusts it.
pub(crate) fn key() -> (SecretKey, TrustedKey) {
    let (secret, files) = SecretKey::generate(None).expect("a key");
    let public = PublicKey::parse(&files.public).expect("a key");
    let (name, purpose, by) = ("ada".to_owned(), KeyPurpose::Release, "ops".to_owned());
    let added = "2026-01-01T00:00:00Z".parse().expect("a time");
    (secret, TrustedKey { public, name, purpose, added, by, expires: None })
}
