//! JSON as a message body, by the shape that a manifest has of it: the way back of [`super::shown`].
//!
//! For whoever speaks JSON only, a module in another language or its caller. A value that does not fit is refused with
//! the place at which it stands, and nothing is guessed: no number is a text, no field is left out in silence.

use super::DEPTH_MAX;
use crate::nearest;
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Values that one body may have, as in [`super::shown`].
const VALUES_MAX: usize = 1 << 20;

/// Why a value is no body of that shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if .place.is_empty() { String::new() } else { format!("{}: ", .place) })]
pub struct Misfit {
    /// The field, with those around it, as in `lines.3.at`; empty: the value itself.
    pub place: String,
    /// What is wanted there and what stands there.
    pub what: String,
}

/// Appends a body of that shape. After an error, `out` has a part of it.
pub(super) fn body(shape: &Value, value: &Value, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Misfit> {
    let end_max = out.len() + bytes_max;
    let mut walk = Walk { above: Vec::new(), place: Vec::new(), level: 0, left: VALUES_MAX, end_max, out };
    walk.write(shape, value).map_err(|what| Misfit { place: walk.place.join("."), what })
}

struct Walk<'s, 'o> {
    /// The shapes around this one, the outermost first: what a type that holds itself points to.
    above: Vec<&'s Value>,
    place: Vec<String>,
    level: usize,
    left: usize,
    end_max: usize,
    out: &'o mut Vec<u8>,
}

fn wanted(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "fields".to_owned(),
        other => {
            let text = other.to_string();
            text.char_indices().nth(60).map_or(text.clone(), |(end, _)| format!("{}..", &text[..end]))
        }
    };
    format!("{what} is wanted, not {found}")
}

fn unknown(shape: &Value) -> String {
    format!("a shape that is not known here: {shape}")
}

impl<'s> Walk<'s, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > self.end_max - self.out.len() {
            return Err("the body is over the limit of a message".to_owned());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn count(&mut self, count: usize) -> Result<(), String> {
        self.put(&(count as u64).to_le_bytes())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        self.count(text.len())?;
        self.put(text.as_bytes())
    }

    fn write(&mut self, shape: &'s Value, value: &Value) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or_else(|| format!("more than {VALUES_MAX} values"))?;
        if let Value::String(name) = shape {
            return self.leaf(name, value);
        }
        let (kind, content) = shape.as_object().and_then(|node| node.iter().next()).ok_or_else(|| unknown(shape))?;
        // A level of the value takes at most one that points back up to it, and takes a part of the thread's stack.
        if self.level >= 2 * DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        self.level += 1;
        if kind == "recursive" {
            self.again(content, value)?;
        } else {
            self.above.push(shape);
            self.inside(kind, content, value)?;
            self.above.pop();
        }
        self.level -= 1;
        Ok(())
    }

    /// A part of the value, which is named when it does not fit.
    fn at(&mut self, part: &str, shape: &'s Value, value: &Value) -> Result<(), String> {
        self.place.push(part.to_owned());
        self.write(shape, value)?;
        self.place.pop();
        Ok(())
    }

    fn inside(&mut self, kind: &str, content: &'s Value, value: &Value) -> Result<(), String> {
        let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
        match (kind, parts, value) {
            ("option", _, Value::Null) => self.put(&[0]),
            ("option", _, value) => {
                self.put(&[1])?;
                self.write(content, value)
            }
            ("seq" | "set", _, Value::Array(items)) => {
                self.count(items.len())?;
                self.items(items.iter().map(|item| (content, item)))
            }
            ("seq" | "set", _, other) => Err(wanted("a list", other)),
            ("array", [item, count], Value::Array(items)) if count.as_u64() == Some(items.len() as u64) => {
                self.items(items.iter().map(|value| (item, value)))
            }
            ("array", [_, count], other) => Err(wanted(&format!("a list of {count}"), other)),
            ("map", [key, inner], Value::Object(entries)) => {
                self.count(entries.len())?;
                entries.iter().try_for_each(|(name, value)| {
                    self.at(name, key, &key_of(key, name))?;
                    self.at(name, inner, value)
                })
            }
            // One unnamed field is that field in JSON.
            ("tuple", [only], value) => self.write(only, value),
            ("tuple", shapes, Value::Array(items)) if shapes.len() == items.len() => {
                self.items(shapes.iter().zip(items))
            }
            ("tuple", shapes, other) => Err(wanted(&format!("a list of {}", shapes.len()), other)),
            ("struct", fields, Value::Object(found)) => self.fields(fields, found),
            ("struct" | "map", _, other) => Err(wanted("an object with fields", other)),
            ("enum", variants, value) => self.variant(variants, value),
            ("result", [ok, err], Value::Object(found)) if found.len() == 1 => {
                match (found.get("Ok"), found.get("Err")) {
                    (Some(value), _) => {
                        self.put(&0_u32.to_le_bytes())?;
                        self.at("Ok", ok, value)
                    }
                    (_, Some(value)) => {
                        self.put(&1_u32.to_le_bytes())?;
                        self.at("Err", err, value)
                    }
                    _ => Err(wanted("{\"Ok\": ..} or {\"Err\": ..}", value)),
                }
            }
            ("result", _, other) => Err(wanted("{\"Ok\": ..} or {\"Err\": ..}", other)),
            _ => Err(format!("a shape that is not known here: {kind}")),
        }
    }

