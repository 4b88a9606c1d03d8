//! The way between two schemas: single steps, put together from what the manifests offer.
//!
//! Each version says which older schemas it climbs from and which it descends to, by number and fingerprint. Upwards
//! the new code does the work, downwards the newer code does, since only it knows how to go back. A version that skips
//! one may climb by way of the artifact in between: N functions, not N^2. Proved here, before anybody is paused.

use crate::plan::{Climb, Hop, ReleaseRef};
use std::collections::{BTreeMap, VecDeque};
use teneral_contract::Digest;
use teneral_contract::manifest::{Manifest, SchemaEntry};

/// A version that may help: what it runs and what it offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rung<'a> {
    pub(crate) digest: Digest,
    pub(crate) manifest: &'a Manifest,
}

/// Why there is no way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// Nobody offers this step.
    Missing {
        /// From this schema.
        from: u32,
        /// To this one.
        to: u32,
    },
    /// Someone offers the number with another shape.
    OtherShape {
        /// The number.
        schema: u32,
        /// Whose state has it.
        version: String,
        /// Who sees it otherwise.
        other: String,
    },
}

/// The hops from the running code's schema to the new code's. Empty when the schema stays.
pub(crate) fn way(running: Rung<'_>, new: Rung<'_>, others: &[Rung<'_>]) -> Result<Vec<Hop>, NoWay> {
    let (start, goal) = (own(running.manifest), own(new.manifest));
    if start == goal {
        return Ok(Vec::new());
    }
    if start.schema == goal.schema {
        return Err(other_shape(&start, running, new));
    }
    let climb = if goal.schema > start.schema { Climb::Up } else { Climb::Down };
    // The two in question first: fewer hops, and fewer images, than by way of others.
    let rungs: Vec<Rung<'_>> = [running, new].into_iter().chain(others.iter().copied()).collect();
    search(&start, &goal, climb, &rungs).ok_or_else(|| no_way(&start, &goal, climb, &rungs))
}

fn own(manifest: &Manifest) -> SchemaEntry {
    SchemaEntry { schema: manifest.state.schema, fingerprint: manifest.state.fingerprint }
}

/// The steps that lead away from `from`, by one rung.
fn steps(rung: Rung<'_>, from: &SchemaEntry, climb: Climb) -> Vec<SchemaEntry> {
    let state = &rung.manifest.state;
    match climb {
        Climb::Up if state.from.contains(from) => vec![own(rung.manifest)],
        Climb::Down if own(rung.manifest) == *from => state.down.clone(),
        _ => Vec::new(),
    }
}

fn key(entry: &SchemaEntry) -> (u32, u128) {
    (entry.schema, entry.fingerprint.0)
}

// Breadth first: the fewest hops, and of those the first in order of the rungs.
fn search(start: &SchemaEntry, goal: &SchemaEntry, climb: Climb, rungs: &[Rung<'_>]) -> Option<Vec<Hop>> {
    let mut came: BTreeMap<(u32, u128), Vec<Hop>> = BTreeMap::from([(key(start), Vec::new())]);
    let mut next = VecDeque::from([*start]);
    while let Some(at) = next.pop_front() {
        let hops = came.get(&key(&at))?.clone();
        if at == *goal {
            return Some(hops);
        }
        for rung in rungs {
            for to in steps(*rung, &at, climb) {
                if came.contains_key(&key(&to)) {
                    continue;
                }
                let mut hops = hops.clone();
                hops.push(Hop {
                    by: ReleaseRef::of(rung.manifest, rung.digest),
                    climb,
                    from_schema: at.schema,
                    to_schema: to.schema,
                });
                came.insert(key(&to), hops);
                next.push_back(to);
            }
        }
    }
    None
}

// What an operator can act on: the one step that is missing between what can be reached and what would lead on.
fn no_way(start: &SchemaEntry, goal: &SchemaEntry, climb: Climb, rungs: &[Rung<'_>]) -> NoWay {
    let from = reached(start, climb, rungs);
    let reach = match climb {
        Climb::Up => from.iter().max_by_key(|entry| entry.schema),
        Climb::Down => from.iter().min_by_key(|entry| entry.schema),
    };
    let reach = reach.unwrap_or(start);
    let offered: Vec<(&SchemaEntry, Rung<'_>)> = rungs
        .iter()
        .flat_map(|rung| {
            let state = &rung.manifest.state;
            let entries = match climb {
                Climb::Up => &state.from,
                Climb::Down => &state.down,
            };
            entries.iter().map(|entry| (entry, *rung))
        })
        .collect();
    if let Some((_, rung)) = offered.iter().find(|(entry, _)| entry.schema == reach.schema && *entry != reach) {
        // The running code comes first, and has what nobody else has.
        let has = rungs.iter().find(|rung| own(rung.manifest) == *reach).unwrap_or(&rungs[0]);
        return other_shape(reach, *has, *rung);
    }
    let to = match climb {
        // The lowest schema above, from which somebody climbs on; else the goal itself.
        Climb::Up => offered
            .iter()
            .map(|(entry, _)| entry.schema)
            .filter(|schema| (reach.schema + 1..=goal.schema).contains(schema))
            .min()
            .unwrap_or(goal.schema),
        Climb::Down => reach.schema.saturating_sub(1).max(goal.schema),
    };
    NoWay::Missing { from: reach.schema, to }
}

fn reached(start: &SchemaEntry, climb: Climb, rungs: &[Rung<'_>]) -> Vec<SchemaEntry> {
    let mut reached = vec![*start];
    let mut at = 0;
    while at < reached.len() {
        for rung in rungs {
            for to in steps(*rung, &reached[at].clone(), climb) {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
        }
        at += 1;
    }
    reached
}

fn other_shape(entry: &SchemaEntry, has: Rung<'_>, other: Rung<'_>) -> NoWay {
    let (version, other) = (has.manifest.version.to_string(), other.manifest.version.to_string());
    NoWay::OtherShape { schema: entry.schema, version, other }
}
