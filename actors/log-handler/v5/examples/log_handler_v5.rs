//! The library of log-handler 5.0.0.
#![forbid(unsafe_code)]

use log_handler_api::v3;
use log_handler_v5::LogHandler;

teneral_actor::export_actor!(LogHandler, kind = "log-handler", from = [v3::LogHandler], deterministic);
