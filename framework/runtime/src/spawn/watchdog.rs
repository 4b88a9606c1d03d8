//! The watchdog: a thread of its own that sees which turns do not end.
//!
//! It adds a thread where all are stuck, within a few ticks, so that other actors go on; and it reports a turn that
//! hangs for `hang_after`, once, and quarantines its version, unless that declares to block. A turn that returns after
//! all was slow: with the last such turn of a version its quarantine is lifted.

use super::watch::{Look, Running};
use crate::cell::Cell;
use crate::events::What;
use crate::runtime::Shared;
use crate::speaking::Speaker;
use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(10);

/// Starts the thread; it ends with the runtime.
pub(crate) fn start(shared: Weak<Shared>) -> std::io::Result<()> {
    thread::Builder::new().name("teneral-watchdog".into()).spawn(move || {
        while let Some(shared) = shared.upgrade().filter(|shared| !shared.is_closed()) {
            look(&shared);
            drop(shared);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}

fn look(shared: &Shared) {
    let now = Instant::now();
    for watch in shared.executor.watches.list() {
        // Asked first: what ends after that is looked at once more.
        let ended = watch.has_ended();
        match watch.look(now) {
            Look::Runs(running) if running.running_for >= shared.config.hang_after => {
                if watch.report(|| running.provider.digest()) {
                    report(shared, &running);
                    shared.executor.dropper.give_up(&watch);
                }
            }
            Look::Returned(code) => shared.returned(code),
            Look::Runs(_) | Look::Moves => {}
        }
        if ended {
            shared.executor.watches.remove(&watch);
        }
    }
    shared.executor.relieve();
}

fn report(shared: &Shared, running: &Running) {
    let Running { cell, provider, index, running_for } = running;
    let doing = Cell::doing(provider, *index);
    let Speaker { addr, generation, .. } = cell.speaker();
    let (kind, generation, version) = (addr.kind(), generation.0, provider.version());
    tracing::error!(actor = %addr, kind, %version, generation, %doing, ?running_for, "a turn hangs");
    let (addr, version) = (cell.addr.clone(), provider.version().clone());
    let why = format!("{addr} hung in {doing}");
    shared.events.emit(What::Hung { addr, version, doing, running_for: *running_for });
    // A kind that declares to block waits for others as its business, in a thread of its own: how long is their affair.
    if !provider.manifest().blocking {
        shared.quarantine_while_it_hangs(&**provider, &why);
    }
}
