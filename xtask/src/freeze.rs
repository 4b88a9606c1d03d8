//! `actors/<kind>/schemas.lock`: which shape each schema of a kind's state has, once and for all.
//!
//! A shape that changed under the same number would be read by code that never saw it. So a line of the lock is only
//! ever added: this task refuses to change one, and the derive refuses to build against another shape.

use crate::{Error, cargo, root, write_file};
use object::{Object, ObjectSection};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use teneral_contract::Manifest;

/// Length of the header before the manifest's JSON.
const HEADER_BYTES: usize = 16;

/// Builds the actors and locks the schemas that their manifests name.
pub(crate) fn freeze() -> Result<(), Error> {
    for (library, folder) in libraries()? {
        let manifest = manifest(&library)?;
        let lock = folder.join("schemas.lock");
        let text = std::fs::read_to_string(&lock).unwrap_or_default();
        let found = manifest.state.fingerprint.to_string();
        match entries(&text).remove(&manifest.state.schema) {
            Some(known) if known == found => continue,
            Some(locked) => {
                return Err(Error::Locked {
                    kind: manifest.kind,
                    version: manifest.version.to_string(),
                    schema: manifest.state.schema,
                    locked,
                    found,
                });
            }
            None => write_file(&lock, &format!("{text}{} = \"{found}\"\n", manifest.state.schema))?,
        }
        println!("{} {}: schema {} locked", manifest.kind, manifest.version, manifest.state.schema);
    }
    Ok(())
}

/// `2 = "fingerprint"` lines.
fn entries(text: &str) -> BTreeMap<u32, String> {
    let entry = |line: &str| {
        let (schema, print) = line.split('#').next()?.split_once('=')?;
        Some((schema.trim().parse().ok()?, print.trim().trim_matches('"').to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// Every cdylib below actors/, with its kind's folder.
fn libraries() -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let command = "cargo build --workspace --examples";
    let output = cargo()
        .args(["build", "--workspace", "--examples", "--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { command: command.into(), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command: command.into() });
    }
    let actors = root().join("actors");
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let kind = manifest.parent().and_then(Path::parent).filter(|kind| kind.parent() == Some(&actors));
        for file in message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(kind) = kind.filter(|_| file.ends_with(".so")) {
                found.push((PathBuf::from(file), kind.to_owned()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn manifest(library: &Path) -> Result<Manifest, Error> {
    let wrong = |why: String| Error::Library { path: library.to_owned(), why };
    let bytes = std::fs::read(library).map_err(|source| Error::Read { path: library.to_owned(), source })?;
    let file = object::File::parse(&*bytes).map_err(|error| wrong(error.to_string()))?;
    let section = file.section_by_name(".teneral").ok_or_else(|| wrong("no section .teneral".into()))?;
    let data = section.data().map_err(|error| wrong(error.to_string()))?;
    let header = data.get(..HEADER_BYTES).ok_or_else(|| wrong("section .teneral is cut short".into()))?;
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let json = data.get(HEADER_BYTES..HEADER_BYTES + length).ok_or_else(|| wrong("manifest is cut short".into()))?;
    serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        let lock = entries("# released\n1 = \"aa\" # first\n2 = \"bb\"\n");
        assert_eq!(lock, BTreeMap::from([(1, "aa".to_owned()), (2, "bb".to_owned())]));
    }
}
