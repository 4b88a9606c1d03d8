//! The extensions: JSON to and from the library's own types, and snapshots for older code. All pure.

use super::Plugin;
use super::border::{Out, borrow, cross, set, text};
use crate::{engine, json};
use teneral_abi::{TnBytes, TnStatus, TnTag, TnU128, TnWriter};
use teneral_contract::Fingerprint;

pub(super) unsafe extern "C" fn downgrade<P: Plugin>(
    state: TnBytes,
    to_schema: u32,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, state) = unsafe { (Out::lent(out), Out::lent(err), borrow(state)) };
    cross(err, || {
        let mut older = Vec::new();
        engine::downgrade(&P::ABOUT, state, to_schema, &mut older)?;
        out.put(&older)
    })
}

pub(super) unsafe extern "C" fn message<P: Plugin>(
    name: TnBytes,
    source: TnBytes,
    tag: *mut TnTag,
    reply: *mut TnU128,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, name, source) = unsafe { (Out::lent(out), Out::lent(err), borrow(name), borrow(source)) };
    cross(err, || {
        let message = json::message::<P::Actor>(text(name, "the name")?, text(source, "the JSON")?)?;
        let shape = TnTag { variant: message.tag.variant, fingerprint: message.tag.fingerprint.0.into() };
        // SAFETY: the host's places for the two results.
        unsafe {
            set(tag, shape);
            set(reply, message.reply.unwrap_or(Fingerprint::NONE).0.into());
        }
        out.put(&message.body)
    })
}

pub(super) unsafe extern "C" fn args<P: Plugin>(
    source: TnBytes,
    shape: *mut TnU128,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, source) = unsafe { (Out::lent(out), Out::lent(err), borrow(source)) };
    cross(err, || {
        let (fingerprint, bytes) = json::args::<P::Actor>(text(source, "the JSON")?)?;
        // SAFETY: the host's place for the result.
        unsafe { set(shape, fingerprint.0.into()) };
        out.put(&bytes)
    })
}

pub(super) unsafe extern "C" fn reply<P: Plugin>(
    variant: u64,
    shape: TnU128,
    body: TnBytes,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, body) = unsafe { (Out::lent(out), Out::lent(err), borrow(body)) };
    cross(err, || out.put(json::reply::<P::Actor>(variant, Fingerprint(shape.into()), body)?.as_bytes()))
}

pub(super) unsafe extern "C" fn state<P: Plugin>(state: TnBytes, out: *mut TnWriter, err: *mut TnWriter) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, state) = unsafe { (Out::lent(out), Out::lent(err), borrow(state)) };
    cross(err, || out.put(json::state::<P::Actor>(state)?.as_bytes()))
}

pub(super) unsafe extern "C" fn state_from<P: Plugin>(
    source: TnBytes,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writers and bytes for this call, and nothing of them is kept.
    let (out, err, source) = unsafe { (Out::lent(out), Out::lent(err), borrow(source)) };
    cross(err, || out.put(&json::state_from::<P::Actor>(text(source, "the JSON")?)?))
}
