//! Shapes as people read and type them: what a message takes in one line, and a body that can be pasted.
//!
//! Of shapes as manifests have them, so that whoever has no code of a version can say it, too.

use serde_json::{Map, Value, json};

/// A shape in one line, as in `{amount: u32, note: string or null}`.
///
/// Types are those of the manifest. A list is `[u8]`, one of fixed length `[u8; 4]`, a map `{string: u8, ..}`, and an
/// enum `Loud | Soft {level: u8}`.
#[must_use]
pub fn spelled(shape: &Value) -> String {
    let Some((kind, content)) = shape.as_object().and_then(|node| node.iter().next()) else {
        return shape.as_str().unwrap_or("?").to_owned();
    };
    let parts = || content.as_array().map(Vec::as_slice).unwrap_or_default();
    let part = |at: usize| parts().get(at).map_or_else(|| "?".to_owned(), spelled);
    let all = |of: &dyn Fn(&Value) -> String| parts().iter().map(of).collect::<Vec<_>>();
    match kind.as_str() {
        "option" => format!("{} or null", bracketed(content)),
        "result" => {
            let part = |at: usize| parts().get(at).map_or_else(|| "?".to_owned(), bracketed);
            format!("Ok {} | Err {}", part(0), part(1))
        }
        "seq" => format!("[{}]", spelled(content)),
        "set" => format!("set of [{}]", spelled(content)),
        "array" => format!("[{}; {}]", part(0), parts().get(1).unwrap_or(&Value::Null)),
        "map" => format!("{{{}: {}, ..}}", part(0), part(1)),
        "tuple" => format!("({})", all(&spelled).join(", ")),
        "struct" => format!("{{{}}}", all(&|field| format!("{}: {}", name(field), inner(field))).join(", ")),
        "enum" => all(&variant).join(" | "),
        "answer" => format!("the answer {}", spelled(content)),
        "recursive" => "itself".to_owned(),
        other => other.to_owned(),
    }
}

fn name(pair: &Value) -> &str {
    pair.get(0).and_then(Value::as_str).unwrap_or("?")
}

/// A field's type; what reads as several words stands in brackets.
fn inner(pair: &Value) -> String {
    bracketed(pair.get(1).unwrap_or(&Value::Null))
}

fn bracketed(shape: &Value) -> String {
    let text = spelled(shape);
    if shape.get("enum").is_some() || shape.get("result").is_some() { format!("({text})") } else { text }
}

fn variant(pair: &Value) -> String {
    match pair.get(1) {
        Some(Value::String(unit)) if unit == "unit" => name(pair).to_owned(),
        _ => format!("{} {}", name(pair), inner(pair)),
    }
}

/// Items of an array of fixed length that are written out at most.
const ITEMS_MAX: u64 = 32;

/// A value of a shape, with the plainest value of each part; `null` where there is no plain one.
#[must_use]
pub fn example(shape: &Value) -> Value {
    let Some((kind, inner)) = shape.as_object().and_then(|node| node.iter().next()) else {
        return leaf(shape.as_str().unwrap_or_default());
    };
    match (&**kind, inner) {
        ("struct", Value::Array(fields)) => Value::Object(fields.iter().filter_map(field).collect()),
        // A struct of one unnamed field is that field in JSON.
        ("tuple", Value::Array(items)) if items.len() == 1 => example(&items[0]),
        ("tuple", Value::Array(items)) => items.iter().map(example).collect(),
        ("array", Value::Array(parts)) => {
            let count = parts.get(1).and_then(Value::as_u64).unwrap_or(0).min(ITEMS_MAX);
            (0..count).map(|_| example(&parts[0])).collect()
        }
        ("enum", Value::Array(variants)) => {
            match variants.first().and_then(|variant| Some((&variant[0], variant.get(1)?))) {
                Some((name, payload)) if payload == "unit" => name.clone(),
                Some((Value::String(name), payload)) => json!({ name: example(payload) }),
                _ => Value::Null,
            }
        }
        ("seq" | "set", _) => json!([]),
        ("map", _) => json!({}),
        _ => Value::Null,
    }
}

fn field(field: &Value) -> Option<(String, Value)> {
    Some((field.get(0)?.as_str()?.to_owned(), example(field.get(1)?)))
}

fn leaf(name: &str) -> Value {
    match name {
        "bool" => json!(false),
        "char" => json!("a"),
        "string" => json!("text"),
        "addr" => json!("kind/key"),
        // A list of small numbers, as for a list of `u8`.
        "bytes" => json!([]),
        "f32" | "f64" => json!(0.5),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => json!(1),
        _ => Value::Null,
    }
}

/// The same as an argument of a shell's command, with the space before it; nothing where no fields are.
#[must_use]
pub fn typed(shape: &Value) -> String {
    match example(shape) {
        Value::Object(fields) if fields == Map::new() => String::new(),
        body => format!(" '{}'", body.to_string().replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_with_all_its_fields() {
        let (how, at) = (json!({ "enum": [["Loud", "unit"]] }), json!({ "option": "u8" }));
        let shape = json!({ "struct": [["name", "string"], ["how", how], ["at", at]] });
        assert_eq!(typed(&shape), r#" '{"at":null,"how":"Loud","name":"text"}'"#);
        assert_eq!(typed(&json!({ "struct": [] })), "");
        assert_eq!(typed(&json!({ "tuple": ["u8"] })), " '1'");
        assert_eq!(typed(&json!({ "array": ["bool", 2] })), " '[false,false]'");
        assert_eq!(typed(&json!({ "struct": [["body", "bytes"]] })), r#" '{"body":[]}'"#);
    }

    #[test]
    fn a_shape_is_one_line_of_its_parts() {
        let soft = json!({ "struct": [["level", "u8"]] });
        let how = json!({ "enum": [["Loud", "unit"], ["Soft", soft]] });
        let marks = json!({ "map": ["string", { "seq": "u8" }] });
        let shape = json!({ "struct": [["how", how], ["at", { "option": "u8" }], ["marks", marks]] });
        let wanted = "{how: (Loud | Soft {level: u8}), at: u8 or null, marks: {string: [u8], ..}}";
        assert_eq!(spelled(&shape), wanted);
        assert_eq!(
            spelled(&json!({ "struct": [["next", { "option": { "recursive": 1 } }]] })),
            "{next: itself or null}"
        );
        assert_eq!(spelled(&json!({ "tuple": ["u8", { "array": ["i64", 3] }] })), "(u8, [i64; 3])");
    }
}
