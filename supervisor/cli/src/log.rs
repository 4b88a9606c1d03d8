//! What is logged, and how: to stderr, for people or as one JSON object a line.

use crate::config::Format;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What `RUST_LOG` asks for, or `usual`; also what plugins log. To a program as JSON, as all else on stderr.
pub(crate) fn usual(usual: &str) {
    let format = if crate::failure::wants_json() { Format::Json } else { Format::Text };
    start(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual)), format);
}

/// As a host's configuration says.
pub(crate) fn of_host(level: &str, format: Format) {
    start(EnvFilter::new(level), format);
}

fn start(filter: EnvFilter, format: Format) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
}
