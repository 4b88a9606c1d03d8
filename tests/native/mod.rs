//! The host's own actors, asked by loaded ones: real servers, real files, real libraries.

mod files;
mod http;
mod https;
mod order;

use crate::harness::house::{GENEROUS, House, chain, until};
use crate::harness::{Test, test};
use errand_api::{Do, Echo, Echoed, Look, Seen, Start, What, Words};
use std::sync::Arc;
use std::time::Duration;
use teneral::native::{Call, Refused};
use teneral::{ActorRef, FileAct, Grant, Grants, Native, System};
use teneral_native_api::clock::{self, Now, Time};
use tokio::sync::Semaphore;

pub(crate) fn tests() -> Vec<Test> {
    let own = vec![
        test(what_is_not_granted_is_denied_with_what_to_write),
        test(a_wake_up_is_called_by_its_name_and_survives_an_upgrade),
        test(an_operator_asks_the_hosts_own_actors_in_json),
        test(a_services_own_native_actor_is_asked_as_any_actor),
        test(m17_more_work_than_there_may_be_waits_in_the_mailbox_and_is_done),
        test(a_native_actor_that_breaks_costs_its_asker_an_error),
        test(the_hosts_own_actors_are_not_listed_among_the_services),
    ];
    [own, files::tests(), http::tests(), https::tests(), order::tests()].into_iter().flatten().collect()
}

const ALL: &[&str] = &["errand-v1", "errand-v2"];

/// A house in which errands are granted this.
fn granted(grant: impl FnOnce(Grant) -> Result<Grant, teneral::native::GrantError>) -> House {
    let grant = grant(Grant::nothing()).expect("a grant");
    let grants = Grants::none().to("errand", grant).expect("a kind");
    House::open(ALL, |options| options.grants = grants)
}

fn errand(house: &House) -> ActorRef {
    house.start("errand/a", "1.0.0", Start {})
}

/// Tells the errand to ask; nobody waits.
fn run(house: &House, errand: &ActorRef, what: What) {
    tell(house, errand, what, GENEROUS);
}

fn tell(house: &House, errand: &ActorRef, what: What, timeout: Duration) {
    let timeout_ms = u64::try_from(timeout.as_millis()).expect("a time that fits");
    house.block_on(errand.tell(Do { what, timeout_ms })).expect("it is told");
}

fn seen(house: &House, errand: &ActorRef) -> Seen {
    let seen = house.block_on(errand.ask(Look {}, GENEROUS));
    seen.unwrap_or_else(|error| panic!("it answers: {}", chain(&error)))
}

/// Waits until the errand has written down so many answers, and reads them.
fn notes(house: &House, errand: &ActorRef, count: usize) -> Vec<String> {
    until("the answers come", || seen(house, errand).notes.len() >= count);
    seen(house, errand).notes
}

/// What came of asking for one thing, in an errand that awaits nothing else: the first that it notes from then on.
fn outcome(house: &House, errand: &ActorRef, what: What) -> String {
    let before = seen(house, errand).notes.len();
    run(house, errand, what);
    notes(house, errand, before + 1).swap_remove(before)
}

fn what_is_not_granted_is_denied_with_what_to_write() {
    let house = House::with(ALL);
    let errand = errand(&house);
    let fetch = teneral_native_api::http::Fetch::get("http://127.0.0.1:9/");
    let read = teneral_native_api::file::Read { path: "/etc/hostname".to_owned(), offset: 0, bytes_max: 10 };
    for (what, line) in [
        (What::Fetch(fetch), "[grants.errand]\nhttp-client = [\"127.0.0.1:9\"]"),
        (What::Read(read), "[grants.errand]\nfile = { \"/etc\" = [\"read\"] }"),
        (What::Now, "[grants.errand]\nclock = true"),
    ] {
        let said = outcome(&house, &errand, what);
        assert!(said.starts_with("error: denied: errand may not "), "{said}");
        assert!(said.ends_with(line), "{said}");
    }
}

