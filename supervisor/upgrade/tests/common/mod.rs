//! Manifests and names by hand, for tests that need no code behind them.

use semver::Version;
use serde_json::json;
use teneral_contract::manifest::{BodyEntry, MessageEntry, SchemaEntry, StateEntry};
use teneral_contract::{Addr, Digest, Fingerprint, Manifest};

pub(crate) fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

pub(crate) fn addr(path: &str) -> Addr {
    Addr::new(path).expect("an address")
}

/// A schema's shape is told by its number, unless a test bends it.
pub(crate) fn schema(number: u32) -> SchemaEntry {
    SchemaEntry { schema: number, fingerprint: Fingerprint(u128::from(number)) }
}

pub(crate) fn digest(manifest: &Manifest) -> Digest {
    teneral_store::digest_of(format!("{} {}", manifest.kind, manifest.version).as_bytes())
}

/// A kind `counter` of this version: the schema it runs, those it climbs from, those it descends to.
pub(crate) fn manifest(text: &str, runs: u32, from: &[u32], down: &[u32]) -> Manifest {
    let body = |number: u128| BodyEntry { fingerprint: Fingerprint(number), shape: json!("u64"), also: Vec::new() };
    Manifest {
        format: 1,
        abi: [1, 0],
        target: "test".to_owned(),
        panic: "unwind".to_owned(),
        compiler: "none".to_owned(),
        kind: "counter".to_owned(),
        version: version(text),
        state: StateEntry {
            schema: runs,
            fingerprint: schema(runs).fingerprint,
            shape: shape(runs),
            from: from.iter().map(|number| schema(*number)).collect(),
            down: down.iter().map(|number| schema(*number)).collect(),
        },
        args: body(100),
        messages: ["Add", "Get", "Fail", "Panic", "Hang"]
            .map(|name| MessageEntry {
                name: name.to_owned(),
                fingerprint: Fingerprint(7),
                shape: json!("unit"),
                also: Vec::new(),
                reply: (name == "Get").then(|| body(9)),
            })
            .to_vec(),
        requires: Vec::new(),
        capabilities: Vec::new(),
        deterministic: false,
        blocking: false,
        program: None,
    }
}

fn shape(number: u32) -> serde_json::Value {
    let fields = (1..=number).map(|field| json!([format!("field_{field}"), "u64"])).collect::<Vec<_>>();
    json!({ "struct": fields })
}
