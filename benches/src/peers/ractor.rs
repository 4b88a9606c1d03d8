//! ractor. Its mailboxes cannot be bounded.

use crate::work::Counter;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

#[derive(Debug)]
enum Message {
    Add([u8; 16]),
    Echo([u8; 16], RpcReplyPort<[u8; 16]>),
    Count(RpcReplyPort<u64>),
}

struct Behaviour;

impl Actor for Behaviour {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, count: &mut u64) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(body) => *count += u64::from(body[0]),
            Message::Echo(body, reply) => reply.send(body)?,
            Message::Count(reply) => reply.send(*count)?,
        }
        Ok(())
    }
}

/// A ractor actor.
#[derive(Debug, Clone)]
pub struct Ractor(ActorRef<Message>);

impl Ractor {
    /// Starts the actor on the current runtime.
    pub async fn start() -> Self {
        Self(Actor::spawn(None, Behaviour, ()).await.expect("pre_start returns Ok").0)
    }

    async fn ask<T: Send + 'static>(&self, message: impl FnOnce(RpcReplyPort<T>) -> Message) -> T {
        self.0.call(message, None).await.expect("the actor lives").expect("a call without a deadline succeeds")
    }
}

impl Counter for Ractor {
    async fn add(&self) {
        self.0.cast(Message::Add([1; 16])).expect("the actor lives");
    }
    async fn echo(&self) -> [u8; 16] {
        self.ask(|reply| Message::Echo([1; 16], reply)).await
    }
    async fn count(&self) -> u64 {
        self.ask(Message::Count).await
    }
}
