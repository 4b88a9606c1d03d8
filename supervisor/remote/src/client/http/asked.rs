//! What is asked over HTTP, as JSON.

use crate::client::speech;
use crate::proto::{self, answer, turn};
use serde::Serialize;
use serde_json::value::RawValue;
use tonic::Status;

#[derive(Serialize)]
pub(super) struct Create<'a> {
    pub(super) instance: u64,
    pub(super) args: &'a RawValue,
}

#[derive(Serialize)]
pub(super) struct Restore<'a> {
    pub(super) instance: u64,
    pub(super) schema: u32,
    pub(super) state: &'a RawValue,
}

#[derive(Serialize)]
pub(super) struct Downgrade<'a> {
    pub(super) state: &'a RawValue,
    pub(super) to_schema: u32,
}

#[derive(Serialize)]
pub(super) struct Turns<'a> {
    pub(super) turns: Vec<Turn<'a>>,
}

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    instance: u64,
    number: u64,
    actor: &'a str,
    cause: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "is_zero")]
    older: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    /// Why there is no answer, or why something was not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    now_ns: u64,
    /// As a text: some readers of JSON count only to 2^53.
    seed: String,
    numbers: u64,
    numbers_max: u64,
}

#[derive(Serialize)]
struct Waiting {
    call: String,
    remaining_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "for serde")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(super) fn text(asked: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(asked).map_err(|error| Status::internal(error.to_string()))
}

/// What is JSON text, as it is.
pub(super) fn raw<'a>(what: &str, json: &'a [u8]) -> Result<&'a RawValue, Status> {
    serde_json::from_slice(json).map_err(|error| Status::invalid_argument(format!("{what} is no JSON: {error}")))
}

pub(super) fn turn(turn: &proto::Turn) -> Result<Turn<'_>, Status> {
    let (mut answer, mut failed, mut why) = (None, None, None);
    let cause = match &turn.cause {
        Some(turn::Cause::Message(_)) | None => "message",
        Some(turn::Cause::Timer(_)) => "timer",
        Some(turn::Cause::Started(started)) => {
            why = Some(match started.why() {
                proto::Why::Fresh | proto::Why::Unspecified => "fresh",
                proto::Why::Upgraded => "upgraded",
                proto::Why::RolledBack => "rolled_back",
                proto::Why::Restarted => "restarted",
            });
            "started"
        }
        Some(turn::Cause::Undelivered(text)) => {
            failed = Some(text.as_str());
            "undelivered"
        }
        Some(turn::Cause::Answer(found)) => {
            match &found.came {
                Some(answer::Came::Reply(reply)) => answer = Some(raw("the answer", &reply.body)?),
                Some(answer::Came::Failed(text)) => failed = Some(text.as_str()),
                None => {}
            }
            "answer"
        }
    };
    Ok(Turn {
        instance: turn.instance,
        number: turn.number,
        actor: &turn.actor,
        cause,
        name: &turn.name,
        body: if turn.name.is_empty() { None } else { Some(raw("the body", &turn.body)?) },
        older: turn.older,
        sender: &turn.sender,
        waiting: turn
            .waiting
            .as_ref()
            .map(|waiting| Waiting { call: speech::token(waiting), remaining_ms: waiting.remaining_ns / 1_000_000 }),
        answer,
        failed,
        why,
        now_ns: turn.now_ns,
        seed: format!("{:016x}", turn.seed),
        numbers: turn.numbers,
        numbers_max: turn.numbers_max,
    })
}
