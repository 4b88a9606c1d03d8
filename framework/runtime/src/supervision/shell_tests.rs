//! The supervisor with scripted cells: what they are told, and in which order.

use super::super::Strategy;
use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::config::{Intensity, Restart};
use crate::events::{EventStream, Seen};
use crate::ports::{Call, Effects};
use std::sync::{Weak, mpsc};

const GENEROUS: Duration = Duration::from_secs(30);
const WAITS: Waits = Waits { start_timeout: Duration::from_secs(5), stop_timeout: Duration::from_secs(5) };

struct Nothing;

impl Behaviour for Nothing {
    fn started(&mut self, _: crate::ports::Why, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Ok(())
    }
    fn handle(&mut self, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Ok(())
    }
    fn save(&self, _: usize) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }
}

/// What a scripted cell does when it is told to make an instance.
type Rebuild = Box<dyn Fn() -> Result<(), Fault> + Send + Sync>;

/// A cell that writes down what it is told, and obeys.
struct Scripted {
    addr: Addr,
    told: mpsc::Sender<String>,
    rebuild: Rebuild,
    supervision: Weak<Supervision>,
    id: OnceLock<ChildId>,
}

impl Scripted {
    fn note(&self, what: &str) {
        self.told.send(format!("{what} {}", self.addr.key())).expect("the test listens");
    }
}

impl Supervised for Scripted {
    fn addr(&self) -> &Addr {
        &self.addr
    }
    fn rebuild(&self) -> Result<Box<dyn Behaviour>, Fault> {
        (self.rebuild)().map(|()| Box::new(Nothing) as Box<dyn Behaviour>)
    }
    fn hangs(&self) {
        self.note("hangs");
    }
    fn revive(&self, _: Box<dyn Behaviour>) {
        self.note("revive");
    }
    fn stop(&self, why: Ending) {
        self.note(&format!("stop ({why:?})"));
        if self.addr.kind() == "stubborn" {
            return;
        }
        if let (Some(supervision), Some(id)) = (self.supervision.upgrade(), self.id.get()) {
            supervision.exited(*id, Exit::Shutdown);
        }
    }
    fn retire(&self, why: Ending) {
        self.note(&format!("retire ({why:?})"));
    }
}

struct World {
    supervision: Arc<Supervision>,
    told: mpsc::Receiver<String>,
    tell: mpsc::Sender<String>,
    events: EventStream,
    _timers: Arc<Timers<Overdue>>,
}

impl World {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let events = Events::new(64, clock.clone());
        let stream = events.subscribe();
        let back: Arc<OnceLock<Weak<Supervision>>> = Arc::default();
        let timers = Timers::start(clock.clone(), {
            let back = Arc::clone(&back);
            move |overdue| {
                if let Some(supervision) = back.get().and_then(Weak::upgrade) {
                    supervision.overdue(overdue);
                }
            }
        });
        let timers = Arc::new(timers.expect("a thread"));
        let supervision = Supervision::start(WAITS, clock, events, timers.clone()).expect("a runtime");
        let supervision = Arc::new(supervision);
        back.set(Arc::downgrade(&supervision)).expect("set once");
        let (tell, told) = mpsc::channel();
        Self { supervision, told, tell, events: stream, _timers: timers }
    }

    fn adopt(&self, parent: ChildId, path: &str, restart: Restart, rebuild: Rebuild) -> ChildId {
        let child = Arc::new(Scripted {
            addr: Addr::new(path).expect("an address"),
            told: self.tell.clone(),
            rebuild,
            supervision: Arc::downgrade(&self.supervision),
            id: OnceLock::new(),
        });
        let intensity = Intensity { restarts_max: 2, period: Duration::from_secs(5) };
        let spec = ChildSpec { restart, intensity, strategy: Strategy::OneForOne };
        let id = self.supervision.adopt(parent, spec, child.clone()).expect("the parent runs");
        child.id.set(id).expect("set once");
        id
    }

    fn told(&self) -> String {
        self.told.recv_timeout(GENEROUS).expect("the supervisor acts")
    }

    fn shutdown(&self, timeout: Duration) {
        let control = self.supervision.control().expect("it runs");
        control.block_on(self.supervision.shutdown(timeout));
    }
}

fn soundly() -> Rebuild {
    Box::new(|| Ok(()))
}

#[test]
fn a_child_that_fails_is_revived_and_its_siblings_hear_nothing() {
    let world = World::new(SystemClock::new());
    let sick = world.adopt(ChildId::ROOT, "a/sick", Restart::Permanent, soundly());
    world.adopt(ChildId::ROOT, "a/well", Restart::Permanent, soundly());
    world.supervision.exited(sick, Exit::Abnormal);
    assert_eq!(world.told(), "revive sick");
    world.shutdown(GENEROUS);
    let rest: Vec<_> = world.told.try_iter().collect();
    let expected = ["stop (Shutdown) well", "retire (Shutdown) well", "stop (Shutdown) sick", "retire (Shutdown) sick"];
    assert_eq!(rest, expected);
}

