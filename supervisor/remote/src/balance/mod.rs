//! Which of several endpoints gets a piece of work: a pure function of what happened, without a clock, sockets or
//! chance of its own.
//!
//! Whoever sends work tells [`Balancer::on`] what became of it and asks [`Balancer::choose`] for the next endpoint,
//! with the time on a monotonic clock of its own. So the same events at the same times give the same choices, and what
//! goes wrong in a minute is tested in a microsecond.
//!
//! * what is known of an endpoint as a fact (it drains, it is gone) is always heeded; what is an opinion (its failures
//!   say that it is ill, a check says so) is heeded only as long as enough others are well: when most are held to be
//!   ill, it is the opinion that is ill (Envoy's `healthy_panic_threshold`)
//! * `health`: whose work fails is ejected, for longer each time (Envoy's outlier detection)
//! * `strategy`: who of those that may be chosen is
//! * [`RetryBudget`]: how much work may be done twice (Finagle's)

mod budget;
mod health;
mod strategy;
mod window;

pub use budget::{RetryBudget, RetryPolicy};
pub use health::OutlierPolicy;
pub use strategy::{Strategy, key_of};

use health::Record;
use std::collections::BTreeMap;
use std::time::Duration;
use strategy::{Candidate, Random};

/// Names an endpoint of one balancer: never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// What a balancer goes by. Nothing has a hidden default: [`Policy::standard`] lists what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Who of those that may be chosen is.
    pub strategy: Strategy,
    /// When an endpoint is ejected.
    pub outliers: OutlierPolicy,
    /// When fewer than this share of the endpoints are held to be well, all are chosen from, ill or not.
    pub panic_percent: u32,
    /// How long an endpoint that came, or came back, gets less than its share.
    pub slow_start: Duration,
    /// Most endpoints: another one is not taken in.
    pub endpoints_max: usize,
}

impl Policy {
    /// Two choices; ejected as [`OutlierPolicy::standard`] says; a panic below 50 % (as Envoy's); a slow start of 2 s;
    /// 1,024 endpoints.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            strategy: Strategy::TwoChoices,
            outliers: OutlierPolicy::standard(),
            panic_percent: 50,
            slow_start: Duration::from_secs(2),
            endpoints_max: 1024,
        }
    }
}

/// What a balancer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An endpoint is there. One that is there already keeps what is known of it and gets this weight.
    Joined {
        /// Which.
        endpoint: EndpointId,
        /// What it is called, the same in every life: whose keys it has hangs on it.
        name: String,
        /// Its share, 1 to [`WEIGHT_MAX`]; what lies outside is taken for the nearest.
        weight: u32,
    },
    /// An endpoint is no more; what was pending there is nobody's.
    Left(EndpointId),
    /// It gets no new work. When nothing is pending there, [`Told::Emptied`] says so.
    Drains(EndpointId),
    /// Work went there that was not chosen for it here.
    Began(EndpointId),
    /// Work that went there is over.
    Ended(EndpointId, Outcome),
    /// What a look at it has shown.
    Looked(EndpointId, Health),
}

/// How work ended, as far as it says something of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, be it by an error of the work's own.
    Answered,
    /// The endpoint failed it: it broke, or did not answer in time.
    Failed,
    /// Whoever wanted it wants it no more: that says nothing.
    GivenUp,
}

/// What a look at an endpoint shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It says that it serves.
    Serving,
    /// It says that it does not, or does not answer: an opinion, which a panic passes over.
    NotServing,
    /// There is nothing to send to: a fact. It is chosen by nobody until another look shows it.
    Gone,
}

/// What whoever tells it something is told in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// An endpoint that drains has nothing pending any more.
    Emptied(EndpointId),
    /// An endpoint is ejected until then.
    Ejected(EndpointId, Duration),
    /// There are [`Policy::endpoints_max`] endpoints: it was not taken in.
    TooMany(EndpointId),
}

