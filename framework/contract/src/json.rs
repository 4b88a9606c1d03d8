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
