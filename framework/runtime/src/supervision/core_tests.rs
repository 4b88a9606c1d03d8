//! The tree against its claims: the nine exits, escalation, budgets, and any sequence of events at all.

use super::{Strategy, *};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn spec(restart: Restart, restarts_max: u32) -> ChildSpec {
    let intensity = Intensity { restarts_max, period: 5 * SECOND };
    ChildSpec { restart, intensity, strategy: Strategy::OneForOne }
}

/// A tree of named children on a clock of its own; restarts succeed and stops are obeyed only when the test says so.
struct World {
    tree: Tree<&'static str>,
    now: Moment,
}

impl World {
    fn new() -> Self {
        Self { tree: Tree::new(), now: Moment(0) }
    }

    fn adopt(&mut self, parent: ChildId, restart: Restart, name: &'static str) -> ChildId {
        self.tree.adopt(parent, spec(restart, 3), name).expect("the parent runs")
    }

    fn on(&mut self, event: Event) -> Vec<Action<&'static str>> {
        let mut actions = Vec::new();
        self.tree.on(event, self.now, &mut actions);
        actions
    }
}

fn retire(id: ChildId, name: &'static str, restart: Restart, why: Ending) -> Action<&'static str> {
    Action::Retire(id, name, spec(restart, 3), why)
}

#[test]
fn s1_each_restart_type_meets_each_exit_in_nine_results() {
    use Restart::{Permanent, Temporary, Transient};
    let restarted = [
        (Permanent, Exit::Normal, true),
        (Permanent, Exit::Shutdown, true),
        (Permanent, Exit::Abnormal, true),
        (Transient, Exit::Normal, false),
        (Transient, Exit::Shutdown, false),
        (Transient, Exit::Abnormal, true),
        (Temporary, Exit::Normal, false),
        (Temporary, Exit::Shutdown, false),
        (Temporary, Exit::Abnormal, false),
    ];
    for (restart, exit, again) in restarted {
        let mut world = World::new();
        let bystander = world.adopt(ChildId::ROOT, Permanent, "bystander");
        let child = world.adopt(ChildId::ROOT, restart, "child");
        let expected =
            if again { Action::Restart(child, "child") } else { retire(child, "child", restart, Ending::Exited(exit)) };
        assert_eq!(world.on(Event::Exited(child, exit)), [expected], "{restart:?}, {exit:?}");
        assert_eq!(world.tree.child(bystander), Some(&"bystander"));
        assert_eq!(world.tree.len(), if again { 2 } else { 1 });
    }
}

#[test]
fn a_stops_reason_says_how_it_counts() {
    let reasons = ["", "shutdown", "shutdown: drained", "shutdowns", "disk full"];
    let exits = [Exit::Normal, Exit::Shutdown, Exit::Shutdown, Exit::Abnormal, Exit::Abnormal];
    assert_eq!(reasons.map(Exit::of), exits);
}

#[test]
fn s2_a_child_that_fails_is_restarted_alone_and_beyond_its_budget_stops_its_supervisor() {
    let mut world = World::new();
    let parent = world.adopt(ChildId::ROOT, Restart::Temporary, "parent");
    let sick = world.adopt(parent, Restart::Permanent, "sick");
    let well = world.adopt(parent, Restart::Permanent, "well");
    for _ in 0..3 {
        assert_eq!(world.on(Event::Exited(sick, Exit::Abnormal)), [Action::Restart(sick, "sick")]);
        assert_eq!(world.on(Event::Restarted(sick)), []);
    }
    let escalated = world.on(Event::Exited(sick, Exit::Abnormal));
    let expected =
        [retire(sick, "sick", Restart::Permanent, Ending::GivenUp), Action::Stop(well, "well", Ending::Parent)];
    assert_eq!(escalated, expected);
    let well_stopped = world.on(Event::Exited(well, Exit::Shutdown));
    let expected =
        [retire(well, "well", Restart::Permanent, Ending::Parent), Action::Stop(parent, "parent", Ending::Escalated)];
    assert_eq!(well_stopped, expected);
    let parent_stopped = world.on(Event::Exited(parent, Exit::Shutdown));
    assert_eq!(parent_stopped, [retire(parent, "parent", Restart::Temporary, Ending::Exited(Exit::Shutdown))]);
    assert!(world.tree.is_empty());
}

#[test]
fn a_permanent_supervisor_that_a_child_took_along_is_restarted_without_children() {
    let mut world = World::new();
    let parent = world.adopt(ChildId::ROOT, Restart::Permanent, "parent");
    let hopeless = world.tree.adopt(parent, spec(Restart::Permanent, 0), "hopeless").expect("the parent runs");
    let actions = world.on(Event::Exited(hopeless, Exit::Abnormal));
    assert_eq!(actions[1..], [Action::Stop(parent, "parent", Ending::Escalated)]);
    assert_eq!(world.on(Event::Exited(parent, Exit::Shutdown)), [Action::Restart(parent, "parent")]);
    assert_eq!(world.tree.children(parent).count(), 0);
}

#[test]
fn the_root_outlives_a_child_that_is_given_up() {
    let mut world = World::new();
    let well = world.adopt(ChildId::ROOT, Restart::Permanent, "well");
    let hopeless = world.tree.adopt(ChildId::ROOT, spec(Restart::Permanent, 0), "hopeless").expect("the root runs");
    let gone = Action::Retire(hopeless, "hopeless", spec(Restart::Permanent, 0), Ending::GivenUp);
    assert_eq!(world.on(Event::Exited(hopeless, Exit::Abnormal)), [gone]);
    assert_eq!(world.tree.child(well), Some(&"well"));
}

#[test]
fn s6_only_restarts_inside_the_period_count() {
    let mut world = World::new();
    let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
    // Three restarts in five seconds are allowed: at one every two seconds it goes on for ever.
    for _ in 0..20 {
        assert_eq!(world.on(Event::Exited(child, Exit::Abnormal)), [Action::Restart(child, "child")]);
        world.on(Event::Restarted(child));
        world.now = world.now + 2 * SECOND;
    }
    // Two of them are still inside the period: one more, and then it is too many.
    assert_eq!(world.on(Event::Exited(child, Exit::Abnormal)), [Action::Restart(child, "child")]);
    world.on(Event::Restarted(child));
    let over = world.on(Event::Exited(child, Exit::Abnormal));
    assert_eq!(over, [retire(child, "child", Restart::Permanent, Ending::GivenUp)]);
}

#[test]
fn s6_restarts_made_by_an_upgrade_do_not_count() {
    let mut world = World::new();
    let child = world.adopt(ChildId::ROOT, Restart::Temporary, "child");
    for _ in 0..20 {
        assert_eq!(world.on(Event::Replace(child)), [Action::Restart(child, "child")], "even a temporary one");
        assert_eq!(world.on(Event::Restarted(child)), []);
    }
}

#[test]
fn a_child_whose_process_is_gone_keeps_its_children_and_is_charged_like_any_failure() {
    let mut world = World::new();
    let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
    let below = world.adopt(child, Restart::Permanent, "below");
    for _ in 0..3 {
        assert_eq!(world.on(Event::Gone(child)), [Action::Restart(child, "child")]);
        assert_eq!(world.on(Event::Gone(child)), [], "it is restarted already");
        assert_eq!(world.on(Event::Restarted(child)), []);
    }
    let stop = |actions: Vec<Action<_>>| matches!(actions[..], [Action::Stop(id, ..)] if id == below);
    assert!(stop(world.on(Event::Gone(child))), "beyond its budget it is given up, its children first");
    let temporary = world.adopt(ChildId::ROOT, Restart::Temporary, "temporary");
    let gone = world.on(Event::Gone(temporary));
    assert_eq!(gone, [retire(temporary, "temporary", Restart::Temporary, Ending::Exited(Exit::Abnormal))]);
}

#[test]
fn a_restart_that_fails_is_charged_like_any_failure_and_ends_within_the_budget() {
    let mut world = World::new();
    let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
    assert_eq!(world.on(Event::Exited(child, Exit::Abnormal)), [Action::Restart(child, "child")]);
    for _ in 0..2 {
        assert_eq!(world.on(Event::RestartFailed(child)), [Action::Restart(child, "child")]);
    }
    assert_eq!(world.on(Event::RestartFailed(child)), [retire(child, "child", Restart::Permanent, Ending::GivenUp)]);
}

#[test]
fn restarts_that_take_longer_than_the_period_to_fail_end_within_the_budget() {
    let mut world = World::new();
    let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
    let mut actions = world.on(Event::Exited(child, Exit::Abnormal));
    for _ in 0..3 {
        assert_eq!(actions, [Action::Restart(child, "child")]);
        world.now = world.now + 6 * SECOND;
        actions = world.on(Event::RestartFailed(child));
    }
    assert_eq!(actions, [retire(child, "child", Restart::Permanent, Ending::GivenUp)]);
    // One that succeeds lets time go on.
    let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
    for _ in 0..20 {
        assert_eq!(world.on(Event::Exited(child, Exit::Abnormal)), [Action::Restart(child, "child")]);
        world.now = world.now + SECOND;
        assert_eq!(world.on(Event::RestartFailed(child)), [Action::Restart(child, "child")]);
        world.on(Event::Restarted(child));
        world.now = world.now + 6 * SECOND;
    }
}

#[test]
fn a_child_is_stopped_after_its_own_children_and_never_restarted() {
    let mut world = World::new();
    let parent = world.adopt(ChildId::ROOT, Restart::Permanent, "parent");
    let child = world.adopt(parent, Restart::Permanent, "child");
    assert_eq!(world.on(Event::Stop(parent)), [Action::Stop(child, "child", Ending::Parent)]);
    assert_eq!(world.tree.adopt(parent, spec(Restart::Permanent, 3), "late"), Err(Refused::Stopping));
    // The parent fails meanwhile: the stop stands, and nobody is told to stop twice.
    assert_eq!(world.on(Event::Exited(parent, Exit::Abnormal)), []);
    let done = world.on(Event::StopOverdue(child));
    let expected = [
        retire(child, "child", Restart::Permanent, Ending::Parent),
        retire(parent, "parent", Restart::Permanent, Ending::Asked),
    ];
    assert_eq!(done, expected, "a child that does not stop in time is left behind");
}

#[test]
fn whoever_does_not_stop_in_time_is_retired_even_if_it_was_to_be_restarted() {
    let mut world = World::new();
    let parent = world.adopt(ChildId::ROOT, Restart::Permanent, "parent");
    let hopeless = world.tree.adopt(parent, spec(Restart::Permanent, 0), "hopeless").expect("the parent runs");
    world.on(Event::Exited(hopeless, Exit::Abnormal));
    let gone = world.on(Event::StopOverdue(parent));
    assert_eq!(gone, [retire(parent, "parent", Restart::Permanent, Ending::Escalated)]);
}

#[test]
fn cutting_off_takes_a_whole_branch_at_once_youngest_first_and_nothing_else() {
    let mut world = World::new();
    let parent = world.adopt(ChildId::ROOT, Restart::Permanent, "parent");
    let older = world.adopt(parent, Restart::Permanent, "older");
    let bystander = world.adopt(ChildId::ROOT, Restart::Permanent, "bystander");
    let younger = world.adopt(parent, Restart::Permanent, "younger");
    world.on(Event::Exited(older, Exit::Abnormal));
    assert_eq!(world.on(Event::Stop(parent)), [Action::Stop(younger, "younger", Ending::Parent)]);
    let expected = [
        retire(younger, "younger", Restart::Permanent, Ending::Parent),
        retire(older, "older", Restart::Permanent, Ending::Asked),
        retire(parent, "parent", Restart::Permanent, Ending::Asked),
    ];
    assert_eq!(world.on(Event::CutOff(parent)), expected);
    assert_eq!(world.on(Event::Restarted(older)), [], "nothing more is heard of it");
    assert_eq!(world.tree.child(bystander), Some(&"bystander"));
}

#[test]
fn a_stop_during_a_restart_waits_for_its_end() {
    for (outcome, stops) in [(Event::Restarted as fn(_) -> _, true), (Event::RestartFailed as fn(_) -> _, false)] {
        let mut world = World::new();
        let child = world.adopt(ChildId::ROOT, Restart::Permanent, "child");
        world.on(Event::Exited(child, Exit::Abnormal));
        assert_eq!(world.on(Event::Stop(child)), []);
        let mut actions = world.on(outcome(child));
        if stops {
            assert_eq!(actions, [Action::Stop(child, "child", Ending::Asked)]);
            actions = world.on(Event::Exited(child, Exit::Shutdown));
        }
        assert_eq!(actions, [retire(child, "child", Restart::Permanent, Ending::Asked)]);
    }
}

#[test]
fn a_shut_down_tree_takes_nobody_in() {
    let mut world = World::new();
    assert_eq!(world.on(Event::Shutdown), [Action::Finished]);
    assert_eq!(world.on(Event::Shutdown), [], "once");
    assert_eq!(world.tree.adopt(ChildId::ROOT, spec(Restart::Permanent, 3), "late"), Err(Refused::Stopping));
}

#[test]
fn a_tree_of_a_hundred_thousand_stops_in_order() {
    let mut world = World::new();
    let mut spine = ChildId::ROOT;
    for number in 0..100_000 {
        let child = world.adopt(spine, Restart::Temporary, "child");
        // Half a wide tree, half a deep one: depth costs no stack.
        spine = if number % 2 == 0 { child } else { spine };
    }
    let mut actions = world.on(Event::Shutdown);
    let mut stopped = Vec::new();
    while let Some(Action::Stop(id, ..)) = actions.pop() {
        stopped.push(id);
        actions = world.on(Event::Exited(id, Exit::Shutdown));
    }
    assert!(world.tree.is_empty());
    assert_eq!(stopped.len(), 100_000);
    assert!(stopped.is_sorted_by(|a, b| a > b), "youngest first");
}

/// What a random environment may do next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Op {
    Adopt {
        parent: usize,
        restart: Restart,
        restarts_max: u32,
    },
    Exit {
        who: usize,
        exit: Exit,
    },
    Replace {
        who: usize,
    },
    Stop {
        who: usize,
    },
    /// Answers the pending action of some child.
    Answer {
        who: usize,
        well: bool,
    },
    CutOff {
        who: usize,
    },
    /// An event that nothing in the world justifies.
    Noise {
        who: u64,
        what: u8,
    },
    Wait {
        ms: u64,
    },
    Shutdown,
}

