//! Bytes made to hurt: lengths that lie, nesting without end. One test, since it measures the whole process.
#![forbid(unsafe_code)]

use peak_alloc::PeakAlloc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::codec::{self, DEPTH_MAX, DecodeError};
use teneral_contract::{Bytes, Shape, Wire};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a decoder may allocate beyond four times its input.
const SLACK_BYTES: usize = 1 << 20;

#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
enum Tree {
    Leaf,
    Fork(Box<Tree>, Vec<Tree>),
    Only(Box<Tree>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
struct Table {
    rows: Vec<Vec<Vec<String>>>,
    index: BTreeMap<String, Vec<u64>>,
}

fn measured<T>(name: &str, bytes: &[u8], decode: fn(&[u8]) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = decode(bytes);
    let peak = HEAP.peak_usage() - before;
    assert!(peak <= 4 * bytes.len() + SLACK_BYTES, "{name}: {peak} bytes at most, for {} of input", bytes.len());
    result
}

fn refused<T: Shape + serde::de::DeserializeOwned>(name: &str, message: &[u8], state: &[u8]) {
    assert!(measured(name, message, codec::decode::<T>).is_err(), "{name}: taken as a message");
    assert!(measured(name, state, codec::decode_state::<T>).is_err(), "{name}: taken as a state");
}

fn lengths_that_lie() {
    for claimed in [9_u64, 1 << 20, 1 << 32, 1 << 40, u64::MAX] {
        let length = claimed.to_le_bytes();
        let bin = [&[0xc6][..], &u32::try_from(claimed).unwrap_or(u32::MAX).to_be_bytes()].concat();
        let list = [&[0xdd][..], &bin[1..]].concat();
        let map = [&[0xdf][..], &bin[1..]].concat();
        refused::<String>("text", &length, &[&[0xdb][..], &bin[1..]].concat());
        refused::<Bytes>("bytes", &length, &bin);
        refused::<Vec<u64>>("list", &length, &list);
        refused::<BTreeMap<u64, u64>>("map", &length, &map);
        refused::<Vec<Vec<Vec<Vec<u64>>>>>("lists", &length.repeat(4), &list.repeat(4));
        refused::<Table>("table", &length.repeat(3), &[&[0x92][..], &list.repeat(3)].concat());
    }
}

/// Each length is one that the bytes after it could hold, if they were items.
fn lengths_that_could_be() {
    let filler = vec![0_u8; 300_000];
    let length = 200_000_u64.to_le_bytes();
    let list = [0xdd, 0, 3, 0x0d, 0x40];
    let message = [&length.repeat(4)[..], &filler].concat();
    let state = [&list.repeat(4)[..], &filler].concat();
    refused::<Vec<Vec<Vec<Vec<u64>>>>>("lists of lists", &message, &state);
    refused::<Vec<String>>("list", &message[24..], &state[15..]);
    refused::<Vec<Vec<u8>>>("list of plain bytes", &message[16..], &state[10..]);
}

fn nesting_without_end() {
    for levels in [DEPTH_MAX + 1, 100_000, 2_000_000] {
        let only = 2_u32.to_le_bytes().repeat(levels);
        let named = [&b"\x81\xa4Only"[..]].concat().repeat(levels);
        refused::<Tree>("tree", &only, &named);
        assert_eq!(codec::decode::<Tree>(&only), Err(DecodeError::Depth));
        assert_eq!(codec::decode_state::<Tree>(&named), Err(DecodeError::Depth));
        assert_eq!(codec::decode_state::<Tree>(&vec![0x91; levels]), Err(DecodeError::Depth));
    }
}

fn bytes_after_the_end() {
    let tail = vec![0_u8; 500_000];
    let message = [&1_u64.to_le_bytes()[..], &[7], &tail].concat();
    let state = [&[0x91, 7][..], &tail].concat();
    assert_eq!(measured("tail", &message, codec::decode::<Vec<u8>>), Err(DecodeError::Trailing(tail.len())));
    assert_eq!(measured("tail", &state, codec::decode_state::<Vec<u8>>), Err(DecodeError::Trailing(tail.len())));
}

fn honest_values_fit_too() {
    let index = (0..2_000_u64).map(|key| (format!("key number {key}"), vec![key; 40])).collect();
    let table = Table { rows: vec![vec![vec!["a text of some length".into(); 40]; 40]; 40], index };
    let (mut message, mut state) = (Vec::new(), Vec::new());
    codec::encode(&table, &mut message).expect("encodes");
    codec::encode_state(&table, &mut state).expect("encodes");
    assert_eq!(measured("table", &message, codec::decode::<Table>).as_ref(), Ok(&table));
    assert_eq!(measured("table", &state, codec::decode_state::<Table>).as_ref(), Ok(&table));
}

// Invariant 10
#[test]
fn r18_decoders_cap_length_depth_and_count_and_allocate_at_most_4x_input_and_1_mib() {
    lengths_that_lie();
    lengths_that_could_be();
    nesting_without_end();
    bytes_after_the_end();
    honest_values_fit_too();
}
