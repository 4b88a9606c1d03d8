//! Does wrong when told, also on the way up and down, and counts messages otherwise.
#![forbid(unsafe_code)]

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

impl Migrate<v1::Villain> for Villain {
    fn migrate(old: v1::Villain) -> Result<Self, MigrateError> {
        old.plan.at(At::Migrate).map_err(MigrateError::new)?;
        Ok(Self { handled: old.handled, plan: old.plan, ballast: old.ballast, arrests: 0 })
    }
}

impl Downgrade<v1::Villain> for Villain {
    fn downgrade(self) -> Result<v1::Villain, MigrateError> {
        self.plan.at(At::Downgrade).map_err(MigrateError::new)?;
        Ok(v1::Villain { handled: self.handled, plan: self.plan, ballast: self.ballast })
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
