//! A state that is written between two messages, in the actor's own activation, for whoever waits for it.
//!
//! What does not return from that is gone on without in one of two ways: a version on probation is taken back, as from
//! a turn that hangs (`in_turn.rs`), and any other begins again when an operator says so (`again.rs`).

use super::in_turn::Open;
use super::protocol::Activation;
use super::slot::Slot;
use super::turn::After;
use super::{Actor, Cell};
use crate::config::{Copied, StateRead};
use crate::error::StateError;
use crate::ports::{Fault, FaultKind, guarded};
use std::sync::atomic::Ordering::Relaxed;

impl Cell {
    /// Writes it. `handled`: the turns of this activation that are not counted yet.
    pub(super) fn read_state(
        &self,
        activation: &mut Activation<'_, Actor>,
        handled: u64,
        (slot, bytes_max): (&Slot<Result<Copied, StateError>>, usize),
    ) -> After {
        // Whoever has given up wants nothing to be saved.
        if !slot.is_waiting() {
            return After::Next;
        }
        let (clock, number) = (&self.shared.clock, activation.number());
        let read = activation.aside(|instance| {
            let began = clock.now();
            // It only reads: what it fails with, a panic too, leaves the instance as it was.
            let open = Open { handled, activation: number };
            let saved = self.run(instance, (open, || None), |behaviour| guarded(|| behaviour.save(bytes_max)))?;
            Some(saved.map(|bytes| {
                let (provider, took) = (&instance.provider, clock.now().since(began));
                let state = StateRead { version: provider.version().clone(), schema: provider.schema(), bytes };
                Copied { state, took }
            }))
        });
        match read {
            Ok(Some(Some(read))) => {
                drop(slot.fill(read.map_err(StateError::Save)));
                return After::Next;
            }
            Ok(None) => return After::Next,
            // Who gave a turn up has counted those before it.
            Ok(Some(None)) | Err(None) => {}
            Err(Some(_)) => drop(self.counts.handled.fetch_add(handled, Relaxed)),
        }
        let fault = Fault::new(FaultKind::Denied, "it took so long that the actor goes on without it");
        drop(slot.fill(Err(StateError::Save(fault))));
        After::GivenUp
    }
}
