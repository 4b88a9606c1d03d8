//! The C ABI as a host sees it: the tables of `export_actor!`, called through their pointers by a host of this file.
//!
//! The library is this test binary itself, so all of it also runs where no library can be loaded.

use serde::{Deserialize, Serialize};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Mutex;
use teneral_abi::*;
use teneral_actor::contract::{Fingerprint, codec, shape::variant_id};
use teneral_actor::prelude::*;

mod v1 {
    use super::*;

    #[derive(Serialize, Deserialize, State)]
    #[state(schema = 1)]
    pub(crate) struct Probe {
        pub(crate) count: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Told {
        pub(crate) count: u64,
    }
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 2)]
struct Probe {
    count: u64,
    names: Vec<String>,
}

impl Migrate<v1::Probe> for Probe {
    fn migrate(old: v1::Probe) -> Result<Self, MigrateError> {
        match old.count {
            666 => panic!("count is {}", old.count),
            13 => Err(MigrateError::new("count is unlucky")),
            count => Ok(Self { count, names: Vec::new() }),
        }
    }
}

impl Downgrade<v1::Probe> for Probe {
    fn downgrade(self) -> Result<v1::Probe, MigrateError> {
        Ok(v1::Probe { count: self.count })
    }
}

#[derive(Serialize, Deserialize, Wire)]
struct Start {
    count: u64,
}
#[derive(Serialize, Deserialize, Wire)]
struct Add {
    name: String,
}
#[derive(Serialize, Deserialize, Request)]
#[reply(Told)]
struct Tell {}
#[derive(Serialize, Deserialize, Wire)]
#[wire(downcast(v1::Told))]
struct Told {
    count: u64,
    names: Vec<String>,
}
impl Downcast<v1::Told> for Told {
    fn downcast(&self) -> v1::Told {
        v1::Told { count: self.count }
    }
}
#[derive(Serialize, Deserialize, Wire)]
struct Act {}
#[derive(Serialize, Deserialize, Request)]
#[reply(Start)]
struct Wrong {}
#[derive(Serialize, Deserialize, Wire)]
struct Fall {}
#[derive(Serialize, Deserialize, Wire)]
struct Heard {
    before: u64,
    answer: Answer<Told>,
}

#[derive(Message)]
enum Message {
    Add(Add),
    Tell(Tell),
    Act(Act),
    Wrong(Wrong),
    Fall(Fall),
    Heard(Heard),
}

impl Actor for Probe {
    type Message = Message;
    type Args = Start;

    fn init(args: Start) -> Result<Self> {
        if args.count == 0 {
            fail!("a probe counts from {} on", 1);
        }
        Ok(Self { count: args.count, names: Vec::new() })
    }

    fn started(&mut self, why: Why, ctx: &mut Context<Self>) -> Result<()> {
        assert_eq!(ctx.cause(), Cause::Started);
        self.names.push(format!("{why:?}"));
        Ok(())
    }

    fn undelivered(&mut self, why: &str, _: &mut Context<Self>) -> Result<()> {
        self.names.push(why.to_owned());
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Add(Add { name }) => {
                tracing::info!(%name, "added");
                self.names.push(name);
            }
            Message::Tell(Tell {}) => ctx.reply(&Told { count: self.count, names: self.names.clone() }),
            Message::Act(Act {}) => {
                let other = Addr::new("other/one")?;
                ctx.tell(&other, Add { name: "x".into() });
                let before = self.count;
                ctx.ask(&other, Tell {}, secs(5), |answer| Heard { before, answer });
                let timer = ctx.after(millis(7), Fall {});
                ctx.every(secs(2), Act {});
                ctx.cancel(timer);
                ctx.spawn("child", "a", &Start { count: 1 })?;
                ctx.spawn_version("child", "b", "2.0.0", &Start { count: 1 })?;
                self.names.push(format!("{} {:?} {} {}", ctx.this(), ctx.sender(), ctx.now(), ctx.random()));
                ctx.stop_because("done");
            }
            Message::Wrong(Wrong {}) => ctx.reply(&Told { count: 0, names: Vec::new() }),
            Message::Fall(Fall {}) => panic!("fell at {}", self.count),
            Message::Heard(Heard { before, answer }) => {
                self.count = before + answer.get()?.count;
            }
        }
        Ok(())
    }
}

