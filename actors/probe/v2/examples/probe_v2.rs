//! The library of probe 2.0.0.

use probe_api::v1;
use probe_v2::Probe;

teneral_actor::export_actor!(Probe, kind = "probe", deterministic, from = [v1::Probe], down = [v1::Probe]);
