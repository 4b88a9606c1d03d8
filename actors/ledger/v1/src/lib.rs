//! Keeps accounts.
#![forbid(unsafe_code)]

use ledger_api::{Add, Count, Counted, Echo, Echoed, Get, Held, Message, Open, owner, v1::Account};
use std::collections::BTreeMap;
use teneral_actor::contract::Bytes;
use teneral_actor::prelude::*;

/// What it keeps.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Ledger {
    additions: u64,
    total: u64,
    accounts: BTreeMap<u64, Account>,
    ballast: Bytes,
}

impl Actor for Ledger {
    type Message = Message;
    type Args = Open;

    fn init(Open { accounts, ballast_bytes }: Open) -> Result<Self> {
        let account = |number| (number, Account { owner: owner(number), balance: number });
        let ballast = usize::try_from(ballast_bytes).map_err(|error| ActorError::new(error.to_string()))?;
        Ok(Self {
            additions: 0,
            total: 0,
            accounts: (1..=accounts).map(account).collect(),
            ballast: Bytes(vec![7; ballast]),
        })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Add(Add { account: _, amount }) => {
                self.additions += 1;
                self.total = self.total.wrapping_add(amount);
            }
            Message::Echo(Echo { account, amount }) => ctx.reply(&Echoed { account, amount }),
            Message::Count(Count {}) => {
                ctx.reply(&Counted { additions: self.additions, total: self.total, version: 1 });
            }
            Message::Get(Get { account }) => {
                let held = self.accounts.get(&account).map(|found| (found.owner.clone(), found.balance));
                let (owner, balance) = held.unwrap_or_default();
                ctx.reply(&Held { owner, balance });
            }
        }
        Ok(())
    }
}
