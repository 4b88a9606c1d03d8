//! The manifest: what is written at compile time reads back, and no section makes the reader panic.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use teneral_contract::constjson::crc32;
use teneral_contract::manifest::{MANIFEST_BYTES_MAX, SchemaEntry};
use teneral_contract::parts::{BodyParts, StateParts};
use teneral_contract::shape::Field;
use teneral_contract::{
    Answer, Fingerprint, Manifest, ManifestError, ManifestParts, Message, Node, Request, Shape, State, Upcast, Wire,
};

mod v1 {
    use super::{Deserialize, Serialize, State, Wire};

    #[derive(Serialize, Deserialize, Wire)]
    pub(crate) struct Add {
        amount: u32,
    }

    #[derive(Serialize, Deserialize, State)]
    #[state(schema = 1)]
    pub(crate) struct Sum {
        sum: u32,
    }
}

#[derive(Serialize, Deserialize, Wire)]
#[wire(upcast(v1::Add))]
struct Add {
    amount: u64,
}

impl Upcast<v1::Add> for Add {
    fn upcast(_: v1::Add) -> Self {
        Self { amount: 0 }
    }
}

#[derive(Serialize, Deserialize, Request)]
#[reply(Result<u64, String>)]
struct Get;

#[derive(Serialize, Deserialize, Wire)]
struct Got {
    answer: Answer<Bulk>,
}

#[derive(Serialize, Deserialize, Wire)]
struct Bulk(BTreeMap<u8, BTreeSet<char>>, Option<[i8; 3]>, (bool, f64));

#[derive(Message)]
enum Messages {
    Add(Add),
    Get(Get),
    Got(Got),
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 2)]
struct Sum {
    sum: u64,
    #[shape(opaque = "q\"uote/1")]
    names: Vec<String>,
    parts: Option<Box<Sum>>,
}

const PARTS: ManifestParts<'static> = ManifestParts {
    abi: [1, 0],
    target: "x86_64-unknown-linux-gnu",
    panic: "unwind",
    compiler: "rustc \"1\"",
    kind: "sum",
    version: "2.0.0",
    state: StateParts::of::<Sum>(&[SchemaEntry::of::<v1::Sum>()], &[]),
    args: BodyParts::of::<u64>(),
    messages: Messages::VARIANTS,
    requires: &["teneral.table/1"],
    capabilities: &[],
    deterministic: true,
    blocking: false,
};

static SECTION: [u8; PARTS.section_bytes()] = PARTS.section();

const WIDE: ManifestParts<'static> = {
    const FIELD: Field = Field { name: "a_field_whose_name_is_of_middling_length", node: <Option<Vec<u64>>>::NODE };
    const FIELDS: &[Field] = &[FIELD; 200];
    const NODE: Node = Node::Struct(FIELDS);
    let state = StateParts {
        schema: 1,
        node: &NODE,
        fingerprint: teneral_contract::shape::fingerprint(&NODE),
        from: &[],
        down: &[],
    };
    ManifestParts { state, ..PARTS }
};

// Builds without rustc's lint against long constant evaluation.
static WIDE_SECTION: [u8; WIDE.section_bytes()] = WIDE.section();

fn sealed(json: &[u8]) -> Vec<u8> {
    let mut section = b"TNRL\x01\0\0\0".to_vec();
    section.extend(u32::try_from(json.len()).expect("small").to_le_bytes());
    section.extend(crc32(json).to_le_bytes());
    section.extend(json);
    section
}

fn json() -> String {
    String::from_utf8(SECTION[16..].to_vec()).expect("UTF-8")
}

#[test]
fn a_section_made_at_compile_time_reads_back() {
    let manifest = Manifest::parse(&SECTION).expect("reads");
    assert_eq!(manifest, PARTS.manifest().expect("reads"));
    assert_eq!((manifest.kind.as_str(), manifest.compiler.as_str()), ("sum", "rustc \"1\""));
    assert_eq!((manifest.version.major, manifest.abi, manifest.format), (2, [1, 0], 1));
    assert_eq!((manifest.deterministic, manifest.blocking), (true, false));
    assert_eq!((manifest.requires.len(), manifest.capabilities.len()), (1, 0));
    assert_eq!(manifest.state.fingerprint, Sum::FINGERPRINT);
    assert_eq!(manifest.state.from, [SchemaEntry { schema: 1, fingerprint: v1::Sum::FINGERPRINT }]);
    assert_eq!(manifest.args.fingerprint, u64::FINGERPRINT);
    assert_eq!(manifest.messages[0].also, [v1::Add::FINGERPRINT]);
    let reply = manifest.messages[1].reply.as_ref().expect("a request");
    assert_eq!(reply.fingerprint, <Result<u64, String>>::FINGERPRINT);
}

