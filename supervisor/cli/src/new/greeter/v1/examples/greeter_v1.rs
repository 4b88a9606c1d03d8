//! The library of greeter: nothing but the export.
#![forbid(unsafe_code)]

use greeter_v1::Greeter;

teneral_actor::export_actor!(Greeter, kind = "greeter");
