//! An actor that is linked in behaves, for the runtime, as one from a library.
#![forbid(unsafe_code)]

use semver::Version;
use std::time::Duration;
use teneral_actor::about;
use teneral_actor::prelude::*;
use teneral_contract::{Fingerprint, Tag, codec};
use teneral_runtime::ports::{
    AskEffect, Body, Call, CallId, Cause, Effects, Fault, FaultKind, Json, JsonDone, Provider, TimerId as RuntimeTimer,
    Waiting,
};
use teneral_testkit::StaticProvider;

mod v1 {
    use super::*;

    #[derive(Serialize, Deserialize, State)]
    #[state(schema = 1)]
    pub(crate) struct Tally {
        pub(crate) count: u64,
    }
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 2)]
struct Tally {
    count: u64,
    text: String,
}

impl Migrate<v1::Tally> for Tally {
    fn migrate(old: v1::Tally) -> Result<Self, MigrateError> {
        Ok(Self { count: old.count, text: String::new() })
    }
}

impl Downgrade<v1::Tally> for Tally {
    fn downgrade(self) -> Result<v1::Tally, MigrateError> {
        Ok(v1::Tally { count: self.count })
    }
}

#[derive(Serialize, Deserialize, Wire)]
struct Start {}
#[derive(Serialize, Deserialize, Wire)]
struct Write {
    text: String,
}
#[derive(Serialize, Deserialize, Request)]
#[reply(Counted)]
struct Count {}
#[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
struct Counted {
    count: u64,
}
#[derive(Message)]
enum Message {
    Write(Write),
    Count(Count),
}

impl Actor for Tally {
    type Message = Message;
    type Args = Start;

    fn init(_: Start) -> Result<Self> {
        Ok(Self { count: 0, text: String::new() })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Write(Write { text }) if text.is_empty() => panic!("nothing to write"),
            Message::Write(Write { text }) => {
                self.count += 1;
                self.text += &text;
                ctx.tell(&ctx.this(), Count {});
                ctx.every(secs(1), Write { text });
            }
            Message::Count(Count {}) => ctx.reply(&Counted { count: self.count }),
        }
        Ok(())
    }
}

/// Writes down what is wanted of it.
#[derive(Default)]
struct Wanted(Vec<String>);

impl Effects for Wanted {
    fn tell(&mut self, to: Addr, _: Tag, body: &[u8]) -> Result<(), Fault> {
        self.0.push(format!("tell {to} {} bytes", body.len()));
        Ok(())
    }
    fn ask(&mut self, _: AskEffect<'_>) -> Result<CallId, Fault> {
        Err(Fault::new(FaultKind::Denied, "nobody asks here"))
    }
    fn after(&mut self, _: Duration, period: Option<Duration>, _: Tag, _: &[u8]) -> Result<RuntimeTimer, Fault> {
        self.0.push(format!("every {period:?}"));
        Ok(RuntimeTimer(1))
    }
    fn cancel_timer(&mut self, _: RuntimeTimer) -> Result<(), Fault> {
        Ok(())
    }
    fn reply(&mut self, call: CallId, _: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        self.0.push(format!("reply {}.{} {body:?}", call.epoch, call.number));
        Ok(())
    }
    fn spawn(&mut self, _: Addr, _: Option<Version>, _: Body<'_>) -> Result<(), Fault> {
        Ok(())
    }
    fn stop(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn now(&mut self) -> u64 {
        0
    }
    fn random(&mut self) -> u64 {
        0
    }
}

fn provider() -> std::sync::Arc<StaticProvider<Tally>> {
    StaticProvider::versioned(about!(Tally, kind = "tally", from = [v1::Tally], down = [v1::Tally]), "2.0.0")
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes).expect("encodes");
    bytes
}

fn call<'a, M: Wire>(index: u32, body: &'a [u8], this: &'a Addr) -> Call<'a> {
    let call = CallId { epoch: 1, number: 7 };
    Call {
        index,
        tag: M::tag(),
        body,
        cause: Cause::Message,
        waiting: Some(Waiting { call, shape: Counted::FINGERPRINT, remaining: None }),
        this,
        sender: None,
        trace_id: [0; 16],
    }
}

#[test]
fn a_turn_reaches_the_actor_and_its_effects_the_runtime() {
    let (provider, this) = (provider(), Addr::new("tally/a").expect("an address"));
    let start = encoded(&Start {});
    let mut tally = provider.create(Body { shape: Start::FINGERPRINT, bytes: &start }).expect("starts");
    let mut wanted = Wanted::default();
    let write = encoded(&Write { text: "abc".into() });
    tally.handle(&call::<Write>(0, &write, &this), &mut wanted).expect("writes");
    tally.handle(&call::<Count>(1, &[], &this), &mut wanted).expect("counts");
    assert_eq!(wanted.0, ["tell tally/a 0 bytes", "every Some(1s)", "reply 1.7 [1, 0, 0, 0, 0, 0, 0, 0]"]);
    let state = tally.save(1000).expect("saves");
    let text = JsonDone::Text(r#"{"count":1,"text":"abc"}"#.into());
    assert_eq!(provider.json(Json::State(&state)), Ok(text));
    assert_eq!(tally.save(3).expect_err("over the limit").kind, FaultKind::Limit);
}

#[test]
fn a_panic_ends_at_the_wall_and_an_unknown_message_is_named_so() {
    let (provider, this) = (provider(), Addr::new("tally/a").expect("an address"));
    let start = encoded(&Start {});
    let mut tally = provider.create(Body { shape: Start::FINGERPRINT, bytes: &start }).expect("starts");
    let empty = encoded(&Write { text: String::new() });
    let fault = tally.handle(&call::<Write>(0, &empty, &this), &mut Wanted::default()).expect_err("panics");
    assert_eq!((fault.kind, fault.text.as_str()), (FaultKind::Panic, "nothing to write"));
    let unknown = tally.handle(&call::<Write>(9, &empty, &this), &mut Wanted::default()).expect_err("no such message");
    assert_eq!(unknown.kind, FaultKind::UnknownMessage);
}

#[test]
fn the_ladder_goes_up_and_down_as_the_manifest_says() {
    let provider = provider();
    let schemas = |rungs: &[teneral_contract::manifest::SchemaEntry]| -> Vec<u32> {
        rungs.iter().map(|rung| rung.schema).collect()
    };
    let state = &provider.manifest().state;
    assert_eq!((state.schema, schemas(&state.from), schemas(&state.down)), (2, vec![1], vec![1]));
    let mut old = Vec::new();
    codec::encode_state(&v1::Tally { count: 5 }, &mut old).expect("encodes");
    let new = provider.restore(1, &old).expect("climbs").save(1000).expect("saves");
    assert_eq!(provider.downgrade(&new, 1), Ok(old));
    assert_eq!(provider.restore(3, &new).err().map(|fault| fault.kind), Some(FaultKind::Schema));
}

#[test]
fn one_description_under_two_versions_is_two_artifacts() {
    let one = StaticProvider::versioned(about!(Tally, kind = "tally"), "1.0.0");
    let two = StaticProvider::versioned(about!(Tally, kind = "tally"), "2.0.0");
    assert_ne!(one.digest(), two.digest());
    assert_eq!((one.kind(), one.version().to_string().as_str()), ("tally", "1.0.0"));
}
