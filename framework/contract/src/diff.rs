//! What differs between two shapes, in sentences.
//!
//! A fingerprint says that two versions disagree; an author has to hear where. Both shapes come from manifests, so no
//! code of either version runs.

use serde_json::Value;
use std::fmt::Write as _;

/// Most lines of a diff; one more says how many are left out.
pub const DIFF_LINES_MAX: usize = 50;
/// Longest text of a type in a line, in characters.
const TYPE_CHARS_MAX: usize = 120;

/// What differs, outermost first: `field removed: lines: u64`, `type changed: n: u32 -> u64`, `variant reordered: Low`.
/// Empty for equal shapes.
#[must_use]
pub fn shape_diff(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    let left_out = lines.len().saturating_sub(DIFF_LINES_MAX);
    if left_out > 0 {
        lines.truncate(DIFF_LINES_MAX);
        lines.push(format!("and {left_out} more"));
    }
    lines
}

fn compare(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    match (kind(old), kind(new)) {
        (Some(("struct", old)), Some(("struct", new))) => compare_named("field", path, old, new, lines),
        (Some(("enum", old)), Some(("enum", new))) => compare_named("variant", path, old, new, lines),
        (Some((one, old_part)), Some((other, new_part))) if one == other => {
            match (parts(one, old_part), parts(one, new_part)) {
                (Some(old), Some(new)) if old.len() == new.len() => {
                    for (at, (old, new)) in old.into_iter().zip(new).enumerate() {
                        compare(&format!("{path}{}", step(one, at)), old, new, lines);
                    }
                }
                _ => changed(path, old, new, lines),
            }
        }
        _ => changed(path, old, new, lines),
    }
}

/// Fields or variants: by name, then by order.
fn compare_named(what: &str, path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let (Some(old), Some(new)) = (pairs(old), pairs(new)) else { return changed(path, old, new, lines) };
    let find = |pairs: &[(&str, &Value)], name: &str| pairs.iter().position(|(other, _)| *other == name);
    for (name, node) in &old {
        let path = joined(path, name);
        match find(&new, name) {
            Some(at) => compare(&path, node, new[at].1, lines),
            None => lines.push(format!("{what} removed: {path}: {}", text(node))),
        }
    }
    for (name, node) in new.iter().filter(|(name, _)| find(&old, name).is_none()) {
        lines.push(format!("{what} added: {}: {}", joined(path, name), text(node)));
    }
    let kept: Vec<&str> = old.iter().map(|(name, _)| *name).filter(|name| find(&new, name).is_some()).collect();
    let order = new.iter().map(|(name, _)| *name).filter(|name| find(&old, name).is_some());
    for (name, _) in order.zip(kept).filter(|(now, before)| now != before) {
        lines.push(format!("{what} reordered: {}", joined(path, name)));
    }
}

fn changed(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
    lines.push(format!("type changed: {place}{} -> {}", text(old), text(new)));
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// How a path goes into a part of a node.
fn step(kind: &str, at: usize) -> String {
    match (kind, at) {
        ("option", _) => "?".into(),
        ("seq" | "set", _) => "[]".into(),
        ("map", 0) => "[key]".into(),
        ("map", _) => "[value]".into(),
        ("result", 0) => ".Ok".into(),
        ("result", _) => ".Err".into(),
        ("answer", _) => ".answer".into(),
        _ => format!(".{at}"),
    }
}

/// A node that is no leaf: what it is, and its content.
fn kind(node: &Value) -> Option<(&str, &Value)> {
    let mut entries = node.as_object()?.iter();
    match (entries.next(), entries.next()) {
        (Some((kind, content)), None) => Some((kind, content)),
        _ => None,
    }
}

/// The nodes inside a node of this kind.
fn parts<'a>(kind: &str, content: &'a Value) -> Option<Vec<&'a Value>> {
    match kind {
        "option" | "seq" | "set" | "answer" => Some(vec![content]),
        "result" | "map" | "tuple" => Some(content.as_array()?.iter().collect()),
        _ => None,
    }
}

fn pairs(content: &Value) -> Option<Vec<(&str, &Value)>> {
    let pairs = content.as_array()?.iter().map(|pair| match pair.as_array()?.as_slice() {
        [Value::String(name), node] => Some((name.as_str(), node)),
        _ => None,
    });
    pairs.collect()
}

/// A shape as its author would write the type.
fn text(node: &Value) -> String {
    let mut out = String::new();
    write_type(node, &mut out);
    match out.char_indices().nth(TYPE_CHARS_MAX) {
        Some((end, _)) => format!("{}..", &out[..end]),
        None => out,
    }
}

