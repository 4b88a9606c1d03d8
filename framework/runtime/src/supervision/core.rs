//! The supervision tree as a pure function: events in, actions out, no clock, no threads, no cells.
//!
//! The root supervises what the program starts; an actor supervises what it spawns. A child that exits is restarted in
//! place or removed, by its [`Restart`] and by how it exited; before either, its own children are stopped, youngest
//! first. Each child has its own restart budget ([`Intensity`]): beyond it the child is given up, and that *escalates*:
//! its supervisor stops, its other children first, and exits with [`Exit::Shutdown`], on which *its* supervisor
//! decides. Only the root stands: one actor that cannot live is no reason to end the program.
//!
//! A decision that waits for something (children that must stop first, a turn that must end) is kept in the node as
//! its plan, and `settle` carries plans on whenever something has changed. New strategies are new ways to make plans.

use crate::clock::Moment;
use crate::config::{Intensity, Restart};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Names a child for ever; greater means started later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(u64);

impl ChildId {
    /// The root supervisor: no actor.
    pub const ROOT: Self = Self(0);
}

/// What the failure of one child means for its siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Nothing: the child is restarted alone.
    OneForOne,
}

/// How an actor exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It had done its work.
    Normal,
    /// It was told to, or gave way to the stop of others.
    Shutdown,
    /// It failed.
    Abnormal,
}

impl Exit {
    /// How a stop for `reason` counts, as in OTP: without a reason it is normal, `shutdown` and `shutdown: why` are
    /// orderly, any other reason is a failure.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match reason.strip_prefix("shutdown") {
            _ if reason.is_empty() => Self::Normal,
            Some(rest) if rest.is_empty() || rest.starts_with(':') => Self::Shutdown,
            _ => Self::Abnormal,
        }
    }
}

/// How a child is supervised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildSpec {
    /// When it is restarted.
    pub restart: Restart,
    /// How often at most.
    pub intensity: Intensity,
    /// How the child, as a supervisor, treats its own children.
    pub strategy: Strategy,
}

/// What the tree is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A child's instance is gone, for whatever reason. Once an incarnation; a late or doubled one is ignored.
    Exited(ChildId, Exit),
    /// The new instance is in.
    Restarted(ChildId),
    /// There is no new instance: it could not be made, or not in time.
    RestartFailed(ChildId),
    /// An upgrade cost the child its instance: it is restarted whatever its spec says, its children stay, and no budget
    /// is charged.
    Replace(ChildId),
    /// The process of the child's instance is gone, and the next instance goes on from where it was: it is restarted as
    /// after a failure, within its budget, but its children stay.
    Gone(ChildId),
    /// Somebody wants the child stopped for good.
    Stop(ChildId),
    /// A child told to stop has not, in its time: it is retired as it stands, and not restarted whatever was planned,
    /// since its old instance still runs.
    StopOverdue(ChildId),
    /// Whoever waited for a child and its children to stop (or for everything, [`ChildId::ROOT`]) waits no longer: all
    /// of them are retired as they stand.
    CutOff(ChildId),
    /// Everything stops, youngest first.
    Shutdown,
}

/// What the tree wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<C> {
    /// Put a new instance in; answer [`Event::Restarted`] or [`Event::RestartFailed`].
    Restart(ChildId, C),
    /// Ask the child to stop; answer [`Event::Exited`] or [`Event::StopOverdue`].
    Stop(ChildId, C, Ending),
    /// The child has left the tree: free its name, give its messages up, leave its turn behind if it is in one. Nothing
    /// more is heard of its id.
    Retire(ChildId, C, ChildSpec, Ending),
    /// Everything is stopped.
    Finished,
}

/// Why a child is stopped or retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited and its spec says to leave it at that.
    Exited(Exit),
    /// Somebody asked for it.
    Asked,
    /// Its parent stops, or is about to be restarted.
    Parent,
    /// It failed beyond its budget.
    GivenUp,
    /// One of its children failed beyond its budget.
    Escalated,
    /// The system shuts down.
    Shutdown,
}

/// Why a child is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The parent is not in the tree.
    #[error("the parent is not running")]
    NoParent,
    /// The parent is being stopped or restarted.
    #[error("the parent is stopping")]
    Stopping,
}

