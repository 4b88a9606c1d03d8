//! The library of probe 1.0.0.

use probe_v1::Probe;

teneral_actor::export_actor!(Probe, kind = "probe", deterministic);