export_actor!(Probe, kind = "probe", from = [v1::Probe], down = [v1::Probe]);

unsafe extern "C" {
    fn teneral_entry() -> *const TnPlugin;
}

fn plugin() -> &'static TnPlugin {
    // SAFETY: `export_actor!` above defines it, with tables that live as long as the program.
    unsafe { &*teneral_entry() }
}

fn class() -> &'static TnClass {
    // SAFETY: as above; there is one class.
    unsafe { &**plugin().classes }
}

fn extension<T>(name: &CStr) -> Option<&'static T> {
    let get = plugin().get_extension.expect("offered");
    // SAFETY: the name says which table it is, and it lives as long as the program.
    unsafe { get(name.as_ptr()).cast::<T>().as_ref() }
}

/// A writer of the host's: `base` comes first, so that a pointer to it is one to the whole.
#[repr(C)]
struct Writer {
    base: TnWriter,
    bytes: Vec<u8>,
    room: Vec<u8>,
    bytes_max: usize,
}

impl Writer {
    fn new(bytes_max: usize) -> Self {
        let size = size_of::<TnWriter>() as u32;
        let base = TnWriter { size, reserved: 0, reserve: Some(Self::reserve), commit: Some(Self::commit) };
        Self { base, bytes: Vec::new(), room: Vec::new(), bytes_max }
    }

    unsafe extern "C" fn reserve(this: *mut TnWriter, n: usize) -> *mut u8 {
        // SAFETY: every `TnWriter` of this file is the head of a `Writer`.
        let this = unsafe { &mut *this.cast::<Self>() };
        if this.bytes.len() + n > this.bytes_max {
            return ptr::null_mut();
        }
        this.room = vec![0; n];
        this.room.as_mut_ptr()
    }

    unsafe extern "C" fn commit(this: *mut TnWriter, n: usize) {
        // SAFETY: as above.
        let this = unsafe { &mut *this.cast::<Self>() };
        this.bytes.extend_from_slice(&this.room[..n]);
    }

    fn raw(&mut self) -> *mut TnWriter {
        ptr::from_mut(self).cast()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }
}

/// What an instance's turn did, in a line each.
type Log = Vec<String>;

fn text(bytes: TnBytes) -> String {
    if bytes.len == 0 {
        return String::new();
    }
    // SAFETY: the plugin lends its bytes for the call, which lasts as long as this.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) }).into_owned()
}

fn log(turn: *mut c_void, line: String) -> TnStatus {
    // SAFETY: `turn` is the `Log` that `Host::turn` lent.
    unsafe { (*turn.cast::<Log>()).push(line) };
    TN_OK
}

unsafe extern "C" fn tell(turn: *mut c_void, to: *const TnAddr, _: *const TnTag, body: TnBytes) -> TnStatus {
    // SAFETY: lent for the call.
    log(turn, format!("tell {} {} bytes", text(unsafe { (*to).path }), body.len))
}

unsafe extern "C" fn ask(
    turn: *mut c_void,
    to: *const TnAddr,
    _: *const TnTag,
    _: TnBytes,
    reply: TnU128,
    timeout_ns: u64,
    then: *const TnTag,
    then_body: TnBytes,
    _: *mut u64,
) -> TnStatus {
    assert_eq!(Fingerprint(reply.into()), Told::FINGERPRINT);
    // SAFETY: lent for the call.
    let (to, then) = unsafe { (text((*to).path), (*then).variant) };
    assert_eq!(then, variant_id("Heard"));
    log(turn, format!("ask {to} {timeout_ns} ns then {} bytes", then_body.len))
}

unsafe extern "C" fn after(
    turn: *mut c_void,
    delay_ns: u64,
    period_ns: u64,
    _: *const TnTag,
    _: TnBytes,
    timer: *mut u64,
) -> TnStatus {
    // SAFETY: lent for the call.
    unsafe { timer.write(77) };
    log(turn, format!("after {delay_ns} every {period_ns}"))
}

unsafe extern "C" fn cancel_timer(turn: *mut c_void, timer: u64) -> TnStatus {
    log(turn, format!("cancel {timer}"))
}

unsafe extern "C" fn reply(turn: *mut c_void, epoch: u64, call: u64, _: TnU128, body: TnBytes) -> TnStatus {
    log(turn, format!("reply {epoch}.{call} {} bytes", body.len))
}