/// The tree. `C` is the shell's handle of a child.
#[derive(Debug)]
pub struct Tree<C> {
    // Ordered: the order of ids is the order of starts, and no decision hangs on a hash.
    nodes: BTreeMap<ChildId, Node<C>>,
    root_children: BTreeSet<ChildId>,
    root: Root,
    last: ChildId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Open,
    ShuttingDown,
    Finished,
}

#[derive(Debug)]
#[expect(clippy::box_collection, reason = "a tree may hold a million nodes, most of them childless and sound")]
struct Node<C> {
    child: C,
    parent: ChildId,
    spec: ChildSpec,
    life: Life,
    plan: Option<Plan>,
    /// Boxed on first use.
    children: Option<Box<BTreeSet<ChildId>>>,
    /// When it was restarted, within the period. Boxed on first use.
    restarts: Option<Box<VecDeque<Moment>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Stopping,
    Dead,
    Restarting,
}

/// What becomes of a node once its children are gone and its instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// If its budget allows; else it is given up.
    Restart,
    Retire(Ending),
    /// Exits with [`Exit::Shutdown`], since one of its children could not be kept alive.
    Escalate,
}

impl<C: Clone> Tree<C> {
    /// A root without children.
    #[must_use]
    pub const fn new() -> Self {
        Self { nodes: BTreeMap::new(), root_children: BTreeSet::new(), root: Root::Open, last: ChildId::ROOT }
    }

    /// Takes in a child that is about to run. One whose first instance could not be made is never taken in.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed.
    pub fn adopt(&mut self, parent: ChildId, spec: ChildSpec, child: C) -> Result<ChildId, Refused> {
        let id = ChildId(self.last.0 + 1);
        if parent == ChildId::ROOT {
            if self.root != Root::Open {
                return Err(Refused::Stopping);
            }
            self.root_children.insert(id);
        } else {
            let node = self.nodes.get_mut(&parent).ok_or(Refused::NoParent)?;
            if node.plan.is_some() || node.life != Life::Running {
                return Err(Refused::Stopping);
            }
            node.children.get_or_insert_default().insert(id);
        }
        self.last = id;
        let node = Node { child, parent, spec, life: Life::Running, plan: None, children: None, restarts: None };
        self.nodes.insert(id, node);
        Ok(id)
    }

