//! The caller's end of `GET /v1/events`: one event after the other, within bounds.

use super::client::{lost, silent};
use crate::api::event::{Event, Gap};
use crate::api::{ApiError, HEARTBEAT};
use axum::body::Bytes;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use std::time::Duration;

/// Longest event, in bytes on the wire.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// How long the host may say nothing at all, not even that it is alive.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(4);

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An event, and its JSON as the host wrote it.
    Event(Box<Event>, String),
    /// Events are gone.
    Gap(Gap),
}

/// A watch that a host has begun: what happens from then on is told. Dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    body: Incoming,
    /// Kept: without it the connection ends.
    _sender: SendRequest<axum::body::Body>,
    /// What was read and not yet told.
    read: Vec<u8>,
    ended: bool,
}

impl Watch {
    pub(super) fn new(body: Incoming, sender: SendRequest<axum::body::Body>) -> Self {
        Self { body, _sender: sender, read: Vec::new(), ended: false }
    }

    /// What happens next; `None` after the host has said that it stops. A dropped future has taken nothing.
    ///
    /// # Errors
    /// `CTL-LOST` when the host went away without a word; `CTL-SILENT` when it says nothing any more, not even that it
    /// is alive; `CTL-ANSWER` for what is no event.
    pub async fn next(&mut self) -> Result<Option<Told>, ApiError> {
        loop {
            while let Some(block) = self.block() {
                if let Some(told) = told(&block)? {
                    self.ended |= matches!(&told, Told::Event(event, _) if event.what.is_last());
                    return Ok(Some(told));
                }
            }
            if self.read.len() > EVENT_BYTES_MAX {
                return Err(nonsense(&format!("an event of more than {EVENT_BYTES_MAX} bytes")));
            }
            match self.more().await? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None if self.ended => return Ok(None),
                None => return Err(gone("the stream ended without a last word")),
            }
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match tokio::time::timeout(SILENCE_MAX, self.body.frame()).await {
                Err(_) => return Err(silent(SILENCE_MAX)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) if self.ended => return Ok(None),
                Ok(Some(Err(error))) => return Err(lost(&error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The lines up to the next empty one.
    fn block(&mut self) -> Option<Vec<u8>> {
        let end = self.read.windows(2).position(|pair| pair == b"\n\n")?;
        let block = self.read.drain(..end + 2).collect();
        Some(block)
    }
}

/// Nothing for a comment, and for what a later teneral may say besides.
fn told(block: &[u8]) -> Result<Option<Told>, ApiError> {
    let text = std::str::from_utf8(block).map_err(|error| nonsense(&error.to_string()))?;
    let (mut name, mut data) = ("message", String::new());
    for line in text.lines() {
        match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
            Some(("event", value)) => name = value,
            Some(("data", value)) => data.push_str(value),
            _ => {}
        }
    }
    let unread = |error: serde_json::Error| nonsense(&error.to_string());
    Ok(match name {
        "happened" => Some(Told::Event(Box::new(serde_json::from_str(&data).map_err(unread)?), data)),
        "gap" => Some(Told::Gap(serde_json::from_str(&data).map_err(unread)?)),
        _ => None,
    })
}

fn gone(why: &str) -> ApiError {
    ApiError {
        causes: vec![why.to_owned()],
        now: "what happened since is not known here".into(),
        ..ApiError::request(
            StatusCode::BAD_GATEWAY,
            "CTL-LOST",
            "the host is gone",
            "teneral actor list says whether it serves",
        )
    }
}

fn nonsense(why: &str) -> ApiError {
    ApiError {
        causes: vec![why.to_owned()],
        now: "the watch is over".into(),
        ..ApiError::request(
            StatusCode::BAD_GATEWAY,
            "CTL-ANSWER",
            "the host's answer makes no sense",
            "look whether the host is of this version",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_no_event_and_a_gap_is_one_of_its_own() {
        assert_eq!(told(b": alive\n\n"), Ok(None));
        assert_eq!(told(b"event: later\ndata: {}\n\n"), Ok(None));
        assert_eq!(told(b"event: gap\ndata: {\"missed\":3}\n\n"), Ok(Some(Told::Gap(Gap { missed: Some(3) }))));
        assert_eq!(told(b"event: gap\ndata: {\n\n").map_err(|error| error.code), Err("CTL-ANSWER".into()));
        assert_eq!(told(b"event: \xff\n\n").map_err(|error| error.code), Err("CTL-ANSWER".into()));
    }
}
