//! The plan: what will be done to whom, or why not. A pure function; it touches nobody and leaves no trace.
//!
//! Every question that can be answered from manifests and addresses is answered here, so that what is left to fail
//! under a pause is the code itself. A plan names the generation it starts from and is refused when somebody was faster
//! (compare-and-set for upgrades, as in omicron's blueprints); it survives as JSON, and nobody edits its steps.

use crate::after::outlasts;
use crate::error::UpgradeError;
use crate::ladder::{self, NoWay, Rung};
use crate::legal::names_a_request;
use crate::nearest;
use crate::probation::{Probation, WayBack, no_replay, ways_of};
use crate::report::{TrialOutcome, Trialled};
use crate::request::{Downgrades, Options, PathlessPolicy, Request, StateMode, Wanted};
use crate::snapshot::{Released, Snapshot, Subject};
use crate::step::Step;
pub use crate::waiting::Pathless;
use crate::waiting::{listed, pathless, reads_args};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use teneral_contract::{Addr, Digest, Manifest, shape_diff};
use teneral_store::UpgradeId;

/// Differences of two shapes named at most.
const DIFFERENCES_MAX: usize = 8;

/// Longest name of a request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 128;

/// Format of a plan as JSON.
const PLAN_FORMAT: u16 = 3;

/// What will be done. Made by [`plan`], run by [`crate::Upgrades`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub(crate) format: u16,
    pub(crate) who: String,
    pub(crate) why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// The upgrade that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rolls_back: Option<UpgradeId>,
    pub(crate) options: Options,
    pub(crate) moves: Vec<Move>,
    pub(crate) unchanged: Vec<Unchanged>,
    pub(crate) warnings: Vec<String>,
    /// What rehearsals of its moves told, if it was rehearsed. Applying it rehearses anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rehearsed: Vec<Trialled>,
}

/// One actor's way to another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Who.
    pub addr: Addr,
    /// Which way.
    pub direction: Direction,
    /// What it runs.
    pub from: ReleaseRef,
    /// What it is to run.
    pub to: ReleaseRef,
    /// The generation that this starts from.
    pub generation: u64,
    /// What will run, in this order.
    pub steps: Vec<Step>,
    /// The ladder that its state takes; empty when the schema stays or the state is reset.
    pub ladder: Vec<Hop>,
    /// The way of a state of the new version back to the old one's schema; none when nobody offers one, or the state is
    /// reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Vec<Hop>>,
    /// Waiting messages that the new code has no path for.
    pub pathless: Vec<Pathless>,
    /// The actors it started; they stay as they are.
    pub children: Vec<Addr>,
    /// The ways back after the commit, while it is on probation, the best first; none without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<WayBack>,
    /// Why there will be no replay among them; none: there will be, or nobody is on probation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_replay: Option<String>,
}

/// An actor that already is where it was asked to go: nobody pauses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unchanged {
    /// Who.
    pub addr: Addr,
    /// What it runs.
    pub at: ReleaseRef,
    /// Its generation.
    pub generation: u64,
}

/// One version of one kind, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRef {
    /// The actor kind.
    pub kind: String,
    /// The author's version.
    pub version: Version,
    /// The artifact.
    pub digest: Digest,
    /// The schema that it runs.
    pub schema: u32,
}

/// Which way a version goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To a later version.
    Upgrade,
    /// To an earlier one.
    Downgrade,
    /// The version stays.
    Same,
}

/// Which way a schema goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Climb {
    /// The code restores an older schema.
    Up,
    /// The code writes an older schema.
    Down,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Whose code does it.
    pub by: ReleaseRef,
    /// Which way.
    pub climb: Climb,
    /// From this schema.
    pub from_schema: u32,
    /// To this one.
    pub to_schema: u32,
}

impl ReleaseRef {
    pub(crate) fn of(manifest: &Manifest, digest: Digest) -> Self {
        let (kind, version) = (manifest.kind.clone(), manifest.version.clone());
        Self { kind, version, digest, schema: manifest.state.schema }
    }
}

impl ReleaseRef {
    /// An actor that runs this, for people.
    pub(crate) fn at_generation(&self, generation: u64) -> String {
        format!("{self} at generation {generation}")
    }
}

impl fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.version)
    }
}

