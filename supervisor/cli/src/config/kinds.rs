//! `[kinds.KIND]`: where the actors of a kind run, over how many processes, and what is kept of them there.

use super::file::{Item, Node, Table};
use super::problems::Problems;
use super::value::{Given, Slot};
use super::{Origin, Row};
use std::collections::{BTreeMap, BTreeSet};
use teneral::balance::{Strategy, WEIGHT_MAX};
use teneral::discover::Endpoint;
use teneral::spread::SpreadPolicy;
use teneral::upgrade::nearest::hint;
use teneral::{CheckpointPolicy, Place};

/// Most processes of one version of a kind.
const INSTANCES_MAX: i64 = 64;

/// Most hosts of a kind.
const ENDPOINTS_MAX: usize = 64;
/// Most that is kept of one actor besides its checkpoint: messages, and bytes of them.
const CHECKPOINT_MESSAGES_MAX: u64 = 1 << 20;
const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;

/// How members are chosen, as it is written.
const BALANCES: [(&str, Strategy); 4] = [
    ("two-choices", Strategy::TwoChoices),
    ("round-robin", Strategy::RoundRobin),
    ("weighted", Strategy::Weighted),
    ("hash", Strategy::Hash),
];

/// What a file says of kinds.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) places: BTreeMap<String, Place>,
    pub(super) spreads: BTreeMap<String, SpreadPolicy>,
    pub(super) endpoints: BTreeMap<String, Vec<Endpoint>>,
    pub(super) checkpoints: BTreeMap<String, CheckpointPolicy>,
    pub(super) rows: Vec<Row>,
}

/// Takes the kinds out of a file; what is none is refused with its line.
pub(super) fn take(file: &mut Table, problems: &mut Problems) -> Kinds {
    let mut kinds = Kinds::default();
    let Some(tables) = file.table("kinds", problems) else { return kinds };
    for (kind, at, item) in tables.take_all() {
        let Node::Table(table) = item.node else {
            problems.at(&at, format!("kinds.{kind} takes a table, not {}", item.node.type_name()));
            continue;
        };
        kinds.take(&kind, table, problems);
    }
    kinds
}

impl Kinds {
    fn take(&mut self, kind: &str, mut table: Table, problems: &mut Problems) {
        let place = table.take("place").and_then(|item| self.place(kind, &item, problems));
        let instances = table.take("instances").and_then(|item| {
            let found = number(&item.node, INSTANCES_MAX).map(|count| (count, item.at.clone()));
            let found = found.map_err(|why| format!("kinds.{kind}.instances {why}"));
            let (count, at) = said(found, &item, problems)?;
            self.row(&item, format!("kinds.{kind}.instances"), count.to_string(), "processes");
            Some((count, at))
        });
        let hosts = self.hosts(kind, place, table.take("endpoints"), problems);
        // Each of them is of no use without several processes, and a slip where there are none.
        let more: Vec<(&str, Item)> =
            ["balance", "weights", "idempotent"].into_iter().filter_map(|key| Some((key, table.take(key)?))).collect();
        if let Some(item) = table.take("checkpoint") {
            self.checkpoint(kind, item, (place, instances.is_some()), problems);
        }
        table.end(&[], problems);
        match (place, instances) {
            (Some(Place::Process | Place::Remote), Some((count, _))) => {
                let policy = self.spread(kind, (count, hosts), more, problems);
                self.spreads.insert(kind.to_owned(), policy);
            }
            (_, Some((_, at))) => {
                problems
                    .at(&at, format!("kinds.{kind}.instances needs kinds.{kind}.place = \"process\" or \"remote\""));
            }
            (_, None) => {
                for (key, item) in more {
                    problems.at(&item.at, format!("kinds.{kind}.{key} needs kinds.{kind}.instances"));
                }
            }
        }
        if let Some(place) = place {
            self.places.insert(kind.to_owned(), place);
        }
    }

