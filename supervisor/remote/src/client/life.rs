//! A process from the moment that it serves until its end: what comes back from it, and why it comes no more.

use super::child::{Ends, how};
use super::fate::{Fate, Known};
use super::http;
use super::process::{LATE_LOOK, Limits};
use super::session::Session;
use super::turns::Turns;
use crate::proto;
use crate::queue::Queue;
use futures_util::StreamExt;
use std::path::PathBuf;
use tokio::time::sleep;

/// What holds a process: dropped, it is ended.
pub(super) enum Life {
    /// Of this machine, with its socket.
    Child(Ends, PathBuf),
    /// Of another.
    Session(Session),
}

impl Life {
    /// Nobody needs the name of its socket any more.
    pub(super) fn is_known(&self) {
        if let Self::Child(_, socket) = self {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// Waits until it has ended: how. A cancelled future has lost nothing.
    async fn ended(&mut self) -> (Option<Fate>, String) {
        match self {
            Self::Child(child, _) => match child.wait().await {
                Ok(status) => (Fate::of(status), format!("the module's process ended: {}", how(status))),
                Err(error) => (None, format!("the module's process ended: {error}")),
            },
            Self::Session(session) => session.ended().await,
        }
    }

    async fn end(mut self) {
        if let Self::Child(child, _) = &mut self {
            child.kill();
            let _ = child.wait().await;
        }
        // One that nobody has to do with any more.
        self.is_known();
    }
}

/// Takes what comes back, until that ends or cannot be believed.
pub(super) async fn reads(mut stream: tonic::Streaming<proto::TurnsDone>, turns: Turns, threads: u64) {
    loop {
        match stream.next().await {
            Some(Ok(frame)) => {
                for turn in frame.turns {
                    if let Err(breach) = turns.back(turn) {
                        return turns.fail(&format!("the module broke the protocol: {breach}"), threads);
                    }
                }
            }
            // Who watches the process may know better why: its end is seen a moment later.
            Some(Err(status)) => {
                sleep(LATE_LOOK).await;
                return turns.fail(&format!("its stream broke: {}", status.message()), threads);
            }
            None => {
                sleep(LATE_LOOK).await;
                return turns.fail("it ended its stream", threads);
            }
        }
    }
}

/// Has frames of turns taken, one after the other, as long as what comes back can be believed.
pub(super) async fn delivers(client: http::Client, queue: Queue<proto::Turn>, turns: Turns, threads: u64) {
    let mut frames = queue.frames();
    while let Some(frame) = frames.next().await {
        let failed = match client.deliver(&frame).await {
            Ok(done) => done.into_iter().find_map(|turn| turns.back(turn).err()).map(|breach| breach.to_string()),
            Err(status) => {
                // Who watches the process may know better why: its end is seen a moment later.
                sleep(LATE_LOOK).await;
                Some(status.message().to_owned())
            }
        };
        if let Some(why) = failed {
            return turns.fail(&format!("the module broke the protocol: {why}"), threads);
        }
    }
}

/// Sees it end, or hang, or be needed no more, and ends it.
pub(super) async fn watches(mut life: Life, turns: Turns, limits: Limits, known: Known) {
    let Limits { turns_timeout, threads, .. } = limits;
    loop {
        tokio::select! {
            (fate, ended) = life.ended() => {
                if let Some(fate) = fate {
                    known.is(fate);
                }
                turns.fail(&ended, threads);
                break;
            }
            () = sleep(LATE_LOOK) => {
                if turns.is_late(turns_timeout) {
                    known.is(Fate::Hung(turns_timeout));
                    turns.fail(&format!("a turn did not return within {turns_timeout:?}"), threads);
                }
                if turns.gone().is_some() {
                    break;
                }
            }
        }
    }
    life.end().await;
}
