//! A shape as a person types it, in the words in which [`crate::spell::spelled`] says one.
//!
//! So what `teneral kind show` prints of a module in one language can be pasted into the manifest of another.

use crate::described::LEAVES;
use crate::nearest;
use serde_json::{Value, json};

/// Deepest nesting of what is typed: a person's, and a bound for the walk.
const LEVELS_MAX: usize = 32;

/// Why a text is no shape: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at character {at} of {text:?}")]
pub struct Misspelled {
    /// What was read.
    pub text: String,
    /// Which character, from 1.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads a shape: `u32`, `string or null`, `[u8]`, `[u8; 4]`, `set of [u8]`, `(u8, string)`, `{amount: u32}`,
/// `{string: u8, ..}` for a map, `Loud | Soft {level: u8}` for an enum, `Ok u8 | Err string` for a result.
///
/// # Errors
/// [`Misspelled`], with the character from which it makes no sense.
pub fn parse(text: &str) -> Result<Value, Misspelled> {
    let mut reader = Reader { rest: text, level: 0 };
    let read = reader.shape().and_then(|shape| match reader.blank() {
        "" => Ok(shape),
        rest => Err(format!("{:?} after the end", first(rest))),
    });
    read.map_err(|what| {
        let at = text.len() - reader.rest.trim_start().len();
        Misspelled { text: text.to_owned(), at: text[..at].chars().count() + 1, what }
    })
}

/// The word or the sign that a text begins with.
fn first(text: &str) -> &str {
    let word = word(text);
    if word.is_empty() { text.get(..text.chars().next().map_or(0, char::len_utf8)).unwrap_or_default() } else { word }
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    &text[..end]
}

struct Reader<'t> {
    rest: &'t str,
    level: usize,
}