    /// One event at `at`; what is to be done about it is appended to `actions`, in order.
    pub fn on(&mut self, event: Event, at: Moment, actions: &mut Vec<Action<C>>) {
        match event {
            Event::Exited(id, exit) => self.exited(id, &[Life::Running, Life::Stopping], exit, at, actions),
            Event::StopOverdue(id) => {
                let node = self.nodes.get_mut(&id).filter(|node| node.life == Life::Stopping);
                if let Some(plan @ Plan::Escalate) = node.and_then(|node| node.plan.as_mut()) {
                    *plan = Plan::Retire(Ending::Escalated);
                }
                self.exited(id, &[Life::Stopping], Exit::Abnormal, at, actions);
            }
            Event::CutOff(id) => self.cut_off(id, at, actions),
            Event::RestartFailed(id) => {
                if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.life == Life::Restarting) {
                    node.stand_still(at);
                }
                self.exited(id, &[Life::Restarting], Exit::Abnormal, at, actions);
            }
            Event::Restarted(id) => {
                if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.life == Life::Restarting) {
                    node.life = Life::Running;
                    self.settle(id, at, actions);
                }
            }
            Event::Replace(id) => match self.nodes.get_mut(&id) {
                Some(node) if node.life == Life::Running && node.plan.is_none() => {
                    node.life = Life::Restarting;
                    actions.push(Action::Restart(id, node.child.clone()));
                }
                // What was planned meanwhile wins.
                _ => self.exited(id, &[Life::Running, Life::Stopping], Exit::Abnormal, at, actions),
            },
            Event::Gone(id) => match self.nodes.get_mut(&id).and_then(|node| node.goes_on(at)) {
                Some(child) => actions.push(Action::Restart(id, child)),
                None => self.exited(id, &[Life::Running, Life::Stopping], Exit::Abnormal, at, actions),
            },
            Event::Stop(id) => self.retire(id, Ending::Asked, at, actions),
            Event::Shutdown if self.root == Root::Open => {
                self.root = Root::ShuttingDown;
                self.settle(ChildId::ROOT, at, actions);
            }
            Event::Shutdown => {}
        }
    }

    /// Children in the tree, at every depth.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the tree has no children.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A child's handle.
    #[must_use]
    pub fn child(&self, id: ChildId) -> Option<&C> {
        self.nodes.get(&id).map(|node| &node.child)
    }

    /// A child's supervisor, that one's, and so on; the root is not listed.
    #[must_use]
    pub fn ancestors(&self, id: ChildId) -> Vec<C> {
        let parent = |id: &ChildId| self.nodes.get(id).map(|node| node.parent);
        let chain = std::iter::successors(parent(&id), parent);
        chain.filter_map(|id| self.child(id).cloned()).collect()
    }

    /// The children of `parent` (perhaps [`ChildId::ROOT`]), in the order of their starts.
    pub fn children(&self, parent: ChildId) -> impl DoubleEndedIterator<Item = &C> {
        self.children_of(parent).into_iter().flatten().filter_map(|id| self.child(*id))
    }

    fn children_of(&self, id: ChildId) -> Option<&BTreeSet<ChildId>> {
        if id == ChildId::ROOT {
            return Some(&self.root_children);
        }
        self.nodes.get(&id).and_then(|node| node.children.as_deref())
    }

    /// The instance is gone, unless the child was in none of these lives: then the event came too late. A plan that
    /// stands already (a stop, an escalation) wins over what the exit would mean.
    fn exited(&mut self, id: ChildId, lives: &[Life], exit: Exit, at: Moment, actions: &mut Vec<Action<C>>) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| lives.contains(&node.life)) else { return };
        node.life = Life::Dead;
        if node.plan.is_none() {
            node.plan = Some(node.decide(exit));
        }
        match self.strategy_over(id) {
            Strategy::OneForOne => self.settle(id, at, actions),
        }
    }

    /// The strategy of a child's supervisor.
    fn strategy_over(&self, id: ChildId) -> Strategy {
        let parent = self.nodes.get(&id).and_then(|node| self.nodes.get(&node.parent));
        parent.map_or(Strategy::OneForOne, |parent| parent.spec.strategy)
    }

    /// Plans to stop a node for good. Why it leaves, once that is decided, stays.
    fn retire(&mut self, id: ChildId, why: Ending, at: Moment, actions: &mut Vec<Action<C>>) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if !matches!(node.plan, Some(Plan::Retire(_))) {
            node.plan = Some(Plan::Retire(why));
            self.settle(id, at, actions);
        }
    }

    /// Everybody at and below `id` is as good as gone.
    fn cut_off(&mut self, id: ChildId, at: Moment, actions: &mut Vec<Action<C>>) {
        let mut below = vec![id];
        while let Some(id) = below.pop() {
            below.extend(self.children_of(id).into_iter().flatten());
            if let Some(node) = self.nodes.get_mut(&id) {
                node.life = Life::Dead;
                if !matches!(node.plan, Some(Plan::Retire(_))) {
                    node.plan = Some(Plan::Retire(Ending::Asked));
                }
            }
        }
        self.settle(id, at, actions);
    }

    /// Carries the plan of `id` on as far as it goes: first down to its youngest descendant, then back up.
    fn settle(&mut self, id: ChildId, at: Moment, actions: &mut Vec<Action<C>>) {
        let mut next = Some(id);
        while let Some(id) = next {
            next = match self.youngest_to_stop(id) {
                Some(child) => Some(child),
                None if id == ChildId::ROOT => {
                    if self.root == Root::ShuttingDown && self.root_children.is_empty() {
                        self.root = Root::Finished;
                        actions.push(Action::Finished);
                    }
                    None
                }
                None => self.carry_out(id, at, actions),
            };
        }
    }

    /// The youngest child of a node that stops, told to stop with it. `None`: no children, or nothing stops.
    fn youngest_to_stop(&mut self, id: ChildId) -> Option<ChildId> {
        let why = match self.nodes.get(&id) {
            None if id == ChildId::ROOT && self.root == Root::ShuttingDown => Ending::Shutdown,
            None => return None,
            Some(node) => match node.plan? {
                Plan::Retire(Ending::Shutdown) => Ending::Shutdown,
                _ => Ending::Parent,
            },
        };
        let youngest = *self.children_of(id)?.last()?;
        let child = self.nodes.get_mut(&youngest)?;
        if !matches!(child.plan, Some(Plan::Retire(_))) {
            child.plan = Some(Plan::Retire(why));
        }
        Some(youngest)
    }

    /// A node without children: the next step of its plan. Answers the supervisor whose own plan may go on now.
    fn carry_out(&mut self, id: ChildId, at: Moment, actions: &mut Vec<Action<C>>) -> Option<ChildId> {
        let node = self.nodes.get_mut(&id)?;
        let plan = node.plan?;
        match (node.life, plan) {
            (Life::Stopping | Life::Restarting, _) => None,
            (Life::Running, plan) => {
                let why = if let Plan::Retire(why) = plan { why } else { Ending::Escalated };
                node.life = Life::Stopping;
                actions.push(Action::Stop(id, node.child.clone(), why));
                None
            }
            (Life::Dead, Plan::Restart) if node.charge(at) => {
                (node.life, node.plan) = (Life::Restarting, None);
                actions.push(Action::Restart(id, node.child.clone()));
                None
            }
            (Life::Dead, Plan::Restart) => self.remove(id, Ending::GivenUp, actions),
            (Life::Dead, Plan::Escalate) => {
                node.plan = Some(node.decide(Exit::Shutdown));
                Some(id)
            }
            (Life::Dead, Plan::Retire(why)) => self.remove(id, why, actions),
        }
    }

    /// A child leaves the tree; one that is given up takes its supervisor along.
    fn remove(&mut self, id: ChildId, why: Ending, actions: &mut Vec<Action<C>>) -> Option<ChildId> {
        let node = self.nodes.remove(&id)?;
        actions.push(Action::Retire(id, node.child, node.spec, why));
        if node.parent == ChildId::ROOT {
            self.root_children.remove(&id);
            return Some(node.parent);
        }
        let parent = self.nodes.get_mut(&node.parent)?;
        if let Some(siblings) = parent.children.as_mut() {
            siblings.remove(&id);
        }
        if why == Ending::GivenUp && parent.plan.is_none() && !cfg!(feature = "bug-s2") {
            parent.plan = Some(Plan::Escalate);
        }
        Some(node.parent)
    }
}

