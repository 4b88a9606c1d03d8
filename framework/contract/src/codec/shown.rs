//! A message body as JSON, by the shape that a manifest has of it: for people who look at bytes whose code is not
//! asked.
//!
//! The reader is the one that types are read with, so the same bounds hold. A shape is a library's own word: whatever
//! it says, the worst is an error.

use super::fixint::{Reader, Wrong};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Values that one body may have: a shape may claim more than there are bytes, of values that take none.
const VALUES_MAX: usize = 1 << 20;

/// Reads a body of this shape.
///
/// # Errors
/// [`Wrong`]: the bytes are none of the shape, or it has a type that is not known here.
pub(super) fn body(shape: &Value, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
    Walk { above: Vec::new(), left: VALUES_MAX }.read(shape, reader)
}

struct Walk<'s> {
    /// The shapes around this one, the outermost first: what a type that holds itself points to.
    above: Vec<&'s Value>,
    left: usize,
}

impl<'s> Walk<'s> {
    fn read(&mut self, shape: &'s Value, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Wrong::malformed("too many values"))?;
        if let Value::String(name) = shape {
            return leaf(name, reader);
        }
        let (kind, content) = shape.as_object().and_then(|node| node.iter().next()).ok_or_else(|| unknown(shape))?;
        if kind == "recursive" {
            return self.again(content, reader);
        }
        self.above.push(shape);
        // Each level that a type is read with is one here: it takes a part of the thread's stack.
        let value = match kind.as_str() {
            "option" if !reader.truth("an option")? => Value::Null,
            _ => reader.below(|reader| self.inside(kind, content, reader))?,
        };
        self.above.pop();
        Ok(value)
    }

    fn inside(&mut self, kind: &str, content: &'s Value, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
        match (kind, parts) {
            ("option", _) => self.read(content, reader),
            ("seq" | "set", _) => {
                let count = reader.len()?;
                self.items(std::iter::repeat_n(content, count), reader)
            }
            ("array", [item, count]) => {
                let count = count
                    .as_u64()
                    .and_then(|count| usize::try_from(count).ok())
                    .ok_or_else(|| unknown(&json!({ kind: content })))?;
                self.items(std::iter::repeat_n(item, count), reader)
            }
            ("map", [key, value]) => self.entries(key, value, reader),
            // One unnamed field is that field in JSON.
            ("tuple", [only]) => self.read(only, reader),
            ("tuple", items) => self.items(items.iter(), reader),
            ("struct", fields) => self.fields(fields, reader),
            ("enum", variants) => self.variant(variants, reader),
            ("result", [ok, err]) => match u32::from_le_bytes(reader.take()?) {
                0 => Ok(json!({ "Ok": self.read(ok, reader)? })),
                1 => Ok(json!({ "Err": self.read(err, reader)? })),
                other => Err(Wrong::malformed(format!("no result number {other}"))),
            },
            _ => Err(unknown(&json!({ kind: content }))),
        }
    }

    /// The shape so many levels above.
    fn again(&mut self, levels: &Value, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        let levels = levels.as_u64().and_then(|levels| usize::try_from(levels).ok());
        let at = levels.and_then(|levels| self.above.len().checked_sub(levels));
        let shape = at.and_then(|at| Some((at, *self.above.get(at)?)));
        let (at, shape) = shape.ok_or_else(|| Wrong::malformed("a shape that points nowhere"))?;
        let inner = self.above.split_off(at);
        let value = self.read(shape, reader);
        self.above.extend(inner);
        value
    }

    fn items(&mut self, shapes: impl Iterator<Item = &'s Value>, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        shapes.map(|shape| self.read(shape, reader)).collect()
    }

    fn entries(&mut self, key: &'s Value, value: &'s Value, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        let mut entries = Map::new();
        for _ in 0..reader.len()? {
            let key = match self.read(key, reader)? {
                Value::String(key) => key,
                other => other.to_string(),
            };
            entries.insert(key, self.read(value, reader)?);
        }
        Ok(Value::Object(entries))
    }

    fn fields(&mut self, fields: &'s [Value], reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        let mut read = Map::new();
        for field in fields {
            let (name, shape) = named(field)?;
            read.insert(name.to_owned(), self.read(shape, reader)?);
        }
        Ok(Value::Object(read))
    }

    fn variant(&mut self, variants: &'s [Value], reader: &mut Reader<'_>) -> Result<Value, Wrong> {
        let place = u32::from_le_bytes(reader.take()?);
        let variant = usize::try_from(place).ok().and_then(|place| variants.get(place));
        let (name, shape) = named(variant.ok_or_else(|| Wrong::malformed(format!("no variant number {place}")))?)?;
        if shape == "unit" {
            return Ok(name.into());
        }
        let payload = match shape.get("tuple").and_then(Value::as_array).map(Vec::as_slice) {
            // Its one field is read on the level of the variant.
            Some([only]) => {
                self.above.push(shape);
                let payload = self.read(only, reader)?;
                self.above.pop();
                payload
            }
            _ => self.read(shape, reader)?,
        };
        Ok(Value::Object(Map::from_iter([(name.to_owned(), payload)])))
    }
}

fn named(pair: &Value) -> Result<(&str, &Value), Wrong> {
    let pair = pair.get(0).and_then(Value::as_str).zip(pair.get(1));
    pair.ok_or_else(|| Wrong::malformed("a shape without a name"))
}

fn leaf(name: &str, reader: &mut Reader<'_>) -> Result<Value, Wrong> {
    macro_rules! number {
        ($ty:ty) => {
            json!(<$ty>::from_le_bytes(reader.take()?))
        };
    }
    Ok(match name {
        "bool" => reader.truth("a bool")?.into(),
        "char" => reader.character()?.to_string().into(),
        "u8" => number!(u8),
        "u16" => number!(u16),
        "u32" => number!(u32),
        "u64" | "usize" => number!(u64),
        "i8" => number!(i8),
        "i16" => number!(i16),
        "i32" => number!(i32),
        "i64" | "isize" => number!(i64),
        "f32" => number!(f32),
        "f64" => number!(f64),
        // As a text where it is beyond what readers of JSON can count.
        "u128" => {
            let number = u128::from_le_bytes(reader.take()?);
            u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
        }
        "i128" => {
            let number = i128::from_le_bytes(reader.take()?);
            i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
        }
        "unit" => Value::Null,
        "string" | "addr" => reader.text()?.into(),
        "bytes" => reader.bytes()?.into(),
        "duration" => json!({ "secs": number!(u64), "nanos": number!(u32) }),
        "time" => json!({ "secs_since_epoch": number!(u64), "nanos_since_epoch": number!(u32) }),
        "ipv4" => Ipv4Addr::from(reader.take()?).to_string().into(),
        "ipv6" => Ipv6Addr::from(reader.take()?).to_string().into(),
        "ip" => ip(reader)?.to_string().into(),
        "socket" => SocketAddr::new(ip(reader)?, u16::from_le_bytes(reader.take()?)).to_string().into(),
        other => return Err(Wrong::malformed(format!("a type that is not known here: {other}"))),
    })
}

fn ip(reader: &mut Reader<'_>) -> Result<IpAddr, Wrong> {
    match u32::from_le_bytes(reader.take()?) {
        0 => Ok(Ipv4Addr::from(reader.take()?).into()),
        1 => Ok(Ipv6Addr::from(reader.take()?).into()),
        other => Err(Wrong::malformed(format!("no kind of address number {other}"))),
    }
}

#[cold]
fn unknown(shape: &Value) -> Wrong {
    Wrong::malformed(format!("a shape that is not known here: {shape}"))
}
