//! Actors spoken to in JSON, by the names of their messages: for people, scripts and HTTP, who have no type of them.
//!
//! The actor's own code reads and writes the JSON, so that what can be said is exactly what the actor understands. It
//! is the code that serves when the call begins; if the actor moves on meanwhile, its message passes the contract map
//! as a message of an older version does, and the answer comes back in the shape that was asked for.

use crate::{Launch, System, SystemError, ToAddr};
use semver::Version;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::manifest::MessageEntry;
use teneral_contract::spell::{spelled, typed};
use teneral_contract::{Addr, AskError, Fingerprint, Tag};
use teneral_runtime::ports::{Body, FaultKind, Json, JsonDone, Provider};
use teneral_runtime::{ActorRef, StartArgs};
use teneral_upgrade::nearest;

/// Longest shape that a hint writes out, in characters; a longer one is looked up.
const SHAPE_CHARS_MAX: usize = 300;

/// A message that was given as JSON.
struct Encoded {
    tag: Tag,
    body: Vec<u8>,
    reply: Option<Fingerprint>,
}

impl System {
    /// Tells an actor a message of that name, with its body as JSON. Waits for room, at most `timeout`.
    ///
    /// # Errors
    /// [`SystemError::Actor`]; [`SystemError::Message`] with the nearest names; [`SystemError::Json`] with the place in
    /// the text; [`SystemError::Tell`], [`SystemError::Full`].
    pub async fn tell_json(
        &self,
        addr: impl ToAddr,
        message: &str,
        json: &str,
        timeout: Duration,
    ) -> Result<(), SystemError> {
        let actor = self.up(addr).await?;
        let Encoded { tag, body, .. } = self.encoded(&actor, actor.provider(), message, json, timeout).await?;
        let addr = actor.addr().clone();
        match tokio::time::timeout(timeout, actor.tell_raw(tag, body)).await {
            Ok(told) => told.map_err(|why| SystemError::Tell { addr, source: why.without_message() }),
            Err(_) => Err(SystemError::Full { addr, waited: timeout }),
        }
    }

    /// Asks an actor by the name of a request, with its body as JSON; the answer is JSON. Waits at most `timeout` for
    /// room and for the answer.
    ///
    /// # Errors
    /// [`SystemError::Actor`]; [`SystemError::Message`] with the nearest names; [`SystemError::Json`] with the place in
    /// the text, and for a message that asks for nothing, before anybody has seen it; [`SystemError::Ask`].
    pub async fn ask_json(
        &self,
        addr: impl ToAddr,
        message: &str,
        json: &str,
        timeout: Duration,
    ) -> Result<String, SystemError> {
        let actor = self.up(addr).await?;
        let provider = actor.provider();
        let Encoded { tag, body, reply } = self.encoded(&actor, Arc::clone(&provider), message, json, timeout).await?;
        let reply = reply.ok_or_else(|| {
            let why = format!("message {message} asks for nothing: tell it");
            let hint = takes(actor.addr(), &*provider, message);
            SystemError::Json { addr: actor.addr().clone(), why, hint }
        })?;
        let answer = actor.ask_raw(tag, body, reply, timeout).await;
        let (shape, bytes) = answer.map_err(|source| SystemError::Ask { addr: actor.addr().clone(), source })?;
        let variant = tag.variant;
        let text = self.text(actor.addr(), provider, timeout, move |provider| {
            provider.json(Json::Reply { variant, body: Body { shape, bytes: &bytes } })
        });
        // Not the asker's JSON, and the actor has handled the request: whoever asks again asks twice.
        text.await.map_err(|error| match error {
            SystemError::Json { addr, why, .. } => SystemError::Ask { addr, source: AskError::Decode(why) },
            error => error,
        })
    }

    /// The actor's state as JSON, at the next message boundary, also while it is paused.
    ///
    /// # Errors
    /// [`SystemError::Actor`]; [`SystemError::State`] when it cannot be saved or has no boundary within `timeout`;
    /// [`SystemError::Json`] when its code offers no JSON.
    pub async fn state_json(&self, addr: impl ToAddr, timeout: Duration) -> Result<String, SystemError> {
        let actor = self.up(addr).await?;
        self.unless_spread(actor.addr())?;
        loop {
            let provider = actor.provider();
            let read = actor.state(timeout).await;
            let read = read.map_err(|source| SystemError::State { addr: actor.addr().clone(), source })?;
            // Saved by the code that reads it, or the actor has moved on in between.
            if *provider.version() == read.version && provider.schema() == read.schema {
                let bytes = read.bytes;
                return self
                    .text(actor.addr(), provider, timeout, move |provider| provider.json(Json::State(&bytes)))
                    .await;
            }
        }
    }

    /// Starts an actor whose arguments are JSON.
    ///
    /// # Errors
    /// As [`System::start_with`]; [`SystemError::Json`] with the place in the text.
    pub async fn start_json(&self, addr: impl ToAddr, launch: Launch, args: &str) -> Result<ActorRef, SystemError> {
        let (addr, Launch { version, options }) = (addr.to_addr()?, launch);
        let (provider, args) = self.args_json(&addr, version, args).await?;
        let system = self.clone();
        self.blocking("a start", move |_| system.start_of(addr, provider, args, options)).await
    }

