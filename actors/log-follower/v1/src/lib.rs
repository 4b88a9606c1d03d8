//! Follows a log, and hands its lines to whoever counts them.
//!
//! Its place in the log is state, kept in the same turn that hands a chunk on: over upgrades and restarts of the host
//! no line is lost and none comes twice.
#![forbid(unsafe_code)]

use log_follower_api::{Again, Begun, Look, Message, Progress, Start};
use log_handler_api::Ingest;
use std::time::Duration;
use teneral_actor::prelude::*;
use teneral_native_api::file::{self, Chunk, Cut, Follow, Place, Since};

/// How long until a log that cannot be followed is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Of the log at a time: a hundred lines or so.
const CHUNK_BYTES: u32 = 8 << 10;

/// What one turn sends: below what it may (`limits.effects_per_turn_max`).
const MESSAGES_MAX: usize = 200;

/// How far it is.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct LogFollower {
    path: String,
    to: Addr,
    /// The number of the stream that counts: chunks of one before are told again by it.
    stream: u64,
    place: Option<Place>,
    sent: u64,
    lines: u64,
    bytes: u64,
    trouble: Option<String>,
}

impl Actor for LogFollower {
    type Message = Message;
    type Args = Start;

    fn init(Start { path, to }: Start) -> Result<Self> {
        Ok(Self { path, to, stream: 0, place: None, sent: 0, lines: 0, bytes: 0, trouble: None })
    }

    fn started(&mut self, _: Why, ctx: &mut Context<Self>) -> Result<()> {
        self.follow(ctx);
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Chunk(chunk) if chunk.stream == self.stream => self.hand_on(chunk, ctx),
            Message::Chunk(_) => {}
            Message::Begun(Begun { answer }) => {
                self.trouble = answer.get().err().map(|error| error.to_string());
                if self.trouble.is_some() {
                    ctx.after(AGAIN, Again {});
                }
            }
            Message::Again(Again {}) => self.follow(ctx),
            Message::Look(Look {}) => ctx.reply(&Progress {
                lines: self.lines,
                bytes: self.bytes,
                place: self.place,
                trouble: self.trouble.clone(),
            }),
        }
        Ok(())
    }
}

impl LogFollower {
    fn follow(&mut self, ctx: &mut Context<Self>) {
        self.stream = ctx.random();
        let follow = Follow {
            path: self.path.clone(),
            since: self.place.map_or(Since::Start, Since::Place),
            stream: self.stream,
            cut: Cut::Lines,
            bytes_max: CHUNK_BYTES,
        };
        ctx.ask(&file::addr(), follow, Duration::from_secs(5), |answer| Begun { answer });
    }

    fn hand_on(&mut self, chunk: Chunk, ctx: &mut Context<Self>) {
        let Chunk { bytes, place, .. } = chunk;
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        // A line a message. Where lines are so short that a turn could not send that many, some go together, and are
        // counted all the same.
        for together in lines.chunks(lines.len().div_ceil(MESSAGES_MAX).max(1)) {
            let line = together.concat();
            let line = line.strip_suffix(b"\n").unwrap_or(&line).to_vec();
            ctx.tell(&self.to, Ingest { sender: 0, sequence: self.sent, line });
            self.sent += 1;
        }
        self.lines += lines.len() as u64;
        self.bytes += bytes.len() as u64;
        self.place = Some(place);
    }
}
