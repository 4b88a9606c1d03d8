//! The library of log-handler 4.0.0.
#![forbid(unsafe_code)]

use log_handler_api::v3;
use log_handler_v4::LogHandler;

teneral_actor::export_actor!(LogHandler, kind = "log-handler", from = [v3::LogHandler], deterministic);