fn write_type(node: &Value, out: &mut String) {
    if out.len() > 4 * TYPE_CHARS_MAX {
        return;
    }
    match (node, kind(node)) {
        (Value::String(leaf), _) => out.push_str(leaf),
        (_, Some((kind @ ("struct" | "enum"), content))) if pairs(content).is_some() => {
            let pairs = pairs(content).unwrap_or_default();
            out.push_str(if kind == "enum" { "enum {" } else { "{" });
            for (at, (name, node)) in pairs.into_iter().enumerate() {
                out.push_str(if at == 0 { " " } else { ", " });
                out.push_str(name);
                if node != "unit" {
                    out.push_str(": ");
                    write_type(node, out);
                }
            }
            out.push_str(" }");
        }
        (_, Some(("recursive", levels))) => {
            let _ = write!(out, "Self({levels})");
        }
        (_, Some((kind, content))) if parts(kind, content).is_some() => {
            let (open, close) = brackets(kind);
            out.push_str(open);
            for (at, node) in parts(kind, content).unwrap_or_default().into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write_type(node, out);
            }
            out.push_str(close);
        }
        (_, Some(("array", Value::Array(array)))) if array.len() == 2 => {
            out.push('[');
            write_type(&array[0], out);
            let _ = write!(out, "; {}]", array[1]);
        }
        _ => {
            let _ = write!(out, "{node}");
        }
    }
}

fn brackets(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "option" => ("Option<", ">"),
        "seq" => ("Vec<", ">"),
        "set" => ("BTreeSet<", ">"),
        "map" => ("BTreeMap<", ">"),
        "result" => ("Result<", ">"),
        "answer" => ("Answer<", ">"),
        _ => ("(", ")"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constjson::Text;
    use crate::shape::Shape;
    use serde_json::json;

    fn of<T: Shape>() -> Value {
        let mut counter = Text::new(&mut []);
        counter.push_node(T::NODE);
        let mut bytes = vec![0; counter.len()];
        Text::new(&mut bytes).push_node(T::NODE);
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[expect(dead_code, reason = "only their shapes are looked at")]
    mod old {
        use crate::Shape;
        use std::collections::BTreeMap;

        #[derive(Shape)]
        pub(super) struct Log {
            lines: u64,
            n: u32,
            by_level: BTreeMap<Level, Count>,
            pair: (u8, Option<u8>),
        }

        #[derive(Shape)]
        pub(super) struct Count {
            count: u32,
        }

        #[derive(Shape)]
        pub(super) enum Level {
            Low,
            High(u8),
            Gone { why: String },
        }
    }

    #[expect(dead_code, reason = "only their shapes are looked at")]
    mod new {
        use crate::Shape;
        use std::collections::BTreeMap;

        #[derive(Shape)]
        pub(super) struct Log {
            n: u64,
            by_level: BTreeMap<Level, Count>,
            pair: (u8, Option<u16>),
            slowest: Option<String>,
        }

        #[derive(Shape)]
        pub(super) struct Count {
            count: [u32; 2],
        }

        #[derive(Shape)]
        pub(super) enum Level {
            High(u8),
            Low,
        }
    }

    #[test]
    fn a_diff_names_what_was_removed_added_changed_and_reordered() {
        let lines = shape_diff(&of::<old::Log>(), &of::<new::Log>());
        let expected = [
            "field removed: lines: u64",
            "type changed: n: u32 -> u64",
            "variant removed: by_level[key].Gone: { why: string }",
            "variant reordered: by_level[key].High",
            "variant reordered: by_level[key].Low",
            "type changed: by_level[value].count: u32 -> [u32; 2]",
            "type changed: pair.1?: u8 -> u16",
            "field added: slowest: Option<string>",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn equal_shapes_have_no_diff() {
        assert!(shape_diff(&of::<old::Log>(), &of::<old::Log>()).is_empty());
    }

    #[test]
    fn fields_that_only_moved_are_reordered() {
        let (old, new) = (json!({"struct": [["a", "u8"], ["b", "u8"]]}), json!({"struct": [["b", "u8"], ["a", "u8"]]}));
        assert_eq!(shape_diff(&old, &new), ["field reordered: b", "field reordered: a"]);
    }

    #[test]
    fn a_diff_of_shapes_in_another_form_shows_both() {
        assert_eq!(shape_diff(&json!({}), &json!({"x": [1]})), [r#"type changed: {} -> {"x":[1]}"#]);
        let broken = json!({"struct": [["a"]]});
        assert_eq!(shape_diff(&broken, &json!({"struct": []})), [r#"type changed: [["a"]] -> []"#]);
    }

    #[test]
    fn a_long_diff_is_cut() {
        let fields: Vec<Value> = (0..60).map(|at| json!([format!("f{at}"), "u8"])).collect();
        let lines = shape_diff(&json!({"struct": fields}), &json!({"struct": []}));
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (DIFF_LINES_MAX + 1, Some("and 10 more")));
        let long = text(&json!({"tuple": vec!["a-long-name"; 100]}));
        assert!(long.ends_with("..") && long.chars().count() == TYPE_CHARS_MAX + 2, "{long}");
    }
}
