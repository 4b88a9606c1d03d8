//! Fingerprints: equal for equal shapes and only for those.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use serde_json::Value;
use teneral_contract::constjson::Text;
use teneral_contract::shape::{Field, Variant, fingerprint};
use teneral_contract::{Fingerprint, Node, Shape, shape_diff};

fn leak<T>(items: Vec<T>) -> &'static [T] {
    Vec::leak(items)
}

fn boxed(node: Node) -> &'static Node {
    Box::leak(Box::new(node))
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("ab"), Just("u8"), Just("unit"), Just("c:l")]
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![name().prop_map(Node::Leaf), (0..3_u32).prop_map(Node::Recursive)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        let names = || Just(vec!["a", "b", "ab", "u8"]).prop_shuffle();
        let named = || {
            let nodes = proptest::collection::vec(inner.clone(), 0..3);
            (names(), nodes).prop_map(|(names, nodes)| names.into_iter().zip(nodes).collect::<Vec<_>>())
        };
        let parts = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            inner.clone().prop_map(|node| Node::Option(boxed(node))),
            inner.clone().prop_map(|node| Node::Seq(boxed(node))),
            inner.clone().prop_map(|node| Node::Set(boxed(node))),
            inner.clone().prop_map(|node| Node::Answer(boxed(node))),
            (inner.clone(), 0..3_usize).prop_map(|(node, len)| Node::Array(boxed(node), len)),
            pair().prop_map(|(ok, err)| Node::Result(boxed(ok), boxed(err))),
            pair().prop_map(|(key, value)| Node::Map(boxed(key), boxed(value))),
            parts.prop_map(|parts| Node::Tuple(leak(parts.into_iter().map(boxed).collect()))),
            named().prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, node)| Field { name, node: boxed(node) });
                Node::Struct(leak(fields.collect()))
            }),
            named().prop_map(|variants| {
                let variants = variants.into_iter().map(|(name, node)| Variant { name, node: boxed(node) });
                Node::Enum(leak(variants.collect()))
            }),
        ]
    })
}

fn json(node: &Node) -> Value {
    let mut counter = Text::new(&mut []);
    counter.push_node(node);
    let mut bytes = vec![0; counter.len()];
    Text::new(&mut bytes).push_node(node);
    serde_json::from_slice(&bytes).expect("JSON")
}

proptest! {
    #[test]
    fn fingerprints_are_equal_exactly_when_shapes_are((one, other) in (node(), node())) {
        prop_assert_eq!(one == other, fingerprint(&one) == fingerprint(&other));
        prop_assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
    }

    #[test]
    fn texts_are_equal_exactly_when_shapes_are((one, other) in (node(), node())) {
        prop_assert_eq!(one == other, json(&one) == json(&other));
    }

    #[test]
    fn a_diff_is_empty_exactly_when_texts_are_equal((one, other) in (node(), node())) {
        let (one, other) = (json(&one), json(&other));
        prop_assert_eq!(one == other, shape_diff(&one, &other).is_empty());
    }

    #[test]
    fn swapping_or_renaming_fields_changes_the_fingerprint(nodes in proptest::collection::vec(node(), 2..5)) {
        let fields: Vec<Field> = nodes.iter().zip(["a", "b", "c", "d"])
            .map(|(node, name)| Field { name, node: boxed(*node) }).collect();
        let of = |fields: &[Field]| fingerprint(&Node::Struct(leak(fields.to_vec())));
        let mut swapped = fields.clone();
        swapped.swap(0, 1);
        let mut renamed = fields.clone();
        renamed[0].name = "z";
        prop_assert_ne!(of(&fields), of(&swapped));
        prop_assert_ne!(of(&fields), of(&renamed));
        prop_assert_ne!(of(&fields), of(&fields[1..]));
    }
}

#[expect(dead_code, reason = "only its shape is looked at")]
#[derive(Shape)]
struct One {
    amount: u64,
    inner: Option<Inner>,
}

#[expect(dead_code, reason = "only its shape is looked at")]
#[derive(Shape)]
struct Inner(u8, Vec<Inner>);

mod renamed {
    use teneral_contract::Shape;

    #[expect(dead_code, reason = "only its shape is looked at")]
    #[derive(Shape)]
    pub(crate) struct Other {
        amount: u64,
        inner: Option<Within>,
    }

    #[expect(dead_code, reason = "only its shape is looked at")]
    #[derive(Shape)]
    struct Within(u8, Vec<Within>);
}

#[test]
fn a_types_own_name_is_no_part_of_its_fingerprint() {
    assert_eq!(One::FINGERPRINT, renamed::Other::FINGERPRINT);
}

#[test]
fn fingerprints_stay_the_same_for_good() {
    let golden = |fingerprint: Fingerprint, hex: &str| assert_eq!(fingerprint.to_string(), hex);
    golden(u64::FINGERPRINT, "b5ce447b1083d94f708125f0f9db9f09");
    golden(One::FINGERPRINT, "343aa13835ce9279548e26998c7f4ff8");
    golden(<Result<Vec<u8>, [String; 2]>>::FINGERPRINT, "3123f005c2f906c41360684b352998f7");
}
