//! The library of log-handler 3.0.0.
#![forbid(unsafe_code)]

use log_handler_api::{v1, v2};
use log_handler_v3::LogHandler;

teneral_actor::export_actor!(
    LogHandler,
    kind = "log-handler",
    from = [v1::LogHandler, v2::LogHandler],
    down = [v2::LogHandler],
    deterministic
);
