//! What a plan may hold: nobody writes one by hand, and one that was is refused whole.

use crate::error::UpgradeError;
use crate::plan::{Move, REQUEST_BYTES_MAX};
use crate::request::{Options, StateMode};
use crate::step::Step;

/// Whether a request may be called so: what is kept for ever is bounded.
pub(crate) fn names_a_request(name: &str) -> Result<(), UpgradeError> {
    match name.len() {
        1..=REQUEST_BYTES_MAX => Ok(()),
        bytes => Err(UpgradeError::Request { bytes }),
    }
}

impl Move {
    pub(crate) fn validate(&self, options: &Options) -> Result<(), UpgradeError> {
        let state = options.state;
        let refused = |what: String| Err(UpgradeError::Steps { addr: self.addr.clone(), what });
        let legal = Step::sequence(state, options.trials);
        if self.steps != legal {
            let wrong = self.steps.iter().zip(legal).position(|(found, legal)| found != legal);
            let at = wrong.unwrap_or_else(|| self.steps.len().min(legal.len()));
            let found = self.steps.get(at).map_or("the end", |step| step.name());
            let expected = legal.get(at).map_or("the end", |step| step.name());
            return refused(format!("step {} is {found}, must be {expected}", at + 1));
        }
        if self.addr.kind() != self.to.kind {
            return refused(format!("it cannot run {}", self.to));
        }
        let mut at = self.from.schema;
        for hop in &self.ladder {
            if hop.from_schema != at {
                return refused(format!("its ladder steps from schema {} where the state is {at}", hop.from_schema));
            }
            if hop.by.kind != self.to.kind {
                return refused(format!("its ladder steps through {}, another kind", hop.by));
            }
            at = hop.to_schema;
        }
        if state == StateMode::Migrate && at != self.to.schema && !cfg!(feature = "bug-u8") {
            return refused(format!("its ladder ends at schema {at}, {} runs {}", self.to, self.to.schema));
        }
        Ok(())
    }
}
