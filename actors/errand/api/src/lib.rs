//! What the tests ask of an errand: an actor that does what it is told with the host's own actors, and writes down what
//! came of it.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral_actor::{Actor, Addr, Answer, Context, Request, Shape, State, Wire};
use teneral_contract::Bytes;
use teneral_native_api::{clock, file, http};

/// Start arguments: none.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Start {}

/// Ask for this.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Do {
    /// What.
    pub what: What,
    /// How long to wait.
    pub timeout_ms: u64,
}

/// What an errand asks for.
#[derive(Debug, Clone, Serialize, Deserialize, Shape)]
pub enum What {
    /// An HTTP request.
    Fetch(http::Fetch),
    /// A part of a file.
    Read(file::Read),
    /// Bytes appended.
    Append(file::Append),
    /// A file followed.
    Follow(file::Follow),
    /// The time.
    Now,
    /// A wake-up.
    Wake(clock::Wake),
    /// Whatever an actor of the host that is called so echoes.
    Echo(Addr, String),
}

/// Asks an actor of the test's own host.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Echoed)]
pub struct Echo {
    /// What.
    pub text: String,
}

/// What an actor of the test's own host handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Words {
    /// Asks for the same text.
    Echo(Echo),
}

/// The same text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Echoed {
    /// What.
    pub text: String,
}

/// What comes back of [`What::Echo`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Heard {
    /// What came.
    pub answer: Answer<Echoed>,
}

/// What comes back of [`What::Fetch`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Fetched {
    /// What came.
    pub answer: Answer<http::Response>,
}

/// What comes back of [`What::Read`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct WasRead {
    /// What came.
    pub answer: Answer<file::Part>,
}

/// What comes back of [`What::Append`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct WasAppended {
    /// What came.
    pub answer: Answer<file::Appended>,
}

/// What comes back of [`What::Follow`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Follows {
    /// What came.
    pub answer: Answer<file::Following>,
}

/// What comes back of [`What::Now`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Told {
    /// What came.
    pub answer: Answer<clock::Time>,
}

/// What comes back of [`What::Wake`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct WillWake {
    /// What came.
    pub answer: Answer<clock::Waking>,
}

/// Asks what came of it all.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Seen)]
pub struct Look {}

/// What came of it all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Seen {
    /// Which code says so.
    pub version: String,
    /// A line an answer, oldest first.
    pub notes: Vec<String>,
    /// What all chunks held.
    pub bytes: Bytes,
    /// The place behind the last one.
    pub place: Option<file::Place>,
    /// Whose messages were chunks and wake-ups.
    pub senders: Vec<Addr>,
}

/// What an errand handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Ask for this.
    Do(Do),
    /// Of an actor of the test's own host.
    Heard(Heard),
    /// Of an HTTP request.
    Fetched(Fetched),
    /// Of a part of a file.
    WasRead(WasRead),
    /// Of bytes appended.
    WasAppended(WasAppended),
    /// Of a file followed.
    Follows(Follows),
    /// Of the time.
    Told(Told),
    /// Of a wake-up.
    WillWake(WillWake),
    /// A file grew.
    Chunk(file::Chunk),
    /// It is time.
    Woken(clock::Woken),
    /// Asks what came of it all.
    Look(Look),
}

/// What an errand of any version keeps and does.
#[derive(Debug, Default, Serialize, Deserialize, Shape)]
pub struct Body {
    notes: Vec<String>,
    bytes: Bytes,
    place: Option<file::Place>,
    senders: Vec<Addr>,
}

/// The state of 1.0.0.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct V1 {
    /// What it keeps.
    pub body: Body,
}

impl Body {
    /// One message, in code of that version.
    pub fn handle<A: Actor<Message = Message>>(&mut self, version: &str, message: Message, ctx: &mut Context<A>) {
        match message {
            Message::Do(Do { what, timeout_ms }) => ask(what, Duration::from_millis(timeout_ms), ctx),
            Message::Heard(Heard { answer }) => self.note(answer, |echoed| echoed.text),
            Message::Fetched(Fetched { answer }) => {
                self.note(answer, |response| format!("{} {}", response.status, String::from_utf8_lossy(&response.body)))
            }
            Message::WasRead(WasRead { answer }) => {
                self.note(answer, |part| format!("{} of {}", String::from_utf8_lossy(&part.bytes), part.file_bytes))
            }
            Message::WasAppended(WasAppended { answer }) => {
                self.note(answer, |done| format!("has {}", done.file_bytes))
            }
            Message::Follows(Follows { answer }) => self.note(answer, |_| "follows".to_owned()),
            Message::Told(Told { answer }) => self.note(answer, |time| time.unix_ms.to_string()),
            Message::WillWake(WillWake { answer }) => self.note(answer, |_| "will be woken".to_owned()),
            Message::Chunk(chunk) => {
                self.bytes.0.extend_from_slice(&chunk.bytes);
                self.place = Some(chunk.place);
                self.sender(ctx.sender());
            }
            Message::Woken(woken) => {
                self.notes.push(format!("woken {}", woken.name));
                self.sender(ctx.sender());
            }
            Message::Look(Look {}) => ctx.reply(&Seen {
                version: version.to_owned(),
                notes: self.notes.clone(),
                bytes: self.bytes.clone(),
                place: self.place,
                senders: self.senders.clone(),
            }),
        }
    }

    fn sender(&mut self, sender: Option<Addr>) {
        if let Some(sender) = sender.filter(|sender| !self.senders.contains(sender)) {
            self.senders.push(sender);
        }
    }

    fn note<T>(&mut self, answer: Answer<T>, say: impl FnOnce(T) -> String) {
        self.notes.push(answer.get().map_or_else(|error| format!("error: {error}"), say));
    }
}

fn ask<A: Actor<Message = Message>>(what: What, timeout: Duration, ctx: &mut Context<A>) {
    match what {
        What::Fetch(fetch) => ctx.ask(&http::addr(), fetch, timeout, |answer| Fetched { answer }),
        What::Read(read) => ctx.ask(&file::addr(), read, timeout, |answer| WasRead { answer }),
        What::Append(append) => ctx.ask(&file::addr(), append, timeout, |answer| WasAppended { answer }),
        What::Follow(follow) => ctx.ask(&file::addr(), follow, timeout, |answer| Follows { answer }),
        What::Now => ctx.ask(&clock::addr(), clock::Now {}, timeout, |answer| Told { answer }),
        What::Wake(wake) => ctx.ask(&clock::addr(), wake, timeout, |answer| WillWake { answer }),
        What::Echo(to, text) => ctx.ask(&to, Echo { text }, timeout, |answer| Heard { answer }),
    }
}
