//! Which builds a development host keeps: an author saves often, and each save is an artifact.

use super::host::{Host, build_of};
use crate::failure::Failure;
use serde_json::json;
use std::collections::BTreeMap;
use teneral::Release;

/// Builds of a kind that are kept, besides those that somebody needs.
const KEPT: usize = 5;

impl Host {
    /// Removes builds that are not among the latest of their kind, and that nobody runs, comes back on or has as a
    /// default. A version that an author has released is none of them.
    ///
    /// # Errors
    /// [`Failure`]: it cannot be said. A store that fails is said; the next round is another try.
    pub(super) fn sweep(&self) -> Result<(), Failure> {
        let releases = match self.system.releases() {
            Ok(releases) => releases,
            Err(error) => return self.says.failure(&self.refused(&error)),
        };
        let mut removed = Vec::new();
        for Release { kind, version, .. } in old(releases) {
            match self.system.remove_artifact(&kind, &version.to_string()) {
                Ok(_) => removed.push(format!("{kind} {version}")),
                Err(error) if error.code() == "SYS-IN-USE" => {}
                Err(error) => return self.says.failure(&self.refused(&error)),
            }
        }
        match removed.len() {
            0 => Ok(()),
            count => {
                let text = format!("{count} old builds are removed, the latest {KEPT} of a kind are kept");
                self.says.event("removed", json!({ "builds": removed }), &text)
            }
        }
    }
}

/// The builds that are not among the latest of their kind.
fn old(releases: Vec<Release>) -> Vec<Release> {
    let mut builds: BTreeMap<String, Vec<(u64, Release)>> = BTreeMap::new();
    for release in releases {
        if let Some(number) = build_of(&release.version) {
            builds.entry(release.kind.clone()).or_default().push((number, release));
        }
    }
    let of_kind = builds.into_values().flat_map(|mut builds| {
        builds.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        builds.into_iter().skip(KEPT)
    });
    of_kind.map(|(_, release)| release).collect()
}
