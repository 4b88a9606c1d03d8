//! The library of ledger 2.0.0.
#![forbid(unsafe_code)]

use ledger_api::v1;
use ledger_v2::Ledger;

teneral_actor::export_actor!(Ledger, kind = "ledger", deterministic, from = [v1::Ledger]);
