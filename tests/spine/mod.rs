//! The promises, each shown through the public API with libraries that came through the whole gate.

mod bad_input;
mod defined;
mod faults;
mod foreign;
mod json;
mod lies;
mod lifetime;
mod loading;
mod looking_inside;
mod messaging;
mod messaging_bounds;
mod messaging_versions;
mod passing;
mod probation;
mod supervision;
mod tampering;
mod trial;
mod trust;
mod upgrade;
mod upgrade_failing;
mod upgrade_interleaved;
mod upgrade_moving;
mod upgrade_refused;
mod upgrade_several;
mod villain;

use crate::harness::{Test, child::Child, over_the_socket};

/// What children run: see [`crate::harness::child`].
pub(crate) fn children() -> Vec<Child> {
    [
        bad_input::CHILDREN,
        defined::CHILDREN,
        loading::CHILDREN,
        tampering::CHILDREN,
        trial::CHILDREN,
        upgrade_failing::CHILDREN,
        villain::CHILDREN,
    ]
    .concat()
}

pub(crate) fn tests() -> Vec<Test> {
    [
        bad_input::tests(),
        defined::tests(),
        faults::tests(),
        foreign::tests(),
        json::tests(),
        lies::tests(),
        lifetime::tests(),
        loading::tests(),
        looking_inside::tests(),
        messaging::tests(),
        messaging_bounds::tests(),
        messaging_versions::tests(),
        passing::tests(),
        probation::tests(),
        supervision::tests(),
        tampering::tests(),
        trial::tests(),
        trust::tests(),
        upgrade::tests(),
        upgrade_failing::tests(),
        upgrade_interleaved::tests(),
        upgrade_moving::tests(),
        upgrade_refused::tests(),
        upgrade_several::tests(),
        villain::tests(),
    ]
    .into_iter()
    .flatten()
    .chain(over_the_socket(operators()))
    .collect()
}

/// What an operator may cause, who has the socket and nothing else.
fn operators() -> Vec<Test> {
    [
        faults::tests(),
        trust::tests(),
        upgrade::tests(),
        upgrade_failing::tests(),
        upgrade_interleaved::tests(),
        upgrade_moving::tests(),
        upgrade_refused::tests(),
        upgrade_several::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
