//! An actor linked into the program, as the runtime's [`Provider`].
//!
//! The same engine that a library runs behind the C ABI, so what holds here holds there but for the border itself; a
//! panic ends at the same wall.

use semver::Version;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_actor::host::{self, Ask, Host, Spawn, Turn, TurnCause};
use teneral_actor::wall::wall;
use teneral_actor::{About, Actor, engine, json};
use teneral_contract::{Addr, Contract, Fingerprint, Manifest, Tag};
use teneral_runtime::ports::{
    AskEffect, Behaviour, Body, Call, CallId, Cause, Digest, Effects, Fault, FaultKind, Json, JsonDone, Provider,
    TimerId, Why,
};

/// One version of one actor kind, linked in.
pub struct StaticProvider<A: Actor> {
    about: About<A>,
    manifest: Manifest,
    contract: Arc<Contract>,
    digest: Digest,
}

impl<A: Actor> StaticProvider<A> {
    /// A provider of the actor that `about!(Counter, kind = "counter", from = [v1::Counter])` describes.
    ///
    /// # Panics
    /// When the description is no manifest: a kind or a version that is none.
    pub fn new(about: About<A>) -> Arc<Self> {
        let manifest = about.parts().manifest().expect("a description has a kind and a version that are ones");
        let contract = Arc::new(Contract::new(&manifest));
        let digest = Digest(Sha256::digest(format!("{} {}", about.kind, about.version)).into());
        Arc::new(Self { about, manifest, contract, digest })
    }

    /// The same code under another version number: for tests that need many versions and no difference.
    #[must_use]
    pub fn versioned(mut about: About<A>, version: &'static str) -> Arc<Self> {
        about.version = version;
        Self::new(about)
    }

    fn instance(actor: A) -> Box<dyn Behaviour> {
        Box::new(Instance(actor))
    }
}

impl<A: Actor> fmt::Debug for StaticProvider<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticProvider({} {})", self.manifest.kind, self.manifest.version)
    }
}

impl<A: Actor> Provider for StaticProvider<A> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        wall(|| engine::create(args.shape, args.bytes)).map(Self::instance).map_err(out)
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        wall(|| engine::restore(&self.about, schema, state)).map(Self::instance).map_err(out)
    }

    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        let mut older = Vec::new();
        wall(|| engine::downgrade(&self.about, state, to_schema, &mut older)).map_err(out)?;
        Ok(older)
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        let done = wall(|| {
            Ok(match job {
                Json::Message { name, json } => {
                    let json::Encoded { tag, body, reply } = json::message::<A>(name, json)?;
                    JsonDone::Message { tag, body, reply }
                }
                Json::Args(json) => {
                    let (shape, bytes) = json::args::<A>(json)?;
                    JsonDone::Args { shape, bytes }
                }
                Json::Reply { variant, body } => JsonDone::Text(json::reply::<A>(variant, body.shape, body.bytes)?),
                Json::State(state) => JsonDone::Text(json::state::<A>(state)?),
                Json::StateFrom(json) => JsonDone::State(json::state_from::<A>(json)?),
            })
        });
        done.map_err(out)
    }
}

struct Instance<A>(A);

impl<A: Actor> Behaviour for Instance<A> {
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let why = match why {
            Why::Fresh => teneral_actor::Why::Fresh,
            Why::Upgraded => teneral_actor::Why::Upgraded,
            Why::RolledBack => teneral_actor::Why::RolledBack,
            Why::Restarted => teneral_actor::Why::Restarted,
        };
        wall(|| engine::started(&mut self.0, why, &turn(call), &mut Released(effects))).map_err(out)
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        wall(|| engine::handle(&mut self.0, &turn(call), &mut Released(effects))).map_err(out)
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut state = Vec::new();
        wall(|| engine::save(&self.0, &mut state)).map_err(out)?;
        if state.len() > bytes_max {
            let text = format!("a state of {} bytes, over the limit of {bytes_max}", state.len());
            return Err(Fault::new(FaultKind::Limit, text));
        }
        Ok(state)
    }
}