unsafe extern "C" fn spawn(
    turn: *mut c_void,
    kind: TnBytes,
    key: TnBytes,
    version: TnBytes,
    _: TnU128,
    _: TnBytes,
) -> TnStatus {
    log(turn, format!("spawn {}/{} {:?}", text(kind), text(key), text(version)))
}

unsafe extern "C" fn stop(turn: *mut c_void, reason: TnBytes) -> TnStatus {
    log(turn, format!("stop {}", text(reason)))
}

unsafe extern "C" fn number(_: *mut c_void) -> u64 {
    42
}

const FUNCTIONS: TnActorHost = TnActorHost {
    size: size_of::<TnActorHost>() as u32,
    reserved: 0,
    tell: Some(tell),
    ask: Some(ask),
    after: Some(after),
    cancel_timer: Some(cancel_timer),
    reply: Some(reply),
    spawn: Some(spawn),
    stop: Some(stop),
    now: Some(number),
    random: Some(number),
};

fn addr(path: &'static str) -> TnAddr {
    TnAddr { id: TnU128 { hi: 0, lo: 0 }, path: TnBytes::new(path.as_bytes()) }
}

fn call(log: &mut Log, body: &[u8], functions: &TnActorHost) -> TnCall {
    TnCall {
        size: size_of::<TnCall>() as u32,
        cause: TN_CAUSE_MESSAGE,
        index: u32::MAX,
        status: TN_OK,
        tag: TnTag { variant: 0, fingerprint: TnU128 { hi: 0, lo: 0 } },
        body: TnBytes { ptr: body.as_ptr(), len: body.len() },
        answer: TnBytes::EMPTY,
        answer_shape: TnU128 { hi: 0, lo: 0 },
        epoch: 1,
        call_id: 0,
        reply: TnU128 { hi: 0, lo: 0 },
        deadline_ns: 0,
        this: addr("probe/one"),
        sender: addr("other/two"),
        trace_id: [0; 16],
        host: functions,
        turn: ptr::from_mut(log).cast(),
    }
}

/// An instance, destroyed at the end.
struct Instance(*mut c_void);

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: what `create` or `restore` gave, once.
        unsafe { class().destroy.expect("destroy")(self.0) };
    }
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode(value, &mut body).expect("encodes");
    body
}

type Ended = Result<(), (TnStatus, String)>;

fn ended(status: TnStatus, err: &Writer) -> Ended {
    if status == TN_OK { Ok(()) } else { Err((status, err.text().to_owned())) }
}

impl Instance {
    fn create(count: u64) -> Result<Self, (TnStatus, String)> {
        let (mut this, mut err, args) = (ptr::null_mut(), Writer::new(4096), bytes(&Start { count }));
        let create = class().create.expect("create");
        // SAFETY: all lent for the call.
        let status = unsafe { create(Start::FINGERPRINT.0.into(), TnBytes::new(&args), &raw mut this, err.raw()) };
        ended(status, &err).map(|()| Self(this))
    }

