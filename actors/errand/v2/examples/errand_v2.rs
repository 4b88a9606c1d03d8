//! The library of errand 2.0.0.
#![forbid(unsafe_code)]

use errand_v2::Errand;

teneral_actor::export_actor!(Errand, kind = "errand", from = [errand_api::V1]);
