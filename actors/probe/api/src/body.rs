//! What all versions of a probe share, so that each version shows what is its own.

use crate::{Act, Attempt, Ending, Entry, Fresh, Heard, Later, Live, Message, Note, Owe, Paid, Read, Relay, Relayed};
use crate::{Seen, Start, Take, Tallied, Tally, Tick, Told, digest, trap, v1};
use serde::{Deserialize, Serialize};
use teneral_actor::prelude::*;

/// What a version says in shapes of its own.
pub trait Dialect: teneral_actor::Message + Sized {
    /// Starts a timer that brings a note.
    fn remind<A: Actor<Message = Self>>(delay_ms: u64, sender: u32, number: u64, ctx: &mut Context<A>);

    /// Starts a timer that brings what only some versions know.
    fn peculiar<A: Actor<Message = Self>>(delay_ms: u64, ctx: &mut Context<A>);

    /// Asks `to` what it owes.
    fn ask<A: Actor<Message = Self>>(to: &Addr, timeout_ms: u64, ctx: &mut Context<A>);

    /// Owes an answer to the turn's message.
    fn owe<A: Actor<Message = Self>>(ctx: &mut Context<A>) -> ReplyHandle<Told>;

    /// Answers whoever waits since [`Dialect::owe`]: so many notes, so heavy.
    fn pay<A: Actor<Message = Self>>(handle: ReplyHandle<Told>, paid: Paid, ctx: &mut Context<A>);
}

impl Dialect for v1::Message {
    fn remind<A: Actor<Message = Self>>(delay_ms: u64, sender: u32, number: u64, ctx: &mut Context<A>) {
        ctx.after(millis(delay_ms), v1::Note { sender, number });
    }

    fn peculiar<A: Actor<Message = Self>>(delay_ms: u64, ctx: &mut Context<A>) {
        ctx.after(millis(delay_ms), v1::Gone {});
    }

    fn ask<A: Actor<Message = Self>>(to: &Addr, timeout_ms: u64, ctx: &mut Context<A>) {
        ctx.ask(to, v1::Owe {}, millis(timeout_ms), |answer| v1::Heard { answer });
    }

    fn owe<A: Actor<Message = Self>>(ctx: &mut Context<A>) -> ReplyHandle<Told> {
        ctx.reply_later::<v1::Paid>().cast()
    }

    fn pay<A: Actor<Message = Self>>(handle: ReplyHandle<Told>, paid: Paid, ctx: &mut Context<A>) {
        ctx.reply_to(handle.cast(), &v1::Paid { notes: paid.notes });
    }
}

impl Dialect for Message {
    fn remind<A: Actor<Message = Self>>(delay_ms: u64, sender: u32, number: u64, ctx: &mut Context<A>) {
        ctx.after(millis(delay_ms), Note { sender, number, weight: 2 });
    }

    fn peculiar<A: Actor<Message = Self>>(delay_ms: u64, ctx: &mut Context<A>) {
        ctx.after(millis(delay_ms), Fresh {});
    }

    fn ask<A: Actor<Message = Self>>(to: &Addr, timeout_ms: u64, ctx: &mut Context<A>) {
        ctx.ask(to, Owe {}, millis(timeout_ms), |answer| Heard { answer });
    }

    fn owe<A: Actor<Message = Self>>(ctx: &mut Context<A>) -> ReplyHandle<Told> {
        ctx.reply_later::<Paid>().cast()
    }

    fn pay<A: Actor<Message = Self>>(handle: ReplyHandle<Told>, paid: Paid, ctx: &mut Context<A>) {
        ctx.reply_to(handle.cast(), &paid);
    }
}

/// The part of the state that never changes its shape.
#[derive(Debug, Serialize, Deserialize, Shape)]
pub struct Body {
    log: Vec<Entry>,
    notes: Vec<String>,
    owed: Vec<ReplyHandle<Told>>,
    relays: Vec<ReplyHandle<Seen>>,
    ballast: String,
    trap: Live,
}

