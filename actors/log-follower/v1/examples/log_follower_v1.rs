//! The library of log-follower 1.0.0.
#![forbid(unsafe_code)]

use log_follower_v1::LogFollower;

teneral_actor::export_actor!(LogFollower, kind = "log-follower");
