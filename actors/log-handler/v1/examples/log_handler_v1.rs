//! The library of log-handler 1.0.0.
#![forbid(unsafe_code)]

use log_handler_v1::LogHandler;

teneral_actor::export_actor!(LogHandler, kind = "log-handler", deterministic);