#[test]
fn a_child_beyond_its_budget_takes_its_parent_along() {
    let mut world = World::new(ManualClock::new());
    let parent = world.adopt(ChildId::ROOT, "a/parent", Restart::Transient, soundly());
    let child = world.adopt(parent, "a/child", Restart::Permanent, soundly());
    assert_eq!(world.supervision.children(parent), [Addr::new("a/child").expect("an address")]);
    assert_eq!(world.supervision.ancestors(child), [Addr::new("a/parent").expect("an address")]);
    for _ in 0..2 {
        world.supervision.exited(child, Exit::Abnormal);
        assert_eq!(world.told(), "revive child");
    }
    world.supervision.exited(child, Exit::Abnormal);
    assert_eq!(world.told(), "retire (GivenUp) child");
    assert_eq!(world.told(), "stop (Escalated) parent");
    assert_eq!(world.told(), "retire (Exited(Shutdown)) parent");
    let Ok(Seen::Event(event)) = world.events.next_blocking(GENEROUS) else { panic!("an event") };
    assert!(matches!(&event.what, What::GaveUp { addr, restarts_max: 2, .. } if addr.key() == "child"), "{event:?}");
}

#[test]
fn a_restart_that_never_returns_is_given_up_at_its_deadline_and_holds_nobody_up() {
    let clock = ManualClock::new();
    let mut world = World::new(clock.clone());
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let hang = Box::new(move || {
        begun.send(()).expect("the test listens");
        released.lock().recv().unwrap_or_default();
        Ok(())
    });
    let hanging = world.adopt(ChildId::ROOT, "a/hanging", Restart::Transient, hang);
    let sick = world.adopt(ChildId::ROOT, "a/sick", Restart::Permanent, soundly());
    world.supervision.exited(hanging, Exit::Abnormal);
    begins.recv_timeout(GENEROUS).expect("it begins");
    world.supervision.exited(sick, Exit::Abnormal);
    assert_eq!(world.told(), "revive sick", "somebody else's restart goes on");
    clock.advance(WAITS.start_timeout);
    let Ok(Seen::Event(event)) = world.events.next_blocking(GENEROUS) else { panic!("an event") };
    assert!(matches!(&event.what, What::RestartFailed { addr, .. } if addr.key() == "hanging"), "{event:?}");
    assert_eq!(world.told(), "hangs hanging");
    begins.recv_timeout(GENEROUS).expect("it is tried again, within its budget");
    // Now the first attempt returns: too late, so that nobody is revived by it. The second is stopped for good.
    world.supervision.cut_off(hanging);
    drop(release);
    assert_eq!(world.told(), "retire (Asked) hanging");
    world.shutdown(GENEROUS);
    let rest: Vec<_> = world.told.try_iter().collect();
    assert_eq!(rest, ["stop (Shutdown) sick", "retire (Shutdown) sick"]);
}

#[test]
fn a_restart_that_fails_is_tried_again_within_the_budget() {
    let mut world = World::new(ManualClock::new());
    let fails = Box::new(|| Err(Fault::new(FaultKind::Failed, "no disk")));
    let child = world.adopt(ChildId::ROOT, "a/child", Restart::Permanent, fails);
    world.supervision.exited(child, Exit::Abnormal);
    assert_eq!(world.told(), "retire (GivenUp) child");
    for _ in 0..2 {
        let Ok(Seen::Event(event)) = world.events.next_blocking(GENEROUS) else { panic!("an event") };
        let What::RestartFailed { fault, .. } = &event.what else { panic!("{event:?}") };
        assert_eq!(fault.text, "no disk");
    }
}

#[test]
fn a_child_that_does_not_stop_in_time_is_left_behind() {
    let clock = ManualClock::new();
    let world = World::new(clock.clone());
    let parent = world.adopt(ChildId::ROOT, "a/parent", Restart::Permanent, soundly());
    world.adopt(parent, "stubborn/child", Restart::Permanent, soundly());
    world.supervision.exited(parent, Exit::Abnormal);
    assert_eq!(world.told(), "stop (Parent) child");
    clock.advance(WAITS.stop_timeout);
    assert_eq!(world.told(), "retire (Parent) child");
    assert_eq!(world.told(), "revive parent");
}

#[test]
fn a_shutdown_past_its_deadline_cuts_everybody_off() {
    let clock = ManualClock::new();
    let world = World::new(clock.clone());
    let parent = world.adopt(ChildId::ROOT, "a/parent", Restart::Permanent, soundly());
    world.adopt(parent, "stubborn/child", Restart::Permanent, soundly());
    let ending = std::thread::spawn({
        let supervision = Arc::clone(&world.supervision);
        move || supervision.control().expect("it runs").block_on(supervision.shutdown(Duration::from_secs(2)))
    });
    assert_eq!(world.told(), "stop (Shutdown) child");
    clock.advance(Duration::from_secs(2));
    assert_eq!(world.told(), "retire (Shutdown) child");
    assert_eq!(world.told(), "retire (Shutdown) parent", "without being asked to stop: there is no time left");
    ending.join().expect("the shutdown ends");
}

#[test]
fn a_forgotten_child_is_dropped_and_hears_nothing() {
    let world = World::new(SystemClock::new());
    let held = Arc::new(());
    let rebuild = Box::new({
        let held = Arc::clone(&held);
        move || {
            let _held = &held;
            Ok(())
        }
    });
    let child = world.adopt(ChildId::ROOT, "a/child", Restart::Permanent, rebuild);
    world.supervision.forget();
    assert_eq!(Arc::strong_count(&held), 1, "the child is gone");
    world.supervision.exited(child, Exit::Abnormal);
    world.shutdown(Duration::ZERO);
    assert_eq!(world.told.try_iter().count(), 0);
}
