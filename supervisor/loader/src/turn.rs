//! The host's functions for one turn: from C arguments to [`Effects`], trusting none of them.
//!
//! The table is static and the turn is a struct on the stack, so a call costs no allocation. A pointer or a length that
//! cannot be right is answered `TN_INVALID` as far as that can be seen; that a pointer which is not null points to what
//! its type says is the plugin's part of the contract.

use std::ffi::c_void;
use std::time::Duration;
use teneral_abi as abi;
use teneral_abi::{TnActorHost, TnAddr, TnBytes, TnStatus, TnTag, TnU128};
use teneral_contract::{Addr, AskError, Fingerprint, Tag};
use teneral_runtime::ports::{AskEffect, Body, CallId, Effects, Fault, FaultKind, TimerId};

/// What `tn_call.turn` points to.
pub(crate) struct Turn<'a> {
    pub(crate) effects: &'a mut dyn Effects,
}

/// What `tn_call.host` points to.
pub(crate) static HOST: TnActorHost = TnActorHost {
    size: size_of::<TnActorHost>() as u32,
    reserved: 0,
    tell: Some(tell),
    ask: Some(ask),
    after: Some(after),
    cancel_timer: Some(cancel_timer),
    reply: Some(reply),
    spawn: Some(spawn),
    stop: Some(stop),
    now: Some(now),
    random: Some(random),
};

/// The ABI's word for a fault.
pub(crate) const fn status(kind: FaultKind) -> TnStatus {
    match kind {
        FaultKind::Panic => abi::TN_PANIC,
        FaultKind::Failed => abi::TN_FAILED,
        FaultKind::Decode => abi::TN_DECODE,
        FaultKind::UnknownMessage => abi::TN_UNKNOWN_MESSAGE,
        FaultKind::Schema => abi::TN_SCHEMA,
        FaultKind::Limit => abi::TN_LIMIT,
        FaultKind::Denied => abi::TN_DENIED,
        FaultKind::Protocol => abi::TN_INVALID,
    }
}

fn answer(result: Result<(), Fault>) -> TnStatus {
    result.map_or_else(|fault| status(fault.kind), |()| abi::TN_OK)
}

/// The effects behind `turn`.
///
/// # Safety
/// `turn` is null or a `tn_call.turn` whose call has not returned, on the thread of that call.
unsafe fn effects<'a>(turn: *mut c_void) -> Option<&'a mut dyn Effects> {
    // SAFETY: by the contract above it points to the `Turn` that `Instance::call` keeps on its stack during the call;
    // each host function borrows it once and for its own duration.
    let turn = unsafe { turn.cast::<Turn<'a>>().as_mut() }?;
    Some(turn.effects)
}

/// Borrows a plugin's bytes; `None` for what no allocation can be.
///
/// # Safety
/// A pointer that is not null is readable for `len` bytes during the call.
pub(crate) unsafe fn slice<'a>(bytes: TnBytes) -> Option<&'a [u8]> {
    if bytes.len == 0 {
        return Some(&[]);
    }
    if bytes.ptr.is_null() || bytes.len > isize::MAX as usize {
        return None;
    }
    // SAFETY: not null, at most isize::MAX long, readable by the contract above.
    Some(unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) })
}

/// # Safety
/// As [`slice`].
unsafe fn text<'a>(bytes: TnBytes) -> Option<&'a str> {
    // SAFETY: handed on.
    std::str::from_utf8(unsafe { slice(bytes) }?).ok()
}

/// # Safety
/// Null, or readable during the call, and its path as [`slice`] says.
unsafe fn addr(addr: *const TnAddr) -> Option<Addr> {
    // SAFETY: handed on. The id is not trusted: it is computed anew from the path.
    let addr = unsafe { addr.as_ref() }?;
    // SAFETY: handed on.
    Addr::new(unsafe { text(addr.path) }?).ok()
}

/// # Safety
/// Null, or readable during the call.
unsafe fn tag(tag: *const TnTag) -> Option<Tag> {
    // SAFETY: handed on.
    unsafe { tag.as_ref() }.map(|tag| from_tag(*tag))
}

pub(crate) fn from_tag(tag: TnTag) -> Tag {
    Tag { variant: tag.variant, fingerprint: Fingerprint(tag.fingerprint.into()) }
}

unsafe extern "C" fn tell(turn: *mut c_void, to: *const TnAddr, message: *const TnTag, body: TnBytes) -> TnStatus {
    // SAFETY: the header's contract for `tell`: pointers valid for the call, `turn` this turn's.
    let arguments = unsafe { (effects(turn), addr(to), tag(message), slice(body)) };
    let (Some(effects), Some(to), Some(message), Some(body)) = arguments else { return abi::TN_INVALID };
    answer(effects.tell(to, message, body))
}