/// Makes the plan. All of it, or none.
///
/// # Errors
/// [`UpgradeError`]: the first thing that stands in the way, by the order of the named actors.
pub fn plan(snapshot: &Snapshot, request: &Request) -> Result<Plan, UpgradeError> {
    let mut plan = Plan {
        format: PLAN_FORMAT,
        who: request.who.clone(),
        why: request.why.clone(),
        request: request.name.clone(),
        rolls_back: None,
        options: request.options,
        moves: Vec::new(),
        unchanged: Vec::new(),
        warnings: request.notes.clone(),
        rehearsed: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for wanted in &request.actors {
        if !seen.insert(&wanted.addr) {
            return Err(UpgradeError::Twice(wanted.addr.clone()));
        }
        let subject = subject(snapshot, wanted)?;
        let target = target(snapshot, wanted)?;
        if target.digest == subject.digest && request.options.state == StateMode::Migrate {
            plan.unchanged.push(Unchanged { addr: subject.addr.clone(), at: target, generation: subject.generation });
            continue;
        }
        let moved = one_move(snapshot, &request.options, subject, target)?;
        plan.warnings.extend(moved.1);
        plan.moves.push(moved.0);
    }
    plan.warnings.extend(outlasts(&plan));
    if seen.is_empty() { Err(UpgradeError::Empty) } else { Ok(plan) }
}

fn subject<'a>(snapshot: &'a Snapshot, wanted: &Wanted) -> Result<&'a Subject, UpgradeError> {
    let addr = &wanted.addr;
    let subject = snapshot.subjects.get(addr).ok_or_else(|| UpgradeError::Actor {
        addr: addr.clone(),
        hint: nearest::hint(addr.path(), snapshot.names.iter().map(Addr::path)),
    })?;
    match &wanted.kind {
        Some(kind) if kind != addr.kind() => Err(UpgradeError::WrongKind { addr: addr.clone(), kind: kind.clone() }),
        _ => Ok(subject),
    }
}

fn target(snapshot: &Snapshot, wanted: &Wanted) -> Result<ReleaseRef, UpgradeError> {
    let kind = wanted.addr.kind();
    let releases = snapshot.releases.get(kind).map_or(&[][..], Vec::as_slice);
    if releases.is_empty() {
        let hint = nearest::hint(kind, snapshot.kinds.iter().map(String::as_str));
        return Err(UpgradeError::Kind { kind: kind.to_owned(), hint });
    }
    let Some(release) = releases.iter().find(|release| release.version == wanted.to) else {
        let known: Vec<String> = releases.iter().map(|release| release.version.to_string()).collect();
        let version = wanted.to.to_string();
        let hint = nearest::hint(&version, known.iter().map(String::as_str));
        return Err(UpgradeError::Version { kind: kind.to_owned(), version, hint });
    };
    if let Some(why) = snapshot.quarantined.get(&release.digest) {
        let release = format!("{kind} {}", release.version);
        return Err(UpgradeError::Quarantined { release, why: why.clone() });
    }
    let manifest = readable(kind, release)?;
    Ok(ReleaseRef::of(manifest, release.digest))
}

fn readable<'a>(kind: &str, release: &'a Released) -> Result<&'a Manifest, UpgradeError> {
    release.manifest.as_ref().map_err(|refused| UpgradeError::Gate {
        what: format!("{kind} {}", release.version),
        step: Step::Check,
        refused: Box::new(refused.clone()),
    })
}