    /// The shape so many levels above.
    fn again(&mut self, levels: &Value, value: &Value) -> Result<(), String> {
        let levels = levels.as_u64().and_then(|levels| usize::try_from(levels).ok());
        let at = levels.and_then(|levels| self.above.len().checked_sub(levels));
        let shape = at.and_then(|at| Some((at, *self.above.get(at)?)));
        let (at, shape) = shape.ok_or("a shape that points nowhere")?;
        let inner = self.above.split_off(at);
        self.write(shape, value)?;
        self.above.extend(inner);
        Ok(())
    }

    fn items<'v>(&mut self, items: impl Iterator<Item = (&'s Value, &'v Value)>) -> Result<(), String> {
        items.enumerate().try_for_each(|(number, (shape, value))| self.at(&number.to_string(), shape, value))
    }

    fn fields(&mut self, fields: &'s [Value], found: &Map<String, Value>) -> Result<(), String> {
        let names = || fields.iter().filter_map(|field| field.get(0)?.as_str());
        let unknown = found.keys().find(|name| !names().any(|known| known == name.as_str()));
        if let Some(unknown) = unknown.filter(|_| !cfg!(feature = "bug-p14")) {
            return Err(format!("unknown field {unknown:?}: {}", nearest::hint(unknown, names().collect::<Vec<_>>())));
        }
        for field in fields {
            let (name, shape) = named(field)?;
            match found.get(name) {
                Some(value) => self.at(name, shape, value)?,
                // As the code's own reader has it: what may be null may be left out.
                None if shape.get("option").is_some() => self.put(&[0])?,
                None => return Err(format!("missing field {name:?}")),
            }
        }
        Ok(())
    }

    fn variant(&mut self, variants: &'s [Value], value: &Value) -> Result<(), String> {
        let mut fields = value.as_object().into_iter().flatten();
        let (name, payload) = match (value, fields.next(), fields.next()) {
            (Value::String(name), ..) => (name, None),
            (_, Some((name, payload)), None) => (name, Some(payload)),
            _ => return Err(wanted("a variant's name, or an object with it alone", value)),
        };
        let names = || variants.iter().filter_map(|variant| variant.get(0)?.as_str());
        let Some(number) = names().position(|known| known == name) else {
            return Err(format!("unknown variant {name:?}: {}", nearest::hint(name, names().collect::<Vec<_>>())));
        };
        let (name, shape) = named(&variants[number])?;
        self.put(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes())?;
        match (shape == "unit", payload) {
            (true, None | Some(Value::Null)) => Ok(()),
            (true, Some(_)) => Err(format!("variant {name} has no fields")),
            (false, Some(payload)) => self.at(name, shape, payload),
            (false, None) => Err(format!("variant {name} has fields: write {{{name:?}: ..}}")),
        }
    }

    fn leaf(&mut self, name: &str, value: &Value) -> Result<(), String> {
        macro_rules! whole {
            ($ty:ty) => {
                match whole(value).and_then(|number| <$ty>::try_from(number).ok()) {
                    Some(number) => self.put(&number.to_le_bytes()),
                    None => Err(wanted(&format!("a whole number from {} to {}", <$ty>::MIN, <$ty>::MAX), value)),
                }
            };
        }
        let text = |what: &str| value.as_str().ok_or_else(|| wanted(what, value));
        match name {
            "bool" => self.put(&[u8::from(value.as_bool().ok_or_else(|| wanted("true or false", value))?)]),
            "char" => {
                let mut letters = value.as_str().unwrap_or_default().chars();
                match (letters.next(), letters.next()) {
                    (Some(letter), None) => self.put(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                    _ => Err(wanted("a text of one character", value)),
                }
            }
            "u8" => whole!(u8),
            "u16" => whole!(u16),
            "u32" => whole!(u32),
            "u64" | "usize" => whole!(u64),
            "i8" => whole!(i8),
            "i16" => whole!(i16),
            "i32" if cfg!(feature = "bug-p13") => {
                self.put(&(value.as_i64().unwrap_or(0).unsigned_abs() as u32).to_le_bytes())
            }
            "i32" => whole!(i32),
            "i64" | "isize" => whole!(i64),
            "i128" => whole!(i128),
            "u128" => {
                let number = value.as_u64().map(u128::from).or_else(|| value.as_str()?.parse().ok());
                let number = number.ok_or_else(|| wanted("a whole number that is not negative", value))?;
                self.put(&number.to_le_bytes())
            }
            "f32" => {
                let number = value.as_f64().ok_or_else(|| wanted("a number", value))?;
                #[expect(clippy::cast_possible_truncation, reason = "the nearest one that there is, or none")]
                let near = number as f32;
                if near.is_infinite() {
                    return Err(wanted("a number that an f32 can hold", value));
                }
                self.put(&near.to_le_bytes())
            }
            "f64" => self.put(&value.as_f64().ok_or_else(|| wanted("a number", value))?.to_le_bytes()),
            "unit" if value.is_null() => Ok(()),
            "unit" => Err(wanted("null", value)),
            "string" => self.text(text("a text")?),
            "addr" => {
                let path = text("an address, as in \"kind/key\"")?;
                crate::Addr::new(path).map_err(|error| format!("{path:?} is no address: {error}"))?;
                self.text(path)
            }
            "bytes" => self.bytes(value),
            "duration" => self.seconds(value, ["secs", "nanos"]),
            "time" => self.seconds(value, ["secs_since_epoch", "nanos_since_epoch"]),
            "ip" | "ipv4" | "ipv6" | "socket" => self.host(name, text("a text")?),
            other => Err(format!("a type that is not known here: {other}")),
        }
    }

    fn bytes(&mut self, value: &Value) -> Result<(), String> {
        let Value::Array(items) = value else { return Err(wanted("a list of numbers from 0 to 255", value)) };
        self.count(items.len())?;
        items.iter().enumerate().try_for_each(|(number, item)| {
            self.place.push(number.to_string());
            let byte = item.as_u64().and_then(|byte| u8::try_from(byte).ok());
            self.put(&[byte.ok_or_else(|| wanted("a number from 0 to 255", item))?])?;
            self.place.pop();
            Ok(())
        })
    }

    fn seconds(&mut self, value: &Value, [whole, rest]: [&str; 2]) -> Result<(), String> {
        let fields = value.as_object().filter(|fields| fields.len() == 2);
        let part = |name: &str| fields?.get(name)?.as_u64();
        let nanos = part(rest).and_then(|nanos| u32::try_from(nanos).ok()).filter(|nanos| *nanos < 1_000_000_000);
        match (part(whole), nanos) {
            (Some(seconds), Some(nanos)) => {
                self.put(&seconds.to_le_bytes())?;
                self.put(&nanos.to_le_bytes())
            }
            _ => Err(wanted(&format!("{{\"{whole}\": .., \"{rest}\": below 1000000000}}"), value)),
        }
    }

    /// As serde writes them where nobody reads: numbers, and which of two kinds it is where both may be.
    fn host(&mut self, name: &str, text: &str) -> Result<(), String> {
        let no = |what: &str| format!("{what} is wanted, not {text:?}");
        match name {
            "ipv4" => self.put(&text.parse::<Ipv4Addr>().map_err(|_| no("an IPv4 address"))?.octets()),
            "ipv6" => self.put(&text.parse::<Ipv6Addr>().map_err(|_| no("an IPv6 address"))?.octets()),
            "ip" => self.ip(text.parse().map_err(|_| no("an IP address"))?),
            _ => {
                let socket: SocketAddr = text.parse().map_err(|_| no("an IP address and a port"))?;
                self.ip(socket.ip())?;
                self.put(&socket.port().to_le_bytes())
            }
        }
    }

    fn ip(&mut self, address: IpAddr) -> Result<(), String> {
        match address {
            IpAddr::V4(address) => {
                self.put(&0_u32.to_le_bytes())?;
                self.put(&address.octets())
            }
            IpAddr::V6(address) => {
                self.put(&1_u32.to_le_bytes())?;
                self.put(&address.octets())
            }
        }
    }
}

/// A whole number; as a text where it is beyond what readers of JSON can count.
fn whole(value: &Value) -> Option<i128> {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    number.or_else(|| value.as_str().filter(|text| text.len() > 15)?.parse().ok())
}

/// A map's key, which JSON has as a text, as the value that its shape wants.
fn key_of(shape: &Value, name: &str) -> Value {
    match shape.as_str() {
        Some("string" | "char" | "addr" | "ip" | "ipv4" | "ipv6" | "socket") => Value::from(name),
        // Numbers and truths in a text; a variant without fields is its name.
        Some(_) => serde_json::from_str(name).unwrap_or_else(|_| Value::from(name)),
        None => match shape.get("tuple").and_then(Value::as_array).map(Vec::as_slice) {
            Some([only]) => key_of(only, name),
            _ => Value::from(name),
        },
    }
}

fn named(pair: &Value) -> Result<(&str, &Value), String> {
    pair.get(0).and_then(Value::as_str).zip(pair.get(1)).ok_or_else(|| "a shape without a name".to_owned())
}
