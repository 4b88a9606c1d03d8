//! The library of ledger 1.0.0.
#![forbid(unsafe_code)]

use ledger_v1::Ledger;

teneral_actor::export_actor!(Ledger, kind = "ledger", deterministic);
