//! In which order native actors handle what one sender sends them, and who does not wait for whom.

use super::{ALL, errand, notes, outcome, run, tell, with_files};
use crate::harness::house::{GENEROUS, House, until};
use crate::harness::{Test, test};
use errand_api::{Echo, Echoed, Start, What, Words};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use teneral::native::{Call, Order, Refused};
use teneral::{Addr, FileAct, Native};
use teneral_native_api::file::{Append, Keep};
use tokio::sync::Semaphore;

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(m18_lines_that_one_actor_appends_to_a_file_stand_there_in_the_order_they_were_sent),
        test(m18_a_native_actor_handles_one_senders_messages_one_after_the_other_and_others_meanwhile),
        test(m18_what_nobody_waits_for_any_more_is_left_out_and_costs_nobody_his_place),
        test(m18_what_a_program_tells_a_native_actor_is_handled_in_order),
        test(requests_that_may_go_side_by_side_begin_in_order_and_wait_for_nobody),
    ]
}

/// Fewer than the asks that one actor may have in flight.
const LINES: usize = 1_000;

fn m18_lines_that_one_actor_appends_to_a_file_stand_there_in_the_order_they_were_sent() {
    let (house, dir) = with_files(&[FileAct::Append]);
    let (errand, file) = (errand(&house), dir.join("journal"));
    let path = file.to_str().expect("UTF-8").to_owned();
    for line in 0..LINES {
        let bytes = format!("{line}\n").into_bytes();
        run(&house, &errand, What::Append(Append { path: path.clone(), bytes: bytes.into(), keep: Keep::Written }));
    }
    let written = || fs::read_to_string(&file).unwrap_or_default();
    until("all lines are there", || written().lines().count() == LINES);
    let expected: String = (0..LINES).map(|line| format!("{line}\n")).collect();
    assert!(written() == expected, "in the order they were sent");
    let said = notes(&house, &errand, LINES);
    assert!(said.iter().all(|note| note.starts_with("has ")), "{said:?}");
    fs::remove_dir_all(dir).expect("it is ours");
}

/// Notes whom it handles; "wait" waits until it is let.
struct Clerk {
    handled: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    order: Order,
}

impl Native for Clerk {
    type Message = Words;

    fn order(&self, _: &Words) -> Order {
        self.order
    }

    async fn handle(&self, Words::Echo(Echo { text }): Words, call: &mut Call) -> Result<(), Refused> {
        self.handled.lock().expect("nobody panics").push(format!("{text} begins"));
        if text.starts_with("wait") {
            self.gate.acquire().await?.forget();
        }
        self.handled.lock().expect("nobody panics").push(text.clone());
        call.reply(&Echoed { text });
        Ok(())
    }
}

/// What a clerk has done, and how it is let.
struct Office {
    handled: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    addr: Addr,
}

impl Office {
    fn new(house: &House, order: Order) -> Self {
        let (handled, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let clerk = Clerk { handled: Arc::clone(&handled), gate: Arc::clone(&gate), order };
        let actor = house.block_on(house.system.native("clerk", clerk)).expect("it is registered");
        Self { handled, gate, addr: actor.addr().clone() }
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().expect("nobody panics").clone()
    }

    fn says(&self, text: &str) -> What {
        What::Echo(self.addr.clone(), text.to_owned())
    }
}

fn m18_a_native_actor_handles_one_senders_messages_one_after_the_other_and_others_meanwhile() {
    let house = House::with(ALL);
    let (first, office) = (errand(&house), Office::new(&house, Order::Finished));
    let other = house.start("errand/b", "1.0.0", Start {});
    for text in ["wait 1", "2", "wait 3", "4"] {
        run(&house, &first, office.says(text));
    }
    until("the first one begins", || !office.handled().is_empty());
    // Came after the first one's, and is done: the others of the first are not.
    assert_eq!(outcome(&house, &other, office.says("other")), "other");
    assert_eq!(office.handled(), ["wait 1 begins", "other begins", "other"]);
    office.gate.add_permits(2);
    assert_eq!(notes(&house, &first, 4), ["wait 1", "2", "wait 3", "4"]);
    let of_first = ["wait 1", "2 begins", "2", "wait 3 begins", "wait 3", "4 begins", "4"];
    assert_eq!(office.handled()[3..], of_first);
}

fn m18_what_nobody_waits_for_any_more_is_left_out_and_costs_nobody_his_place() {
    let house = House::open(ALL, |options| options.natives.work_max = 2);
    let (errand, office) = (errand(&house), Office::new(&house, Order::Finished));
    run(&house, &errand, office.says("wait 1"));
    until("the first one begins", || !office.handled().is_empty());
    tell(&house, &errand, office.says("2"), Duration::from_millis(50));
    assert!(notes(&house, &errand, 1)[0].starts_with("error: no answer within"));
    run(&house, &errand, office.says("3"));
    office.gate.add_permits(1);
    assert_eq!(notes(&house, &errand, 3)[1..], ["wait 1", "3"]);
    assert_eq!(office.handled(), ["wait 1 begins", "wait 1", "3 begins", "3"], "nobody did what nobody waits for");
}

fn m18_what_a_program_tells_a_native_actor_is_handled_in_order() {
    let house = House::with(&[]);
    let office = Office::new(&house, Order::Finished);
    let clerk = house.system.actor(&office.addr).expect("it runs");
    let echo = |text: &str| Echo { text: text.to_owned() };
    for text in ["wait 1", "2"] {
        house.block_on(clerk.tell(echo(text))).expect("it is told");
    }
    let asked = house.spawn({
        let clerk = clerk.clone();
        async move { clerk.ask(Echo { text: "3".to_owned() }, GENEROUS).await }
    });
    until("it is begun", || !office.handled().is_empty() && clerk.info().queued_messages == 0);
    office.gate.add_permits(1);
    assert_eq!(house.block_on(asked).expect("it ends").expect("it answers").text, "3");
    assert_eq!(office.handled(), ["wait 1 begins", "wait 1", "2 begins", "2", "3 begins", "3"]);
}

fn requests_that_may_go_side_by_side_begin_in_order_and_wait_for_nobody() {
    let house = House::with(ALL);
    let (errand, office) = (errand(&house), Office::new(&house, Order::Begun));
    for text in ["wait 1", "wait 2", "3"] {
        run(&house, &errand, office.says(text));
    }
    assert_eq!(notes(&house, &errand, 1), ["3"]);
    assert_eq!(office.handled(), ["wait 1 begins", "wait 2 begins", "3 begins", "3"]);
    office.gate.add_permits(2);
    assert_eq!(notes(&house, &errand, 3)[0], "3");
}
