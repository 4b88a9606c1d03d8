//! The class table: an instance's life, one entry a bracket of the header.

use super::Plugin;
use super::border::{Out, borrow, cross};
use super::turn::Calls;
use crate::actor::Why;
use crate::engine;
use crate::error::{Fault, FaultKind};
use crate::wall::wall;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use teneral_abi as abi;
use teneral_abi::{TnBytes, TnCall, TnStatus, TnU128, TnWriter};
use teneral_contract::Fingerprint;

/// What `self` points to.
struct Instance<A> {
    /// Set for the length of a call, and for ever when a turn panicked: then only `destroy` may follow.
    taken: AtomicBool,
    actor: UnsafeCell<A>,
}

impl<A> Instance<A> {
    /// Hands the actor to the host.
    ///
    /// # Safety
    /// `place` is null or writable for one pointer.
    unsafe fn give(actor: A, place: *mut *mut c_void) -> Result<(), Fault> {
        if place.is_null() {
            return Err(Fault::new(FaultKind::Invalid, "a call without a place for the instance"));
        }
        let instance = Self { taken: AtomicBool::new(false), actor: UnsafeCell::new(actor) };
        // SAFETY: not null, and the caller says that it is writable.
        unsafe { place.write(Box::into_raw(Box::new(instance)).cast()) };
        Ok(())
    }

    /// The instance behind the host's pointer.
    ///
    /// # Safety
    /// `this` is null, or what `give` wrote and `destroy` does not take back within `'a`.
    unsafe fn of<'a>(this: *const c_void) -> Result<&'a Self, Fault> {
        // SAFETY: the caller says so.
        unsafe { this.cast::<Self>().as_ref() }
            .ok_or_else(|| Fault::new(FaultKind::Invalid, "a call without an instance"))
    }

    /// Runs `call` on the actor, unless it is poisoned or, which only debug builds can always tell, in another call.
    ///
    /// # Safety
    /// No other call is made on the instance meanwhile.
    unsafe fn with<T>(&self, call: impl FnOnce(&mut A) -> Result<T, Fault>) -> Result<T, Fault> {
        self.take()?;
        // SAFETY: the caller makes no other call meanwhile, so this is the only reference to the actor.
        let done = call(unsafe { &mut *self.actor.get() });
        self.taken.store(false, Ordering::Release);
        done
    }

    /// As [`Instance::with`], for a call that only reads: it leaves the actor as it was even when it panics.
    ///
    /// # Safety
    /// As [`Instance::with`].
    unsafe fn read<T>(&self, call: impl FnOnce(&A) -> Result<T, Fault>) -> Result<T, Fault> {
        self.take()?;
        // SAFETY: the caller makes no other call meanwhile, so nobody writes the actor.
        let done = wall(|| call(unsafe { &*self.actor.get() }));
        self.taken.store(false, Ordering::Release);
        done
    }

    fn take(&self) -> Result<(), Fault> {
        let taken = if cfg!(debug_assertions) {
            self.taken.swap(true, Ordering::Acquire)
        } else {
            // The host makes one call at a time and orders them between threads; this only has to see a poisoned one.
            self.taken.load(Ordering::Relaxed)
        };
        if taken {
            return Err(Fault::new(FaultKind::Invalid, "the instance is poisoned or in another call"));
        }
        self.taken.store(true, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) unsafe extern "C" fn create<P: Plugin>(
    shape: TnU128,
    args: TnBytes,
    this: *mut *mut c_void,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writer and bytes for this call, and nothing of them is kept.
    let (err, args) = unsafe { (Out::lent(err), borrow(args)) };
    cross(err, || {
        let actor = engine::create::<P::Actor>(Fingerprint(shape.into()), args)?;
        // SAFETY: the host's place for the instance.
        unsafe { Instance::give(actor, this) }
    })
}

pub(super) unsafe extern "C" fn restore<P: Plugin>(
    schema: u32,
    state: TnBytes,
    this: *mut *mut c_void,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writer and bytes for this call, and nothing of them is kept.
    let (err, state) = unsafe { (Out::lent(err), borrow(state)) };
    cross(err, || {
        let actor = engine::restore(&P::ABOUT, schema, state)?;
        // SAFETY: the host's place for the instance.
        unsafe { Instance::give(actor, this) }
    })
}

pub(super) unsafe extern "C" fn started<P: Plugin>(
    this: *mut c_void,
    why: u32,
    call: *const TnCall,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends writer and call for this call.
    let (err, call) = unsafe { (Out::lent(err), Calls::lent(call)) };
    cross(err, || {
        let why = match why {
            abi::TN_STARTED_FRESH => Why::Fresh,
            abi::TN_STARTED_UPGRADED => Why::Upgraded,
            abi::TN_STARTED_ROLLED_BACK => Why::RolledBack,
            abi::TN_STARTED_RESTARTED => Why::Restarted,
            other => return Err(Fault::new(FaultKind::Invalid, format!("no reason to start has the number {other}"))),
        };
        let mut host = call?;
        let turn = host.turn()?;
        // SAFETY: the host's instance, in one call at a time.
        unsafe { Instance::<P::Actor>::of(this)?.with(|actor| engine::started(actor, why, &turn, &mut host)) }
    })
}

pub(super) unsafe extern "C" fn handle<P: Plugin>(
    this: *mut c_void,
    call: *const TnCall,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends the writer for this call.
    let err = unsafe { Out::lent(err) };
    cross(err, || {
        // SAFETY: the host lends the call for this call. Read within the wall, whose entry goes through memory.
        let mut host = unsafe { Calls::lent(call) }?;
        let turn = host.turn()?;
        // SAFETY: the host's instance, in one call at a time.
        unsafe { Instance::<P::Actor>::of(this)?.with(|actor| engine::handle(actor, &turn, &mut host)) }
    })
}

pub(super) unsafe extern "C" fn save<P: Plugin>(
    this: *const c_void,
    out: *mut TnWriter,
    err: *mut TnWriter,
) -> TnStatus {
    // SAFETY: the host lends both writers for this call.
    let (out, err) = unsafe { (Out::lent(out), Out::lent(err)) };
    cross(err, || {
        let mut state = Vec::new();
        // SAFETY: the host's instance, in one call at a time.
        unsafe { Instance::<P::Actor>::of(this)?.read(|actor| engine::save(actor, &mut state))? };
        out.put(&state)
    })
}

pub(super) unsafe extern "C" fn destroy<P: Plugin>(this: *mut c_void) {
    if this.is_null() {
        return;
    }
    // SAFETY: a null writer is one.
    let nowhere = unsafe { Out::lent(std::ptr::null_mut()) };
    // A drop that panics has leaked what it did not free; there is nobody to tell.
    cross(nowhere, || {
        // SAFETY: not null, so it is what `give` wrote, and the host gives it back with this call.
        drop(unsafe { Box::from_raw(this.cast::<Instance<P::Actor>>()) });
        Ok(())
    });
}
