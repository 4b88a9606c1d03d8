//! JSON held against a shape: a field that nobody knows is a slip of the hand, and to drop it in silence would be to do
//! something else than was asked for.
//!
//! Only what is surely a slip is refused here; whether a value fits is the decoder's to say.

use crate::nearest;
use crate::shape::Node;
use serde_json::Value;

/// The first field of `value` that the shape does not have, as a sentence with the names that come near.
#[must_use]
pub fn unknown_field(node: &'static Node, value: &Value) -> Option<String> {
    Walk { above: Vec::new(), path: Vec::new() }.look(node, value)
}

struct Walk {
    /// The nodes around this one, the outermost first: what a type that holds itself points to.
    above: Vec<&'static Node>,
    path: Vec<String>,
}

impl Walk {
    fn look(&mut self, node: &'static Node, value: &Value) -> Option<String> {
        let node = match node {
            Node::Recursive(levels) => {
                let at = self.above.len().checked_sub(usize::try_from(*levels).ok()?)?;
                let (target, inner) = (*self.above.get(at)?, self.above.split_off(at));
                let found = self.look(target, value);
                self.above.extend(inner);
                return found;
            }
            node => node,
        };
        self.above.push(node);
        let found = self.into(node, value);
        self.above.pop();
        found
    }

    fn into(&mut self, node: &'static Node, value: &Value) -> Option<String> {
        match (node, value) {
            (Node::Option(inner), value) => self.look(inner, value),
            (Node::Result(ok, err), Value::Object(fields)) => {
                let part = |name: &str| if name == "Ok" { *ok } else { *err };
                fields.iter().find_map(|(name, value)| self.at(name, part(name), value))
            }
            (Node::Seq(inner) | Node::Array(inner, _) | Node::Set(inner), Value::Array(items)) => {
                items.iter().enumerate().find_map(|(at, item)| self.at(&at.to_string(), inner, item))
            }
            (Node::Map(_, inner), Value::Object(entries)) => {
                entries.iter().find_map(|(key, value)| self.at(key, inner, value))
            }
            // A struct of one unnamed field is that field in JSON.
            (Node::Tuple([only]), value) => self.look(only, value),
            (Node::Tuple(parts), Value::Array(items)) => {
                parts.iter().zip(items).enumerate().find_map(|(at, (part, item))| self.at(&at.to_string(), part, item))
            }
            (Node::Struct(known), Value::Object(fields)) => {
                fields.iter().find_map(|(name, value)| match known.iter().find(|field| field.name == name) {
                    Some(field) => self.at(name, field.node, value),
                    None => Some(self.unknown(name, known.iter().map(|field| field.name))),
                })
            }
            // Another variant is refused by the decoder, which names those that there are.
            (Node::Enum(variants), Value::Object(tagged)) => tagged.iter().find_map(|(name, value)| {
                let variant = variants.iter().find(|variant| variant.name == name)?;
                self.at(name, variant.node, value)
            }),
            _ => None,
        }
    }

    fn at(&mut self, part: &str, node: &'static Node, value: &Value) -> Option<String> {
        self.path.push(part.to_owned());
        let found = self.look(node, value);
        self.path.pop();
        found
    }

    fn unknown<'a>(&self, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
        let within = if self.path.is_empty() { String::new() } else { format!(" in {}", self.path.join(".")) };
        format!("unknown field {name:?}{within}: {}", nearest::hint(name, known))
    }
}

/// Why `value` is surely none of a shape as a manifest has it, for whoever must say so without the code that reads it;
/// `None` where only the code knows.
#[must_use]
pub fn misfit(shape: &Value, value: &Value) -> Option<String> {
    if let Value::String(leaf) = shape {
        return not_leaf(leaf, value);
    }
    let (kind, content) = shape.as_object()?.iter().next()?;
    match (kind.as_str(), content, value) {
        ("option", _, Value::Null) => None,
        ("option", inner, value) => misfit(inner, value),
        ("seq" | "set", inner, Value::Array(items)) => items.iter().find_map(|item| misfit(inner, item)),
        ("seq" | "set", _, other) => Some(format!("a list is wanted, not {other}")),
        ("map", Value::Array(parts), Value::Object(entries)) => {
            entries.values().find_map(|value| misfit(parts.get(1)?, value))
        }
        ("struct", Value::Array(known), Value::Object(fields)) => misfit_fields(known, fields),
        ("struct" | "map", _, other) => Some(format!("fields are wanted, not {other}")),
        _ => None,
    }
}

fn misfit_fields(known: &[Value], fields: &serde_json::Map<String, Value>) -> Option<String> {
    let names = || known.iter().filter_map(|field| field.get(0)?.as_str());
    if let Some(unknown) = fields.keys().find(|name| !names().any(|known| known == name.as_str())) {
        return Some(format!("unknown field {unknown:?}: {}", nearest::hint(unknown, names().collect::<Vec<_>>())));
    }
    known.iter().find_map(|field| {
        let (name, shape) = (field.get(0)?.as_str()?, field.get(1)?);
        match fields.get(name) {
            Some(value) => misfit(shape, value).map(|why| format!("{name}: {why}")),
            None if shape.get("option").is_some() || shape == "unit" => None,
            None => Some(format!("missing field {name:?}")),
        }
    })
}

fn not_leaf(leaf: &str, value: &Value) -> Option<String> {
    let (fits, wanted) = match leaf {
        "bool" => (value.is_boolean(), "true or false"),
        "string" | "char" | "addr" => (value.is_string(), "a text"),
        "f32" | "f64" => (value.is_number(), "a number"),
        "i8" | "i16" | "i32" | "i64" | "isize" => (value.is_i64() || value.is_u64(), "a whole number"),
        "u8" | "u16" | "u32" | "u64" | "usize" => (value.is_u64(), "a whole number that is not negative"),
        // Bounds of the rest are for the code to know.
        _ => (true, ""),
    };
    (!fits).then(|| format!("{wanted} is wanted, not {value}"))
}
