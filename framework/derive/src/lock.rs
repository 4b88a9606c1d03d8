//! The lock of a kind's schemas: a file of lines `2 = "fingerprint"`.
//!
//! It is checked in, so that a shape that was once released cannot change under its number unseen.

use std::path::{Path, PathBuf};

const FILE: &str = "schemas.lock";
const FOLDERS_UP_MAX: usize = 2;

/// A lock that was read.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Where.
    pub(crate) path: PathBuf,
    schemas: Vec<(u32, u128)>,
}

impl Lock {
    /// The lock of the crate that is being compiled; `None` when there is none yet.
    pub(crate) fn nearest() -> Result<Option<Self>, String> {
        crate_folder().map_or(Ok(None), |folder| Self::above(&folder))
    }

    /// `schemas.lock` in `folder` or up to two above it.
    fn above(folder: &Path) -> Result<Option<Self>, String> {
        let mut candidates = folder.ancestors().take(1 + FOLDERS_UP_MAX).map(|folder| folder.join(FILE));
        candidates.find(|path| path.is_file()).map(|path| Self::read(path, FILE)).transpose()
    }

    /// The lock that an attribute names, relative to the crate's folder.
    pub(crate) fn named(file: &str) -> Result<Self, String> {
        Self::read(crate_folder().unwrap_or_default().join(file), file)
    }

    /// The fingerprint that `schema` is locked to, if it is.
    pub(crate) fn fingerprint(&self, schema: u32) -> Option<u128> {
        self.schemas.iter().find(|(number, _)| *number == schema).map(|(_, fingerprint)| *fingerprint)
    }

    fn read(path: PathBuf, name: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let schemas = parse(&text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { path, schemas })
    }
}

fn crate_folder() -> Option<PathBuf> {
    std::env::var_os("CARGO_MANIFEST_DIR").map(|folder| Path::new(&folder).to_path_buf())
}

fn parse(text: &str) -> Result<Vec<(u32, u128)>, String> {
    let mut schemas: Vec<(u32, u128)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let number = at + 1;
        let (schema, fingerprint) = entry(line)
            .ok_or_else(|| format!("line {number} is no `2 = \"fingerprint of 32 hexadecimal digits\"`: {line}"))?;
        if schemas.iter().any(|(known, _)| *known == schema) {
            return Err(format!("line {number} locks schema {schema} a second time"));
        }
        schemas.push((schema, fingerprint));
    }
    Ok(schemas)
}

fn entry(line: &str) -> Option<(u32, u128)> {
    let (schema, fingerprint) = line.split_once('=')?;
    let hex = fingerprint.trim().strip_prefix('"')?.strip_suffix('"')?;
    let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((schema.trim().parse().ok()?, is_hex.then(|| u128::from_str_radix(hex, 16).ok())??))
}

#[cfg(test)]
mod tests {
    use super::{FILE, Lock, parse};

    #[test]
    fn a_lock_is_one_line_a_schema() {
        let text =
            "# released\n1 = \"000000000000000000000000000000ff\" # v1\n\n2=\"00000000000000000000000000000100\"";
        assert_eq!(parse(text), Ok(vec![(1, 255), (2, 256)]));
    }

    #[test]
    fn the_nearest_lock_counts_up_to_two_folders_above() {
        let top = tempfile::tempdir().expect("a folder");
        let folders: Vec<_> = ["1", "1/2", "1/2/3"].map(|name| top.path().join(name)).into();
        std::fs::create_dir_all(&folders[2]).expect("folders");
        let lock = |folder: &std::path::Path, schema: u32| {
            std::fs::write(folder.join(FILE), format!("{schema} = \"{:032x}\"", 7)).expect("a lock");
        };
        let found = || Lock::above(&folders[2]).expect("readable").map(|lock| lock.schemas);
        lock(top.path(), 1);
        assert_eq!(found(), None);
        lock(&folders[0], 2);
        assert_eq!(found(), Some(vec![(2, 7)]));
        lock(&folders[2], 3);
        assert_eq!(found(), Some(vec![(3, 7)]));
        std::fs::write(folders[2].join(FILE), "3: 7").expect("a lock");
        assert!(Lock::above(&folders[2]).is_err_and(|error| error.starts_with("schemas.lock: line 1")));
    }

    #[test]
    fn a_malformed_line_is_named() {
        for text in ["1 = 2", "x = \"000000000000000000000000000000ff\"", "1 = \"+00000000000000000000000000000ff\""] {
            assert!(parse(text).expect_err(text).starts_with("line 1 is no"), "{text}");
        }
    }

    #[test]
    fn a_schema_is_locked_once() {
        let line = "1 = \"000000000000000000000000000000ff\"\n";
        assert_eq!(parse(&line.repeat(2)).expect_err("twice"), "line 2 locks schema 1 a second time");
    }
}