fn one_move(
    snapshot: &Snapshot,
    options: &Options,
    subject: &Subject,
    to: ReleaseRef,
) -> Result<(Move, Vec<String>), UpgradeError> {
    let addr = &subject.addr;
    let from = ReleaseRef::of(&subject.manifest, subject.digest);
    let direction = match to.version.cmp(&from.version) {
        std::cmp::Ordering::Greater => Direction::Upgrade,
        std::cmp::Ordering::Less => Direction::Downgrade,
        std::cmp::Ordering::Equal => Direction::Same,
    };
    if direction == Direction::Downgrade && options.downgrades == Downgrades::Refuse {
        let (from, to) = (from.version.to_string(), to.version.to_string());
        return Err(UpgradeError::Direction { addr: addr.clone(), from, to });
    }
    let rungs: Vec<Rung<'_>> = usable(snapshot, addr.kind()).collect();
    let new = rungs.iter().find(|rung| rung.digest == to.digest).copied();
    // The target was looked up a moment ago, in the same snapshot.
    let new = new.ok_or_else(|| UpgradeError::Plan(format!("{to} is not in its own snapshot")))?;
    let ladder = match options.state {
        StateMode::Migrate => ladder_of(subject, new, &rungs)?,
        StateMode::Reset if !reads_args(new.manifest, subject) => {
            return Err(UpgradeError::Args { addr: addr.clone(), to: to.to_string() });
        }
        StateMode::Reset => Vec::new(),
    };
    let pathless = pathless(subject, new.manifest);
    if options.pathless == PathlessPolicy::Refuse && !pathless.is_empty() {
        let what = listed(&pathless);
        return Err(UpgradeError::Contract { addr: addr.clone(), to: to.to_string(), what });
    }
    let mut warnings: Vec<String> = given_up(addr, &pathless).collect();
    if !reads_args(new.manifest, subject) {
        warnings.push(format!("{addr}: {to} does not read its start arguments: a restart from them would fail"));
    }
    let steps = Step::sequence(options.state, options.trials).to_vec();
    let running = Rung { digest: subject.digest, manifest: &subject.manifest };
    let back = match options.state {
        StateMode::Migrate => ladder::way(new, running, &rungs).ok(),
        StateMode::Reset => None,
    };
    let (generation, children) = (subject.generation, subject.children.clone());
    let addr = addr.clone();
    let deterministic = subject.manifest.deterministic;
    let (after, no_replay) = match options.probation {
        Probation::Watch(_) => (ways_of(deterministic, back.is_some()), no_replay(deterministic, subject.elsewhere)),
        Probation::Off => (Vec::new(), None),
    };
    let no_replay = no_replay.map(|why| why.to_string());
    let moved =
        Move { addr, direction, from, to, generation, steps, ladder, back, pathless, children, after, no_replay };
    Ok((moved, warnings))
}

/// That so much of what waits for an actor is lost.
fn given_up(addr: &Addr, pathless: &[Pathless]) -> impl Iterator<Item = String> {
    pathless.iter().map(move |lost| format!("{addr}: {lost}: they become dead letters"))
}

/// The artifacts of a kind that may take part: readable, and not in quarantine.
fn usable<'a>(snapshot: &'a Snapshot, kind: &str) -> impl Iterator<Item = Rung<'a>> {
    let releases = snapshot.releases.get(kind).map_or(&[][..], Vec::as_slice);
    releases.iter().filter(|release| !snapshot.quarantined.contains_key(&release.digest)).filter_map(|release| {
        let manifest = release.manifest.as_ref().ok()?;
        Some(Rung { digest: release.digest, manifest })
    })
}

fn ladder_of(subject: &Subject, new: Rung<'_>, rungs: &[Rung<'_>]) -> Result<Vec<Hop>, UpgradeError> {
    let running = Rung { digest: subject.digest, manifest: &subject.manifest };
    let no_way = match ladder::way(running, new, rungs) {
        Ok(hops) => return Ok(hops),
        Err(no_way) => no_way,
    };
    if cfg!(feature = "bug-u8") {
        return Ok(Vec::new());
    }
    let addr = subject.addr.clone();
    let (old, young) = (&subject.manifest, new.manifest);
    let diff = difference(&old.state.shape, &young.state.shape);
    Err(match no_way {
        NoWay::OtherShape { schema, version, other } => {
            // Shapes of other numbers differ as they should.
            let same = (old.state.schema, young.state.schema) == (schema, schema);
            let diff = if same { format!(": {diff}") } else { String::new() };
            UpgradeError::Shape { addr, schema, version, other, diff }
        }
        NoWay::Missing { from, to } => UpgradeError::Ladder {
            addr,
            from: old.state.schema,
            from_version: old.version.to_string(),
            to: young.state.schema,
            to_version: young.version.to_string(),
            missing: (from, to),
            diff,
        },
    })
}

