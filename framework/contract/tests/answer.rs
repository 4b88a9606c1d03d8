//! The hole of a continuation: filled once, in the turn that brings the answer, and nowhere else.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use teneral_contract::answer::{Filling, filling, with_holes};
use teneral_contract::{Answer, AskError, EncodeError, Upcast, Wire, codec};

#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
struct OldPrice {
    euros: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
#[wire(upcast(OldPrice))]
struct Price {
    cents: u64,
}

impl Upcast<OldPrice> for Price {
    fn upcast(old: OldPrice) -> Self {
        Self { cents: 100 * u64::from(old.euros) }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
struct Priced {
    order: u16,
    answer: Answer<Price>,
}

#[derive(Debug, Serialize, Deserialize, Wire)]
struct Twice(Answer<Price>, Answer<Price>);

const TEMPLATE: Priced = Priced { order: 7, answer: Answer::hole() };

fn template() -> Vec<u8> {
    let mut bytes = Vec::new();
    with_holes(|| codec::encode(&TEMPLATE, &mut bytes)).expect("a continuation may hold a hole");
    bytes
}

fn answered<T: Wire>(value: &T) -> Filling {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes).expect("encodes");
    Ok((T::FINGERPRINT, bytes))
}

fn filled(with: Filling) -> Result<Price, AskError> {
    let priced = filling(with, || codec::decode::<Priced>(&template())).expect("decodes");
    assert_eq!(priced.order, 7);
    priced.answer.get()
}

/// That no filling and no right to a hole is left on this thread.
fn nothing_is_left() {
    assert!(codec::decode::<Priced>(&template()).is_err());
    assert!(matches!(codec::encode(&TEMPLATE, &mut Vec::new()), Err(EncodeError::Refused(_))));
}

#[test]
fn a_hole_takes_no_bytes_and_is_filled_from_the_answer() {
    assert_eq!(template(), 7_u16.to_le_bytes());
    assert_eq!(filled(answered(&Price { cents: 5 })), Ok(Price { cents: 5 }));
    assert_eq!(filled(Err(AskError::Timeout)), Err(AskError::Timeout));
    nothing_is_left();
}

#[test]
fn an_answer_in_an_older_shape_is_up_cast() {
    assert_eq!(filled(answered(&OldPrice { euros: 3 })), Ok(Price { cents: 300 }));
}

#[test]
fn an_answer_in_an_unknown_shape_is_an_error_to_the_handler() {
    assert!(matches!(filled(answered(&1_u64)), Err(AskError::Decode(_))));
}

#[test]
fn an_answer_is_neither_told_nor_kept() {
    for answer in [Answer::hole(), Answer::filled(Ok(Price { cents: 1 }))] {
        let priced = Priced { order: 7, answer };
        assert!(matches!(codec::encode(&priced, &mut Vec::new()), Err(EncodeError::Refused(_))));
    }
    let filled = Priced { order: 7, answer: Answer::filled(Ok(Price { cents: 1 })) };
    assert!(with_holes(|| codec::encode(&filled, &mut Vec::new())).is_err());
    nothing_is_left();
}

#[test]
fn a_continuation_holds_one_hole() {
    let twice = Twice(Answer::hole(), Answer::hole());
    assert!(matches!(with_holes(|| codec::encode(&twice, &mut Vec::new())), Err(EncodeError::Refused(_))));
    nothing_is_left();
}

#[test]
fn a_continuation_inside_another_takes_nothing_from_it() {
    let outer = filling(answered(&Price { cents: 1 }), || {
        assert_eq!(filled(answered(&Price { cents: 2 })), Ok(Price { cents: 2 }));
        codec::decode::<Priced>(&template())
    });
    assert_eq!(outer.expect("decodes").answer.get(), Ok(Price { cents: 1 }));
    let bytes = with_holes(|| {
        let inner = template();
        let mut outer = Vec::new();
        codec::encode(&TEMPLATE, &mut outer).expect("still allowed");
        (inner, outer)
    });
    assert_eq!(bytes.0, bytes.1);
    nothing_is_left();
}

#[test]
fn a_panic_leaves_neither_filling_nor_right_behind() {
    let decoding = catch_unwind(AssertUnwindSafe(|| filling::<()>(Err(AskError::Stopped), || panic!("decode"))));
    assert!(decoding.is_err());
    let encoding = catch_unwind(AssertUnwindSafe(|| with_holes(|| panic!("encode"))));
    assert!(encoding.is_err());
    nothing_is_left();
}
