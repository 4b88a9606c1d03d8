//! One instance across the ABI: [`Behaviour`] over a class table.
//!
//! Everything that comes back from the plugin is taken as a claim: a status out of range, a null where an instance was
//! promised, or too much output is a fault of its own and never undefined behaviour of the host.

use crate::code::Code;
use crate::speaks::Called;
use crate::turn::{self, Turn};
use crate::writer::Writer;
use std::ffi::c_void;
use std::sync::Arc;
use teneral_abi as abi;
use teneral_abi::{TnAddr, TnBytes, TnCall, TnClass, TnStatus, TnTag, TnU128, TnWriter};
use teneral_contract::{Addr, Tag};
use teneral_runtime::ports::{Behaviour, Body, Call, Cause, Effects, Fault, FaultKind, Why};

/// Longest error text taken from a plugin, in bytes.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// An actor's state with its code, behind a pointer that only its class understands.
pub(crate) struct Instance {
    this: *mut c_void,
    // Keeps the count of holders; the code itself stays mapped for ever.
    code: Arc<Code>,
    poisoned: bool,
}

// SAFETY: the ABI says of every instance: any thread, never two calls at once. `Behaviour` methods take `&mut self`, so
// one thread at a time calls, and moving the pointer between threads is what the header allows.
unsafe impl Send for Instance {}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instance({})", self.code.name())
    }
}

impl Instance {
    /// A fresh instance.
    pub(crate) fn create(code: &Arc<Code>, args: Body<'_>) -> Result<Self, Fault> {
        let create = function(code.class().create, "create")?;
        Self::made(code, |this, err| {
            // SAFETY: `create` is the class's own; bytes are borrowed for the call, `this` and `err` are ours.
            unsafe { create(TnU128::from(args.shape.0), TnBytes::new(args.bytes), this, err) }
        })
    }

    /// An instance from a snapshot.
    pub(crate) fn restore(code: &Arc<Code>, schema: u32, state: &[u8]) -> Result<Self, Fault> {
        let restore = function(code.class().restore, "restore")?;
        Self::made(code, |this, err| {
            // SAFETY: as in `create`.
            unsafe { restore(schema, TnBytes::new(state), this, err) }
        })
    }

    fn made(code: &Arc<Code>, make: impl FnOnce(*mut *mut c_void, *mut TnWriter) -> TnStatus) -> Result<Self, Fault> {
        let mut this = std::ptr::null_mut();
        let _called = Called::of(code);
        with_error(|err| make(&raw mut this, err))?;
        if this.is_null() {
            return Err(Fault::new(FaultKind::Protocol, "the code said OK and made no instance"));
        }
        Ok(Self { this, code: Arc::clone(code), poisoned: false })
    }

    fn class(&self) -> &'static TnClass {
        self.code.class()
    }

    fn alive(&self) -> Result<(), Fault> {
        if self.poisoned {
            return Err(Fault::new(FaultKind::Protocol, "the instance panicked before: it can only be dropped"));
        }
        Ok(())
    }

    fn seen(&mut self, result: Result<(), Fault>) -> Result<(), Fault> {
        self.poisoned = matches!(&result, Err(fault) if fault.kind == FaultKind::Panic);
        result
    }
}

impl Behaviour for Instance {
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.alive()?;
        let Some(started) = self.class().started else { return Ok(()) };
        let why = match why {
            Why::Fresh => abi::TN_STARTED_FRESH,
            Why::Upgraded => abi::TN_STARTED_UPGRADED,
            Why::RolledBack => abi::TN_STARTED_ROLLED_BACK,
            Why::Restarted => abi::TN_STARTED_RESTARTED,
        };
        let this = self.this;
        let result = with_call(call, effects, |call, err| {
            // SAFETY: `this` came from this class's create or restore and is live; `call` and `err` are valid for the
            // call.
            unsafe { started(this, why, call, err) }
        });
        self.seen(result)
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.alive()?;
        let handle = function(self.class().handle, "handle")?;
        let this = self.this;
        let result = with_call(call, effects, |call, err| {
            // SAFETY: as in `started`.
            unsafe { handle(this, call, err) }
        });
        self.seen(result)
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        self.alive()?;
        let save = function(self.class().save, "save")?;
        let this = self.this;
        let mut out = Writer::new(bytes_max);
        let _called = Called::of(&self.code);
        let result = with_error(|err| {
            // SAFETY: `this` is live; both writers are valid for the call.
            unsafe { save(this, out.raw(), err) }
        });
        if out.refused() && !matches!(&result, Err(fault) if fault.kind == FaultKind::Panic) {
            return Err(Fault::new(FaultKind::Limit, format!("the state is over its limit of {bytes_max} bytes")));
        }
        result.map(|()| out.into_bytes())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(destroy) = self.class().destroy {
            // SAFETY: `this` came from this class and is used by nobody else; `destroy` is allowed in any state, once.
            unsafe { destroy(self.this) }
        }
    }
}