impl<C: Clone> Node<C> {
    /// It is restarted with its children where they are, at `at` and within its budget, which is charged. `None`: it is
    /// not, and nothing has changed.
    fn goes_on(&mut self, at: Moment) -> Option<C> {
        let undecided = self.life == Life::Running && self.plan.is_none();
        let goes_on = undecided && self.decide(Exit::Abnormal) == Plan::Restart && self.charge(at);
        goes_on.then(|| {
            self.life = Life::Restarting;
            self.child.clone()
        })
    }
}

impl<C: Clone> Default for Tree<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Node<C> {
    /// What an exit means for this child: OTP's nine cases.
    fn decide(&self, exit: Exit) -> Plan {
        match (self.spec.restart, exit) {
            (Restart::Permanent, _) | (Restart::Transient, Exit::Abnormal) => Plan::Restart,
            (Restart::Transient, Exit::Normal) if cfg!(feature = "bug-s1") => Plan::Restart,
            (Restart::Transient | Restart::Temporary, _) => Plan::Retire(Ending::Exited(exit)),
        }
    }

    /// Whether one more restart at `at` is within the budget; if so, it is charged.
    fn charge(&mut self, at: Moment) -> bool {
        let Intensity { restarts_max, period } = self.spec.intensity;
        let restarts = self.restarts.get_or_insert_default();
        while restarts.front().is_some_and(|first| at.since(*first) > period) && !cfg!(feature = "bug-s6") {
            restarts.pop_front();
        }
        let allowed = restarts.len() < restarts_max as usize;
        if allowed {
            restarts.push_back(at);
        }
        allowed
    }

    /// A restart has failed: the time that it took brings no budget back. Else a restart that takes longer than the
    /// period to fail, one that hangs, would be tried for ever.
    fn stand_still(&mut self, at: Moment) {
        self.restarts.iter_mut().for_each(|restarts| restarts.iter_mut().for_each(|restart| *restart = at));
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
