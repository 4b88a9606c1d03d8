//! The library of errand 1.0.0.
#![forbid(unsafe_code)]

use errand_v1::Errand;

teneral_actor::export_actor!(Errand, kind = "errand");