/// How it stands with an endpoint, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It gets its share.
    Serving,
    /// It came a short while ago, and gets so many percent of its share.
    SlowStart {
        /// How many.
        percent: u32,
    },
    /// Its work failed: it gets none until then, unless most others are no better.
    Ejected {
        /// On the clock of the events.
        until: Duration,
    },
    /// A look said that it does not serve.
    NotServing,
    /// There is nothing to send to.
    Gone,
    /// It gets no new work.
    Draining,
}

/// A look at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub endpoint: EndpointId,
    /// Work that is there.
    pub pending: usize,
    /// How it stands with it.
    pub standing: Standing,
}

/// Largest weight.
pub const WEIGHT_MAX: u32 = 100;

/// A new endpoint's share at first, in thousandths: enough to be seen to work (Envoy's `min_weight_percent`).
const SHARE_MIN: u64 = 100;
const SHARE_WHOLE: u64 = 1000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Balancer {
    policy: Policy,
    members: BTreeMap<EndpointId, Member>,
    random: Random,
}

#[derive(Debug, Clone)]
struct Member {
    name: u64,
    weight: u32,
    pending: usize,
    /// Since when it serves, for its slow start.
    since: Duration,
    health: Health,
    drains: bool,
    record: Record,
    /// Of smooth weighted round robin.
    owed: i64,
}

impl Balancer {
    /// One without endpoints. What is chance in it comes from `seed`.
    #[must_use]
    pub const fn new(policy: Policy, seed: u64) -> Self {
        Self { policy, members: BTreeMap::new(), random: Random::new(seed) }
    }

    /// Takes note of an event at `now`. What concerns an endpoint that is not there is nothing.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        match event {
            Event::Joined { endpoint, name, weight } => told.extend(self.joined(endpoint, &name, weight, now)),
            Event::Left(endpoint) => drop(self.members.remove(&endpoint)),
            Event::Drains(endpoint) => {
                if let Some(member) = self.members.get_mut(&endpoint).filter(|member| !member.drains) {
                    member.drains = true;
                    told.extend((member.pending == 0).then_some(Told::Emptied(endpoint)));
                }
            }
            Event::Began(endpoint) => {
                if let Some(member) = self.members.get_mut(&endpoint) {
                    member.pending += 1;
                }
            }
            Event::Ended(endpoint, outcome) => self.ended(endpoint, outcome, now, &mut told),
            Event::Looked(endpoint, health) => {
                if let Some(member) = self.members.get_mut(&endpoint) {
                    if health == Health::Serving && member.health != Health::Serving {
                        member.since = now;
                    }
                    member.health = health;
                }
            }
        }
        told
    }

    fn joined(&mut self, endpoint: EndpointId, name: &str, weight: u32, now: Duration) -> Option<Told> {
        let weight = weight.clamp(1, WEIGHT_MAX);
        if let Some(member) = self.members.get_mut(&endpoint) {
            member.weight = weight;
            return None;
        }
        if self.members.len() >= self.policy.endpoints_max {
            return Some(Told::TooMany(endpoint));
        }
        let member = Member {
            name: key_of(name.as_bytes()),
            weight,
            pending: 0,
            since: now,
            health: Health::Serving,
            drains: false,
            record: Record::new(),
            owed: 0,
        };
        self.members.insert(endpoint, member);
        None
    }

    fn ended(&mut self, endpoint: EndpointId, outcome: Outcome, now: Duration, told: &mut Vec<Told>) {
        let (ejected, present) = self.ejected(now);
        let outliers = self.policy.outliers;
        let Some(member) = self.members.get_mut(&endpoint) else { return };
        member.pending = member.pending.saturating_sub(1);
        if member.drains && member.pending == 0 {
            told.push(Told::Emptied(endpoint));
        }
        let is_ill = match outcome {
            Outcome::GivenUp => false,
            Outcome::Answered => member.record.answered(now, &outliers),
            Outcome::Failed => member.record.failed(now, &outliers),
        };
        // What drains or is gone gets nothing anyway.
        let counts = !member.drains && member.health != Health::Gone && !member.record.is_ejected(now);
        let may = outliers.may_eject(ejected, present) || cfg!(feature = "bug-p22");
        if is_ill && counts && may {
            let until = member.record.eject(now, &outliers);
            member.since = until;
            told.push(Told::Ejected(endpoint, until));
        }
    }

    /// How many are ejected, and of how many.
    fn ejected(&self, now: Duration) -> (usize, usize) {
        let present = self.members.values().filter(|member| member.is_present());
        present.fold((0, 0), |(ejected, all), member| (ejected + usize::from(member.record.is_ejected(now)), all + 1))
    }

    /// The endpoint for the next piece of work, which is pending there from now on. `key` counts for
    /// [`Strategy::Hash`] alone; who is not `usable` for this piece of work is not chosen. `None`: nobody can be; when
    /// that changes, an event says so.
    pub fn choose(&mut self, key: u64, now: Duration, usable: impl Fn(EndpointId) -> bool) -> Option<EndpointId> {
        let (panics, slow_start, strategy) = (self.panics(now), self.policy.slow_start, self.policy.strategy);
        let chosen = {
            let open = self.members.iter_mut().filter(|(endpoint, member)| {
                member.is_present() && (panics || member.is_well(now)) && usable(**endpoint)
            });
            let candidates: Vec<Candidate<'_>> = open
                .map(|(endpoint, member)| Candidate {
                    endpoint: *endpoint,
                    name: member.name,
                    pending: member.pending as u64,
                    weight: member.weight,
                    share: member.share(now, slow_start),
                    owed: &mut member.owed,
                })
                .collect();
            strategy.choose(key, candidates, &mut self.random)?
        };
        self.on(Event::Began(chosen), now);
        Some(chosen)
    }

    /// Whether so few are held to be well that opinions count no more.
    fn panics(&self, now: Duration) -> bool {
        let present = self.members.values().filter(|member| member.is_present());
        let (well, all) = present.fold((0, 0), |(well, all), member| (well + u64::from(member.is_well(now)), all + 1));
        well * 100 < all * u64::from(self.policy.panic_percent)
    }

    /// Whether somebody who is `usable` could be chosen now.
    #[must_use]
    pub fn could_choose(&self, now: Duration, usable: impl Fn(EndpointId) -> bool) -> bool {
        let panics = self.panics(now);
        let is_open = |member: &Member| member.is_present() && (panics || member.is_well(now));
        self.members.iter().any(|(endpoint, member)| is_open(member) && usable(*endpoint))
    }

    /// How it stands with each, by id.
    #[must_use]
    pub fn seen(&self, now: Duration) -> Vec<Seen> {
        let seen = |(endpoint, member): (&EndpointId, &Member)| Seen {
            endpoint: *endpoint,
            pending: member.pending,
            standing: member.standing(now, self.policy.slow_start),
        };
        self.members.iter().map(seen).collect()
    }
}