unsafe extern "C" fn ask(
    turn: *mut c_void,
    to: *const TnAddr,
    message: *const TnTag,
    body: TnBytes,
    reply: TnU128,
    timeout_ns: u64,
    then: *const TnTag,
    then_body: TnBytes,
    call_id: *mut u64,
) -> TnStatus {
    // SAFETY: the header's contract for `ask`: pointers valid for the call, `turn` this turn's.
    let target = unsafe { (effects(turn), addr(to), tag(message), slice(body)) };
    // SAFETY: as above.
    let continuation = unsafe { (tag(then), slice(then_body)) };
    let (Some(effects), Some(to), Some(tag), Some(body)) = target else { return abi::TN_INVALID };
    let (Some(then), Some(then_body)) = continuation else { return abi::TN_INVALID };
    let (reply, timeout) = (Fingerprint(reply.into()), Duration::from_nanos(timeout_ns));
    match effects.ask(AskEffect { to, tag, body, reply, timeout, then, then_body }) {
        Ok(call) => {
            // SAFETY: null or writable by the header's contract.
            if let Some(place) = unsafe { call_id.as_mut() } {
                *place = call.number;
            }
            abi::TN_OK
        }
        Err(fault) => status(fault.kind),
    }
}

unsafe extern "C" fn after(
    turn: *mut c_void,
    delay_ns: u64,
    period_ns: u64,
    message: *const TnTag,
    body: TnBytes,
    timer_id: *mut u64,
) -> TnStatus {
    // SAFETY: the header's contract for `after`: pointers valid for the call, `turn` this turn's.
    let arguments = unsafe { (effects(turn), tag(message), slice(body)) };
    let (Some(effects), Some(message), Some(body)) = arguments else { return abi::TN_INVALID };
    let period = (period_ns != 0).then(|| Duration::from_nanos(period_ns));
    match effects.after(Duration::from_nanos(delay_ns), period, message, body) {
        Ok(timer) => {
            // SAFETY: null or writable by the header's contract.
            if let Some(place) = unsafe { timer_id.as_mut() } {
                *place = timer.0;
            }
            abi::TN_OK
        }
        Err(fault) => status(fault.kind),
    }
}

unsafe extern "C" fn cancel_timer(turn: *mut c_void, timer_id: u64) -> TnStatus {
    // SAFETY: `turn` is this turn's.
    let Some(effects) = (unsafe { effects(turn) }) else { return abi::TN_INVALID };
    answer(effects.cancel_timer(TimerId(timer_id)))
}

unsafe extern "C" fn reply(turn: *mut c_void, epoch: u64, call_id: u64, shape: TnU128, body: TnBytes) -> TnStatus {
    // SAFETY: the header's contract for `reply`: bytes valid for the call, `turn` this turn's.
    let arguments = unsafe { (effects(turn), slice(body)) };
    let (Some(effects), Some(body)) = arguments else { return abi::TN_INVALID };
    answer(effects.reply(CallId { epoch, number: call_id }, Fingerprint(shape.into()), body))
}

unsafe extern "C" fn spawn(
    turn: *mut c_void,
    kind: TnBytes,
    key: TnBytes,
    version: TnBytes,
    args_shape: TnU128,
    args: TnBytes,
) -> TnStatus {
    // SAFETY: the header's contract for `spawn`: bytes valid for the call, `turn` this turn's.
    let names = unsafe { (effects(turn), text(kind), text(key), text(version)) };
    // SAFETY: as above.
    let args = unsafe { slice(args) };
    let ((Some(effects), Some(kind), Some(key), Some(version)), Some(bytes)) = (names, args) else {
        return abi::TN_INVALID;
    };
    let Ok(child) = Addr::new(&format!("{kind}/{key}")) else { return abi::TN_INVALID };
    let version = match version {
        "" => None,
        text => match semver::Version::parse(text) {
            Ok(version) => Some(version),
            Err(_) => return abi::TN_INVALID,
        },
    };
    answer(effects.spawn(child, version, Body { shape: Fingerprint(args_shape.into()), bytes }))
}

unsafe extern "C" fn stop(turn: *mut c_void, reason: TnBytes) -> TnStatus {
    // SAFETY: the header's contract for `stop`: bytes valid for the call, `turn` this turn's.
    let arguments = unsafe { (effects(turn), slice(reason)) };
    let (Some(effects), Some(reason)) = arguments else { return abi::TN_INVALID };
    answer(effects.stop(&String::from_utf8_lossy(reason)))
}

unsafe extern "C" fn now(turn: *mut c_void) -> u64 {
    // SAFETY: `turn` is this turn's.
    unsafe { effects(turn) }.map_or(0, Effects::now)
}

unsafe extern "C" fn random(turn: *mut c_void) -> u64 {
    // SAFETY: `turn` is this turn's.
    unsafe { effects(turn) }.map_or(0, Effects::random)
}

/// The ABI's word for why an ask has no answer; the text beside it says more.
pub(crate) const fn ask_status(error: &AskError) -> TnStatus {
    match error {
        AskError::Timeout => abi::TN_TIMEOUT,
        AskError::NoActor(_) | AskError::Stopped | AskError::Lost(_) => abi::TN_CLOSED,
        AskError::Full => abi::TN_LIMIT,
        AskError::UnknownMessage(_) => abi::TN_UNKNOWN_MESSAGE,
        AskError::UnknownShape(_) | AskError::ReplyShape => abi::TN_SCHEMA,
        AskError::Panicked(_) => abi::TN_PANIC,
        AskError::Decode(_) | AskError::Encode(_) => abi::TN_DECODE,
        AskError::Failed(_) | AskError::NoReply => abi::TN_FAILED,
        AskError::Denied(_) => abi::TN_DENIED,
        AskError::ToItself => abi::TN_INVALID,
    }
}
