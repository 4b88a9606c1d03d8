//! A configuration file as a tree whose every part knows its line.
//!
//! Whoever needs a key takes it out of its [`Table`]; what is left at the end is known to nobody and refused. So a key
//! is known because it is used, and no list of known ones can be out of date.

use super::problems::Problems;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use teneral::upgrade::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in a configuration file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    /// The file, as it was named.
    pub(crate) file: Rc<Path>,
    /// The line.
    pub(crate) line: usize,
    /// The column, in characters.
    pub(crate) column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value, and where it stands.
#[derive(Debug)]
pub(crate) struct Item {
    /// Where.
    pub(crate) at: At,
    /// What.
    pub(crate) node: Node,
}

/// What stands there.
#[derive(Debug)]
pub(crate) enum Node {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A number with a point.
    Broken(f64),
    /// Yes or no.
    Truth(bool),
    /// A list.
    List(Vec<Item>),
    /// A table.
    Table(Table),
    /// What no key takes, by its name.
    Other(&'static str),
}

impl Node {
    /// Its type, for people.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Whole(_) => "a number",
            Self::Broken(_) => "a number with a point",
            Self::Truth(_) => "a yes or no",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

/// The keys of one table that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its own name, with a dot behind it; empty for the whole file.
    prefix: String,
    entries: Vec<(String, At, Item)>,
    known: Vec<&'static str>,
}

impl Table {
    /// What stands at a key. From here on the key is known.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item> {
        self.known.push(key);
        let place = self.entries.iter().position(|(name, ..)| name == key)?;
        Some(self.entries.swap_remove(place).2)
    }

    /// All that stands in it, where names are the writer's own. From here on there is nothing left to refuse.
    pub(crate) fn take_all(&mut self) -> Vec<(String, At, Item)> {
        std::mem::take(&mut self.entries)
    }

    /// The table at a key, to take from; what stands there and is none is refused.
    pub(crate) fn table(&mut self, key: &'static str, problems: &mut Problems) -> Option<&mut Table> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let place = self.entries.iter().position(|(name, ..)| name == key)?;
        if !matches!(self.entries[place].2.node, Node::Table(_)) {
            let (_, at, item) = self.entries.swap_remove(place);
            let found = item.node.type_name();
            problems.at(&at, format!("{}{key} takes a table, not {found}", self.prefix));
            return None;
        }
        match &mut self.entries[place].2.node {
            Node::Table(table) => Some(table),
            _ => None,
        }
    }

    /// All that is left, by name.
    pub(crate) fn rest(self) -> Vec<(String, Item)> {
        self.entries.into_iter().map(|(name, _, item)| (name, item)).collect()
    }

    /// Refuses what nobody has taken: here, and in the tables that somebody took from.
    pub(crate) fn end(self, elsewhere: &[&'static str], problems: &mut Problems) {
        let Self { prefix, entries, known } = self;
        for (key, at, item) in entries {
            match item.node {
                Node::Table(table) if known.contains(&key.as_str()) => table.end(elsewhere, problems),
                _ => problems.at(&at, format!("no key {prefix}{key}: {}", hint(&key, &known, elsewhere))),
            }
        }
    }
}

/// The nearest key of the table, or the same key in another one.
fn hint(typed: &str, known: &[&'static str], elsewhere: &[&'static str]) -> String {
    if nearest::nearest(typed, known.iter().copied()).is_empty() {
        let same = elsewhere.iter().filter(|key| key.rsplit('.').next() == Some(typed));
        let same: Vec<&str> = same.copied().collect();
        if !same.is_empty() {
            return format!("did you mean {}?", same.join(" or "));
        }
    }
    nearest::hint(typed, known.iter().copied())
}

/// Reads a configuration file's text. What stands there and is no TOML is refused, and the rest is read.
pub(crate) fn parse(path: &Path, text: &str, problems: &mut Problems) -> Table {
    let lines = Lines { file: path.into(), text };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = lines.at(error.span().unwrap_or(0..0));
        problems.at(&at, error.message().replace('\n', ", "));
    }
    lines.table(String::new(), root.get_ref())
}

/// The folder that relative paths of a file are relative to.
pub(crate) fn folder(at: &At) -> PathBuf {
    at.file.parent().map(Path::to_owned).unwrap_or_default()
}

struct Lines<'a> {
    file: Rc<Path>,
    text: &'a str,
}

impl Lines<'_> {
    fn at(&self, span: Range<usize>) -> At {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |begun| begun.chars().count()) + 1;
        At { file: Rc::clone(&self.file), line, column }
    }

    fn table(&self, prefix: String, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let name = key.get_ref().to_string();
            let item = self.item(&format!("{prefix}{name}"), value);
            (name, self.at(key.span()), item)
        };
        let entries = table.iter().map(entry).collect();
        Table { prefix, entries, known: Vec::new() }
    }

    fn item(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Item {
        let node = match value.get_ref() {
            DeValue::String(text) => Node::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Node::Other("a number over 64 bits"), Node::Whole),
            DeValue::Array(items) => Node::List(items.iter().map(|item| self.item(name, item)).collect()),
            DeValue::Table(table) => Node::Table(self.table(format!("{name}."), table)),
            DeValue::Float(number) => {
                number.as_str().parse().map_or(Node::Other("a number that is none"), Node::Broken)
            }
            DeValue::Boolean(truth) => Node::Truth(*truth),
            DeValue::Datetime(_) => Node::Other("a date"),
        };
        Item { at: self.at(value.span()), node }
    }
}
