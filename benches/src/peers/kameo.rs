//! kameo, with its mailbox bounded as ours.

use crate::work::{Counter, MAILBOX_MESSAGES_MAX};
use kameo::{
    actor::{Actor, ActorRef, Spawn},
    error::Infallible,
    mailbox,
    message::{Context, Message},
};

#[derive(Debug)]
struct Behaviour {
    count: u64,
}

impl Actor for Behaviour {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { count: 0 })
    }
}

struct Add([u8; 16]);
struct Echo([u8; 16]);
struct Count;

#[derive(kameo::Reply)]
struct Body([u8; 16]);

impl Message<Add> for Behaviour {
    type Reply = ();
    async fn handle(&mut self, message: Add, _: &mut Context<Self, ()>) {
        self.count += u64::from(message.0[0]);
    }
}

impl Message<Echo> for Behaviour {
    type Reply = Body;
    async fn handle(&mut self, message: Echo, _: &mut Context<Self, Body>) -> Body {
        Body(message.0)
    }
}

impl Message<Count> for Behaviour {
    type Reply = u64;
    async fn handle(&mut self, _: Count, _: &mut Context<Self, u64>) -> u64 {
        self.count
    }
}

/// A kameo actor.
#[derive(Debug, Clone)]
pub struct Kameo(ActorRef<Behaviour>);

impl Kameo {
    /// Starts the actor on the current runtime.
    #[must_use]
    pub fn start() -> Self {
        Self(Behaviour::spawn_with_mailbox((), mailbox::bounded(MAILBOX_MESSAGES_MAX)))
    }
}

impl Counter for Kameo {
    async fn add(&self) {
        self.0.tell(Add([1; 16])).await.expect("the actor lives");
    }
    async fn echo(&self) -> [u8; 16] {
        self.0.ask(Echo([1; 16])).await.expect("the actor lives").0
    }
    async fn count(&self) -> u64 {
        self.0.ask(Count).await.expect("the actor lives")
    }
}
