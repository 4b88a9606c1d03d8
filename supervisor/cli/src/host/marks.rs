//! `teneral artifact accept-marks`: an operator's word for high-water marks that the store cannot rely on.

use super::confirm::{Stdin, confirmed};
use super::{Host, or_dash};
use crate::failure::Failure;
use crate::output;
use crate::table::{harmless, words};
use std::process::ExitCode;
use teneral::api::wire::{AcceptMarks, MarksView};

/// How to accept them.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// Do it without asking
    #[arg(long, short = 'y')]
    yes: bool,
    /// Show what would be accepted, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// That the host is a production one, which accepts nothing where this is not said
    #[arg(long)]
    production: bool,
    /// Why, for the host's audit and log
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    host: Host,
}

/// Shows what is left of the marks, and has the host take it for all there is.
///
/// # Errors
/// [`Failure`]: what the host says; nobody said yes.
pub(crate) fn accept(Accept { yes, dry_run, production, reason, host }: &Accept) -> Result<ExitCode, Failure> {
    let found: MarksView = host.call(async |client| client.get("/v1/marks").await)?;
    if found.whole || *dry_run {
        return host.print(&found, shown);
    }
    if !host.json {
        output::print(shown(&found))?;
    }
    if !yes {
        confirmed(host, Stdin::Free, "say so beforehand: --yes; or look only: --dry-run")?;
    }
    let reason = reason.clone().unwrap_or_default();
    let body = AcceptMarks { accepted: found.left, production: *production, reason };
    let accepted: MarksView = host.call(async |client| client.post("/v1/marks/accept", &body).await)?;
    host.print(&accepted, |_| "the marks are accepted: versions are let in again\n".to_owned())
}

fn shown(MarksView { whole, why, database, file, left }: &MarksView) -> String {
    let mut rows = vec![["KIND", "DATABASE", "FILE", "ACCEPTED"].map(str::to_owned).to_vec()];
    rows.extend(left.iter().map(|(kind, version)| {
        let of = |marks: &Option<_>| or_dash(marks.as_ref().and_then(|marks: &Marks| marks.get(kind)));
        vec![kind.clone(), of(database), of(file), version.to_string()]
    }));
    let said = match (whole, why) {
        (true, _) => "the marks are whole: there is nothing to accept\n".to_owned(),
        (false, Some(why)) => format!("the high-water marks cannot be relied on: {}\n", harmless(why)),
        (false, None) => String::new(),
    };
    format!("{}{said}", words(&rows))
}

type Marks = std::collections::BTreeMap<String, semver::Version>;