fn a_wake_up_is_called_by_its_name_and_survives_an_upgrade() {
    let house = granted(|grant| Ok(grant.clock()));
    let errand = errand(&house);
    let now: u64 = outcome(&house, &errand, What::Now).parse().expect("a time");
    assert!(now > 1_700_000_000_000, "{now}");
    let every = clock::Wake { name: "tick".to_owned(), when: clock::When::Every { period_ms: 10 } };
    assert_eq!(outcome(&house, &errand, What::Wake(every)), "will be woken");
    let ticks = |seen: &Seen| seen.notes.iter().filter(|note| *note == "woken tick").count();
    until("it is woken", || ticks(&seen(&house, &errand)) >= 3);
    house.moved("errand/a", "2.0.0");
    let before = ticks(&seen(&house, &errand));
    until("it is woken on", || ticks(&seen(&house, &errand)) > before);
    assert_eq!(seen(&house, &errand).senders, [clock::addr()]);
    // The same name again: one wake-up, far away.
    let at = clock::Wake { name: "tick".to_owned(), when: clock::When::At { unix_ms: now + 86_400_000 } };
    run(&house, &errand, What::Wake(at));
    until("it is set anew", || seen(&house, &errand).notes.iter().filter(|note| *note == "will be woken").count() == 2);
    // A wake-up that was on its way when it was replaced may still come, before the first of these two.
    let once = |count: usize| {
        let Time { unix_ms } = house.block_on(house.system.ask("native/clock", Now {})).expect("it answers");
        let once = clock::Wake { name: "once".to_owned(), when: clock::When::At { unix_ms: unix_ms + 100 } };
        run(&house, &errand, What::Wake(once));
        let woken = |seen: &Seen| seen.notes.iter().filter(|note| *note == "woken once").count();
        until("the other one comes", || woken(&seen(&house, &errand)) == count);
        ticks(&seen(&house, &errand))
    };
    let settled = once(1);
    assert_eq!(once(2), settled, "the periodic one was replaced");
    let often = clock::Wake { name: "often".to_owned(), when: clock::When::Every { period_ms: 1 } };
    run(&house, &errand, What::Wake(often));
    until("it is refused", || seen(&house, &errand).notes.iter().any(|note| note.contains("below the least")));
}

fn an_operator_asks_the_hosts_own_actors_in_json() {
    let house = House::with(&[]);
    let now = house.block_on(house.system.ask_json("native/clock", "Now", "{}", GENEROUS)).expect("it answers");
    assert!(now.starts_with("{\"unix_ms\":"), "{now}");
    let path = house.dir().join("note.txt");
    std::fs::write(&path, "written").expect("it is ours");
    let read = serde_json::json!({ "path": path, "offset": 2, "bytes_max": 100 }).to_string();
    let part = house.block_on(house.system.ask_json("native/file", "Read", &read, GENEROUS)).expect("it answers");
    let part: serde_json::Value = serde_json::from_str(&part).expect("JSON");
    assert_eq!(part, serde_json::json!({ "bytes": b"itten", "file_bytes": 7 }));
    let error = house.block_on(house.system.ask_json("native/clock", "Nowt", "{}", GENEROUS)).expect_err("no such");
    let hint = "did you mean Now? Now takes {}, as in: teneral actor ask native/clock Now".to_owned();
    assert_eq!((error.code(), error.hint()), ("SYS-MESSAGE", hint));
}

/// Echoes when it is let.
struct Mirror {
    gate: Arc<Semaphore>,
}

impl Native for Mirror {
    type Message = Words;

    async fn handle(&self, Words::Echo(Echo { text }): Words, call: &mut Call) -> Result<(), Refused> {
        self.gate.acquire().await?.forget();
        assert!(text != "break", "it breaks");
        if text.is_empty() {
            return Err(Refused::failed("nothing to echo"));
        }
        let who = call.sender().map_or("nobody".to_owned(), |sender| sender.path().to_owned());
        call.reply(&Echoed { text: format!("{who} says {text}") });
        Ok(())
    }
}

