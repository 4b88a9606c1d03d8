//! The library of villain 1.0.0.
#![forbid(unsafe_code)]

use villain_v1::Villain;

teneral_actor::export_actor!(Villain, kind = "villain");