    /// Start arguments as the code reads them that the actor would start on, and that code.
    ///
    /// # Errors
    /// As [`System::start_json`]; nobody is started.
    pub(crate) async fn args_json(
        &self,
        addr: &Addr,
        version: Option<Version>,
        args: &str,
    ) -> Result<(Arc<dyn Provider>, StartArgs), SystemError> {
        let (system, named, text) = (self.clone(), addr.clone(), args.to_owned());
        let provider = self.blocking("a load", move |_| system.code(&named, version)).await?;
        let within = self.runtime().config().start_timeout;
        let done = self
            .inner
            .scribes
            .run(addr, Arc::clone(&provider), within, move |provider| provider.json(Json::Args(&text)));
        match done.await?.map_err(|fault| misread_args(addr, &*provider, fault.text))? {
            JsonDone::Args { shape, bytes } => Ok((provider, StartArgs { shape, bytes })),
            other => Err(confused(addr, &other)),
        }
    }

    async fn encoded(
        &self,
        actor: &ActorRef,
        provider: Arc<dyn Provider>,
        message: &str,
        json: &str,
        timeout: Duration,
    ) -> Result<Encoded, SystemError> {
        let names = || provider.manifest().messages.iter().map(|known| known.name.as_str());
        if !names().any(|name| name == message) {
            let mut hint = nearest::hint(message, names());
            if let [near] = &*nearest::nearest(message, names()) {
                hint = format!("{hint} {}", takes(actor.addr(), &*provider, near));
            }
            let (addr, message) = (actor.addr().clone(), message.to_owned());
            return Err(SystemError::Message { addr, message, hint });
        }
        let (name, text, addr) = (message.to_owned(), json.to_owned(), actor.addr().clone());
        let wanted = takes(&addr, &*provider, message);
        let done = self.in_code(&addr, provider, timeout, move |provider| {
            provider.json(Json::Message { name: &name, json: &text })
        });
        let done = done.await.map_err(|error| match error {
            SystemError::Json { addr, why, .. } => SystemError::Json { addr, why, hint: wanted },
            error => error,
        });
        match done? {
            JsonDone::Message { tag, body, reply } => Ok(Encoded { tag, body, reply }),
            other => Err(confused(&addr, &other)),
        }
    }

    async fn text(
        &self,
        addr: &Addr,
        provider: Arc<dyn Provider>,
        timeout: Duration,
        ask: impl FnOnce(&dyn Provider) -> Result<JsonDone, teneral_runtime::ports::Fault> + Send + 'static,
    ) -> Result<String, SystemError> {
        match self.in_code(addr, provider, timeout, ask).await? {
            JsonDone::Text(text) => Ok(text),
            other => Err(confused(addr, &other)),
        }
    }

    /// Runs the plugin's code on a thread that may be lost.
    async fn in_code(
        &self,
        addr: &Addr,
        provider: Arc<dyn Provider>,
        timeout: Duration,
        ask: impl FnOnce(&dyn Provider) -> Result<JsonDone, teneral_runtime::ports::Fault> + Send + 'static,
    ) -> Result<JsonDone, SystemError> {
        let hint = format!("look at what it takes: teneral kind show {}", addr.kind());
        let refused = |why| SystemError::Json { addr: addr.clone(), why, hint };
        let version = provider.version().clone();
        self.inner.scribes.run(addr, provider, timeout, ask).await?.map_err(|fault| match fault.kind {
            FaultKind::Denied => refused(format!("the code of {version} offers no JSON")),
            _ => refused(fault.text),
        })
    }
}

fn confused(addr: &Addr, done: &JsonDone) -> SystemError {
    let what = match done {
        JsonDone::Message { .. } => "a message",
        JsonDone::Args { .. } => "start arguments",
        JsonDone::Text(_) => "text",
        JsonDone::State(_) => "a state",
    };
    let (why, hint) = (format!("the code answered with {what}, which was not asked for"), "report this".to_owned());
    SystemError::Json { addr: addr.clone(), why, hint }
}

/// What a message takes, and a command that can be pasted.
fn takes(addr: &Addr, provider: &dyn Provider, name: &str) -> String {
    let messages = &provider.manifest().messages;
    let Some(MessageEntry { shape, reply, .. }) = messages.iter().find(|known| known.name == name) else {
        return format!("teneral kind show {} lists the messages", addr.kind());
    };
    let verb = if reply.is_some() { "ask" } else { "tell" };
    wanted(addr, name, &spelled(shape), &format!("teneral actor {verb} {addr} {name}{}", typed(shape)))
}

/// Start arguments that the code does not read.
fn misread_args(addr: &Addr, provider: &dyn Provider, why: String) -> SystemError {
    let (shape, version) = (&provider.manifest().args.shape, provider.version());
    let example = format!("teneral actor start {addr}{} --version {version}", typed(shape));
    let hint = wanted(addr, &format!("{} {version}", addr.kind()), &spelled(shape), &example);
    SystemError::Json { addr: addr.clone(), why, hint }
}

fn wanted(addr: &Addr, who: &str, shape: &str, example: &str) -> String {
    match shape.chars().count() > SHAPE_CHARS_MAX {
        true => format!("what {who} takes is long: teneral kind show {}", addr.kind()),
        false => format!("{who} takes {shape}, as in: {example}"),
    }
}