fn turn<'a>(call: &'a Call<'a>) -> Turn<'a> {
    let cause = match &call.cause {
        Cause::Message => TurnCause::Message,
        Cause::Answer(Ok(body)) => TurnCause::Answer(Ok((body.shape, body.bytes))),
        Cause::Answer(Err(error)) => TurnCause::Answer(Err((*error).clone())),
        Cause::Timer => TurnCause::Timer,
        Cause::Started => TurnCause::Started,
        Cause::Undelivered(text) => TurnCause::Undelivered(text),
    };
    let waiting = call.waiting.map(|waiting| host::Waiting {
        call: host::CallId { epoch: waiting.call.epoch, number: waiting.call.number },
        shape: waiting.shape,
        remaining: waiting.remaining,
    });
    Turn {
        index: call.index,
        tag: call.tag,
        body: call.body,
        cause,
        waiting,
        this: call.this.path().as_bytes(),
        sender: call.sender.map_or(&[], |sender| sender.path().as_bytes()),
        trace_id: call.trace_id,
    }
}

/// The runtime's effects, as the actor's host.
struct Released<'a>(&'a mut dyn Effects);

impl Host for Released<'_> {
    fn tell(&mut self, to: &Addr, tag: Tag, body: &[u8]) -> Result<(), teneral_actor::Fault> {
        self.0.tell(to.clone(), tag, body).map_err(back)
    }

    fn ask(&mut self, ask: Ask<'_>) -> Result<(), teneral_actor::Fault> {
        let Ask { to, tag, body, reply, timeout, then, then_body } = ask;
        self.0.ask(AskEffect { to: to.clone(), tag, body, reply, timeout, then, then_body }).map(|_| ()).map_err(back)
    }

    fn after(
        &mut self,
        delay: Duration,
        period: Option<Duration>,
        tag: Tag,
        body: &[u8],
    ) -> Result<teneral_actor::TimerId, teneral_actor::Fault> {
        let timer = self.0.after(delay, period, tag, body);
        timer.map(|timer| teneral_actor::TimerId(timer.0)).map_err(back)
    }

    fn cancel(&mut self, timer: teneral_actor::TimerId) -> Result<(), teneral_actor::Fault> {
        self.0.cancel_timer(TimerId(timer.0)).map_err(back)
    }

    fn reply(&mut self, call: host::CallId, shape: Fingerprint, body: &[u8]) -> Result<(), teneral_actor::Fault> {
        self.0.reply(CallId { epoch: call.epoch, number: call.number }, shape, body).map_err(back)
    }

    fn spawn(&mut self, spawn: Spawn<'_>) -> Result<(), teneral_actor::Fault> {
        let version = spawn.version.map(Version::parse).transpose().map_err(|error| {
            let text = format!("{:?} is no version: {error}", spawn.version.unwrap_or_default());
            teneral_actor::Fault::new(teneral_actor::FaultKind::Invalid, text)
        })?;
        let args = Body { shape: spawn.shape, bytes: spawn.args };
        self.0.spawn(spawn.child.clone(), version, args).map_err(back)
    }

    fn stop(&mut self, reason: &str) -> Result<(), teneral_actor::Fault> {
        self.0.stop(reason).map_err(back)
    }

    fn now(&mut self) -> u64 {
        self.0.now()
    }

    fn random(&mut self) -> u64 {
        self.0.random()
    }
}

fn out(fault: teneral_actor::Fault) -> Fault {
    use teneral_actor::FaultKind as Inner;
    let kind = match fault.kind {
        Inner::Panic => FaultKind::Panic,
        Inner::Failed => FaultKind::Failed,
        Inner::Decode => FaultKind::Decode,
        Inner::UnknownMessage => FaultKind::UnknownMessage,
        Inner::Schema => FaultKind::Schema,
        Inner::Limit => FaultKind::Limit,
        Inner::Denied => FaultKind::Denied,
        Inner::Closed | Inner::Invalid => FaultKind::Protocol,
    };
    Fault::new(kind, fault.text)
}

fn back(fault: Fault) -> teneral_actor::Fault {
    use teneral_actor::FaultKind as Inner;
    let kind = match fault.kind {
        FaultKind::Panic => Inner::Panic,
        FaultKind::Failed => Inner::Failed,
        FaultKind::Decode => Inner::Decode,
        FaultKind::UnknownMessage => Inner::UnknownMessage,
        FaultKind::Schema => Inner::Schema,
        FaultKind::Limit => Inner::Limit,
        FaultKind::Denied => Inner::Denied,
        FaultKind::Protocol => Inner::Invalid,
    };
    teneral_actor::Fault::new(kind, fault.text)
}
