//! A shape as a manifest has it: whether it is one at all, and its fingerprint.
//!
//! The fingerprints of types are made where they are compiled. Of a module in another language there is only what its
//! manifest says, so the same walk is made here over that.

use crate::shape::{FNV128_BASIS, Fingerprint, fold};
use serde_json::Value;

/// Types without parts whose bytes are known here, and how they are written in JSON.
pub const LEAVES: &[&str] = &[
    "bool", "char", "string", "bytes", "unit", "addr", "duration", "time", "ip", "ipv4", "ipv6", "socket", "u8", "u16",
    "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64",
];

/// Deepest nesting of a shape.
const LEVELS_MAX: usize = 64;

/// Why that is no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoShape(String);

fn no(text: impl Into<String>) -> NoShape {
    NoShape(text.into())
}

/// The fingerprint of a shape: that of the type that has it.
///
/// # Errors
/// [`NoShape`]: it is none.
pub fn fingerprint(shape: &Value) -> Result<Fingerprint, NoShape> {
    walk(FNV128_BASIS, shape, 0).map(Fingerprint)
}

/// The first type of a shape that only its own code can read.
#[must_use]
pub fn own_type(shape: &Value) -> Option<&str> {
    match shape {
        Value::String(leaf) => (!LEAVES.contains(&leaf.as_str())).then_some(leaf),
        Value::Object(node) => node.iter().find_map(|(kind, content)| match (kind.as_str(), content) {
            ("answer", _) => Some("answer"),
            ("struct" | "enum", Value::Array(pairs)) => pairs.iter().find_map(|pair| own_type(pair.get(1)?)),
            (_, Value::Array(parts)) => parts.iter().find_map(own_type),
            (_, inner) => own_type(inner),
        }),
        _ => None,
    }
}

fn walk(hash: u128, shape: &Value, level: usize) -> Result<u128, NoShape> {
    if level > LEVELS_MAX {
        return Err(no(format!("it nests deeper than {LEVELS_MAX} levels")));
    }
    let inside = |hash, shape: &Value| walk(hash, shape, level + 1);
    let all = |hash, shapes: &[Value]| shapes.iter().try_fold(hash, inside);
    if let Value::String(leaf) = shape {
        return Ok(fold(fold(fold(hash, b"l"), leaf.as_bytes()), b";"));
    }
    let mut node = shape.as_object().into_iter().flatten();
    let (Some((kind, content)), None) = (node.next(), node.next()) else {
        return Err(no(format!("{shape} is no shape: a text, or an object with one key")));
    };
    match (kind.as_str(), content) {
        ("option", inner) => inside(fold(hash, b"o"), inner),
        ("seq", inner) => inside(fold(hash, b"s"), inner),
        ("set", inner) => inside(fold(hash, b"k"), inner),
        ("answer", inner) => inside(fold(hash, b"?"), inner),
        ("result", Value::Array(parts)) if parts.len() == 2 => all(fold(hash, b"r"), parts),
        ("map", Value::Array(parts)) if parts.len() == 2 => all(fold(hash, b"m"), parts),
        ("tuple", Value::Array(parts)) => Ok(fold(all(fold(hash, b"("), parts)?, b")")),
        ("array", Value::Array(parts)) => match parts.as_slice() {
            [item, Value::Number(count)] if count.is_u64() => {
                let count = count.as_u64().unwrap_or_default();
                inside(fold(fold(hash, b"a"), &count.to_le_bytes()), item)
            }
            _ => Err(no(format!("{content} is no array: a shape and how many are wanted"))),
        },
        ("struct", Value::Array(pairs)) => Ok(fold(named(fold(hash, b"{"), pairs, level)?, b"}")),
        ("enum", Value::Array(pairs)) if !pairs.is_empty() => Ok(fold(named(fold(hash, b"<"), pairs, level)?, b">")),
        ("recursive", Value::Number(levels)) => {
            let levels = levels.as_u64().and_then(|levels| u32::try_from(levels).ok());
            let up = levels.filter(|up| (1..=level).contains(&(*up as usize)));
            let up = up.ok_or_else(|| no(format!("{content} levels above there is no shape")))?;
            Ok(fold(fold(hash, b"^"), &up.to_le_bytes()))
        }
        _ => Err(no(format!("{shape} is no shape"))),
    }
}

fn named(hash: u128, pairs: &[Value], level: usize) -> Result<u128, NoShape> {
    let mut names: Vec<&str> = Vec::new();
    pairs.iter().try_fold(hash, |hash, pair| {
        let (Some(Value::String(name)), Some(shape), None) = (pair.get(0), pair.get(1), pair.get(2)) else {
            return Err(no(format!("{pair} is no name with its shape")));
        };
        if names.contains(&name.as_str()) {
            return Err(no(format!("{name} is there twice")));
        }
        names.push(name);
        walk(fold(fold(hash, name.as_bytes()), b":"), shape, level + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constjson::Text;
    use crate::{Answer, Bytes, Shape};
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    #[expect(dead_code, reason = "only its shape is looked at")]
    #[derive(Shape)]
    struct All {
        plain: (u8, i64, String, Bytes, ()),
        one: One,
        map: BTreeMap<String, BTreeSet<u16>>,
        array: [Option<bool>; 3],
        levels: Vec<Level>,
        result: Result<u8, String>,
        answer: Answer<u64>,
        next: Option<Box<All>>,
        empty: Empty,
    }

    #[expect(dead_code, reason = "only its shape is looked at")]
    #[derive(Shape)]
    enum Level {
        Low,
        Pair(u8, i16),
        One(u32),
        Named { name: String },
    }

    #[expect(dead_code, reason = "only its shape is looked at")]
    #[derive(Shape)]
    struct One(u32);

    #[derive(Shape)]
    struct Empty {}

    #[test]
    fn a_shape_in_a_manifest_has_the_fingerprint_of_its_type() {
        let mut counter = Text::new(&mut []);
        counter.push_node(All::NODE);
        let mut bytes = vec![0; counter.len()];
        Text::new(&mut bytes).push_node(All::NODE);
        let shape: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(fingerprint(&shape), Ok(All::FINGERPRINT));
        assert_eq!(own_type(&shape), Some("answer"));
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        let twice = json!({ "struct": [["a", "u8"], ["a", "u8"]] });
        for bad in [
            json!(null),
            json!({}),
            json!({ "option": "u8", "seq": "u8" }),
            json!({ "array": ["u8", -1] }),
            json!({ "map": ["u8"] }),
            json!({ "enum": [] }),
            json!({ "struct": [["a"]] }),
            json!({ "recursive": 1 }),
            twice,
        ] {
            assert!(fingerprint(&bad).is_err(), "{bad}");
        }
        let deep = (0..100).fold(json!("u8"), |inner, _| json!({ "seq": inner }));
        assert!(fingerprint(&deep).is_err());
    }
}
