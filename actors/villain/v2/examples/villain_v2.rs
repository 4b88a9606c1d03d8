//! The library of villain 2.0.0.
#![forbid(unsafe_code)]

use villain_api::v1;
use villain_v2::Villain;

teneral_actor::export_actor!(Villain, kind = "villain", from = [v1::Villain], down = [v1::Villain]);
