//! The library of counter 1.0.0.
#![forbid(unsafe_code)]

use counter_v1::Counter;

teneral_actor::export_actor!(Counter, kind = "counter");
