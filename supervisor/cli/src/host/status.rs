//! `teneral status`: how a host is, in one look.

use super::down::downs;
use super::probation::on_probation;
use super::unwell::{hung, lost, quarantined};
use super::{Host, Span};
use crate::failure::Failure;
use crate::table::words;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use teneral::api::wire::Health;
use teneral::api::{ApiError, Client};

/// How long between two looks at a host that does not serve yet.
const LOOK: Duration = Duration::from_millis(50);

/// What does not serve yet may serve soon.
const NOT_YET: [&str; 3] = ["CTL-DOWN", "CTL-BETWEEN", "CTL-LOST"];

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// How long to wait until it serves
    #[arg(long, value_name = "TIME")]
    wait: Option<Span>,
    #[command(flatten)]
    host: Host,
}

/// Runs the command; ends with 3 when the host does not serve. Actors that are down change nothing in that.
///
/// # Errors
/// [`Failure`]: what the host says, or that there is none.
pub(crate) fn run(Status { wait, host }: &Status) -> Result<ExitCode, Failure> {
    let until = Instant::now() + wait.map_or(Duration::ZERO, |wait| wait.0);
    let health = host.call(async |client| look(&client, until).await)?;
    host.print(&health, described)?;
    Ok(if health.status == "serving" { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

async fn look(client: &Client, until: Instant) -> Result<Health, ApiError> {
    loop {
        let answer = client.get::<Health>("/v1/health").await;
        let waits = match &answer {
            Ok(health) => health.status != "serving",
            Err(error) => NOT_YET.contains(&&*error.code),
        };
        if !waits || Instant::now() >= until {
            return answer;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn described(health: &Health) -> String {
    let Health { version, status, pid, profile, actors, down, down_first, upgrades, .. } = health;
    let upgrades: Vec<String> = upgrades.iter().map(ToString::to_string).collect();
    let rows = [
        ("status", status.clone()),
        ("profile", profile.clone()),
        ("actors", actors.to_string()),
        ("down", down.to_string()),
        ("probation", health.on_probation.to_string()),
        ("hung", health.hung.len().to_string()),
        ("quarantine", health.quarantined.len().to_string()),
        ("upgrades", if upgrades.is_empty() { "-".to_owned() } else { upgrades.join(" ") }),
        ("process", pid.to_string()),
        ("teneral", version.to_string()),
    ];
    let rows = words(&rows.map(|(name, value)| vec![name.to_owned(), value]));
    let unwell = hung(&health.hung) + &lost(health.threads_lost) + &quarantined(&health.quarantined);
    rows + &downs(*down, down_first) + &on_probation(health.on_probation, &health.on_probation_first) + &unwell
}