#[test]
fn every_shape_is_written_as_json() {
    let manifest = Manifest::parse(&SECTION).expect("reads");
    let state = r#"{"struct":[["sum","u64"],["names","q\"uote/1"],["parts",{"option":{"recursive":2}}]]}"#;
    assert_eq!(manifest.state.shape.to_string(), state);
    let bulk = concat!(
        r#"{"struct":[["answer",{"answer":{"tuple":[{"map":["u8",{"set":"char"}]},"#,
        r#"{"option":{"array":["i8",3]}},{"tuple":["bool","f64"]}]}}]]}"#
    );
    assert_eq!(manifest.messages[2].shape.to_string(), bulk);
    assert_eq!(manifest.messages[1].shape, "unit");
}

#[test]
fn a_state_of_200_fields_is_written_at_compile_time() {
    let manifest = Manifest::parse(&WIDE_SECTION).expect("reads");
    assert_eq!(manifest.state.shape["struct"].as_array().map(Vec::len), Some(200));
}

#[test]
fn a_damaged_header_is_told_by_what_is_wrong() {
    let damaged = |at: usize, byte: u8| {
        let mut section = SECTION.to_vec();
        section[at] = byte;
        Manifest::parse(&section).expect_err("damaged")
    };
    let bytes = SECTION.len() - 16;
    assert_eq!(Manifest::parse(&SECTION[..15]), Err(ManifestError::Short { bytes: 15 }));
    assert_eq!(damaged(0, b'X'), ManifestError::Magic(*b"XNRL"));
    assert_eq!(damaged(4, 2), ManifestError::Format { found: 2 });
    assert_eq!(damaged(6, 1), ManifestError::Flags(1));
    assert!(matches!(damaged(11, 1), ManifestError::Size { bytes } if bytes > MANIFEST_BYTES_MAX));
    assert!(matches!(damaged(12, !SECTION[12]), ManifestError::Checksum { .. }));
    assert!(matches!(damaged(100, b'~'), ManifestError::Checksum { .. }));
    let cut = ManifestError::Cut { claimed: bytes, found: bytes - 1 };
    assert_eq!(Manifest::parse(&SECTION[..SECTION.len() - 1]), Err(cut));
    assert_eq!(Manifest::parse(&[&SECTION[..], &SECTION[..]].concat()), Err(ManifestError::Doubled));
    assert_eq!(Manifest::parse(&[&SECTION[..], &[0; 25], &SECTION[..]].concat()), Err(ManifestError::Doubled));
    assert_eq!(Manifest::parse(&[&SECTION[..], &[0][..]].concat()), Err(ManifestError::Trailing(1)));
}

#[test]
fn json_that_cannot_be_is_told_by_what_is_wrong() {
    let parse = |from: &str, to: &str| {
        let changed = json().replace(from, to);
        assert_ne!(changed, json(), "{from}");
        Manifest::parse(&sealed(changed.as_bytes())).expect_err("wrong")
    };
    assert_eq!(parse("\"format\":1", "\"format\":2"), ManifestError::FormatTwice { header: 1, json: 2 });
    assert_eq!(parse("\"kind\":\"sum\"", "\"kind\":\"../sum\""), ManifestError::Kind("../sum".into()));
    assert_eq!(parse("\"state\":{\"schema\":2", "\"state\":{\"schema\":0"), ManifestError::Schema);
    assert_eq!(parse("[{\"schema\":1", "[{\"schema\":2"), ManifestError::Ladder { rung: 2, own: 2 });
    assert_eq!(parse("\"name\":\"Get\"", "\"name\":\"Add\""), ManifestError::MessageTwice("Add".into()));
    assert!(matches!(parse("\"blocking\"", "\"blokcing\""), ManifestError::Json(_)));
    assert!(matches!(parse("\"2.0.0\"", "\"two\""), ManifestError::Json(_)));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(Manifest::parse(&sealed(deep.as_bytes())), Err(ManifestError::Depth));
}

#[test]
fn a_linked_actor_is_held_to_the_same_rules() {
    let error = ManifestParts { kind: "Sum", ..PARTS }.manifest();
    assert_eq!(error, Err(ManifestError::Kind("Sum".into())));
    assert!(matches!(ManifestParts { version: "two", ..PARTS }.manifest(), Err(ManifestError::Json(_))));
}

proptest! {
    #[test]
    fn no_section_makes_the_reader_panic(section in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Manifest::parse(&section).is_err());
        prop_assert!(Manifest::parse(&sealed(&section)).is_err());
    }

    #[test]
    fn no_damage_is_read_as_a_manifest(at in 0..SECTION.len(), bit in 0..8_u8) {
        let mut section = SECTION.to_vec();
        section[at] ^= 1 << bit;
        prop_assert!(Manifest::parse(&section).is_err());
    }

    #[test]
    fn resealed_damage_never_panics(at in 0..SECTION.len() - 16, byte: u8) {
        let mut json = SECTION[16..].to_vec();
        json[at] = byte;
        let _ = Manifest::parse(&sealed(&json)).map(|manifest| manifest.state.fingerprint != Fingerprint::NONE);
    }
}
