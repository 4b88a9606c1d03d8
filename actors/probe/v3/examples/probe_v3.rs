//! The library of probe 3.0.0.

use probe_api::{v1, v2};
use probe_v3::Probe;

teneral_actor::export_actor!(
    Probe,
    kind = "probe",
    deterministic,
    from = [v1::Probe, v2::Probe],
    down = [v2::Probe, v1::Probe]
);
