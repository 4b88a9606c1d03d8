//! `[grants.KIND]`: which kinds may use the host's HTTP client, files and clock.

use super::file::{At, Item, Node, Table, folder};
use super::problems::Problems;
use super::{Origin, Row};
use std::path::{Component, Path, PathBuf};
use teneral::{FileAct, Grant, Grants};

/// Takes the grants out of a file; what is no grant is refused with its line.
pub(super) fn take(file: &mut Table, problems: &mut Problems) -> (Grants, Vec<Row>) {
    let (mut grants, mut rows) = (Grants::none(), Vec::new());
    let Some(tables) = file.table("grants", problems) else { return (grants, rows) };
    for (kind, at, item) in tables.take_all() {
        let Node::Table(mut table) = item.node else {
            problems.at(&at, format!("grants.{kind} takes a table, not {}", item.node.type_name()));
            continue;
        };
        let mut of = Of { kind: &kind, grant: Grant::nothing(), rows: &mut rows };
        of.clock(&mut table, problems);
        of.hosts(&mut table, problems);
        of.files(&mut table, problems);
        let grant = of.grant;
        table.end(&[], problems);
        match grants.clone().to(&kind, grant) {
            Ok(granted) => grants = granted,
            Err(error) => problems.at(&at, error.to_string()),
        }
    }
    (grants, rows)
}

/// What is read of one kind.
struct Of<'a> {
    kind: &'a str,
    grant: Grant,
    rows: &'a mut Vec<Row>,
}

impl Of<'_> {
    fn row(&mut self, key: &str, value: String, unit: &'static str, at: &At) {
        let origin = Origin::File(at.clone());
        let (key, from, source) = (format!("grants.{}.{key}", self.kind), origin.to_string(), origin.source());
        self.rows.push(Row { key, value, unit, from, source });
    }

    fn wants(&self, key: &str, wanted: &str, item: &Item, problems: &mut Problems) {
        let found = item.node.type_name();
        problems.at(&item.at, format!("grants.{}.{key} takes {wanted}, not {found}", self.kind));
    }

    fn clock(&mut self, table: &mut Table, problems: &mut Problems) {
        let Some(item) = table.take("clock") else { return };
        match item.node {
            Node::Truth(true) => self.grant = self.grant.clone().clock(),
            Node::Truth(false) => {}
            _ => return self.wants("clock", "true or false", &item, problems),
        }
        let granted = matches!(item.node, Node::Truth(true));
        self.row("clock", granted.to_string(), "grant", &item.at);
    }

    fn hosts(&mut self, table: &mut Table, problems: &mut Problems) {
        let Some(item) = table.take("http-client") else { return };
        let Node::List(hosts) = &item.node else {
            return self.wants("http-client", "a list of hosts", &item, problems);
        };
        for host in hosts {
            let Node::Text(name) = &host.node else {
                self.wants("http-client", "hosts as texts", host, problems);
                continue;
            };
            match self.grant.clone().host(name) {
                Ok(grant) => self.grant = grant,
                Err(error) => problems.at(&host.at, error.to_string()),
            }
            self.row("http-client", name.clone(), "host", &host.at);
        }
    }

    fn files(&mut self, table: &mut Table, problems: &mut Problems) {
        let Some(item) = table.take("file") else { return };
        let Node::Table(mut paths) = item.node else {
            let wanted = "a table of paths, as in { \"/var/log\" = [\"read\"] }";
            return self.wants("file", wanted, &item, problems);
        };
        for (path, at, acts) in paths.take_all() {
            let Some(list) = self.acts(&acts, problems) else { continue };
            let written = absolute(&folder(&at), Path::new(&path));
            let shown = list.iter().map(|act| act.name()).collect::<Vec<_>>().join(", ");
            match self.grant.clone().file(&written, list) {
                Ok(grant) => self.grant = grant,
                Err(error) => problems.at(&at, error.to_string()),
            }
            self.row(&format!("file.{}", written.display()), shown, "acts", &at);
        }
    }

    fn acts(&self, item: &Item, problems: &mut Problems) -> Option<Vec<FileAct>> {
        let wanted = "a list of read, append, follow";
        let Node::List(acts) = &item.node else {
            self.wants("file", wanted, item, problems);
            return None;
        };
        let mut all = Vec::new();
        for act in acts {
            match &act.node {
                Node::Text(text) => match text.parse() {
                    Ok(act) => all.push(act),
                    Err(error) => problems.at(&act.at, format!("{error}")),
                },
                _ => self.wants("file", wanted, act, problems),
            }
        }
        // What is wrong was said; nothing at all is said by whoever takes it.
        (all.len() == acts.len()).then_some(all)
    }
}

/// A path of a file is relative to its folder. As it is written, without the steps that lead nowhere.
fn absolute(folder: &Path, path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut plain = PathBuf::new();
    for step in here.join(folder).join(path).components() {
        match step {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            step => plain.push(step),
        }
    }
    plain
}
