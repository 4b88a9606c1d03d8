//! The two codecs: golden bytes, one layout with bincode, limits.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};
use teneral_contract::codec::{self, DEPTH_MAX, MESSAGE_BYTES_MAX};
use teneral_contract::constjson::Text;
use teneral_contract::manifest::MANIFEST_DEPTH_MAX;
use teneral_contract::{Addr, Bytes, DecodeError, EncodeError, Shape, Wire};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
enum Level {
    Low,
    Pair(u8, i16),
    Named { name: String },
    One(Box<Option<u32>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct All {
    truth: bool,
    letter: char,
    small: (i8, u16, i32),
    large: (u64, i128, u128),
    real: (f32, f64),
    text: String,
    bytes: Bytes,
    plain: Vec<u8>,
    levels: Vec<Level>,
    map: BTreeMap<String, BTreeSet<u16>>,
    array: [i64; 2],
    result: Result<u8, String>,
    nothing: (),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct Chain {
    next: Option<Box<Chain>>,
}

fn chain(links: usize) -> Chain {
    (1..links).fold(Chain { next: None }, |chain, _| Chain { next: Some(Box::new(chain)) })
}

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes).expect("encodes");
    bytes
}

fn kept<T: Shape + Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_state(value, &mut bytes).expect("encodes");
    bytes
}

fn example() -> All {
    All {
        truth: true,
        letter: 'ü',
        small: (-1, 2, -3),
        large: (4, -5, 6),
        real: (0.5, -2.0),
        text: "hé".into(),
        bytes: Bytes(vec![1, 2]),
        plain: vec![3],
        levels: vec![Level::Low, Level::Pair(7, -8), Level::Named { name: "n".into() }, Level::One(Box::new(None))],
        map: BTreeMap::from([("k".into(), BTreeSet::from([9, 10]))]),
        array: [11, -12],
        result: Err("no".into()),
        nothing: (),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_message_has_the_same_bytes_for_good() {
    let golden = concat!(
        "01",                                                                         // truth
        "c3bc",                                                                       // letter
        "ff0200fdffffff",                                                             // small
        "0400000000000000fbffffffffffffffffffffffffffffff",                           // large
        "06000000000000000000000000000000",                                           //
        "0000003f00000000000000c0",                                                   // real
        "030000000000000068c3a9",                                                     // text
        "02000000000000000102010000000000000003",                                     // bytes, plain
        "0400000000000000000000000100000007f8ff0200000001000000000000006e0300000000", // levels
        "010000000000000001000000000000006b020000000000000009000a00",                 // map
        "0b00000000000000f4ffffffffffffff",                                           // array
        "0100000002000000000000006e6f",                                               // result
    );
    assert_eq!(hex(&written(&example())), golden);
    assert_eq!(codec::decode(&written(&example())), Ok(example()));
}

#[test]
fn a_state_has_the_same_bytes_for_good() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
    struct Small {
        lines: u64,
        name: Option<String>,
        raw: Bytes,
        levels: Vec<Level>,
    }
    let small = Small {
        lines: 300,
        name: None,
        raw: Bytes(vec![1, 2]),
        levels: vec![Level::Low, Level::Pair(7, -8), Level::Named { name: "n".into() }],
    };
    let golden = concat!(
        "84",
        "a56c696e6573",
        "cd012c", // lines
        "a46e616d65",
        "c0", // name
        "a3726177",
        "c4020102", // raw
        "a66c6576656c73",
        "93",
        "a34c6f77", // levels
        "81",
        "a450616972",
        "9207f8",
        "81",
        "a54e616d6564",
        "81",
        "a46e616d65",
        "a16e",
    );
    assert_eq!(hex(&kept(&small)), golden);
    assert_eq!(codec::decode_state(&kept(&small)), Ok(small));
    assert_eq!(codec::decode_state(&kept(&example())), Ok(example()));
}

#[test]
fn the_standard_types_keep_their_bytes() {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1, 2);
    assert_eq!(hex(&written(&time)), "010000000000000002000000");
    assert_eq!(hex(&written(&Duration::new(1, 2))), "010000000000000002000000");
    assert_eq!(hex(&written(&Addr::new("a/b").expect("valid"))), "0300000000000000612f62");
    let host = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
    assert_eq!(hex(&written(&host)), "000000007f0000015000");
    for bytes in [kept(&time), kept(&Duration::new(1, 2))] {
        assert_eq!(hex(&bytes).len(), 2 * bytes.len());
    }
    assert_eq!(codec::decode_state(&kept(&time)), Ok(time));
    assert_eq!(codec::decode_state(&kept(&host)), Ok(host));
}

