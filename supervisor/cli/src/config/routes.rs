//! `[[route]]`: which request from outside is which message to which actor.

use super::file::{At, Item, Node, Table};
use super::problems::Problems;
use super::value::time_of;
use super::{Origin, Row};
use std::time::Duration;
use teneral::ingress::{Key, Pattern, Route, RouteError, Routes, StartPolicy};
use teneral::upgrade::nearest;

/// How long an answer may take where a route does not say.
const TIMEOUT: Duration = Duration::from_secs(5);

const STARTS: [&str; 2] = ["never", "on-first-use"];

/// Takes the routes out of a file; what is none, and what contradicts another, is refused with its line.
pub(super) fn take(file: &mut Table, problems: &mut Problems) -> (Routes, Vec<Row>) {
    let (mut routes, mut rows) = (Routes::none(), Vec::new());
    let Some(item) = file.take("route") else { return (routes, rows) };
    let Node::List(items) = item.node else {
        problems.at(&item.at, "route takes a list: write [[route]] above each of them");
        return (routes, rows);
    };
    for Item { at, node } in items {
        let Node::Table(mut table) = node else {
            problems.at(&at, format!("route takes a table, not {}", node.type_name()));
            continue;
        };
        let route = Reader { table: &mut table, at: &at, problems }.route();
        table.end(&[], problems);
        let Some(route) = route else { continue };
        let row = Row {
            key: "route".to_owned(),
            value: format!("{} {} -> {} {}", route.method, route.path, route.kind, route.message),
            unit: "route",
            from: Origin::File(at.clone()).to_string(),
            source: "file",
        };
        match routes.add(route) {
            Ok(()) => rows.push(row),
            Err(error) => problems.at(&at, error.to_string()),
        }
    }
    (routes, rows)
}

/// Reads one route.
struct Reader<'a> {
    table: &'a mut Table,
    at: &'a At,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn route(&mut self) -> Option<Route> {
        let method = self.needs("method");
        let path = self.needs("path").and_then(|text| self.read(text, Pattern::parse));
        let kind = self.needs("kind");
        let key = self.needs("key").and_then(|text| self.read(text, Key::parse));
        let message = self.needs("message");
        let timeout = self.timeout();
        let start = self.start();
        Some(Route {
            method: method?.0,
            path: path?,
            kind: kind?.0,
            key: key?,
            message: message?.0,
            timeout: timeout?,
            start: start?,
            written_at: format!("{}:{}", self.at.file.display(), self.at.line),
        })
    }

    fn text(&mut self, key: &'static str) -> Option<Option<(String, At)>> {
        match self.table.take(key) {
            None => Some(None),
            Some(Item { at, node: Node::Text(text) }) => Some(Some((text, at))),
            Some(Item { at, node }) => {
                self.problems.at(&at, format!("route.{key} takes a text, not {}", node.type_name()));
                None
            }
        }
    }

    fn needs(&mut self, key: &'static str) -> Option<(String, At)> {
        let found = self.text(key)?;
        if found.is_none() {
            self.problems.at(self.at, format!("a route needs {key}"));
        }
        found
    }

    fn read<T>(&mut self, (text, at): (String, At), parse: fn(&str) -> Result<T, RouteError>) -> Option<T> {
        match parse(&text) {
            Ok(read) => Some(read),
            Err(error) => {
                self.problems.at(&at, error.to_string());
                None
            }
        }
    }

    fn timeout(&mut self) -> Option<Duration> {
        let Some((text, at)) = self.text("timeout")? else { return Some(TIMEOUT) };
        match time_of(&text) {
            Ok(time) if !time.is_zero() => Some(time),
            Ok(_) => {
                self.problems.at(&at, "route.timeout is no time at all");
                None
            }
            Err(why) => {
                self.problems.at(&at, format!("route.timeout {why}"));
                None
            }
        }
    }

    fn start(&mut self) -> Option<StartPolicy> {
        let (start, args) = (self.text("start")?, self.text("args")?);
        let policy = match &start {
            None => "never",
            Some((text, _)) => text.as_str(),
        };
        match (policy, args) {
            ("never", None) => Some(StartPolicy::Never),
            ("never", Some((_, at))) => {
                self.problems.at(&at, "route.args is for start = \"on-first-use\" only");
                None
            }
            ("on-first-use", args) => {
                let (args, at) = args.unwrap_or_else(|| ("{}".to_owned(), self.at.clone()));
                match serde_json::from_str::<serde::de::IgnoredAny>(&args) {
                    Ok(_) => Some(StartPolicy::OnFirstUse { args }),
                    Err(error) => {
                        self.problems.at(&at, format!("route.args is no JSON: {error}"));
                        None
                    }
                }
            }
            (other, _) => {
                let at = start.as_ref().map_or(self.at, |(_, at)| at);
                self.problems.at(at, format!("route.start cannot be {other}: {}", nearest::hint(other, STARTS)));
                None
            }
        }
    }
}