impl<'t> Reader<'t> {
    fn blank(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn is(&mut self, sign: &str) -> bool {
        let found = self.blank().strip_prefix(sign);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn want(&mut self, sign: &str) -> Result<(), String> {
        if self.is(sign) { Ok(()) } else { Err(format!("{sign:?} is wanted, not {}", said(self.rest))) }
    }

    fn is_word(&mut self, wanted: &str) -> bool {
        let is = word(self.blank()) == wanted;
        if is {
            self.rest = &self.rest[wanted.len()..];
        }
        is
    }

    fn shape(&mut self) -> Result<Value, String> {
        self.level += 1;
        if self.level > LEVELS_MAX {
            return Err(format!("it nests deeper than {LEVELS_MAX} levels"));
        }
        let begins_upper = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
        let shape = if begins_upper(self.blank()) { self.variants() } else { self.optional() };
        self.level -= 1;
        shape
    }

    fn optional(&mut self) -> Result<Value, String> {
        let mut shape = self.plain()?;
        while self.is_word("or") {
            if !self.is_word("null") {
                return Err(format!("\"null\" is wanted, not {}", said(self.rest)));
            }
            shape = json!({ "option": shape });
        }
        Ok(shape)
    }

    fn plain(&mut self) -> Result<Value, String> {
        if self.is("{") {
            return self.braces();
        }
        if self.is("[") {
            return self.list();
        }
        if self.is("(") {
            let parts = self.parts()?;
            return Ok(match parts.as_slice() {
                // Brackets around what reads as several words.
                [one] if one.get("enum").is_some() || one.get("result").is_some() => one.clone(),
                _ => json!({ "tuple": parts }),
            });
        }
        if self.is_word("set") {
            if !self.is_word("of") {
                return Err(format!("\"of\" is wanted, not {}", said(self.rest)));
            }
            self.want("[")?;
            let item = self.shape()?;
            self.want("]")?;
            return Ok(json!({ "set": item }));
        }
        let name = word(self.blank());
        if name == "itself" {
            return Err("what holds itself is written as JSON, as in {\"recursive\": 2}: docs/abi.md".to_owned());
        }
        if !LEAVES.contains(&name) {
            let near = if name.is_empty() {
                String::new()
            } else {
                format!(": {}", nearest::hint(name, LEAVES.iter().copied()))
            };
            return Err(format!("{} is no type{near}", said(self.rest)));
        }
        self.rest = &self.rest[name.len()..];
        Ok(json!(name))
    }

    fn list(&mut self) -> Result<Value, String> {
        let item = self.shape()?;
        if self.is("]") {
            return Ok(json!({ "seq": item }));
        }
        self.want(";")?;
        let digits = word(self.blank());
        let count: u32 = digits.parse().map_err(|_| format!("a count is wanted, not {}", said(self.rest)))?;
        self.rest = &self.rest[digits.len()..];
        self.want("]")?;
        Ok(json!({ "array": [item, count] }))
    }

    /// Up to the closing bracket.
    fn parts(&mut self) -> Result<Vec<Value>, String> {
        let mut parts = Vec::new();
        while !self.is(")") {
            if !parts.is_empty() {
                self.want(",")?;
            }
            parts.push(self.shape()?);
        }
        Ok(parts)
    }

    fn braces(&mut self) -> Result<Value, String> {
        let mut fields: Vec<Value> = Vec::new();
        while !self.is("}") {
            if !fields.is_empty() {
                self.want(",")?;
            }
            let name = word(self.blank());
            let named = !name.is_empty() && self.rest[name.len()..].trim_start().starts_with(':');
            if fields.is_empty() && !named {
                let key = self.shape()?;
                self.want(":")?;
                let value = self.shape()?;
                return self.map(&key, &value);
            }
            if !named {
                return Err(format!("a field's name and \":\" are wanted, not {}", said(self.rest)));
            }
            if fields.iter().any(|field| field[0] == name) {
                return Err(format!("field {name} is there twice"));
            }
            self.rest = &self.rest[name.len()..];
            self.want(":")?;
            let shape = self.shape()?;
            let ends = self.blank().strip_prefix(',').is_some_and(|rest| rest.trim_start().starts_with(".."));
            if fields.is_empty() && ends {
                // What looked like a field's name is the type of a map's keys.
                let key = Reader { rest: name, level: self.level }.shape()?;
                return self.map(&key, &shape);
            }
            fields.push(json!([name, shape]));
        }
        Ok(json!({ "struct": fields }))
    }

    fn map(&mut self, key: &Value, value: &Value) -> Result<Value, String> {
        self.want(",")?;
        self.want("..")?;
        self.want("}")?;
        Ok(json!({ "map": [key, value] }))
    }

    fn variants(&mut self) -> Result<Value, String> {
        let mut variants: Vec<Value> = Vec::new();
        loop {
            let name = word(self.blank());
            if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
                return Err(format!("a variant's name is wanted, not {}", said(self.rest)));
            }
            if variants.iter().any(|variant| variant[0] == name) {
                return Err(format!("variant {name} is there twice"));
            }
            self.rest = &self.rest[name.len()..];
            let payload = match self.blank().chars().next() {
                None | Some('|' | ')' | ']' | '}' | ',' | ';' | ':') => Value::Null,
                Some(_) if matches!(name, "Ok" | "Err") => self.optional()?,
                // Of a variant they are its parts, also when it has one.
                Some('(') => {
                    self.want("(")?;
                    json!({ "tuple": self.parts()? })
                }
                Some('{') => self.plain()?,
                Some(_) => {
                    let wanted = "a variant has parts in () or fields in {}; an enum that may be null stands in ()";
                    return Err(format!("{wanted}: not {}", said(self.rest)));
                }
            };
            variants.push(json!([name, payload]));
            if !self.is("|") {
                break;
            }
        }
        if let [ok, err] = variants.as_slice()
            && (ok[0] == "Ok" && err[0] == "Err" && !ok[1].is_null() && !err[1].is_null())
        {
            return Ok(json!({ "result": [ok[1], err[1]] }));
        }
        let payload = |variant: &Value| match &variant[1] {
            Value::Null => json!("unit"),
            Value::Object(node) if node.contains_key("tuple") || node.contains_key("struct") => variant[1].clone(),
            only => json!({ "tuple": [only] }),
        };
        Ok(json!({ "enum": variants.iter().map(|variant| json!([variant[0], payload(variant)])).collect::<Vec<_>>() }))
    }
}

fn said(rest: &str) -> String {
    if rest.trim_start().is_empty() { "the end".to_owned() } else { format!("{:?}", first(rest.trim_start())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spell::spelled;
    use proptest::prelude::*;

    fn shapes() -> impl Strategy<Value = Value> {
        let leaf = prop::sample::select(LEAVES).prop_map(|leaf| json!(leaf));
        leaf.prop_recursive(4, 24, 4, |inner| {
            let fields = prop::collection::btree_map("[a-z][a-z_0-9]{0,6}", inner.clone(), 0..4);
            let fields = fields.prop_map(|fields| json!({ "struct": fields.into_iter().collect::<Vec<_>>() }));
            let parts = prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| json!({ "tuple": parts }));
            let one = inner.clone().prop_map(|part| json!({ "tuple": [part] }));
            let payload = prop_oneof![Just(json!("unit")), fields.clone(), parts.clone(), one];
            let variants = prop::collection::btree_map("[A-Z][a-z]{3,6}", payload, 1..4);
            prop_oneof![
                inner.clone().prop_map(|inner| json!({ "option": inner })),
                inner.clone().prop_map(|inner| json!({ "seq": inner })),
                inner.clone().prop_map(|inner| json!({ "set": inner })),
                (inner.clone(), 0_u32..9).prop_map(|(inner, count)| json!({ "array": [inner, count] })),
                (inner.clone(), inner.clone()).prop_map(|(key, value)| json!({ "map": [key, value] })),
                (inner.clone(), inner).prop_map(|(ok, err)| json!({ "result": [ok, err] })),
                variants.prop_map(|variants| json!({ "enum": variants.into_iter().collect::<Vec<_>>() })),
                fields,
                parts,
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_said_of_a_shape_is_read_as_that_shape(shape in shapes()) {
            let text = spelled(&shape);
            prop_assert_eq!(parse(&text), Ok(shape), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z{}\\[\\](),;:|A-C. 0-9]{0,40}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_misspelled_shape_is_refused_where_it_is_wrong() {
        let wrong = |text: &str| parse(text).expect_err(text).to_string();
        assert_eq!(
            wrong("{amount: u33}"),
            "\"u33\" is no type: did you mean u32?, at character 10 of \"{amount: u33}\""
        );
        assert_eq!(wrong("{a: u8, a: u8}"), "field a is there twice, at character 9 of \"{a: u8, a: u8}\"");
        assert_eq!(wrong("[u8"), "\";\" is wanted, not the end, at character 4 of \"[u8\"");
        assert_eq!(wrong("u8 u8"), "\"u8\" after the end, at character 4 of \"u8 u8\"");
        assert!(wrong("").starts_with("the end is no type, at character 1"));
        assert!(wrong("Loud or null").contains("stands in ()"));
        assert!(wrong(&"[".repeat(40)).contains("nests deeper"));
    }
}
