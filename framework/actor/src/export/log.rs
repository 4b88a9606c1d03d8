//! What the author's code says through `tracing`, forwarded to the host's log.
//!
//! A subscriber of a few lines instead of `tracing-subscriber`: the host filters, formats and stores; a library only
//! hands over level, target, and one line of text with the fields behind it. Spans are not forwarded.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use teneral_abi::{TnBytes, TnHost};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The host's table; set once, by `init`.
static HOST: AtomicPtr<TnHost> = AtomicPtr::new(std::ptr::null_mut());

/// Forwards this library's events to `host` from now on.
pub(super) fn forward_to(host: &'static TnHost) {
    HOST.store(std::ptr::from_ref(host).cast_mut(), Ordering::Release);
    // Fails when the author's code has set a subscriber of its own: that one is meant.
    let _ = tracing::subscriber::set_global_default(Forward { spans: AtomicU64::new(1) });
}

struct Forward {
    spans: AtomicU64,
}

impl Subscriber for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Counts from 1: an id of 0 would panic.
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        say(level, event.metadata().target(), &(line.message + &line.fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, then ` field=value` for every other field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail; a value whose `Debug` does is cut short.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

fn say(level: u32, target: &str, text: &str) {
    let host = HOST.load(Ordering::Acquire);
    // SAFETY: null, or what `forward_to` stored, which lives as long as the process.
    if let Some(log) = unsafe { host.as_ref() }.and_then(|host| host.log) {
        // SAFETY: the host's own table and function; it copies both texts, which live until it returns.
        unsafe { log(host, level, TnBytes::new(target.as_bytes()), TnBytes::new(text.as_bytes())) };
    }
}