fn op() -> impl proptest::strategy::Strategy<Value = Op> {
    let restart = prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)];
    let exit = prop_oneof![Just(Exit::Normal), Just(Exit::Shutdown), Just(Exit::Abnormal)];
    let who = any::<usize>;
    prop_oneof![
        40 => (who(), restart, 0..4_u32)
            .prop_map(|(parent, restart, restarts_max)| Op::Adopt { parent, restart, restarts_max }),
        60 => (who(), exit).prop_map(|(who, exit)| Op::Exit { who, exit }),
        10 => who().prop_map(|who| Op::Replace { who }),
        10 => who().prop_map(|who| Op::Stop { who }),
        3 => who().prop_map(|who| Op::CutOff { who }),
        90 => (who(), any::<bool>()).prop_map(|(who, well)| Op::Answer { who, well }),
        20 => (0..40_u64, any::<u8>()).prop_map(|(who, what)| Op::Noise { who, what }),
        20 => (0..4_000_u64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Shutdown),
    ]
}

/// What the environment knows of one child, by its own bookkeeping.
struct Known {
    parent: ChildId,
    spec: ChildSpec,
    state: State,
    charged: Vec<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Its exit was told; the tree may be waiting for its children.
    Down,
    /// As `Down`, by an upgrade.
    Taken,
    ToRestart,
    ToStop,
}

