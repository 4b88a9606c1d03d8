//! The library of log-handler 2.0.0.
#![forbid(unsafe_code)]

use log_handler_api::v1;
use log_handler_v2::LogHandler;

teneral_actor::export_actor!(
    LogHandler,
    kind = "log-handler",
    from = [v1::LogHandler],
    down = [v1::LogHandler],
    deterministic
);
