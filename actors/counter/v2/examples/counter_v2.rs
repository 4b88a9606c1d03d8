//! The library of counter 2.0.0.
#![forbid(unsafe_code)]

use counter_api::v1;
use counter_v2::Counter;

teneral_actor::export_actor!(Counter, kind = "counter", from = [v1::Counter], down = [v1::Counter]);
