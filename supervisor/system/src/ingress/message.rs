//! A request as the JSON of a message: its body, and beside it what stands in path and query, by the message's fields.
//!
//! A message's shape says which fields it has and of what type, so a `7` in a path becomes a number where the message
//! has one and a text where it has that.

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use teneral_control::api::ApiError;

/// The parts of a path, decoded.
pub(super) fn parts(path: &str) -> Result<Vec<String>, ApiError> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    rest.split('/').map(decoded).collect()
}

/// What stands in a query.
pub(super) fn query(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let spaced = |text: &str| decoded(&text.replace('+', " "));
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((spaced(name)?, spaced(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| unread(format!("{text:?} is no UTF-8"), "encode it as a URL's part"))
}

/// A message's JSON. What the body says counts; what path or query say otherwise is refused.
pub(super) fn merged(shape: &Value, body: &[u8], named: &[BTreeMap<String, String>]) -> Result<String, ApiError> {
    let fields = fields(shape);
    let given = match body.iter().all(u8::is_ascii_whitespace) {
        true if fields.is_some() => Value::Object(Map::new()),
        true => Value::Null,
        false => serde_json::from_slice(body)
            .map_err(|error| unread(format!("the body is no JSON: {error}"), "send JSON, or no body"))?,
    };
    let (fields, mut message) = match (fields, given) {
        (Some(fields), Value::Object(message)) => (fields, message),
        // By their places, the fields of path and query would be lost without a word.
        (Some(_), Value::Array(_)) => {
            return Err(unread("the body is an array, and the message has fields".to_owned(), "send a JSON object"));
        }
        (_, given) => return Ok(given.to_string()),
    };
    for (name, text) in named.iter().flatten() {
        let Some(leaf) = fields.get(name) else { continue };
        let value = value(leaf, text).ok_or_else(|| {
            unread(format!("{name} is {text:?}, and takes {leaf}"), "write it as the message's field takes it")
        })?;
        match message.get(name) {
            Some(said) if *said != value => {
                let what = format!("{name} is {said} in the body and {value} in the URL");
                return Err(unread(what, "say it once"));
            }
            _ => drop(message.insert(name.clone(), value)),
        }
    }
    Ok(Value::Object(message).to_string())
}

fn unread(what: String, hint: &str) -> ApiError {
    ApiError::request(StatusCode::BAD_REQUEST, "HTTP-REQUEST", what, hint)
}

/// A struct's fields with what each is, as far as a text can say it; `None` for what is no struct.
fn fields(shape: &Value) -> Option<BTreeMap<String, String>> {
    let fields = shape.get("struct")?.as_array()?;
    let field = |pair: &Value| {
        let (name, node) = (pair.get(0)?.as_str()?, pair.get(1)?);
        let node = node.get("option").unwrap_or(node);
        Some((name.to_owned(), node.as_str()?.to_owned()))
    };
    Some(fields.iter().filter_map(field).collect())
}

fn value(leaf: &str, text: &str) -> Option<Value> {
    match leaf {
        "bool" => text.parse().ok().map(Value::Bool),
        "f32" | "f64" => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        "u8" | "u16" | "u32" | "u64" | "usize" => text.parse::<u64>().ok().map(Value::from),
        "i8" | "i16" | "i32" | "i64" | "isize" => text.parse::<i64>().ok().map(Value::from),
        _ => Some(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape() -> Value {
        json!({ "struct": [["customer", "string"], ["amount", "u32"], ["note", { "option": "string" }], ["tags",
            { "seq": "string" }]] })
    }

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of(body: &str, pairs: &[(&str, &str)]) -> Result<Value, String> {
        let json = merged(&shape(), body.as_bytes(), &[named(pairs)]).map_err(|error| error.what)?;
        Ok(serde_json::from_str(&json).expect("JSON"))
    }

    #[test]
    fn what_the_url_says_goes_to_the_fields_of_its_name_and_type() {
        let pairs = [("customer", "7"), ("amount", "7"), ("utm_source", "x"), ("tags", "a")];
        assert_eq!(of("", &pairs), Ok(json!({ "customer": "7", "amount": 7 })));
        assert_eq!(
            of(r#"{"amount": 7, "note": "n"}"#, &pairs),
            Ok(json!({ "customer": "7", "amount": 7, "note": "n" }))
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(of("", &[("amount", "seven")]).is_err_and(|what| what.contains("takes u32")));
        assert!(of(r#"{"amount": 8}"#, &[("amount", "7")]).is_err_and(|what| what.contains("8 in the body")));
        assert!(of(r#"["7", 7]"#, &[("amount", "7")]).is_err_and(|what| what.contains("an array")));
        assert!(of("{", &[]).is_err_and(|what| what.contains("no JSON")));
    }

    #[test]
    fn a_url_is_decoded_once() {
        assert_eq!(parts("/a%2Fb/c%20d").ok(), Some(vec!["a/b".to_owned(), "c d".to_owned()]));
        assert_eq!(parts("/").ok(), Some(Vec::new()));
        assert!(parts("/%ff").is_err());
        assert_eq!(query("a=b+c&d=%26&e").ok(), Some(named(&[("a", "b c"), ("d", "&"), ("e", "")])));
    }
}