    fn restore(schema: u32, state: &[u8]) -> Result<Self, (TnStatus, String)> {
        let (mut this, mut err) = (ptr::null_mut(), Writer::new(4096));
        let restore = class().restore.expect("restore");
        // SAFETY: all lent for the call.
        let status = unsafe { restore(schema, TnBytes::new(state), &raw mut this, err.raw()) };
        ended(status, &err).map(|()| Self(this))
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, (TnStatus, String)> {
        let (mut out, mut err) = (Writer::new(bytes_max), Writer::new(4096));
        // SAFETY: all lent for the call.
        let status = unsafe { class().save.expect("save")(self.0, out.raw(), err.raw()) };
        ended(status, &err).map(|()| out.bytes)
    }

    fn handle<M: Wire>(&self, message: &M, change: impl FnOnce(&mut TnCall)) -> (Ended, Log) {
        self.handle_bytes::<M>(&bytes(message), change)
    }

    fn handle_bytes<M: Wire>(&self, body: &[u8], change: impl FnOnce(&mut TnCall)) -> (Ended, Log) {
        let (mut log, mut err) = (Log::new(), Writer::new(4096));
        let mut call = call(&mut log, body, &FUNCTIONS);
        let names = ["Add", "Tell", "Act", "Wrong", "Fall", "Heard"];
        call.index = names.iter().position(|name| *name == M::NAME).map_or(99, |place| place as u32);
        call.tag = TnTag { variant: M::tag().variant, fingerprint: M::FINGERPRINT.0.into() };
        change(&mut call);
        // SAFETY: all lent for the call.
        let status = unsafe { class().handle.expect("handle")(self.0, &raw const call, err.raw()) };
        (ended(status, &err), log)
    }

    fn state(&self) -> serde_json::Value {
        let json = extension::<TnJson>(c"teneral.json/1").expect("offered");
        let (state, mut out, mut err) = (self.save(4096).expect("saves"), Writer::new(4096), Writer::new(4096));
        // SAFETY: all lent for the call.
        let status = unsafe { json.state.expect("state")(TnBytes::new(&state), out.raw(), err.raw()) };
        ended(status, &err).expect("reads its own snapshot");
        serde_json::from_str(out.text()).expect("JSON")
    }
}

fn wait(call: &mut TnCall) {
    (call.call_id, call.reply) = (9, Told::FINGERPRINT.0.into());
}

#[test]
fn a_message_changes_the_state_and_a_request_is_answered() {
    let probe = Instance::create(3).expect("starts");
    assert_eq!(probe.handle(&Add { name: "a".into() }, |_| {}), (Ok(()), vec![]));
    let (done, log) = probe.handle(&Tell {}, wait);
    assert_eq!((done, &log[..]), (Ok(()), &["reply 1.9 25 bytes".to_owned()][..]));
    assert_eq!(probe.state(), serde_json::json!({"count": 3, "names": ["a"]}));
}

#[test]
fn a_caller_of_yesterday_gets_the_reply_it_knows() {
    let probe = Instance::create(3).expect("starts");
    let older = |call: &mut TnCall| (call.call_id, call.reply) = (9, v1::Told::FINGERPRINT.0.into());
    assert_eq!(probe.handle(&Tell {}, older), (Ok(()), vec!["reply 1.9 8 bytes".to_owned()]));
}

#[test]
fn effects_reach_the_host_in_order() {
    let probe = Instance::create(3).expect("starts");
    let (done, log) = probe.handle(&Act {}, |_| {});
    assert_eq!(done, Ok(()));
    let expected = [
        "tell other/one 9 bytes",
        "ask other/one 5000000000 ns then 8 bytes",
        "after 7000000 every 0",
        "after 2000000000 every 2000000000",
        "cancel 77",
        "spawn child/a \"\"",
        "spawn child/b \"2.0.0\"",
        "stop done",
    ];
    assert_eq!(log, expected);
    assert_eq!(probe.state()["names"][0], "probe/one Some(Addr(other/two)) 42 42");
}

#[test]
fn an_answer_fills_the_hole_of_its_continuation_and_an_error_arrives_as_itself() {
    let probe = Instance::create(3).expect("starts");
    let template = bytes(&39_u64);
    let told = bytes(&Told { count: 4, names: vec![] });
    let answered = |call: &mut TnCall| {
        (call.cause, call.answer, call.answer_shape) =
            (TN_CAUSE_ANSWER, TnBytes::new(&told), Told::FINGERPRINT.0.into());
    };
    assert_eq!(probe.handle_bytes::<Heard>(&template, answered).0, Ok(()));
    assert_eq!(probe.state()["count"], 43);

    let text = AskError::Timeout.to_string();
    let failed = |call: &mut TnCall| {
        (call.cause, call.status, call.answer) = (TN_CAUSE_ANSWER, TN_TIMEOUT, TnBytes::new(text.as_bytes()));
    };
    assert_eq!(probe.handle_bytes::<Heard>(&template, failed).0, Err((TN_FAILED, text.clone())));
}

#[test]
fn a_reply_that_the_message_does_not_declare_fails_the_turn() {
    let probe = Instance::create(3).expect("starts");
    let (done, log) = probe.handle(&Wrong {}, wait);
    assert_eq!(done, Err((TN_SCHEMA, "Told is not the reply that Wrong declares".into())));
    assert_eq!(log, Log::new());
}

#[test]
fn a_panic_is_caught_says_where_and_poisons_the_instance() {
    init();
    let probe = Instance::create(3).expect("starts");
    let (status, said) = probe.handle(&Fall {}, |_| {}).0.expect_err("panics");
    assert_eq!(status, TN_PANIC);
    assert!(said.starts_with("fell at 3 (probe 0.1.0, ") && said.contains("export.rs:"), "{said}");
    let (status, said) = probe.handle(&Act {}, |_| {}).0.expect_err("poisoned");
    assert_eq!((status, said.as_str()), (TN_INVALID, "the instance is poisoned or in another call"));
    assert_eq!(probe.save(4096).expect_err("poisoned").0, TN_INVALID);
}

#[test]
fn the_ladder_is_climbed_and_gone_down() {
    let mut old = Vec::new();
    codec::encode_state(&v1::Probe { count: 5 }, &mut old).expect("encodes");
    let probe = Instance::restore(1, &old).expect("migrates");
    assert_eq!(probe.state(), serde_json::json!({"count": 5, "names": []}));
    let table = extension::<TnDowngrade>(c"teneral.downgrade/1").expect("offered");
    let (state, mut out, mut err) = (probe.save(4096).expect("saves"), Writer::new(4096), Writer::new(4096));
    let down = table.downgrade.expect("downgrade");
    // SAFETY: all lent for the call.
    assert_eq!(unsafe { down(TnBytes::new(&state), 1, out.raw(), err.raw()) }, TN_OK);
    assert_eq!(out.bytes, old);
    // SAFETY: all lent for the call.
    assert_eq!(unsafe { down(TnBytes::new(&state), 7, out.raw(), err.raw()) }, TN_SCHEMA);
    assert_eq!(err.text(), "no path for schema 7: this code runs 2 and goes down to 1");
}

#[test]
fn a_migration_that_fails_or_panics_gives_no_instance() {
    init();
    let restored = |count| {
        let mut old = Vec::new();
        codec::encode_state(&v1::Probe { count }, &mut old).expect("encodes");
        Instance::restore(1, &old).err().expect("no instance")
    };
    assert_eq!(restored(13), (TN_FAILED, "schema 1 to 2: count is unlucky".into()));
    let (status, said) = restored(666);
    assert!(status == TN_PANIC && said.starts_with("count is 666 (probe 0.1.0, "), "{status} {said}");
    assert_eq!(Instance::restore(3, &[]).err().expect("newer").0, TN_SCHEMA);
    assert_eq!(Instance::restore(2, &[0xc1]).err().expect("garbage").0, TN_DECODE);
}

#[test]
fn what_the_host_must_not_pass_is_answered() {
    let probe = Instance::create(1).expect("starts");
    let handle = class().handle.expect("handle");
    // SAFETY: null is what this test is about.
    assert_eq!(unsafe { handle(probe.0, ptr::null(), ptr::null_mut()) }, TN_INVALID);
    assert_eq!(probe.handle(&Act {}, |call| call.size = 8).0.expect_err("short").0, TN_INVALID);
    assert_eq!(probe.handle(&Act {}, |call| call.host = ptr::null()).0.expect_err("no host").0, TN_INVALID);
    assert_eq!(probe.handle(&Act {}, |call| call.cause = 77).0.expect_err("no cause").0, TN_INVALID);
    assert_eq!(probe.handle(&Act {}, |call| call.index = 0).0.expect_err("not its name").0, TN_UNKNOWN_MESSAGE);
    assert_eq!(probe.handle_bytes::<Add>(&[1], |_| {}).0.expect_err("cut").0, TN_DECODE);
    let other = |call: &mut TnCall| call.tag.fingerprint.lo ^= 1;
    assert_eq!(probe.handle(&Add { name: "a".into() }, other).0.expect_err("other shape").0, TN_SCHEMA);
    assert_eq!(probe.save(3).expect_err("no room").0, TN_LIMIT);
    assert_eq!(Instance::create(0).err().expect("refuses"), (TN_FAILED, "a probe counts from 1 on".into()));
    assert!(extension::<TnJson>(c"teneral.table/1").is_none());
    // SAFETY: null is what this test is about.
    assert_eq!(unsafe { plugin().init.expect("init")(ptr::null(), ptr::null_mut()) }, TN_INVALID);
}

#[test]
fn an_effect_that_the_host_does_not_offer_fails_the_turn() {
    let probe = Instance::create(1).expect("starts");
    let bare = TnActorHost { tell: None, ..FUNCTIONS };
    let (done, _) = probe.handle(&Act {}, |call| call.host = &raw const bare);
    assert_eq!(done, Err((TN_DENIED, "tell refused by the host: not granted".into())));
}

#[test]
fn an_effect_that_reached_nobody_is_told_in_words() {
    let probe = Instance::create(1).expect("starts");
    let untold = |call: &mut TnCall| {
        (call.cause, call.index, call.answer) = (TN_CAUSE_UNDELIVERED, u32::MAX, TnBytes::new(b"no room"));
    };
    assert_eq!(probe.handle_bytes::<Act>(&[], untold), (Ok(()), vec![]));
    assert_eq!(probe.state()["names"][0], "no room");
}

#[test]
fn started_knows_why() {
    let probe = Instance::create(1).expect("starts");
    let (mut log, mut err) = (Log::new(), Writer::new(4096));
    let mut call = call(&mut log, &[], &FUNCTIONS);
    call.cause = TN_CAUSE_STARTED;
    let started = class().started.expect("started");
    // SAFETY: all lent for the call.
    assert_eq!(unsafe { started(probe.0, TN_STARTED_UPGRADED, &raw const call, err.raw()) }, TN_OK);
    assert_eq!(probe.state()["names"][0], "Upgraded");
}

#[test]
fn json_goes_in_and_out_through_the_types() {
    let json = extension::<TnJson>(c"teneral.json/1").expect("offered");
    let (mut out, mut err) = (Writer::new(4096), Writer::new(4096));
    let mut tag = TnTag { variant: 0, fingerprint: TnU128 { hi: 0, lo: 0 } };
    let mut shape = TnU128 { hi: 0, lo: 0 };
    let message = json.message.expect("message");
    let (name, body) = (TnBytes::new(b"Tell"), TnBytes::new(b"{}"));
    // SAFETY: all lent for the call.
    let status = unsafe { message(name, body, &raw mut tag, &raw mut shape, out.raw(), err.raw()) };
    assert_eq!((status, tag.variant), (TN_OK, variant_id("Tell")));
    assert_eq!(Fingerprint(shape.into()), Told::FINGERPRINT);
    let told = bytes(&Told { count: 4, names: vec![] });
    let reply = json.reply.expect("reply");
    // SAFETY: all lent for the call.
    assert_eq!(unsafe { reply(tag.variant, shape, TnBytes::new(&told), out.raw(), err.raw()) }, TN_OK);
    assert_eq!(out.text(), r#"{"count":4,"names":[]}"#);
    let typo = TnBytes::new(br#"{"nam": 1}"#);
    // SAFETY: all lent for the call.
    let status = unsafe { message(TnBytes::new(b"Add"), typo, &raw mut tag, &raw mut shape, out.raw(), err.raw()) };
    assert_eq!(status, TN_DECODE);
    assert!(err.text().contains("Add: malformed: unknown field \"nam\": did you mean name?"), "{}", err.text());
    let (short, mut err) = (TnBytes::new(b"{ }"), Writer::new(4096));
    // SAFETY: all lent for the call.
    let status = unsafe { message(TnBytes::new(b"Add"), short, &raw mut tag, &raw mut shape, out.raw(), err.raw()) };
    assert_eq!(status, TN_DECODE);
    assert!(err.text().contains("Add: malformed: missing field `name` at line 1 column 3"), "{}", err.text());
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn write_line(_: *const TnHost, level: u32, target: TnBytes, line: TnBytes) {
    LINES.lock().expect("no test panics with it").push(format!("{level} {} {}", text(target), text(line)));
}

unsafe extern "C" fn no_extension(_: *const TnHost, _: *const c_char) -> *const c_void {
    ptr::null()
}

fn init() {
    static HOST: TnHost = TnHost {
        size: size_of::<TnHost>() as u32,
        magic: MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        reserved: 0,
        get_extension: Some(no_extension),
        log: Some(write_line),
    };
    // SAFETY: a table for as long as the program.
    assert_eq!(unsafe { plugin().init.expect("init")(&raw const HOST, ptr::null_mut()) }, TN_OK);
}

#[test]
fn what_the_code_logs_goes_to_the_host() {
    init();
    let probe = Instance::create(1).expect("starts");
    assert_eq!(probe.handle(&Add { name: "ada".into() }, |_| {}).0, Ok(()));
    let lines = LINES.lock().expect("no test panics with it");
    assert!(lines.iter().any(|line| line == "3 export added name=ada"), "{lines:?}");
}