    /// How often a state is kept that the next process goes on from.
    fn checkpoint(&mut self, kind: &str, item: Item, (place, spread): (Option<Place>, bool), problems: &mut Problems) {
        let name = format!("kinds.{kind}.checkpoint");
        if place != Some(Place::Process) {
            return problems.at(&item.at, format!("{name} needs kinds.{kind}.place = \"process\""));
        }
        if spread {
            return problems
                .at(&item.at, format!("{name} is of no use with kinds.{kind}.instances: they keep nothing"));
        }
        let at = item.at.clone();
        let policy = match item.node {
            Node::Text(text) if text == "off" => CheckpointPolicy::Never,
            Node::Table(table) => {
                let Some(policy) = bounds(&name, table, problems) else { return };
                policy
            }
            other => {
                let found =
                    if let Node::Text(text) = &other { format!("{text:?}") } else { other.type_name().to_owned() };
                let wanted = "{ messages = 1000, bytes = \"1 MiB\" } or \"off\"";
                return problems.at(&at, format!("{name} takes {wanted}, not {found}"));
            }
        };
        let mut row = |key: String, value: String, unit| {
            let origin = Origin::File(at.clone());
            self.rows.push(Row { key, value, unit, from: origin.to_string(), source: origin.source() });
        };
        match policy {
            CheckpointPolicy::Never => row(name, "off".to_owned(), "name"),
            CheckpointPolicy::Every { messages, bytes } => {
                row(format!("{name}.messages"), messages.to_string(), "messages");
                row(format!("{name}.bytes"), bytes.to_string(), "bytes");
            }
        }
        self.checkpoints.insert(kind.to_owned(), policy);
    }

    fn place(&mut self, kind: &str, item: &Item, problems: &mut Problems) -> Option<Place> {
        let found = match &item.node {
            Node::Text(name) => Place::named(name).ok_or_else(|| {
                let near = hint(name, Place::NAMES);
                format!("kinds.{kind}.place is none of {}: {near}", Place::NAMES.join(", "))
            }),
            other => Err(format!("kinds.{kind}.place takes a name, not {}", other.type_name())),
        };
        let place = said(found, item, problems)?;
        self.row(item, format!("kinds.{kind}.place"), place.name().to_owned(), "name");
        Some(place)
    }

    /// Takes where a kind's hosts are: how many, or none where it has no place on another machine.
    fn hosts(
        &mut self,
        kind: &str,
        place: Option<Place>,
        item: Option<Item>,
        problems: &mut Problems,
    ) -> Option<usize> {
        let name = format!("kinds.{kind}.endpoints");
        let Some(item) = item else {
            if place == Some(Place::Remote) {
                problems.elsewhere(format!("kinds.{kind}.place is \"remote\", and {name} does not say where"));
            }
            return None;
        };
        if place != Some(Place::Remote) {
            problems.at(&item.at, format!("{name} needs kinds.{kind}.place = \"remote\""));
            return None;
        }
        let found = endpoints(&item.node).map_err(|why| format!("{name} {why}"));
        let hosts = said(found, &item, problems)?;
        let shown = hosts.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ");
        self.row(&item, name, shown, "endpoints");
        let count = hosts.len();
        self.endpoints.insert(kind.to_owned(), hosts);
        Some(count)
    }

    fn spread(
        &mut self,
        kind: &str,
        (instances, hosts): (usize, Option<usize>),
        more: Vec<(&str, Item)>,
        problems: &mut Problems,
    ) -> SpreadPolicy {
        let mut policy = SpreadPolicy::standard(instances);
        for (key, item) in more {
            let name = format!("kinds.{kind}.{key}");
            let taken = match key {
                "balance" => strategy(&item.node).map(|(written, strategy)| {
                    policy.balance.strategy = strategy;
                    (written.to_owned(), "name")
                }),
                // Of hosts each has its share, with all its processes.
                "weights" => weights(&item.node, (instances, hosts)).map(|weights| {
                    let times = if hosts.is_some() { instances } else { 1 };
                    policy.weights = weights.iter().flat_map(|weight| std::iter::repeat_n(*weight, times)).collect();
                    (format!("{weights:?}"), "shares")
                }),
                _ => names(&item.node).map(|names| {
                    policy.idempotent.clone_from(&names);
                    (names.into_iter().collect::<Vec<_>>().join(", "), "messages")
                }),
            };
            let taken = taken.map_err(|why| format!("{name} {why}"));
            if let Some((value, unit)) = said(taken, &item, problems) {
                self.row(&item, name, value, unit);
            }
        }
        policy
    }

