//! What the derives make: shapes, casts, messages, states.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::shape::{Field, Variant};
use teneral_contract::wire::Known;
use teneral_contract::{
    Answer, DecodeError, Downcast, EncodeError, Fingerprint, Message, Node, Request, Shape, State, Upcast, Wire, codec,
};

mod v1 {
    use super::{Deserialize, Serialize, Wire};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Add {
        pub(crate) amount: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Total {
        pub(crate) total: u32,
    }
}

mod v2 {
    use super::{Deserialize, Downcast, Serialize, Upcast, Wire, v1};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    #[wire(upcast(v1::Add))]
    pub(crate) struct Add {
        pub(crate) amount: u64,
    }

    impl Upcast<v1::Add> for Add {
        fn upcast(old: v1::Add) -> Self {
            Self { amount: old.amount.into() }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    #[wire(downcast(v1::Total))]
    pub(crate) struct Total {
        pub(crate) total: u64,
    }

    impl Downcast<v1::Total> for Total {
        fn downcast(&self) -> v1::Total {
            v1::Total { total: u32::try_from(self.total).unwrap_or(u32::MAX) }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
#[wire(upcast(v2::Add))]
struct Add {
    amount: u64,
    note: Option<String>,
}

impl Upcast<v2::Add> for Add {
    fn upcast(old: v2::Add) -> Self {
        Self { amount: old.amount, note: None }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
#[wire(downcast(v2::Total))]
struct Total {
    total: u64,
    notes: Vec<String>,
}

impl Downcast<v2::Total> for Total {
    fn downcast(&self) -> v2::Total {
        v2::Total { total: self.total }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Request)]
#[reply(Total)]
struct Get;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct Got {
    answer: Answer<Total>,
}

#[derive(Debug, Clone, PartialEq, Message)]
enum Messages {
    Add(Add),
    Get(Get),
    Got(Got),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Shape)]
enum Level {
    Low,
    High(u8, u8),
    Named { name: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, State)]
#[state(schema = 3)]
struct Kept {
    #[serde(default)]
    levels: BTreeMap<String, Level>,
    #[serde(with = "serde_bytes")]
    raw: Vec<u8>,
    r#type: (u8, [i16; 2]),
}

/// Builds because it has the shape that the lock holds; `tests/ui/constants.rs` holds the other case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, State)]
#[state(schema = 2, lock = "tests/locks/locked.lock")]
struct Locked {
    lines: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Shape)]
enum Tree {
    Leaf,
    Fork(Box<Tree>, BTreeMap<u8, Vec<Tree>>),
    #[serde(bound = "")]
    Far {
        #[shape(recursive)]
        far: Option<Box<self::Tree>>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
struct Page<T> {
    items: Vec<T>,
    at: u64,
}

#[test]
fn a_shape_holds_names_and_types_in_order() {
    const LEVEL: &[Variant] = &[
        Variant { name: "Low", node: &Node::Leaf("unit") },
        Variant { name: "High", node: &Node::Tuple(&[&Node::Leaf("u8"), &Node::Leaf("u8")]) },
        Variant { name: "Named", node: &Node::Struct(&[Field { name: "name", node: &Node::Leaf("string") }]) },
    ];
    assert_eq!(*Level::NODE, Node::Enum(LEVEL));
    let kept = Node::Struct(&[
        Field { name: "levels", node: &Node::Map(&Node::Leaf("string"), &Node::Enum(LEVEL)) },
        Field { name: "raw", node: &Node::Leaf("bytes") },
        Field { name: "type", node: &Node::Tuple(&[&Node::Leaf("u8"), &Node::Array(&Node::Leaf("i16"), 2)]) },
    ]);
    assert_eq!(*Kept::NODE, kept);
    assert_eq!(Kept::SCHEMA, 3);
}

#[test]
fn a_locked_shape_is_the_one_in_the_lock() {
    let line = format!("{} = \"{}\"", Locked::SCHEMA, Locked::FINGERPRINT);
    assert!(include_str!("locks/locked.lock").contains(&line), "{line}");
}

#[test]
fn a_type_that_holds_itself_refers_back_by_levels() {
    let Node::Enum(variants) = Tree::NODE else { panic!("an enum") };
    let fork = Node::Tuple(&[&Node::Recursive(2), &Node::Map(&Node::Leaf("u8"), &Node::Seq(&Node::Recursive(4)))]);
    assert_eq!(*variants[1].node, fork);
    let far = Node::Struct(&[Field { name: "far", node: &Node::Option(&Node::Recursive(3)) }]);
    assert_eq!(*variants[2].node, far);
}

#[test]
fn a_generic_body_has_the_shape_of_its_parts() {
    assert_eq!(Page::<u8>::NAME, "Page");
    assert_ne!(Page::<u8>::FINGERPRINT, Page::<u16>::FINGERPRINT);
    let page = Page { items: vec![1_u8], at: 2 };
    let mut bytes = Vec::new();
    page.encode_as(Page::<u8>::FINGERPRINT, &mut bytes).expect("own shape");
    assert_eq!(Page::<u8>::decode(Page::<u8>::FINGERPRINT, &bytes), Ok(page));
}

#[test]
fn an_older_body_is_up_cast_over_two_steps() {
    let mut bytes = Vec::new();
    codec::encode(&v1::Add { amount: 7 }, &mut bytes).expect("encodes");
    assert_eq!(Add::decode(v1::Add::FINGERPRINT, &bytes), Ok(Add { amount: 7, note: None }));
    let known = |fingerprint: Fingerprint| Add::UPCASTS.iter().any(|known: &Known| known.reaches(fingerprint));
    assert!(known(v1::Add::FINGERPRINT) && known(v2::Add::FINGERPRINT) && !known(Get::FINGERPRINT));
}

#[test]
fn a_newer_reply_is_down_cast_over_two_steps() {
    let mut bytes = Vec::new();
    let total = Total { total: 9, notes: vec!["a".into()] };
    total.encode_as(v1::Total::FINGERPRINT, &mut bytes).expect("a path");
    assert_eq!(codec::decode::<v1::Total>(&bytes), Ok(v1::Total { total: 9 }));
}

#[test]
fn a_shape_without_a_path_is_refused_both_ways() {
    let (expected, found) = (Add::FINGERPRINT, Get::FINGERPRINT);
    assert_eq!(Add::decode(found, &[]), Err(DecodeError::Shape { expected, found }));
    let add = Add { amount: 1, note: None };
    let refused = EncodeError::Shape { expected: found, found: expected };
    assert_eq!(add.encode_as(found, &mut Vec::new()), Err(refused));
}

#[test]
fn messages_are_listed_written_and_read_by_place() {
    let names: Vec<_> = Messages::VARIANTS.iter().map(|variant| variant.name).collect();
    assert_eq!(names, ["Add", "Get", "Got"]);
    assert_eq!(Messages::VARIANTS[1].reply.map(|reply| reply.fingerprint), Some(Total::FINGERPRINT));
    assert_eq!(<Get as Request>::Reply::NAME, "Total");
    let message = Messages::from(Add { amount: 3, note: Some("x".into()) });
    let mut body = Vec::new();
    message.encode(&mut body).expect("encodes");
    assert_eq!(message.tag(), Add::tag());
    assert_eq!(Messages::decode(0, Add::FINGERPRINT, &body), Ok(message));
    assert_eq!(Messages::decode(3, Add::FINGERPRINT, &body), Err(DecodeError::UnknownVariant(3)));
}

#[test]
fn a_state_reads_back_what_it_wrote() {
    let levels = [("a", Level::Low), ("b", Level::High(1, 2)), ("c", Level::Named { name: "n".into() })];
    let levels = levels.map(|(name, level)| (name.to_owned(), level)).into();
    let kept = Kept { levels, raw: vec![1, 2], r#type: (3, [-4, 5]) };
    let mut bytes = Vec::new();
    codec::encode_state(&kept, &mut bytes).expect("encodes");
    assert_eq!(codec::decode_state(&bytes), Ok(kept));
}
