//! A message's body that can be typed as it is: every field, with the plainest value of its shape.

use serde_json::{Map, Value, json};

/// A value of a shape as manifests write it; `null` where there is no plain one.
pub(super) fn example(shape: &Value) -> Value {
    let Some((kind, inner)) = shape.as_object().and_then(|node| node.iter().next()) else {
        return leaf(shape.as_str().unwrap_or_default());
    };
    match (&**kind, inner) {
        ("struct", Value::Array(fields)) => Value::Object(fields.iter().filter_map(field).collect()),
        ("tuple", Value::Array(items)) => items.iter().map(example).collect(),
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
        "f32" | "f64" => json!(0.5),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => json!(1),
        _ => Value::Null,
    }
}

/// The same as an argument of a shell's command; nothing where no fields are.
pub(super) fn typed(shape: &Value) -> String {
    match example(shape) {
        Value::Object(fields) if fields == Map::new() => String::new(),
        body => format!(" '{body}'"),
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
    }
}