#[derive(Default)]
struct Environment {
    tree: Tree<u64>,
    known: BTreeMap<ChildId, Known>,
    now_ms: u64,
    finished: u32,
    cutting_off: bool,
}

impl Environment {
    fn now(&self) -> Moment {
        Moment(0) + Duration::from_millis(self.now_ms)
    }

    fn pick(&self, which: usize, states: &[State]) -> Option<ChildId> {
        let fits: Vec<_> = self.known.iter().filter(|(_, known)| states.contains(&known.state)).collect();
        (!fits.is_empty()).then(|| *fits[which % fits.len()].0)
    }

    fn has_children(&self, id: ChildId) -> bool {
        self.known.values().any(|known| known.parent == id)
    }

    fn tell(&mut self, event: Event) -> Result<(), TestCaseError> {
        let mut actions = Vec::new();
        self.tree.on(event, self.now(), &mut actions);
        actions.into_iter().try_for_each(|action| self.check(action))
    }

    fn set(&mut self, id: ChildId, state: State) {
        self.known.get_mut(&id).expect("a known child").state = state;
    }

    fn check(&mut self, action: Action<u64>) -> Result<(), TestCaseError> {
        let now = self.now();
        match action {
            Action::Restart(id, _) => {
                let has_children = self.has_children(id);
                let known = self.known.get_mut(&id).expect("only living children are restarted");
                if known.state == State::Taken {
                    // By an upgrade: always, uncharged, its children stay.
                } else {
                    prop_assert!(matches!(known.state, State::Down | State::ToRestart | State::ToStop));
                    prop_assert!(!has_children, "restarted over the heads of its children");
                    prop_assert!(known.spec.restart != Restart::Temporary, "a temporary child never restarts");
                    known.charged.push(now);
                    let Intensity { restarts_max, period } = known.spec.intensity;
                    let inside = known.charged.iter().filter(|at| now.since(**at) <= period).count();
                    prop_assert!(inside <= restarts_max as usize, "{inside} restarts in one period");
                }
                known.state = State::ToRestart;
            }
            Action::Stop(id, _, why) => {
                prop_assert!(!self.has_children(id), "stopped before its children");
                let known = &self.known[&id];
                prop_assert_eq!(known.state, State::Up, "only who runs is told to stop, and once");
                let younger = self.known.iter().any(|(other, sibling)| *other > id && sibling.parent == known.parent);
                prop_assert!(
                    !younger || !matches!(why, Ending::Parent | Ending::Shutdown),
                    "not in reverse start order"
                );
                self.set(id, State::ToStop);
            }
            Action::Retire(id, ..) => {
                prop_assert!(!self.has_children(id), "gone before its children");
                let known = self.known.remove(&id);
                let stopped = known.is_some_and(|known| known.state != State::Up);
                prop_assert!(stopped || self.cutting_off, "gone, but nobody stopped it");
            }
            Action::Finished => {
                prop_assert!(self.known.is_empty());
                self.finished += 1;
            }
        }
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Adopt { parent, restart, restarts_max } => {
                let parents: Vec<_> = std::iter::once(ChildId::ROOT).chain(self.known.keys().copied()).collect();
                let parent = parents[parent % parents.len()];
                let (spec, name) = (spec(restart, restarts_max), self.tree.last.0 + 1);
                if let Ok(id) = self.tree.adopt(parent, spec, name) {
                    self.known.insert(id, Known { parent, spec, state: State::Up, charged: Vec::new() });
                }
                Ok(())
            }
            Op::Exit { who, exit } => {
                let Some(id) = self.pick(who, &[State::Up]) else { return Ok(()) };
                self.set(id, State::Down);
                self.tell(Event::Exited(id, exit))
            }
            Op::Replace { who } => {
                let Some(id) = self.pick(who, &[State::Up]) else { return Ok(()) };
                self.set(id, State::Taken);
                self.tell(Event::Replace(id))
            }
            Op::Stop { who } => {
                let Some(id) = self.pick(who, &[State::Up, State::Down, State::ToRestart, State::ToStop]) else {
                    return Ok(());
                };
                self.tell(Event::Stop(id))
            }
            Op::CutOff { who } => {
                let Some(id) = self.pick(who, &[State::Up, State::Down, State::ToRestart, State::ToStop]) else {
                    return Ok(());
                };
                self.cutting_off = true;
                self.tell(Event::CutOff(id))?;
                self.cutting_off = false;
                prop_assert!(!self.known.contains_key(&id), "cut off and still there");
                Ok(())
            }
            Op::Answer { who, well } => self.answer(who, well),
            Op::Noise { who, what } => {
                let id = ChildId(who);
                match (self.known.get(&id).map(|known| known.state), what % 4) {
                    (None | Some(State::Down | State::ToRestart), 0) => self.tell(Event::Exited(id, Exit::Abnormal)),
                    (state, 1) if state != Some(State::ToRestart) => self.tell(Event::Restarted(id)),
                    (state, 2) if state != Some(State::ToRestart) => self.tell(Event::RestartFailed(id)),
                    (state, 3) if state != Some(State::ToStop) => self.tell(Event::StopOverdue(id)),
                    _ => Ok(()),
                }
            }
            Op::Wait { ms } => {
                self.now_ms += ms;
                Ok(())
            }
            Op::Shutdown => self.tell(Event::Shutdown),
        }
    }

    fn answer(&mut self, who: usize, well: bool) -> Result<(), TestCaseError> {
        let Some(id) = self.pick(who, &[State::ToRestart, State::ToStop]) else { return Ok(()) };
        match (self.known[&id].state, well) {
            (State::ToRestart, true) => {
                self.set(id, State::Up);
                self.tell(Event::Restarted(id))
            }
            (State::ToRestart, false) => {
                self.set(id, State::Down);
                self.tell(Event::RestartFailed(id))
            }
            (_, true) => self.tell(Event::Exited(id, Exit::Shutdown)),
            (_, false) => self.tell(Event::StopOverdue(id)),
        }
    }
}

proptest! {
    #![proptest_config(crate::seed::proptest())]

    #[test]
    fn no_sequence_of_events_breaks_the_tree(ops in prop::collection::vec(op(), 1..300)) {
        let mut world = Environment::default();
        for op in &ops {
            world.apply(op)?;
        }
        // However it stands, it can be shut down: everybody answers, and all are gone.
        world.tell(Event::Shutdown)?;
        while world.pick(0, &[State::ToRestart, State::ToStop]).is_some() {
            world.answer(0, true)?;
        }
        prop_assert!(world.tree.is_empty() && world.known.is_empty(), "{} left", world.known.len());
        prop_assert_eq!(world.finished, 1);
    }
}
