//! What is kept of an actor that is defined: how it was started, in words that a later version of teneral reads.

use std::time::Duration;
use teneral_runtime::{ActorOptions, ActorRef, Intensity, Restart, RestartState};
use teneral_store::{Definition, Lives};

pub(super) fn definition(actor: &ActorRef, options: &ActorOptions) -> Definition {
    let (info, args) = (actor.info(), actor.start_args());
    Definition {
        addr: actor.addr().clone(),
        version: info.version,
        generation: info.generation.0,
        args_shape: args.shape,
        args: args.bytes.clone(),
        lives: lives(options),
    }
}

fn lives(options: &ActorOptions) -> Lives {
    let restart = match options.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let restart_state = match options.restart_state {
        RestartState::Init => "init",
        RestartState::LastSnapshot => "last_snapshot",
    };
    let Intensity { restarts_max, period } = options.intensity;
    let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
    Lives { restart: restart.to_owned(), restart_state: restart_state.to_owned(), restarts_max, period_us }
}

/// A word that a later teneral wrote means what is safest: always, and from the arguments.
pub(super) fn options(lives: &Lives) -> ActorOptions {
    let restart = match lives.restart.as_str() {
        "transient" => Restart::Transient,
        "temporary" => Restart::Temporary,
        _ => Restart::Permanent,
    };
    let restart_state = match lives.restart_state.as_str() {
        "last_snapshot" => RestartState::LastSnapshot,
        _ => RestartState::Init,
    };
    let intensity = Intensity { restarts_max: lives.restarts_max, period: Duration::from_micros(lives.period_us) };
    ActorOptions { restart, restart_state, intensity, parent: None }
}
