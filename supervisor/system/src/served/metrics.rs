//! `/metrics`: what Prometheus and whoever else reads OpenMetrics scrapes.
//!
//! What is counted never falls while the host lives, whatever actors, versions and processes come and go. Labels are
//! kinds and versions, of which there are a thousand rows at most, and words of a fixed list: never an actor's key, of
//! which there may be millions.

use super::routes::look;
use super::unwell;
use crate::{ModuleInfo, System, SystemError};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use teneral_control::api::ApiError;
use teneral_runtime::{DeadKind, Total};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In the place of a version: all that came after the first thousand rows.
const OTHERS: &str = "other";

type Labels = Vec<(&'static str, String)>;

/// What the host was at one moment.
#[derive(Debug)]
struct Seen {
    totals: Vec<Total>,
    on_probation: BTreeMap<(String, String), usize>,
    percent: Vec<(String, String, u8)>,
    modules: Vec<ModuleInfo>,
    dead_letters: BTreeMap<DeadKind, u64>,
    down: usize,
    hung: usize,
    quarantined: usize,
    threads_lost: usize,
    upgrades: usize,
}

/// Of the control API, where whoever may ask for anything may ask for this.
pub(super) fn routes() -> Router<System> {
    Router::new().route("/metrics", get(metrics))
}

impl System {
    /// `GET /metrics` alone, to be served where the control API is not: it reads, and gives out names of kinds,
    /// versions and figures, and nothing that actors say or keep.
    pub fn metrics(&self) -> Router {
        routes().with_state(self.clone())
    }
}

async fn metrics(State(system): State<System>) -> Result<Response, ApiError> {
    let seen = look(&system, seen).await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(seen));
    let mut text = String::new();
    // A string takes all that is written.
    let _ = encode(&mut text, &registry);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

fn seen(system: &System) -> Result<Seen, SystemError> {
    let mut on_probation = BTreeMap::new();
    for on in system.on_probation() {
        *on_probation.entry((on.actor.kind().to_owned(), on.to.to_string())).or_default() += 1;
    }
    let totals = system.runtime().totals();
    let mut percent = Vec::new();
    let mut kinds: Vec<&str> = totals.iter().map(|total| total.kind.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        // A kind of the host's own has none.
        let Ok(rollout) = System::route(system, kind) else { continue };
        let weights = rollout.route().parts().weights.iter();
        percent.extend(weights.map(|weight| (kind.to_owned(), weight.version.to_string(), weight.percent)));
    }
    Ok(Seen {
        on_probation,
        percent,
        totals,
        modules: system.modules(),
        dead_letters: system.runtime().dead_letters().counts(),
        // A disk that cannot be read is no reason to say nothing.
        down: system.downs().map_or(0, |downs| downs.len()),
        hung: system.runtime().hung().len(),
        quarantined: unwell::quarantined(system).map_or(0, |all| all.len()),
        threads_lost: system.threads_lost(),
        upgrades: system.running().len(),
    })
}

fn labels(kind: &str, version: impl Into<String>) -> Labels {
    vec![("kind", kind.to_owned()), ("version", version.into())]
}

fn of(total: &Total) -> Labels {
    labels(&total.kind, total.version.as_ref().map_or_else(|| OTHERS.to_owned(), ToString::to_string))
}

/// Writes one family, of whatever type its values are.
fn family<M: EncodeMetric>(
    to: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    rows: impl IntoIterator<Item = (Labels, M)>,
) -> fmt::Result {
    let mut rows = rows.into_iter().peekable();
    let Some((_, first)) = rows.peek() else { return Ok(()) };
    let mut family = to.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in rows {
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}

impl Seen {
    fn of_versions(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = || self.totals.iter();
        let text = ("teneral_actors", "Actors that run the version");
        family(to, text, totals().map(|total| (of(total), gauge(total.actors))))?;
        let text = ("teneral_mailbox_messages", "Messages that wait for actors of the version");
        family(to, text, totals().map(|total| (of(total), gauge(total.queued_messages))))?;
        let text = ("teneral_actors_on_probation", "Actors on probation for the version");
        let rows = self.on_probation.iter();
        family(to, text, rows.map(|((kind, version), actors)| (labels(kind, version), gauge(*actors))))?;
        let text = ("teneral_route_percent", "New actors of the kind that get the version, of a hundred");
        let rows = self.percent.iter();
        family(to, text, rows.map(|(kind, version, percent)| (labels(kind, version), gauge(usize::from(*percent)))))
    }

    fn of_turns(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = || self.totals.iter();
        let ended = |total: &Total| {
            let ends =
                [("ok", total.figures.handled), ("error", total.figures.failed), ("panic", total.figures.panics)];
            let labels = of(total);
            ends.map(|(end, turns)| ([&labels[..], &[("end", end.to_owned())]].concat(), ConstCounter::new(turns)))
        };
        let text = ("teneral_turns", "Turns of the version, by how they ended");
        family(to, text, totals().flat_map(ended))?;
        let text = ("teneral_turns_timed", "Turns that were timed: a sample");
        family(to, text, totals().map(|total| (of(total), ConstCounter::new(total.figures.timed))))?;
        let text = ("teneral_turns_timed_seconds", "How long those turns took, together");
        family(to, text, totals().map(|total| (of(total), ConstCounter::new(total.figures.busy.as_secs_f64()))))?;
        let text = ("teneral_restarts", "Restarts of actors after failures of the version");
        family(to, text, totals().map(|total| (of(total), ConstCounter::new(total.restarts))))
    }

    fn of_modules(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut modules: BTreeMap<(&str, String), (usize, u64)> = BTreeMap::new();
        for module in &self.modules {
            let of = modules.entry((&module.kind, module.version.to_string())).or_default();
            of.0 += usize::from(module.pid.is_some());
            of.1 += module.memory_bytes.unwrap_or(0);
        }
        let text = ("teneral_module_processes", "Processes that run the version");
        let rows = modules.iter();
        family(to, text, rows.map(|((kind, version), of)| (labels(kind, version), gauge(of.0))))?;
        let text = ("teneral_module_memory_bytes", "Resident memory of those processes");
        let rows = modules.iter();
        let bytes = |bytes| gauge(usize::try_from(bytes).unwrap_or(usize::MAX));
        family(to, text, rows.map(|((kind, version), of)| (labels(kind, version), bytes(of.1))))
    }

    fn of_host(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let host = [
            ("teneral_actors_down", "Actors that are defined and not running, or without an instance", self.down),
            ("teneral_actors_hung", "Actors with a turn that does not return", self.hung),
            ("teneral_versions_quarantined", "Versions in quarantine", self.quarantined),
            (
                "teneral_threads_lost",
                "Threads in code that has not returned and that nobody waits for",
                self.threads_lost,
            ),
            ("teneral_upgrades", "Upgrades at work", self.upgrades),
        ];
        for (name, help, count) in host {
            family(to, (name, help), [(Labels::new(), gauge(count))])?;
        }
        let text = ("teneral_dead_letters", "Messages that reached nobody, by why");
        let rows = self.dead_letters.iter();
        let row =
            |(kind, count): (&DeadKind, &u64)| (vec![("why", kind.as_str().to_owned())], ConstCounter::new(*count));
        family(to, text, rows.map(row))?;
        let info = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        family(to, ("teneral_build", "This version of teneral"), [(info, gauge(1))])
    }
}

impl Collector for Seen {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        self.of_versions(&mut to)?;
        self.of_turns(&mut to)?;
        self.of_modules(&mut to)?;
        self.of_host(&mut to)
    }
}
