//! What a file wants of a host: kinds with their artifacts and defaults, actors with their versions and arguments.

use crate::config::file::{At, Item, Node, Table, folder, parse};
use crate::config::problems::Problems;
use semver::Version;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use teneral::{Addr, Manifest, digest_of};
use teneral::{Digest, upgrade::chain};

/// What stands in the file.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) artifacts: Vec<Artifact>,
    pub(super) defaults: Vec<Default>,
    pub(super) actors: Vec<Actor>,
}

/// A library to be in the store.
#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) at: At,
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
}

/// The version that new actors of a kind get.
#[derive(Debug)]
pub(super) struct Default {
    pub(super) at: At,
    pub(super) kind: String,
    pub(super) version: Version,
}

/// An actor that is to run.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) at: At,
    pub(super) addr: Addr,
    pub(super) version: Option<(At, Version)>,
    /// What it starts from: nothing, where the file does not say.
    pub(super) args: Value,
    /// Where the file says it; `None`: it does not.
    pub(super) args_at: Option<At>,
}

/// Reads the file; what is wrong with it goes to `problems`.
pub(super) fn read(path: &Path, text: &str, problems: &mut Problems) -> Wanted {
    let mut root = parse(path, text, problems);
    let mut wanted = Wanted::default();
    let mut kinds: BTreeMap<String, At> = BTreeMap::new();
    for (at, mut table) in tables(&mut root, "kind", problems) {
        kind(&at, &mut table, &mut kinds, &mut wanted, problems);
        table.end(&[], problems);
    }
    let mut names: BTreeMap<Addr, At> = BTreeMap::new();
    for (at, mut table) in tables(&mut root, "actor", problems) {
        if let Some(actor) = actor(&at, &mut table, problems) {
            if let Some(first) = names.insert(actor.addr.clone(), at.clone()) {
                problems.at(&at, format!("{} is there twice: the first time in line {}", actor.addr, first.line));
            }
            wanted.actors.push(actor);
        }
        table.end(&[], problems);
    }
    root.end(&[], problems);
    wanted
}

/// The actors alone: whoever builds the kinds itself needs none of their files.
pub(super) fn actors(path: &Path, text: &str, problems: &mut Problems) -> Vec<Actor> {
    let mut root = parse(path, text, problems);
    let mut found = Vec::new();
    for (_, mut table) in tables(&mut root, "kind", problems) {
        drop(table.take_all());
    }
    for (at, mut table) in tables(&mut root, "actor", problems) {
        found.extend(actor(&at, &mut table, problems));
        table.end(&[], problems);
    }
    root.end(&[], problems);
    found
}

fn tables(root: &mut Table, key: &'static str, problems: &mut Problems) -> Vec<(At, Table)> {
    let Some(Item { at, node }) = root.take(key) else { return Vec::new() };
    let Node::List(items) = node else {
        problems.at(&at, format!("write [[{key}]], once for each, not {}", node.type_name()));
        return Vec::new();
    };
    let mut found = Vec::new();
    for Item { at, node } in items {
        match node {
            Node::Table(table) => found.push((at, table)),
            node => problems.at(&at, format!("{key} takes tables, not {}", node.type_name())),
        }
    }
    found
}

fn text(table: &mut Table, key: &'static str, problems: &mut Problems) -> Option<(At, String)> {
    let Item { at, node } = table.take(key)?;
    match node {
        Node::Text(text) => Some((at, text)),
        node => {
            problems.at(&at, format!("{key} takes a text, not {}", node.type_name()));
            None
        }
    }
}

fn version(table: &mut Table, key: &'static str, problems: &mut Problems) -> Option<(At, Version)> {
    let (at, text) = text(table, key, problems)?;
    match text.parse() {
        Ok(version) => Some((at, version)),
        Err(_) => {
            problems.at(&at, format!("{text:?} is no version: write major.minor.patch, as in \"1.0.0\""));
            None
        }
    }
}

fn kind(at: &At, table: &mut Table, kinds: &mut BTreeMap<String, At>, wanted: &mut Wanted, problems: &mut Problems) {
    let name = text(table, "name", problems);
    let default = version(table, "default", problems);
    let artifacts = table.take("artifacts");
    let Some((_, name)) = name else {
        problems.at(at, "a kind needs its name");
        return;
    };
    if let Some(first) = kinds.insert(name.clone(), at.clone()) {
        problems.at(at, format!("kind {name} is there twice: the first time in line {}", first.line));
    }
    if let Some((at, version)) = default {
        wanted.defaults.push(Default { at, kind: name.clone(), version });
    }
    let items = match artifacts {
        None => Vec::new(),
        Some(Item { node: Node::List(items), .. }) => items,
        Some(Item { at, node }) => {
            problems.at(&at, format!("artifacts takes a list of files, not {}", node.type_name()));
            Vec::new()
        }
    };
    for Item { at, node } in items {
        match node {
            Node::Text(path) => wanted.artifacts.extend(artifact(at, &path, &name, problems)),
            node => problems.at(&at, format!("artifacts takes files, not {}", node.type_name())),
        }
    }
}

/// A library, looked at by this machine's gate; none of its code runs.
fn artifact(at: At, name: &str, kind: &str, problems: &mut Problems) -> Option<Artifact> {
    let path = folder(&at).join(name);
    let verified = match crate::artifact::gate().verify(&path, None) {
        Ok(verified) => verified,
        Err(error) => {
            problems.at(&at, format!("{name}: [{}] {}", error.code(), chain(&error)));
            return None;
        }
    };
    let manifest = verified.manifest().clone();
    if manifest.kind != kind {
        problems.at(&at, format!("{name} is of kind {}, not {kind}", manifest.kind));
        return None;
    }
    let digest = match verified.contents() {
        Ok(bytes) => digest_of(&bytes),
        Err(error) => {
            problems.at(&at, format!("{name}: {error}"));
            return None;
        }
    };
    Some(Artifact { at, path, digest, manifest })
}

fn actor(at: &At, table: &mut Table, problems: &mut Problems) -> Option<Actor> {
    let name = text(table, "name", problems);
    let version = version(table, "version", problems);
    let args = table.take("args");
    let args_at = args.as_ref().map(|item| item.at.clone());
    let args = args.map_or_else(|| Some(Value::Object(Map::new())), |item| json(item, problems));
    let Some((name_at, name)) = name else {
        problems.at(at, "an actor needs its name");
        return None;
    };
    match Addr::new(&name) {
        Ok(addr) => Some(Actor { at: at.clone(), addr, version, args: args?, args_at }),
        Err(error) => {
            problems.at(&name_at, format!("{}: write kind/key, as in \"counter/a\"", chain(&error)));
            None
        }
    }
}

/// What stands there, as the JSON that the actor's code reads.
fn json(Item { at, node }: Item, problems: &mut Problems) -> Option<Value> {
    Some(match node {
        Node::Text(text) => Value::String(text),
        Node::Whole(number) => number.into(),
        Node::Broken(number) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        Node::Truth(truth) => Value::Bool(truth),
        Node::List(items) => {
            Value::Array(items.into_iter().map(|item| json(item, problems)).collect::<Option<Vec<_>>>()?)
        }
        Node::Table(table) => {
            let field = |(name, item)| Some((name, json(item, problems)?));
            Value::Object(table.rest().into_iter().map(field).collect::<Option<Map<_, _>>>()?)
        }
        Node::Other(what) => {
            problems.at(&at, format!("start arguments take no {}", what.trim_start_matches("a ")));
            return None;
        }
    })
}