/// How two shapes differ, as one line.
fn difference(old: &Value, new: &Value) -> String {
    let mut lines = shape_diff(old, new);
    let more = lines.len().saturating_sub(DIFFERENCES_MAX);
    if more > 0 {
        lines.truncate(DIFFERENCES_MAX);
        lines.push(format!("and {more} more"));
    }
    if lines.is_empty() { "the shapes are equal".to_owned() } else { lines.join("; ") }
}

impl Plan {
    /// The moves, in order of the request.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The actors that already are where they were asked to go.
    #[must_use]
    pub fn unchanged(&self) -> &[Unchanged] {
        &self.unchanged
    }

    /// What an operator should know before applying.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the rehearsals of its moves told; nothing before [`crate::Upgrades::rehearse`].
    #[must_use]
    pub fn rehearsed(&self) -> &[Trialled] {
        &self.rehearsed
    }

    /// Whether no rehearsal failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.rehearsed.iter().any(|trialled| matches!(trialled.outcome, TrialOutcome::Failed(_)))
    }

    /// The bounds and choices it was made with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Whether applying it would touch nobody.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.moves.is_empty()
    }

    /// The plan as JSON.
    ///
    /// # Errors
    /// [`UpgradeError::Plan`] when it cannot be written, which no plan made here is known to cause.
    pub fn to_json(&self) -> Result<String, UpgradeError> {
        serde_json::to_string_pretty(self).map_err(|error| UpgradeError::Plan(error.to_string()))
    }

    /// The plan with who asks for it, for journal and report.
    #[must_use]
    pub fn asked_by(self, who: &str) -> Self {
        Self { who: who.to_owned(), ..self }
    }

    /// The plan with a reason, for journal and report.
    #[must_use]
    pub fn because(self, why: &str) -> Self {
        Self { why: why.to_owned(), ..self }
    }

    /// A plan that takes an upgrade back, for the journal.
    #[must_use]
    pub(crate) fn rolling_back(self, of: &UpgradeId) -> Self {
        Self { rolls_back: Some(of.clone()), ..self }
    }

    /// What a way back by another instance is journaled as: nobody applies it.
    pub(crate) fn back(of: &UpgradeId, moves: Vec<Move>, (who, why): (&str, &str)) -> Self {
        let warnings = moves.iter().flat_map(|moved| given_up(&moved.addr, &moved.pathless)).collect();
        Self {
            format: PLAN_FORMAT,
            who: who.to_owned(),
            why: why.to_owned(),
            request: None,
            rolls_back: Some(of.clone()),
            options: Options::new(),
            moves,
            unchanged: Vec::new(),
            warnings,
            rehearsed: Vec::new(),
        }
    }

    /// A plan with the name of the request that it is for: the host runs one upgrade of that name, ever, and refuses
    /// another with [`UpgradeError::Repeated`]. So that whoever does not know whether it was heard may ask again. It
    /// has 1 to [`REQUEST_BYTES_MAX`] bytes; a plan with another one is refused.
    #[must_use]
    pub fn requested_as(mut self, request: &str) -> Self {
        self.request = Some(request.to_owned());
        self
    }

    /// A plan from JSON. It is held against the actors again when it is applied.
    ///
    /// # Errors
    /// [`UpgradeError::Plan`] when the text is none, [`UpgradeError::Steps`] when its steps are not legal.
    pub fn from_json(text: &str) -> Result<Self, UpgradeError> {
        let plan: Self = serde_json::from_str(text).map_err(|error| UpgradeError::Plan(error.to_string()))?;
        if plan.format != PLAN_FORMAT {
            let found = plan.format;
            return Err(UpgradeError::Plan(format!("its format is {found}, this teneral reads {PLAN_FORMAT}")));
        }
        plan.validate()?;
        Ok(plan)
    }

    /// Refuses a plan whole if one of its moves is not exactly what a plan may hold.
    pub(crate) fn validate(&self) -> Result<(), UpgradeError> {
        self.request.as_deref().map_or(Ok(()), names_a_request)?;
        let mut seen = BTreeSet::new();
        let named = self.moves.iter().map(|m| &m.addr).chain(self.unchanged.iter().map(|u| &u.addr));
        for addr in named {
            if !seen.insert(addr) {
                return Err(UpgradeError::Twice(addr.clone()));
            }
        }
        self.moves.iter().try_for_each(|moved| moved.validate(&self.options))
    }
}
