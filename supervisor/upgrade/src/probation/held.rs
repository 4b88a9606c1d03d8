//! Effects that the version before wants and that were never sent: an operator sends or drops them.
//!
//! Kept in memory, as dead letters are, and bounded: they end with the host.

use super::BackError;
use crate::error::UpgradeError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Addr, Tag};
use teneral_runtime::{ActorRef, HeldEffect};
use teneral_store::UpgradeId;

/// Effects that are held at most, and bytes of their bodies; the oldest make room.
const HELD_MAX: usize = 10_000;
const HELD_BYTES_MAX: usize = 64 << 20;

/// An effect that waits for somebody's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// Names it.
    pub id: u64,
    /// The rollback that it came of.
    pub upgrade: UpgradeId,
    /// Whose it is.
    pub actor: Addr,
    /// `tell`, `ask` or `spawn`.
    pub kind: String,
    /// Whom it is for, or which child it starts.
    pub to: Addr,
    /// Which message, by the number of its name; 0 for a child.
    pub variant: u64,
    /// The message's name, where its receiver runs and knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The size of its body.
    pub body_bytes: usize,
}

/// Whose effect it is, and which rollback it came of.
type Whose = (UpgradeId, ActorRef, HeldEffect);

#[derive(Default)]
pub(crate) struct HeldList(Mutex<Shelf<Whose>>);

/// What is kept, by number, up to a count and a size.
struct Shelf<T> {
    next: u64,
    bytes: usize,
    kept: BTreeMap<u64, (usize, T)>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { next: 0, bytes: 0, kept: BTreeMap::new() }
    }
}

impl<T> Shelf<T> {
    /// The newest is kept, however large; the oldest that made room for it.
    fn add(&mut self, bytes: usize, one: T) -> Vec<T> {
        self.next += 1;
        self.put(self.next, bytes, one);
        let mut made_room = Vec::new();
        while (self.kept.len() > HELD_MAX || self.bytes > HELD_BYTES_MAX) && self.kept.len() > 1 {
            let Some((_, (bytes, oldest))) = self.kept.pop_first() else { break };
            self.bytes -= bytes;
            made_room.push(oldest);
        }
        made_room
    }

    fn put(&mut self, number: u64, bytes: usize, one: T) {
        self.bytes += bytes;
        self.kept.insert(number, (bytes, one));
    }

    fn take(&mut self, number: u64) -> Option<T> {
        let (bytes, one) = self.kept.remove(&number)?;
        self.bytes -= bytes;
        Some(one)
    }
}

impl HeldList {
    /// How many, of these or of others, made room for them and are dropped.
    pub(crate) fn add(&self, upgrade: &UpgradeId, actor: &ActorRef, effects: Vec<HeldEffect>) -> usize {
        let add = |effect: HeldEffect| {
            let bytes = effect.body().len();
            self.0.lock().add(bytes, (upgrade.clone(), actor.clone(), effect))
        };
        let made_room: Vec<Whose> = effects.into_iter().flat_map(add).collect();
        let dropped = made_room.len();
        // Whoever is asked no more hears of it: without the lock.
        for (of, whose, effect) in made_room {
            tracing::warn!(actor = %whose.addr(), upgrade = %of, ?effect, "too much is held: the oldest is dropped");
            whose.drop_held(effect);
        }
        dropped
    }

    pub(crate) fn list(&self) -> Vec<Held> {
        let shelf = self.0.lock();
        let show = |(id, (_, (upgrade, actor, effect))): (&u64, &(usize, Whose))| Held {
            id: *id,
            upgrade: upgrade.clone(),
            actor: actor.addr().clone(),
            kind: effect.kind().to_owned(),
            to: effect.to().clone(),
            variant: effect.tag().variant,
            message: actor.name_of(effect),
            body_bytes: effect.body().len(),
        };
        shelf.kept.iter().map(show).collect()
    }

    /// Which message one is, in which shape, and its body; none when there is none of that number.
    pub(crate) fn body(&self, id: u64) -> Option<(Tag, Vec<u8>)> {
        let shelf = self.0.lock();
        shelf.kept.get(&id).map(|(_, (_, _, effect))| (effect.tag(), effect.body().to_vec()))
    }

    /// Sends one, as from its actor. Blocks while a child starts.
    pub(crate) fn send(&self, id: u64) -> Result<(), UpgradeError> {
        // Taken first: of two who send it, one does.
        let (upgrade, actor, effect) = self.take(id)?;
        actor.send_held(effect).map_err(|(effect, why)| {
            self.0.lock().put(id, effect.body().len(), (upgrade, actor, effect));
            UpgradeError::Back(BackError::NotSent { id, why: why.to_string() })
        })
    }

    /// Drops one; an actor that wanted to ask hears that no answer comes.
    pub(crate) fn drop_one(&self, id: u64) -> Result<(), UpgradeError> {
        self.take(id).map(|(_, actor, effect)| actor.drop_held(effect))
    }

    fn take(&self, id: u64) -> Result<Whose, UpgradeError> {
        self.0.lock().take(id).ok_or(UpgradeError::Back(BackError::NotHeld(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::{HELD_BYTES_MAX, HELD_MAX, Shelf};

    #[test]
    fn what_is_held_is_bounded_in_number_and_in_bytes_and_what_made_room_is_counted() {
        let mut shelf = Shelf::default();
        for number in 1..=HELD_MAX {
            assert!(shelf.add(1, number).is_empty());
        }
        assert_eq!(shelf.add(1, 0), [1]);
        // Nearly all of it makes room for one that is large, and what is left goes with the next.
        assert_eq!(shelf.add(HELD_BYTES_MAX - 2, 0).len(), HELD_MAX - 2);
        assert_eq!((shelf.add(2, 0).len(), shelf.kept.len(), shelf.bytes), (2, 2, HELD_BYTES_MAX));
        assert!(shelf.take(0).is_none());
        // However large, the newest is there for somebody to decide.
        assert_eq!((shelf.add(HELD_BYTES_MAX + 1, 9).len(), shelf.kept.len()), (2, 1));
        let (number, _) = shelf.kept.first_key_value().map(|(number, kept)| (*number, kept.1)).expect("it is there");
        assert_eq!((shelf.take(number), shelf.bytes), (Some(9), 0));
    }
}
