//! Does wrong when told, and counts messages otherwise.
#![forbid(unsafe_code)]

use teneral_actor::prelude::*;
use villain_api::{Act, At, Conspire, Count, Counted, Grow, Loot, Message, Plan, Rob, Start, commit};

/// How often it was spoken to, and what it is up to.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Villain {
    handled: u64,
    plan: Plan,
    #[serde(with = "serde_bytes")]
    ballast: Vec<u8>,
}

impl Actor for Villain {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        let plan = Plan(start.misdeeds);
        plan.at(At::Init)?;
        Ok(Self { handled: 0, plan, ballast: Vec::new() })
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
