//! Does wrong when told, also on the way up and down, and counts messages otherwise.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use teneral_actor::prelude::*;
use villain_api::{Act, At, Conspire, Count, Counted, Grow, Loot, Message, Plan, Rob, Start, commit, v1};

/// How often it was spoken to, and what it is up to.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Villain {
    handled: u64,
    plan: Plan,
    #[serde(with = "serde_bytes")]
    ballast: Vec<u8>,
    arrests: u64,
}

/// What no state may depend on: the time of day, as far as it fits.
fn nanos(since: Duration) -> u64 {
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos()))
}

impl Migrate<v1::Villain> for Villain {
    fn migrate(old: v1::Villain) -> Result<Self, MigrateError> {
        old.plan.at(At::Migrate).map_err(MigrateError::new)?;
        let garbled = old.plan.garbles(At::Migrate);
        let arrests = if garbled { SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos) } else { 0 };
        Ok(Self { handled: old.handled, plan: old.plan, ballast: old.ballast, arrests })
    }
}

impl Downgrade<v1::Villain> for Villain {
    fn downgrade(self) -> Result<v1::Villain, MigrateError> {
        self.plan.at(At::Downgrade).map_err(MigrateError::new)?;
        let ballast = if self.plan.garbles(At::Downgrade) { Vec::new() } else { self.ballast };
        Ok(v1::Villain { handled: self.handled, plan: self.plan, ballast })
    }
}

impl Actor for Villain {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        let plan = Plan(start.misdeeds);
        plan.at(At::Init)?;
        Ok(Self { handled: 0, plan, ballast: Vec::new(), arrests: 0 })
    }

    fn started(&mut self, _: Why, _: &mut Context<Self>) -> Result<()> {
        Ok(self.plan.at(At::Started)?)
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        self.plan.at(At::Handle)?;
        self.handled += 1;
        match message {
            Message::Conspire(Conspire { misdeeds }) => self.plan.0 = misdeeds,
            Message::Act(Act { how }) => commit(how)?,
            Message::Grow(Grow { bytes }) => self.ballast.resize(self.ballast.len() + bytes as usize, 0),
            Message::Rob(Rob { bytes }) => ctx.reply(&Loot { bytes: vec![0; bytes as usize] }),
            Message::Count(Count {}) => ctx.reply(&Counted { handled: self.handled }),
        }
        Ok(())
    }
}
