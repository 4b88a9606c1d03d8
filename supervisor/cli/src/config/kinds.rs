//! `[kinds.KIND]`: where the actors of a kind run.

use super::file::{Node, Table};
use super::problems::Problems;
use super::{Origin, Row};
use std::collections::BTreeMap;
use teneral::Place;
use teneral::upgrade::nearest::hint;

/// Takes the places out of a file; what is none is refused with its line.
pub(super) fn take(file: &mut Table, problems: &mut Problems) -> (BTreeMap<String, Place>, Vec<Row>) {
    let (mut places, mut rows) = (BTreeMap::new(), Vec::new());
    let Some(tables) = file.table("kinds", problems) else { return (places, rows) };
    for (kind, at, item) in tables.take_all() {
        let Node::Table(mut table) = item.node else {
            problems.at(&at, format!("kinds.{kind} takes a table, not {}", item.node.type_name()));
            continue;
        };
        if let Some(item) = table.take("place") {
            let found = match &item.node {
                Node::Text(name) => Place::named(name).ok_or_else(|| {
                    let near = hint(name, Place::NAMES);
                    format!("kinds.{kind}.place is none of {}: {near}", Place::NAMES.join(", "))
                }),
                other => Err(format!("kinds.{kind}.place takes a name, not {}", other.type_name())),
            };
            match found {
                Ok(place) => {
                    let origin = Origin::File(item.at.clone());
                    let (key, value) = (format!("kinds.{kind}.place"), place.name().to_owned());
                    rows.push(Row { key, value, unit: "name", from: origin.to_string(), source: origin.source() });
                    places.insert(kind.clone(), place);
                }
                Err(problem) => problems.at(&item.at, problem),
            }
        }
        table.end(&[], problems);
    }
    (places, rows)
}
