//! One message on its way to a member, and what becomes of it when the member falls.
//!
//! A member is a cell: what it had in its hands when its process died it keeps, and the next process handles it, since
//! to the host nothing of it had happened. So nothing is lost by waiting. A message that is declared idempotent does
//! not wait: it is handed to another member besides, within the budget, and the first answer counts.

use super::address::{Address, Chosen};
use crate::balance::{EndpointId, Outcome};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use teneral_contract::{AskError, Fingerprint, Tag};
use teneral_runtime::{Later, TellError};
use tokio::time::{Instant, timeout_at};

/// How often one message is handed over at most: a message that ends processes ends no more than two members'.
const TRIES_MAX: usize = 2;

/// A message to be handed on.
pub(super) struct Job {
    pub(super) later: Later,
    pub(super) tag: Tag,
    pub(super) body: Vec<u8>,
    /// For whoever chooses by it.
    pub(super) key: u64,
    pub(super) is_idempotent: bool,
}

type Came = (EndpointId, Result<(Fingerprint, Vec<u8>), AskError>);

type Try = Pin<Box<dyn Future<Output = Came> + Send>>;

/// Hands it on, and answers whoever waits.
pub(super) async fn hand_on(address: Arc<Address>, mut job: Job) -> Later {
    match (job.later.shape(), job.later.remaining()) {
        (Some(shape), Some(left)) => asked(&address, &mut job, shape, Instant::now() + left).await,
        _ => told(&address, &mut job).await,
    }
    job.later
}

/// Nobody waits for an answer: it is somebody's when a member has accepted it.
async fn told(address: &Address, job: &mut Job) {
    let mut changed = address.changes();
    loop {
        changed.borrow_and_update();
        if let Some(chosen) = address.choose((job.tag, None), job.key, &[]) {
            let sender = job.later.sender();
            let body = std::mem::take(&mut job.body);
            let sent = match sender {
                Some(sender) => chosen.actor.tell_raw_from(sender, job.tag, body).await,
                None => chosen.actor.tell_raw(job.tag, body).await,
            };
            match sent {
                Ok(()) => return address.ended(chosen.member, Outcome::GivenUp),
                // It was told nobody: the next one gets it.
                Err(TellError::Closed(message)) => {
                    job.body = message;
                    address.ended(chosen.member, Outcome::Failed);
                }
                // A dead letter by now.
                Err(_) => return address.ended(chosen.member, Outcome::Answered),
            }
            continue;
        }
        if changed.changed().await.is_err() || address.is_over() {
            return job.later.lose(job.tag, std::mem::take(&mut job.body));
        }
    }
}

async fn asked(address: &Arc<Address>, job: &mut Job, shape: Fingerprint, until: Instant) {
    let mut changed = address.changes();
    let (mut tries, mut tried) = (FuturesUnordered::new(), Vec::new());
    address.called();
    loop {
        changed.borrow_and_update();
        // Whoever has it has fallen, or nobody has it yet.
        let may = tried.is_empty() || may_go_elsewhere(address, job, &tried, until);
        let not: Vec<EndpointId> = tried.iter().map(|chosen: &Chosen| chosen.member).collect();
        if may && let Some(chosen) = address.choose((job.tag, Some(shape)), job.key, &not) {
            tries.push(at(chosen.clone(), job, shape, until));
            tried.push(chosen);
        }
        tokio::select! {
            Some((member, came)) = tries.next() => {
                address.ended(member, outcome(&came));
                match came {
                    Ok((shape, body)) => {
                        job.later.answer(shape, body);
                        break;
                    }
                    Err(error) if tries.is_empty() => {
                        let gone = is_gone(&error);
                        if gone && job.is_idempotent && tried.len() < TRIES_MAX && Instant::now() < until {
                            // Whatever it did of it, it may be done again: as soon as there is somebody else.
                            continue;
                        }
                        job.later.refuse(if gone { lost(address, member) } else { error });
                        break;
                    }
                    // The other one has it still.
                    Err(_) => {}
                }
            }
            came = timeout_at(until, changed.changed()) => match came {
                Ok(Ok(())) if !address.is_over() => {}
                Ok(_) => {
                    job.later.refuse(AskError::Stopped);
                    break;
                }
                Err(_) if tries.is_empty() => {
                    job.later.refuse(AskError::Timeout);
                    break;
                }
                // Each of them has the same time, and says so itself.
                Err(_) => {
                    let Some((member, came)) = tries.next().await else { break };
                    address.ended(member, outcome(&came));
                    match came {
                        Ok((shape, body)) => job.later.answer(shape, body),
                        Err(error) => job.later.refuse(error),
                    }
                    break;
                }
            },
        }
    }
    address.outlives(tries);
}

/// Whether it may be handed to one more: all who have it have fallen, and it may be done twice.
fn may_go_elsewhere(address: &Address, job: &Job, tried: &[Chosen], until: Instant) -> bool {
    let fallen = tried.iter().all(|chosen| address.has_fallen(chosen));
    let may = job.is_idempotent && tried.len() < TRIES_MAX && Instant::now() < until;
    let may = may && !cfg!(feature = "bug-p27"); // Planted: whoever has it keeps it.
    fallen && may && address.has_another(&job.tag, tried) && address.may_retry()
}

/// Asks one member.
fn at(chosen: Chosen, job: &Job, shape: Fingerprint, until: Instant) -> Try {
    let Chosen { member, actor, .. } = chosen;
    let (tag, body, sender) = (job.tag, job.body.clone(), job.later.sender().cloned());
    Box::pin(async move {
        let left = until.saturating_duration_since(Instant::now());
        let came = actor.ask_raw_from(sender.as_ref(), tag, body, shape, left).await;
        (member, came)
    })
}

/// The tries of a call that is answered: they are waited for, so that an answer that comes yet is no late one.
pub(super) type Rest = FuturesUnordered<Try>;

/// What an answer says of the member that gave it.
pub(super) const fn outcome(came: &Result<(Fingerprint, Vec<u8>), AskError>) -> Outcome {
    match came {
        Err(AskError::Panicked(_) | AskError::Stopped | AskError::NoActor(_) | AskError::Timeout | AskError::Full) => {
            Outcome::Failed
        }
        // The code's own word.
        Ok(_) | Err(_) => Outcome::Answered,
    }
}

/// Whether the member is no more, so that nobody will ever answer.
const fn is_gone(error: &AskError) -> bool {
    matches!(error, AskError::Stopped | AskError::NoActor(_))
}

fn lost(address: &Address, member: EndpointId) -> AskError {
    AskError::Lost(format!("{} had it when it ended, and it may not be handled twice", address.name_of(member)))
}