#[test]
fn bytes_after_the_value_are_counted_and_refused() {
    let mut message = written(&7_u16);
    message.extend([0, 0]);
    assert_eq!(codec::decode::<u16>(&message), Err(DecodeError::Trailing(2)));
    let mut state = kept(&vec![7_u16; 40]);
    state.extend([0xc0; 3]);
    assert_eq!(codec::decode_state::<Vec<u16>>(&state), Err(DecodeError::Trailing(3)));
    let mut large = kept(&Bytes(vec![0; 2 << 20]));
    large.push(0x91);
    assert_eq!(codec::decode_state::<Bytes>(&large), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_message_over_its_limit_is_not_written() {
    let mut out = vec![1];
    let large = Bytes(vec![0; MESSAGE_BYTES_MAX - 7]);
    assert_eq!(codec::encode(&large, &mut out), Err(EncodeError::Limit { limit_bytes: MESSAGE_BYTES_MAX }));
    assert_eq!(out, [1]);
    codec::encode(&Bytes(vec![0; MESSAGE_BYTES_MAX - 8]), &mut out).expect("just fits");
    assert_eq!(out.len(), 1 + MESSAGE_BYTES_MAX);
    let bytes = MESSAGE_BYTES_MAX + 1;
    let limit = DecodeError::Limit { bytes, limit_bytes: MESSAGE_BYTES_MAX };
    assert_eq!(codec::decode::<Bytes>(&out), Err(limit));
}

#[test]
fn a_state_over_its_limit_is_not_written() {
    let mut out = vec![1];
    let state = "x".repeat(30);
    assert_eq!(codec::encode_state_within(&state, 30, &mut out), Err(EncodeError::Limit { limit_bytes: 30 }));
    assert_eq!(out, [1]);
    codec::encode_state_within(&state, 31, &mut out).expect("just fits");
}

#[test]
fn a_value_that_refuses_to_be_written_leaves_nothing() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let mut out = vec![1];
    assert!(matches!(codec::encode(&(7_u8, before), &mut out), Err(EncodeError::Refused(_))));
    assert!(matches!(codec::encode_state(&(7_u8, before), &mut out), Err(EncodeError::Refused(_))));
    assert_eq!(out, [1]);
}

#[test]
fn a_state_that_nests_too_deep_is_refused_when_written_and_when_read() {
    let deep = chain(DEPTH_MAX);
    assert_eq!(codec::decode_state(&kept(&deep)), Ok(deep));
    let mut out = Vec::new();
    assert_eq!(codec::encode_state(&chain(DEPTH_MAX + 1), &mut out), Err(EncodeError::Depth));
    assert!(out.is_empty());
}

fn shape_of<T: Shape>() -> serde_json::Value {
    let mut counter = Text::new(&mut []);
    counter.push_node(T::NODE);
    let mut bytes = vec![0; counter.len()];
    Text::new(&mut bytes).push_node(T::NODE);
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_type_that_holds_itself_is_shown_down_to_a_bound() {
    let shown = codec::shown(&shape_of::<Chain>(), &written(&chain(3)));
    assert_eq!(shown, Ok(serde_json::json!({ "next": { "next": { "next": null } } })));
    assert_eq!(codec::shown(&shape_of::<Chain>(), &[1].repeat(DEPTH_MAX * 2)), Err(DecodeError::Depth));
}

#[test]
fn a_shape_that_nests_within_each_of_its_own_levels_is_shown_no_deeper_than_a_type_is_read() {
    let levels = MANIFEST_DEPTH_MAX - 10;
    let shape = (0..levels).fold(serde_json::json!({ "recursive": levels }), |shape, level| match level % 3 {
        0 => serde_json::json!({ "option": shape }),
        1 => serde_json::json!({ "enum": [["other", "unit"], ["this", { "tuple": [shape] }]] }),
        _ => serde_json::json!({ "map": ["bool", shape] }),
    });
    let body = [1].repeat(1 << 20);
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let shown = thread.spawn(move || codec::shown(&shape, &body)).expect("a thread").join().expect("it returns");
    assert!(shown.is_err(), "{shown:?}");
    let options =
        (0..levels).fold(serde_json::json!({ "recursive": levels }), |it, _| serde_json::json!({ "option": it }));
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let shown = thread.spawn(move || codec::shown(&options, &[1; 1 << 15])).expect("a thread").join();
    assert_eq!(shown.expect("it returns"), Err(DecodeError::Depth));
}

#[test]
fn a_type_is_shown_as_deep_as_it_is_read() {
    for levels in 1..DEPTH_MAX {
        let bytes = written(&chain(levels));
        let read = codec::decode::<Chain>(&bytes).map(drop);
        assert_eq!(codec::shown(&shape_of::<Chain>(), &bytes).map(drop), read, "{levels} levels");
    }
}

/// What stands beside [`All`] among the types whose JSON is known without their code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct More {
    addr: Addr,
    lasts: Duration,
    at: SystemTime,
    hosts: (IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr),
    by_number: BTreeMap<i16, Level>,
    by_truth: BTreeMap<bool, [Option<char>; 2]>,
    chain: Chain,
    one: One,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct One(u16);

#[test]
fn p14_json_that_is_none_of_a_shape_is_refused_with_its_field() {
    let shape = shape_of::<All>();
    let good = serde_json::to_value(example()).expect("JSON");
    let refused = |place: &str, value: serde_json::Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value;
        let mut out = vec![7];
        let error = codec::written(&shape, &bad, &mut out).expect_err(place).to_string();
        assert_eq!(out, [7], "{place}: nothing is left of it");
        error
    };
    use serde_json::json;
    assert_eq!(refused("/truth", json!(1)), "truth: true or false is wanted, not 1");
    assert_eq!(refused("/small/1", json!(65536)), "small.1: a whole number from 0 to 65535 is wanted, not 65536");
    assert_eq!(refused("/small/0", json!(0.5)), "small.0: a whole number from -128 to 127 is wanted, not 0.5");
    assert_eq!(
        refused("/large/0", json!("5")),
        "large.0: a whole number from 0 to 18446744073709551615 is wanted, not \"5\""
    );
    assert_eq!(refused("/letter", json!("ab")), "letter: a text of one character is wanted, not \"ab\"");
    assert_eq!(refused("/text", json!(null)), "text: a text is wanted, not null");
    assert_eq!(refused("/bytes/1", json!(256)), "bytes.1: a number from 0 to 255 is wanted, not 256");
    assert_eq!(refused("/array", json!([1])), "array: a list of 2 is wanted, not a list of 1");
    assert_eq!(refused("/levels/0", json!("Lwo")), "levels.0: unknown variant \"Lwo\": did you mean Low?");
    assert_eq!(refused("/levels/1", json!("Pair")), "levels.1: variant Pair has fields: write {\"Pair\": ..}");
    assert_eq!(refused("/levels/2/Named", json!({})), "levels.2.Named: missing field \"name\"");
    assert_eq!(refused("/result", json!({ "No": 1 })), "result: {\"Ok\": ..} or {\"Err\": ..} is wanted, not fields");
    assert_eq!(refused("/map", json!([])), "map: an object with fields is wanted, not a list of 0");
    assert_eq!(refused("/real/0", json!(1e300)), "real.0: a number that an f32 can hold is wanted, not 1e+300");
    let mut extra = good.clone();
    extra["truht"] = json!(true);
    let error = codec::written(&shape, &extra, &mut Vec::new()).expect_err("unknown").to_string();
    assert_eq!(error, "unknown field \"truht\": did you mean truth?");
}

#[test]
fn json_by_a_shape_that_has_no_end_is_refused() {
    use serde_json::json;
    for shape in
        [json!({ "option": { "recursive": 1 } }), json!({ "tuple": [{ "recursive": 1 }] }), json!({ "recursive": 1 })]
    {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let shown = shape.clone();
        let thread = thread.spawn(move || codec::written(&shape, &json!(1), &mut Vec::new())).expect("a thread");
        assert!(thread.join().expect("it returns").is_err(), "{shown}");
    }
}

#[test]
fn a_shape_that_says_more_than_the_bytes_have_is_an_error() {
    for shape in [
        r#"{"array": ["unit", 18446744073709551615]}"#,
        r#"{"array": [{"array": ["unit", 4294967295]}, 4294967295]}"#,
        r#"{"recursive": 1}"#,
        r#"{"option": {"recursive": 9}}"#,
        r#"{"enum": []}"#,
        r#"{"struct": ["x"]}"#,
        r#"{"tuple": [{"tuple": 3}, 7]}"#,
        r#""socket""#,
        "7",
        "{}",
    ] {
        let shape = serde_json::from_str(shape).expect("JSON");
        assert!(codec::shown(&shape, &[1; 32]).is_err(), "{shape}");
    }
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![
        Just(Level::Low),
        any::<(u8, i16)>().prop_map(|(a, b)| Level::Pair(a, b)),
        any::<String>().prop_map(|name| Level::Named { name }),
        any::<Option<u32>>().prop_map(|one| Level::One(Box::new(one))),
    ]
}

prop_compose! {
    fn all()(
        (truth, letter, small, large) in any::<(bool, char, (i8, u16, i32), (u64, i128, u128))>(),
        (text, bytes, plain) in any::<(String, Vec<u8>, Vec<u8>)>(),
        (map, array, result) in any::<(BTreeMap<String, BTreeSet<u16>>, [i64; 2], Result<u8, String>)>(),
        levels in proptest::collection::vec(level(), 0..8),
        real in (-1.0_f32..1.0, -1.0_f64..1.0),
    ) -> All {
        All {
            truth, letter, small, large, real, text, bytes: Bytes(bytes), plain, levels, map, array, result,
            nothing: (),
        }
    }
}

prop_compose! {
    fn more()(
        hosts in any::<(IpAddr, Ipv4Addr, Ipv6Addr)>(),
        (v4, port) in any::<(bool, u16)>(),
        by_number in proptest::collection::btree_map(any::<i16>(), level(), 0..8),
        by_truth in any::<BTreeMap<bool, [Option<char>; 2]>>(),
        (secs, nanos, links, one) in (0..u64::from(u32::MAX), 0..1_000_000_000_u32, 1..30_usize, any::<u16>()),
    ) -> More {
        let socket = if v4 { IpAddr::V4(hosts.1) } else { IpAddr::V6(hosts.2) };
        More {
            addr: Addr::new("kind/key").expect("an address"),
            lasts: Duration::new(secs, nanos),
            at: SystemTime::UNIX_EPOCH + Duration::new(secs, nanos),
            hosts: (hosts.0, hosts.1, hosts.2, SocketAddr::new(socket, port)),
            by_number, by_truth, chain: chain(links), one: One(one),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_are_written_and_read_as_bincode_does(value in all()) {
        let layout = bincode::config::standard().with_fixed_int_encoding();
        let bytes = written(&value);
        prop_assert_eq!(&bytes, &bincode::serde::encode_to_vec(&value, layout).expect("encodes"));
        prop_assert_eq!(codec::decode::<All>(&bytes), Ok(value));
    }

    #[test]
    fn a_message_is_shown_by_its_shape_as_its_own_code_would_write_it(value in all()) {
        let value = All { large: (value.large.0, -5, 6), ..value };
        let (shape, bytes) = (shape_of::<All>(), written(&value));
        prop_assert_eq!(codec::shown(&shape, &bytes), Ok(serde_json::to_value(&value).expect("JSON")));
        prop_assert_eq!(codec::shown(&shape, &[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn p13_json_is_written_by_its_shape_as_its_own_code_would_write_it(value in all()) {
        let value = All { large: (value.large.0, -5, 6), ..value };
        let (shape, mut bytes) = (shape_of::<All>(), Vec::new());
        let json = serde_json::to_value(&value).expect("JSON");
        prop_assert_eq!(codec::written(&shape, &json, &mut bytes), Ok(()));
        prop_assert_eq!(&bytes, &written(&value));
        // And back as text, as it crosses to a module.
        let text = codec::shown(&shape, &bytes).expect("it is one").to_string();
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let mut again = Vec::new();
        prop_assert_eq!(codec::written(&shape, &json, &mut again), Ok(()));
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn p13_the_other_types_go_to_json_and_back_by_their_shape_as_by_their_code(value in more()) {
        let (shape, mut bytes) = (shape_of::<More>(), Vec::new());
        let json = serde_json::to_value(&value).expect("JSON");
        prop_assert_eq!(codec::shown(&shape, &written(&value)), Ok(json.clone()));
        prop_assert_eq!(codec::written(&shape, &json, &mut bytes), Ok(()));
        prop_assert_eq!(codec::decode::<More>(&bytes), Ok(value));
    }

    #[test]
    fn p14_json_that_the_code_refuses_its_shape_refuses_too(
        value in all(),
        at: prop::sample::Index,
        which in 0..8_usize,
    ) {
        let value = All { large: (value.large.0, -5, 6), ..value };
        let (shape, mut json) = (shape_of::<All>(), serde_json::to_value(&value).expect("JSON"));
        let others = serde_json::json!([null, true, -1, 1e9, "text", [], {}, [1, 2]]);
        let fields = json.as_object_mut().expect("fields");
        let name = fields.keys().nth(at.index(fields.len())).expect("one of them").clone();
        fields.insert(name.clone(), others[which].clone());
        let mut bytes = Vec::new();
        match (codec::written(&shape, &json, &mut bytes), serde_json::from_value::<All>(json.clone())) {
            (Ok(()), Ok(typed)) => prop_assert_eq!(codec::decode::<All>(&bytes), Ok(typed)),
            (Ok(()), Err(error)) => prop_assert!(false, "only the code refuses {}: {}", json, error),
            (Err(error), read) => {
                prop_assert!(!error.place.is_empty(), "{}", error);
                // The code takes a text for a byte string; the shape is stricter in nothing else.
                prop_assert!(read.is_err() || name == "bytes", "only the shape refuses {}: {}", json, error);
            }
        }
    }

    #[test]
    fn states_read_back(value in all()) {
        prop_assert_eq!(codec::decode_state::<All>(&kept(&value)), Ok(value));
    }

    #[test]
    fn what_the_reader_takes_bincode_takes_too(bytes in proptest::collection::vec(0..4_u8, 0..64)) {
        type Value = (Option<bool>, Vec<(u8, Result<char, ()>)>, BTreeMap<u8, String>);
        let layout = bincode::config::standard().with_fixed_int_encoding().with_limit::<65536>();
        let theirs = bincode::serde::decode_from_slice::<Value, _>(&bytes, layout).ok();
        let whole = theirs.and_then(|(value, read)| (read == bytes.len()).then_some(value));
        prop_assert_eq!(codec::decode::<Value>(&bytes).ok(), whole);
    }

    #[test]
    fn damaged_bytes_never_panic(value in all(), at: prop::sample::Index, byte: u8) {
        for mut bytes in [written(&value), kept(&value)] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let read = codec::decode::<All>(&bytes).is_ok();
            // A damaged address is a text all the same; here there is none.
            prop_assert_eq!(codec::shown(&shape_of::<All>(), &bytes).is_ok(), read);
            let _ = codec::decode_state::<All>(&bytes).is_ok();
        }
    }
}
