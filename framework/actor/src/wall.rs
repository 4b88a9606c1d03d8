//! The wall: no panic leaves a call into an actor.
//!
//! What a panic said is kept by a hook that formats one line and symbolises nothing: the default hook resolves a
//! backtrace, which costs tens of milliseconds and tens of megabytes for every library that panics once.

use crate::error::{Fault, FaultKind};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `call`; a panic becomes [`FaultKind::Panic`] with what it said.
///
/// # Errors
/// What `call` returns, and a caught panic.
pub fn wall<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Whatever the panic left half done belongs to an instance that is only destroyed from here on, or was only read.
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = SAID.take().unwrap_or_else(|| said(&*payload).to_owned());
        // The drop of anything but text is the author's code, which may panic again, outside of a wall.
        if !payload.is::<String>() && !payload.is::<&str>() {
            std::mem::forget(payload);
        }
        Err(Fault::new(FaultKind::Panic, text))
    })
}

/// Makes every panic of this library leave one line, `what (kind version, file:line)`, for the wall and for `heard`.
pub(crate) fn hear_panics(kind: &'static str, version: &'static str, heard: fn(&str)) {
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|at| format!(", {}:{}", at.file(), at.line())).unwrap_or_default();
        let line = format!("{} ({kind} {version}{place})", said(panic.payload()));
        heard(&line);
        SAID.set(Some(line));
    }));
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
