//! tokio by itself: a task that reads a bounded channel, and answers over oneshots.

use crate::work::{Counter, MAILBOX_MESSAGES_MAX};
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
enum Message {
    Add([u8; 16]),
    Echo([u8; 16], oneshot::Sender<[u8; 16]>),
    Count(oneshot::Sender<u64>),
}

/// A bare task's channel.
#[derive(Debug, Clone)]
pub struct Bare(mpsc::Sender<Message>);

impl Bare {
    /// Starts the task on the current runtime.
    #[must_use]
    pub fn start() -> Self {
        let (sender, mut receiver) = mpsc::channel(MAILBOX_MESSAGES_MAX);
        tokio::spawn(async move {
            let mut count = 0;
            while let Some(message) = receiver.recv().await {
                match message {
                    Message::Add(body) => count += u64::from(body[0]),
                    Message::Echo(body, reply) => _ = reply.send(body),
                    Message::Count(reply) => _ = reply.send(count),
                }
            }
        });
        Self(sender)
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> T {
        let (reply, answer) = oneshot::channel();
        _ = self.0.send(message(reply)).await;
        answer.await.expect("the task lives as long as its sender")
    }
}

impl Counter for Bare {
    async fn add(&self) {
        _ = self.0.send(Message::Add([1; 16])).await;
    }
    async fn echo(&self) -> [u8; 16] {
        self.ask(|reply| Message::Echo([1; 16], reply)).await
    }
    async fn count(&self) -> u64 {
        self.ask(Message::Count).await
    }
}
