//! The plain C actor and its Rust callers mean the same bytes: `actors/c-echo/*/manifest.h` is what the Rust types here
//! say. Where it is not, the test's message is the header to put there.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::constjson::crc32;
use teneral_contract::manifest::SchemaEntry;
use teneral_contract::parts::{BodyParts, ManifestParts, StateParts};
use teneral_contract::{Fingerprint, Message, Request, Shape, State, Wire};

#[derive(Serialize, Deserialize, Wire)]
struct Nothing {}
#[derive(Serialize, Deserialize, Request)]
#[reply(Echoed)]
struct Echo {
    text: String,
}
#[derive(Serialize, Deserialize, Wire)]
struct Echoed {
    text: String,
    echoes: u64,
}
#[derive(Serialize, Deserialize, Request)]
#[reply(Counted)]
struct Count {}
#[derive(Serialize, Deserialize, Wire)]
struct Counted {
    echoes: u64,
}
#[derive(Serialize, Deserialize, Request)]
#[reply(Sized)]
struct Size {}
#[derive(Serialize, Deserialize, Wire)]
struct Sized {
    bytes: u64,
}
#[derive(Message)]
enum MessageV1 {
    Echo(Echo),
    Count(Count),
}
#[derive(Message)]
enum MessageV2 {
    Echo(Echo),
    Count(Count),
    Size(Size),
}
#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct StateV1 {
    echoes: u64,
}
#[derive(Serialize, Deserialize, State)]
#[state(schema = 2)]
struct StateV2 {
    echoes: u64,
    bytes: u64,
}

const HEAD: &str =
    "/* What c-echo says of itself; framework/testkit/tests/c_echo.rs holds it to what Rust callers mean.
   The checksum is zip's CRC-32: printf '%s' 'JSON' | gzip -c | tail -c8 | od -An -tx4 -N4 */
#define MANIFEST";

fn header<M: Message>(version: &str, state: StateParts<'_>, shapes: &[(&str, Fingerprint)]) -> String {
    let parts = ManifestParts {
        abi: [1, 0],
        target: "x86_64-unknown-linux-gnu",
        panic: "none",
        compiler: "gcc",
        kind: "c-echo",
        version,
        state,
        args: BodyParts::of::<Nothing>(),
        messages: M::VARIANTS,
        requires: &[],
        capabilities: &[],
        deterministic: true,
        blocking: false,
    };
    let json = serde_json::to_string(&parts.manifest().expect("a manifest")).expect("JSON");
    let mut text = HEAD.to_owned();
    let mut rest = json.as_str();
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(96)];
        let end = if window.len() == rest.len() { rest.len() } else { window.rfind(',').map_or(96, |at| at + 1) };
        let (line, after) = rest.split_at(end);
        text += &format!(" \\\n  \"{}\"", line.replace('"', "\\\""));
        rest = after;
    }
    text += &format!("\n#define MANIFEST_CRC {:#010x}u\n", crc32(json.as_bytes()));
    for (name, Fingerprint(shape)) in shapes {
        text += &format!("#define F_{name} {{0x{:016x}u, 0x{:016x}u}}\n", shape >> 64, *shape as u64);
    }
    text
}

fn committed(version: &str) -> String {
    let path = format!("{}/../../actors/c-echo/{version}/manifest.h", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_manifests_of_c_echo_are_what_rust_callers_mean() {
    let shapes = [
        ("ARGS", Nothing::FINGERPRINT),
        ("ECHOED", Echoed::FINGERPRINT),
        ("COUNTED", Counted::FINGERPRINT),
        ("SIZED", Sized::FINGERPRINT),
    ];
    let older = [SchemaEntry::of::<StateV1>()];
    let v1 = header::<MessageV1>("1.0.0", StateParts::of::<StateV1>(&[], &[]), &shapes[..3]);
    let v2 = header::<MessageV2>("2.0.0", StateParts::of::<StateV2>(&older, &older), &shapes);
    for (version, expected) in [("v1", v1), ("v2", v2)] {
        assert!(committed(version) == expected, "actors/c-echo/{version}/manifest.h should be:\n{expected}");
    }
}