/// A function that the class must have; the loader has refused classes without it.
pub(crate) fn function<F>(function: Option<F>, name: &str) -> Result<F, Fault> {
    function.ok_or_else(|| Fault::new(FaultKind::Protocol, format!("the class has no function {name}")))
}

/// Runs a function of the plugin with a place for its error's text.
pub(crate) fn with_error(run: impl FnOnce(*mut TnWriter) -> TnStatus) -> Result<(), Fault> {
    let mut err = Writer::new(ERROR_BYTES_MAX);
    let status = run(err.raw());
    if status == abi::TN_OK {
        return Ok(());
    }
    let kind = match status {
        abi::TN_PANIC => FaultKind::Panic,
        abi::TN_FAILED => FaultKind::Failed,
        abi::TN_DECODE => FaultKind::Decode,
        abi::TN_UNKNOWN_MESSAGE => FaultKind::UnknownMessage,
        abi::TN_SCHEMA => FaultKind::Schema,
        abi::TN_LIMIT => FaultKind::Limit,
        abi::TN_DENIED => FaultKind::Denied,
        _ => FaultKind::Protocol,
    };
    let text = err.into_text();
    Err(match (kind, text.is_empty()) {
        (FaultKind::Protocol, _) => Fault::new(kind, format!("the code answered status {status}: {text}")),
        (_, true) => Fault::new(kind, format!("the code gave no reason (status {status})")),
        (_, false) => Fault { kind, text },
    })
}

fn with_call(
    call: &Call<'_>,
    effects: &mut dyn Effects,
    run: impl FnOnce(*const TnCall, *mut TnWriter) -> TnStatus,
) -> Result<(), Fault> {
    let mut turn = Turn { effects };
    let error_text;
    let (cause, status, answer, answer_shape) = match &call.cause {
        Cause::Message => (abi::TN_CAUSE_MESSAGE, abi::TN_OK, TnBytes::EMPTY, 0),
        Cause::Timer => (abi::TN_CAUSE_TIMER, abi::TN_OK, TnBytes::EMPTY, 0),
        Cause::Started => (abi::TN_CAUSE_STARTED, abi::TN_OK, TnBytes::EMPTY, 0),
        Cause::Undelivered(text) => (abi::TN_CAUSE_UNDELIVERED, abi::TN_CLOSED, TnBytes::new(text.as_bytes()), 0),
        Cause::Answer(Ok(body)) => (abi::TN_CAUSE_ANSWER, abi::TN_OK, TnBytes::new(body.bytes), body.shape.0),
        Cause::Answer(Err(error)) => {
            error_text = error.to_string();
            (abi::TN_CAUSE_ANSWER, turn::ask_status(error), TnBytes::new(error_text.as_bytes()), 0)
        }
    };
    let waiting = call.waiting;
    let raw = TnCall {
        size: size_of::<TnCall>() as u32,
        cause,
        index: call.index,
        status,
        tag: to_tag(call.tag),
        body: TnBytes::new(call.body),
        answer,
        answer_shape: answer_shape.into(),
        epoch: waiting.map_or(0, |w| w.call.epoch),
        call_id: waiting.map_or(0, |w| w.call.number),
        reply: waiting.map_or(0, |w| w.shape.0).into(),
        deadline_ns: waiting.and_then(|w| w.remaining).map_or(0, nanos),
        this: to_addr(call.this),
        sender: call.sender.map_or(NO_ADDR, to_addr),
        trace_id: call.trace_id,
        host: &raw const turn::HOST,
        turn: (&raw mut turn).cast(),
    };
    with_error(|err| run(&raw const raw, err))
}

const NO_ADDR: TnAddr = TnAddr { id: TnU128 { hi: 0, lo: 0 }, path: TnBytes::EMPTY };

/// At least 1, since 0 means that nobody sets a bound.
fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn to_tag(tag: Tag) -> TnTag {
    TnTag { variant: tag.variant, fingerprint: tag.fingerprint.0.into() }
}

fn to_addr(addr: &Addr) -> TnAddr {
    TnAddr { id: addr.id().into(), path: TnBytes::new(addr.path().as_bytes()) }
}