impl Member {
    /// Whether there is something to send to.
    const fn is_present(&self) -> bool {
        !self.drains && !matches!(self.health, Health::Gone)
    }

    /// Whether it is held to be well.
    fn is_well(&self, now: Duration) -> bool {
        self.health == Health::Serving && !self.record.is_ejected(now)
    }

    /// Its share, in thousandths.
    fn share(&self, now: Duration, slow_start: Duration) -> u64 {
        let (served, whole) = (now.saturating_sub(self.since).as_micros(), slow_start.as_micros());
        if served >= whole {
            return SHARE_WHOLE;
        }
        // At most a thousand, since less than the whole has passed.
        let share = served * u128::from(SHARE_WHOLE) / whole;
        u64::try_from(share).unwrap_or(SHARE_WHOLE).max(SHARE_MIN)
    }

    fn standing(&self, now: Duration, slow_start: Duration) -> Standing {
        match (self.drains, self.health, self.record.ejected_until(now)) {
            (true, ..) => Standing::Draining,
            (_, Health::Gone, _) => Standing::Gone,
            (_, Health::NotServing, _) => Standing::NotServing,
            (_, Health::Serving, Some(until)) => Standing::Ejected { until },
            (_, Health::Serving, None) => match self.share(now, slow_start) {
                SHARE_WHOLE => Standing::Serving,
                share => Standing::SlowStart { percent: u32::try_from(share / 10).unwrap_or(100) },
            },
        }
    }
}
