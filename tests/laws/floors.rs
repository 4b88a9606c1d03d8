//! Laws about crates: who may import whom, and why each dependency is here.

use super::{none, text};
use crate::harness::{Test, root, test};
use serde_json::Value;
use std::process::Command;

pub(super) fn tests() -> Vec<Test> {
    vec![test(a_crate_imports_only_from_floors_below_its_own), test(every_dependency_says_why_it_is_here)]
}

/// The house, floor by floor. `actors/*/api` and `actors/*/<version>` are told by their folders.
const FLOORS: [(&str, u8); 17] = [
    ("teneral-derive", 0),
    ("teneral-abi", 0),
    ("teneral-contract", 1),
    ("teneral-native-api", 2),
    ("teneral-actor", 2),
    ("teneral-runtime", 2),
    ("teneral-testkit", 3),
    ("teneral-loader", 3),
    ("teneral-store", 3),
    ("teneral-native", 3),
    ("teneral-remote", 3),
    ("teneral-upgrade", 4),
    ("teneral-rollout", 5),
    ("teneral-control", 6),
    ("teneral", 7),
    ("teneral-cli", 8),
    ("xtask", 9),
];

fn floor(package: &str, manifest: &str) -> Option<u8> {
    let folder = manifest.split("/actors/").nth(1);
    match (package, folder) {
        ("benches", _) => Some(9),
        (_, Some(folder)) if folder.ends_with("/api/Cargo.toml") => Some(3),
        (_, Some(_)) => Some(4),
        _ => FLOORS.iter().find(|(name, _)| *name == package).map(|(_, floor)| *floor),
    }
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// Every target's package and outermost file, from the root.
pub(super) fn crate_roots() -> Vec<(String, String)> {
    let metadata = metadata();
    let base = format!("{}/", root().display());
    let mut roots = Vec::new();
    for package in list(&metadata, "packages") {
        for target in list(package, "targets") {
            let path = std::fs::canonicalize(string(target, "src_path")).expect("a target's file exists");
            roots.push((string(package, "name").to_owned(), path.display().to_string().replace(&base, "")));
        }
    }
    roots
}

// Invariant 12
fn a_crate_imports_only_from_floors_below_its_own() {
    let metadata = metadata();
    let manifests: Vec<(&str, &str)> = list(&metadata, "packages")
        .map(|package| (string(package, "name"), string(package, "manifest_path")))
        .collect();
    let mut breaches = Vec::new();
    for package in list(&metadata, "packages") {
        let name = string(package, "name");
        let Some(own) = floor(name, string(package, "manifest_path")) else {
            breaches.push(format!("{name} stands on no floor"));
            continue;
        };
        for dependency in list(package, "dependencies").filter(|dependency| dependency["kind"] != "dev") {
            let imported = string(dependency, "name");
            let Some((_, manifest)) = manifests.iter().find(|(name, _)| *name == imported) else { continue };
            if floor(imported, manifest).is_none_or(|below| below >= own) {
                breaches.push(format!("{name} imports {imported}"));
            }
        }
    }
    none("a crate imports only from floors below its own", &breaches);
}

fn every_dependency_says_why_it_is_here() {
    let mut breaches = Vec::new();
    let manifest = text::root_file("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let mut before = "";
    for line in section.expect("the workspace lists its dependencies").lines() {
        let external = line.contains(" = ") && !line.starts_with('#') && !line.contains("path = ");
        if external && !before.starts_with("# ") {
            breaches.push(format!("Cargo.toml: {line}"));
        }
        before = line;
    }
    for file in text::files(&["framework", "supervisor", "actors", "benches", "xtask"], "toml") {
        let mut depends = false;
        for (number, line) in file.lines() {
            if line.starts_with('[') {
                depends = line.ends_with("dependencies]");
            } else if depends && line.contains('=') && !line.starts_with('#') && !line.contains("workspace = true") {
                breaches.push(format!("{}:{number}: {line}", file.path));
            }
        }
    }
    none("every dependency stands in the root manifest, with its reason above it", &breaches);
}