impl Body {
    /// An empty one.
    ///
    /// # Errors
    /// When the trap says so.
    pub fn init(start: Start) -> Result<Self> {
        start.trap.spring("init").map_err(ActorError::new)?;
        let (log, notes, owed, relays, ballast) = Default::default();
        Ok(Self { log, notes, owed, relays, ballast, trap: Live(start.trap) })
    }

    /// How many notes were handled.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.log.len() as u64
    }

    /// Springs the trap, if `step` is its step.
    ///
    /// # Errors
    /// When the trap says so.
    pub fn spring(&self, step: &str) -> Result<(), MigrateError> {
        self.trap.0.spring(step).map_err(MigrateError::new)
    }

    /// Whether a move at this step is to be another one each time, or to lose something.
    #[must_use]
    pub fn is_fickle(&self, step: &str) -> bool {
        self.trap.0.at(step) == Some("fickle")
    }

    /// Forgets what it has grown by.
    pub fn shrink(&mut self) {
        self.ballast.clear();
    }

    /// Writes down that the instance went live, and tells itself so.
    ///
    /// # Errors
    /// When the trap says so.
    pub fn started<A: Actor>(&mut self, version: u32, why: Why, ctx: &mut Context<A>) -> Result<()> {
        self.trap.0.spring("started").map_err(ActorError::new)?;
        self.notes.push(format!("{version}: started {why:?}"));
        ctx.tell(&ctx.this(), Tick { text: "opened".into() });
        Ok(())
    }

    /// Puts a note into the log.
    pub fn note(&mut self, version: u32, (sender, number, weight): (u32, u64, u32)) {
        self.log.push(Entry { sender, number, version, weight });
    }

    /// Puts a request into the log, and answers with what the log has come to.
    pub fn tally<A: Actor>(&mut self, version: u32, tally: &Tally, ctx: &mut Context<A>) {
        self.note(version, (tally.sender, tally.number, 0));
        ctx.reply(&Tallied { version, handled: self.handled(), digest: digest(&self.log) });
    }

    /// Writes something down.
    pub fn write(&mut self, version: u32, text: impl std::fmt::Display) {
        self.notes.push(format!("{version}: {text}"));
    }

    /// Answers with what was seen.
    pub fn read<A: Actor>(&self, version: u32, Read {}: Read, ctx: &mut Context<A>) {
        ctx.reply(&self.seen(version));
    }

    /// Owes an answer.
    pub fn later<A: Actor>(&mut self, Later {}: Later, ctx: &mut Context<A>) {
        self.owed.push(ctx.reply_later());
    }

    /// Asks the other probe, and owes its answer.
    pub fn relay<A: Actor<Message: From<Relayed>>>(&mut self, relay: &Relay, ctx: &mut Context<A>) {
        self.relays.push(ctx.reply_later());
        ctx.ask(&relay.to, Read {}, secs(20), |answer| Relayed { answer });
    }

    /// Passes the other probe's answer on.
    pub fn relayed<A: Actor>(&mut self, version: u32, relayed: Relayed, ctx: &mut Context<A>) {
        match relayed.answer.get() {
            Ok(seen) => {
                self.write(version, "relayed");
                self.relays.drain(..).for_each(|handle| ctx.reply_to(handle, &seen));
            }
            Err(error) => self.write(version, format_args!("not relayed: {error}")),
        }
    }

    /// Owes an answer in a shape of this version's.
    pub fn owe<A: Actor<Message: Dialect>>(&mut self, ctx: &mut Context<A>) {
        self.owed.push(A::Message::owe(ctx));
    }

    /// Owes what another probe owed.
    pub fn take(&mut self, taken: Take) {
        self.owed.push(taken.handle);
    }

    /// Writes down what another actor answered.
    pub fn heard(&mut self, version: u32, answer: std::result::Result<impl std::fmt::Debug, AskError>) {
        match answer {
            Ok(paid) => self.write(version, format_args!("heard {paid:?}")),
            Err(error) => self.write(version, format_args!("not heard: {error}")),
        }
    }

    /// Has every kind of effect in one turn, and ends it as told.
    ///
    /// # Errors
    /// When it is told to fail.
    ///
    /// # Panics
    /// When it is told to.
    pub fn attempt<A: Actor<Message: From<Tick> + Dialect>>(
        &mut self,
        version: u32,
        attempt: &Attempt,
        ctx: &mut Context<A>,
    ) -> Result<()> {
        ctx.tell(&attempt.to, Tick { text: format!("told {:?}", attempt.end) });
        A::Message::ask(&attempt.to, 60_000, ctx);
        ctx.after(millis(0), Tick { text: format!("timer {:?}", attempt.end) });
        ctx.spawn("probe", &attempt.child, &Start::default())?;
        ctx.reply(&Told { version });
        match attempt.end {
            Ending::Well => Ok(()),
            Ending::Error => {
                ctx.stop();
                fail!("failed, as told")
            }
            Ending::Panic => {
                ctx.stop();
                panic!("panicked, as told")
            }
        }
    }

    /// Does what it is told.
    ///
    /// # Errors
    /// When it is told to fail.
    ///
    /// # Panics
    /// When it is told to.
    pub fn act<A: Actor<Message: From<Tick> + Dialect>>(
        &mut self,
        version: u32,
        act: Act,
        ctx: &mut Context<A>,
    ) -> Result<()> {
        match act {
            Act::Write(text) => self.write(version, text),
            Act::Block { until } => {
                trap::wait_for(&until);
                self.write(version, "unblocked");
            }
            Act::TellThenFail(to, text) => {
                ctx.tell(&to, Tick { text });
                fail!("failed, as told");
            }
            Act::TellThenPanic(to, text) => {
                ctx.tell(&to, Tick { text });
                panic!("panicked, as told");
            }
            Act::Tell(to, text, times) => (0..times).for_each(|_| ctx.tell(&to, Tick { text: text.clone() })),
            Act::Timer { delay_ms, period_ms: 0, text } => _ = ctx.after(millis(delay_ms), Tick { text }),
            Act::Timer { period_ms, text, .. } => _ = ctx.every(millis(period_ms), Tick { text }),
            Act::Settle => self.owed.drain(..).for_each(|handle| ctx.reply_to(handle, &Told { version })),
            Act::Spawn(key) => _ = ctx.spawn("probe", &key, &Start::default())?,
            Act::Stop(reason) => ctx.stop_because(&reason),
            Act::SetTrap(trap) => self.trap = Live(trap),
            Act::Grow(bytes) => self.ballast.push_str(&"x".repeat(bytes as usize)),
            Act::Remind { delay_ms, sender, number } => A::Message::remind(delay_ms, sender, number, ctx),
            Act::Peculiar { delay_ms } => A::Message::peculiar(delay_ms, ctx),
            Act::Ask { to, timeout_ms } => A::Message::ask(&to, timeout_ms, ctx),
            Act::Pay => {
                let weight = self.log.iter().map(|entry| u64::from(entry.weight)).sum();
                let paid = Paid { notes: self.handled(), weight };
                self.owed.drain(..).for_each(|handle| A::Message::pay(handle, paid.clone(), ctx));
            }
            Act::OnlyUnder { version: good, how } if version != good => match how.split_once(' ') {
                Some(("hang", file)) => trap::wait_for(file),
                _ if how == "abort" => std::process::abort(),
                _ if how == "panic" => panic!("{version} panics, as told"),
                _ if how == "slow" => trap::dawdle(),
                _ => fail!("{version} fails, as told"),
            },
            Act::OnlyUnder { .. } => self.write(version, "did well"),
            Act::Sign(to) => ctx.tell(&to, Tick { text: format!("signed by {version}") }),
            Act::SignUnder { version: signing, to } if version == signing => {
                ctx.tell(&to, Tick { text: format!("signed by {version}") });
            }
            Act::SignUnder { .. } => {}
            Act::Delegate(to) => self.owed.drain(..).for_each(|handle| ctx.tell(&to, Take { handle })),
        }
        Ok(())
    }

    fn seen(&self, version: u32) -> Seen {
        Seen { version, log: self.log.clone(), notes: self.notes.clone() }
    }
}
