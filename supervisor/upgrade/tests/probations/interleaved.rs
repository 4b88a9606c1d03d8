//! Whatever somebody does at whatever moment of a rollback: one of the two has it, and the actor can be moved on.

use super::*;
use std::fmt;

/// Where the rollback stands.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It has the actor, which is in a turn.
    Asked,
    /// The version before does the work anew.
    Replay,
    /// It is back, and that is being written down.
    Written,
}

/// What somebody does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Finalise,
    RollBack,
    Upgrade,
    Cancel,
    Stop,
    Panic,
}

struct Scene {
    house: House,
    report: Report,
    /// The rollback stands still until it is opened.
    gate: Arc<Gate>,
}

impl Scene {
    /// Five were counted before the commit, and one since.
    fn set(moment: Moment, act: Act) -> Self {
        let (house, report) = on_probation_with(&["a"], Watch::new(LONG), DEADLINE);
        let (actor, gate) = (house.actor("a"), Gate::new());
        tell(&actor, "Add");
        tell(&actor, "Hang");
        serves(&house, "a", "2.0.0", 6);
        match moment {
            Moment::Asked => {
                let turn = gate.clone();
                house.script("2.0.0").on(At::Handle, move |_| {
                    turn.enter();
                    if act == Act::Panic { Err(Fault::new(FaultKind::Panic, "told to")) } else { Ok(()) }
                });
                tell(&actor, "Hang");
                gate.await_entered();
            }
            Moment::Replay => house.script("1.0.0").hang_at(At::Handle, &gate),
            Moment::Written => {
                let (disk, kept) = (house.disk.clone(), gate.clone());
                house.script("1.0.0").on(At::Handle, move |_| {
                    *disk.hangs.lock() = Some(kept.clone());
                    Ok(())
                });
            }
        }
        Self { house, report, gate }
    }

    /// Whether it stands there.
    fn stands_still(&self, moment: Moment) {
        match moment {
            Moment::Asked => until("it is asked for a pause", || {
                matches!(self.house.actor("a").info().status, Status::Paused { .. })
            }),
            Moment::Replay | Moment::Written => self.gate.await_entered(),
        }
    }

    /// What the act is refused with, if it is.
    fn act(&self, act: Act) -> Option<String> {
        let code = |error: UpgradeError| error.code().to_owned();
        let actor = self.house.actor("a");
        match act {
            Act::Finalise => self.house.upgrades.finalise(&self.report.id, &[], "operator").err().map(code),
            Act::RollBack => roll_back(&self.house, &self.report, None, &[]).err().map(|error| code(*error)),
            Act::Upgrade => self.house.upgrades.upgrade(&self.house.request(&["a"], "3.0.0")).err().map(code),
            Act::Cancel => {
                let [id] = self.house.upgrades.running().try_into().expect("one rollback is at work");
                assert!(self.house.upgrades.cancel(&id, "operator"));
                None
            }
            Act::Stop => {
                block_on(actor.stop("enough", DEADLINE)).expect("it stops");
                None
            }
            // In a turn it does that itself.
            Act::Panic => {
                tell(&actor, "Panic");
                None
            }
        }
    }
}

/// One cell of the table: what it came to.
struct Came {
    refused: Option<String>,
    outcome: String,
    serves: Option<String>,
    count: Option<u64>,
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, outcome, serves, count } = self;
        let count = count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        write!(f, "{} {outcome} {} {count}", refused.as_deref().unwrap_or("-"), serves.as_deref().unwrap_or("-"))
    }
}

fn played(moment: Moment, act: Act) -> String {
    let scene = Scene::set(moment, act);
    let house = &scene.house;
    let (refused, reports) = std::thread::scope(|threads| {
        let opens = Opens(scene.gate.clone());
        let back = threads.spawn(|| roll_back(house, &scene.report, Some(WayBack::Replay), &[]).expect("it begins"));
        scene.stands_still(moment);
        let in_turn = matches!(moment, Moment::Asked) && act == Act::Panic;
        let refused = if in_turn { None } else { scene.act(act) };
        drop(opens);
        (refused, back.join().expect("it ends"))
    });
    until("nothing is at work", || house.upgrades.running().is_empty());
    let of = &reports[0].actors[0];
    let outcome = of.outcome.failure().map_or_else(|| of.outcome.name().to_owned(), |failure| failure.code.clone());
    if act == Act::Stop {
        until("its probation is over", || !is_on_probation(house, "a"));
        return Came { refused, outcome, serves: None, count: None }.to_string();
    }
    if matches!(moment, Moment::Asked) && act == Act::Panic {
        until("it is taken back by itself", || !is_on_probation(house, "a"));
        until("nothing is at work", || house.upgrades.running().is_empty());
    }
    let seen = see(&house.actor("a"));
    // Nobody has it any more, whatever came: it is upgraded as any other, and is on probation no longer.
    let moved = house.moved("a", "3.0.0");
    assert_eq!(moved.outcome, Outcome::Committed, "{moment:?} {act:?}: {moved}");
    serves(house, "a", "3.0.0", seen.count);
    assert!(!is_on_probation(house, "a"), "{moment:?} {act:?}");
    Came { refused, outcome, serves: Some(seen.version), count: Some(seen.count) }.to_string()
}

#[test]
fn f36_a_rollback_and_whatever_else_comes_meanwhile_end_as_one_of_them() {
    let acts = [Act::Finalise, Act::RollBack, Act::Upgrade, Act::Cancel, Act::Stop, Act::Panic];
    let mut came = Vec::new();
    for moment in [Moment::Asked, Moment::Replay, Moment::Written] {
        for act in acts {
            came.push(format!("{moment:?} {act:?}: {}", played(moment, act)));
        }
    }
    // What was done meanwhile is refused with; what came of the rollback; what serves, and what it has counted.
    let expected = [
        "Asked Finalise: UPG-RUNNING committed 1.0.0 6",
        "Asked RollBack: UPG-RUNNING committed 1.0.0 6",
        "Asked Upgrade: UPG-RUNNING committed 1.0.0 6",
        "Asked Cancel: - UPG-CANCELLED 2.0.0 6",
        "Asked Stop: - UPG-GONE - -",
        "Asked Panic: - UPG-HELD 1.0.0 6",
        "Replay Finalise: UPG-RUNNING committed 1.0.0 6",
        "Replay RollBack: UPG-RUNNING committed 1.0.0 6",
        "Replay Upgrade: UPG-RUNNING committed 1.0.0 6",
        "Replay Cancel: - UPG-CANCELLED 2.0.0 6",
        "Replay Stop: - UPG-STOPPED - -",
        "Replay Panic: - committed 1.0.0 0",
        "Written Finalise: UPG-PROBATION committed 1.0.0 6",
        "Written RollBack: UPG-PROBATION committed 1.0.0 6",
        "Written Upgrade: UPG-RUNNING committed 1.0.0 6",
        "Written Cancel: - committed 1.0.0 6",
        "Written Stop: - committed - -",
        "Written Panic: - committed 1.0.0 0",
    ];
    assert_eq!(came, expected);
}