fn mirror(house: &House, opened: usize) -> (Arc<Semaphore>, teneral::Addr) {
    let gate = Arc::new(Semaphore::new(opened));
    let native = Mirror { gate: Arc::clone(&gate) };
    let actor = house.block_on(house.system.native("mirror", native)).expect("it is registered");
    (gate, actor.addr().clone())
}

fn a_services_own_native_actor_is_asked_as_any_actor() {
    let house = House::with(ALL);
    let (errand, (gate, addr)) = (errand(&house), mirror(&house, 3));
    assert_eq!(addr.path(), "native/mirror");
    let said = outcome(&house, &errand, What::Echo(addr.clone(), "hello".to_owned()));
    assert_eq!(said, "errand/a says hello");
    let said = outcome(&house, &errand, What::Echo(addr.clone(), String::new()));
    assert_eq!(said, "error: the actor refused: nothing to echo");
    let outside = house.block_on(house.system.ask("native/mirror", Echo { text: "hello".to_owned() }));
    assert_eq!(outside.expect("it answers").text, "nobody says hello");
    // Nobody lets it: the asker's own time ends it.
    tell(&house, &errand, What::Echo(addr, "late".to_owned()), Duration::from_millis(50));
    assert_eq!(notes(&house, &errand, 3)[2], "error: no answer within the deadline");
    assert_eq!(gate.available_permits(), 0);
    let again = house.block_on(house.system.native("mirror", Mirror { gate })).expect_err("the name is taken");
    assert_eq!(again.code(), "SYS-START");
    let gate = Arc::new(Semaphore::new(0));
    let error = house.block_on(house.system.native("", Mirror { gate })).expect_err("no name");
    assert_eq!(error.code(), "SYS-NATIVE");
}

fn m17_more_work_than_there_may_be_waits_in_the_mailbox_and_is_done() {
    let house = House::open(ALL, |options| options.natives.work_max = 2);
    let (errand, (gate, addr)) = (errand(&house), mirror(&house, 0));
    for number in 0..100 {
        run(&house, &errand, What::Echo(addr.clone(), number.to_string()));
    }
    let mirror = house.system.actor(&addr).expect("it runs");
    // Two are under way, what was taken into their turns; the others wait in its mailbox.
    until("the others wait", || mirror.info().queued_messages == 98);
    gate.add_permits(100);
    let mut all: Vec<String> = notes(&house, &errand, 100);
    all.sort_by_key(|note| note.rsplit(' ').next().and_then(|number| number.parse::<u32>().ok()));
    let expected: Vec<String> = (0..100).map(|number| format!("errand/a says {number}")).collect();
    assert_eq!(all, expected);
}

fn a_native_actor_that_breaks_costs_its_asker_an_error() {
    let house = House::open(ALL, |options| options.natives.work_max = 1);
    let (errand, (_gate, addr)) = (errand(&house), mirror(&house, 2));
    let said = outcome(&house, &errand, What::Echo(addr.clone(), "break".to_owned()));
    assert!(said.starts_with("error: the actor panicked: "), "{said}");
    let said = outcome(&house, &errand, What::Echo(addr, "hello".to_owned()));
    assert_eq!(said, "errand/a says hello", "its place is free again");
}

fn the_hosts_own_actors_are_not_listed_among_the_services() {
    let house = House::with(ALL);
    errand(&house);
    let listed: Vec<String> = house.system.actors().iter().map(|actor| actor.addr().path().to_owned()).collect();
    assert_eq!(listed, ["errand/a"]);
    let system: &System = &house.system;
    for name in ["native/http-client", "native/file", "native/clock"] {
        assert_eq!(system.actor(name).expect("it runs").addr().path(), name);
    }
    let error = house.block_on(system.start("native/mine", "1.0.0", Start {})).expect_err("it is the host's own kind");
    assert_eq!(error.code(), "SYS-KIND");
}

/// What an errand may do with files in the house's own directory.
fn with_files(acts: &[FileAct]) -> (House, std::path::PathBuf) {
    let dir = tempfile::TempDir::with_prefix("teneral-files-").expect("a directory");
    let path = dir.keep();
    let house = granted(|grant| grant.file(&path, acts.iter().copied()));
    (house, path)
}