    fn row(&mut self, item: &Item, key: String, value: String, unit: &'static str) {
        let origin = Origin::File(item.at.clone());
        self.rows.push(Row { key, value, unit, from: origin.to_string(), source: origin.source() });
    }
}

/// The bounds of a checkpoint; what is not said is as it is by itself.
fn bounds(name: &str, mut table: Table, problems: &mut Problems) -> Option<CheckpointPolicy> {
    let CheckpointPolicy::Every { mut messages, mut bytes } = CheckpointPolicy::standard() else { return None };
    let mut set = |key: &'static str, slot: Slot<'_>, most: u64| {
        let Some(item) = table.take(key) else { return true };
        let set = slot.set(Given::InFile(&item), (1, most));
        said(set.map_err(|why| format!("{name}.{key} {why}")), &item, problems).is_some()
    };
    let are_good = [
        set("messages", Slot::Count(&mut messages), CHECKPOINT_MESSAGES_MAX),
        set("bytes", Slot::Bytes(&mut bytes), CHECKPOINT_BYTES_MAX),
    ];
    table.end(&[], problems);
    are_good.into_iter().all(|is_good| is_good).then_some(CheckpointPolicy::Every { messages, bytes })
}

/// What was found, or the problem that it is.
fn said<T>(found: Result<T, String>, item: &Item, problems: &mut Problems) -> Option<T> {
    found.map_err(|problem| problems.at(&item.at, problem)).ok()
}

fn number(node: &Node, most: i64) -> Result<usize, String> {
    match node {
        Node::Whole(count) if (1..=most).contains(count) => Ok(usize::try_from(*count).unwrap_or(1)),
        Node::Whole(count) => Err(format!("is {count}: it goes from 1 to {most}")),
        other => Err(format!("takes a number, not {}", other.type_name())),
    }
}

fn strategy(node: &Node) -> Result<(&'static str, Strategy), String> {
    let Node::Text(name) = node else { return Err(format!("takes a name, not {}", node.type_name())) };
    BALANCES.into_iter().find(|(known, _)| known == name).ok_or_else(|| {
        let known = BALANCES.map(|(known, _)| known);
        format!("is none of {}: {}", known.join(", "), hint(name, known))
    })
}

fn weights(node: &Node, (instances, hosts): (usize, Option<usize>)) -> Result<Vec<u32>, String> {
    let Node::List(items) = node else { return Err(format!("takes a list, not {}", node.type_name())) };
    let (count, of) = hosts.map_or((instances, "instances"), |hosts| (hosts, "endpoints"));
    if items.len() != count {
        return Err(format!("has {} of them, for {count} {of}", items.len()));
    }
    let weight = |item: &Item| number(&item.node, WEIGHT_MAX.into()).map(|weight| u32::try_from(weight).unwrap_or(1));
    items.iter().map(weight).collect::<Result<_, _>>().map_err(|why| format!("has one that {why}"))
}

fn endpoints(node: &Node) -> Result<Vec<Endpoint>, String> {
    let Node::List(items) = node else { return Err(format!("takes a list, not {}", node.type_name())) };
    if items.is_empty() || items.len() > ENDPOINTS_MAX {
        return Err(format!("has {} of them: it goes from 1 to {ENDPOINTS_MAX}", items.len()));
    }
    let mut found: Vec<Endpoint> = Vec::with_capacity(items.len());
    for item in items {
        let Node::Text(text) = &item.node else {
            return Err(format!("takes texts, as in \"tcp:module-1.example:7443\", not {}", item.node.type_name()));
        };
        let endpoint: Endpoint = text.parse().map_err(|error| format!("has one that is none: {error}"))?;
        if endpoint.host_port().is_none() {
            return Err(format!("has {endpoint}, which is on this machine: write tcp:host:port"));
        }
        if found.contains(&endpoint) {
            return Err(format!("has {endpoint} twice"));
        }
        found.push(endpoint);
    }
    Ok(found)
}

fn names(node: &Node) -> Result<BTreeSet<String>, String> {
    let Node::List(items) = node else { return Err(format!("takes a list, not {}", node.type_name())) };
    let name = |item: &Item| match &item.node {
        Node::Text(name) => Ok(name.clone()),
        other => Err(format!("takes names of messages, not {}", other.type_name())),
    };
    items.iter().map(name).collect()
}
