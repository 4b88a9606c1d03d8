//! Faults that end the host: `teneral serve` in a process of its own, its clients over the control socket.
//!
//! An actor that is volatile loses state and queue with the process, as in every actor system. What must hold: the next
//! host runs the version that had committed and no other, nobody goes on with what was cut off, and what is accepted
//! from then on is whole.

use super::stage::SUBJECT;
use super::traffic::{Account, Clients, Line, compare};
use super::{Case, Cell, Load, Row};
use crate::harness::house::until;
use crate::harness::probe::lives;
use crate::harness::served::Served;
use probe_api::Seen;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use teneral::api::Client;

pub(super) fn cases() -> Vec<Case> {
    let ends = |signal, version, upgrade: &str| {
        let next = format!("the next one runs {version} from its start arguments");
        (format!("the host ends by signal {signal}; {next}; the upgrade is {upgrade}, and nothing is tried again"), "")
    };
    let old = |signal| ends(signal, "1.0.0", "cut off");
    let back = |version, rollback: &str, probation: &str| {
        ends(9, version, &format!("ended, its rollback {rollback}, its probation {probation}"))
    };
    let aborts = |fault, how: &'static str| {
        Case::new("F32", fault, old(6), move |cell| {
            let (served, callers) = raise(cell);
            trap(&served, &format!("in {} {how}", served.pid()));
            let asking = apply(&served);
            Ok(callers.outlive(asking, served.ended(), Then::Once))
        })
    };
    vec![
        aborts("Migrate: it aborts in the live process only", "abort"),
        aborts("Migrate: it overflows its stack in the live process only", "overflow"),
        Case::new("F34", "kill -9 while the upgrade is tried", old(9), |cell| Ok(killed(cell, "", Then::Once)))
            .in_part(),
        Case::new("F34", "kill -9 under the pause", old(9), |cell| Ok(killed(cell, "in", Then::Once))).in_part(),
        Case::new("F34", "kill -9 under the pause, and of the next host while it comes up", old(9), |cell| {
            Ok(killed(cell, "in", Then::Again))
        })
        .in_part(),
        Case::new("F34", "kill -9 after the commit", ends(9, "2.0.0", "ended"), |cell| {
            let (served, callers) = raise(cell);
            let mut asking = apply(&served);
            assert!(asking.wait().expect("it ends").success(), "it commits");
            served.signal("-KILL");
            Ok(callers.outlive(asking, served.ended(), Then::Once))
        })
        .in_part(),
        Case::new(
            "F34",
            "kill -9 while it is being taken back",
            back("2.0.0", "cut off", "ended with its host"),
            |cell| {
                let (served, callers) = raise(cell);
                let id = on_probation(&served);
                let hold = served.desk.path().join("go-on");
                let how = format!("hang {}", hold.display());
                act(&served, &json!({ "OnlyUnder": { "version": 2, "how": how } }));
                let asking = take_back(&served, &id);
                until("it comes to the replay", || hold.with_extension("reached").exists());
                served.signal("-KILL");
                Ok(callers.outlive(asking, served.ended(), Then::Once))
            },
        )
        .in_part(),
        Case::new("F34", "kill -9 after it was taken back", back("1.0.0", "ended", "taken back"), |cell| {
            let (served, callers) = raise(cell);
            let id = on_probation(&served);
            act(&served, &json!({ "OnlyUnder": { "version": 1, "how": "fail" } }));
            let mut asking = take_back(&served, &id);
            assert!(asking.wait().expect("it ends").success(), "it goes back");
            served.signal("-KILL");
            Ok(callers.outlive(asking, served.ended(), Then::Once))
        })
        .in_part(),
    ]
}

/// Whether the next host is killed, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Once,
    Again,
}

/// Killed while the code stands in the migration: in the trial, or, where `here` says so, in the host itself.
fn killed(cell: Cell, here: &str, then: Then) -> Row {
    let (served, callers) = raise(cell);
    let hold = served.desk.path().join("go-on");
    let here = if here.is_empty() { String::new() } else { format!("{here} {} ", served.pid()) };
    trap(&served, &format!("{here}hang {}", hold.display()));
    let asking = apply(&served);
    until("it comes to the migration", || hold.with_extension("reached").exists());
    served.signal("-KILL");
    callers.outlive(asking, served.ended(), then)
}

/// A host with a probe, and those who speak to it.
fn raise(cell: Cell) -> (Served, Callers) {
    let desk = TempDir::with_prefix("teneral-served-").expect("a temporary directory");
    // No honest turn takes so long, on a slow and busy machine.
    std::fs::write(desk.path().join("teneral.toml"), "[limits]\nhang_after = \"60s\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["probe-v1", "probe-v2"]);
    served.says(&["actor", "start", SUBJECT, r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    act(&served, &json!({ "Grow": cell.size.bytes() }));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let client = Client::new(&served.desk.path().join(".teneral"));
    let line = Line::There(Arc::new(tokio.expect("a tokio")), client, SUBJECT.to_owned());
    let own = told(&line, 0);
    let clients = (cell.load == Load::Loaded).then(|| Clients::start(&line));
    if let Some(clients) = &clients {
        clients.flow();
    }
    (served, Callers { line, own, clients })
}

/// Three of a sender.
fn told(line: &Line, sender: u32) -> Account {
    let mut own = Account::of(sender);
    (0..3).for_each(|_| own.tell(line));
    own
}

/// Handled, not only accepted.
fn act(served: &Served, act: &Value) {
    served.says(&["actor", "tell", SUBJECT, "Do", &json!({ "act": act }).to_string()]);
    seen(served);
}

fn trap(served: &Served, how: &str) {
    act(served, &json!({ "SetTrap": { "step": "migrate", "how": how } }));
}

fn seen(served: &Served) -> Seen {
    let answer = served.json(&["actor", "ask", SUBJECT, "Read", "{}"]);
    serde_json::from_value(answer["reply"].clone()).expect("as it is declared")
}

/// An upgrade within bounds that nothing comes near, asked for by a process of its own.
fn apply(served: &Served) -> Child {
    let bounds = ["--max-pause", "60s", "--trial-timeout", "60s", "--quiesce-timeout", "60s"];
    let mut command = served.command(&[&["upgrade", "apply", SUBJECT, "--to", "2.0.0"], &bounds[..]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// It has committed, and nothing takes it back but an order: there is more room for the work than is done.
fn on_probation(served: &Served) -> String {
    let bounds =
        ["--max-pause", "60s", "--trial-timeout", "60s", "--quiesce-timeout", "60s", "--replay-timeout", "60s"];
    let watch = ["--probation", "24h", "--rollback", "never", "--keep-messages", "1048576", "--keep-bytes", "1GiB"];
    served.says(&[&["upgrade", "apply", SUBJECT, "--to", "2.0.0"], &bounds[..], &watch].concat());
    served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned()
}

/// Its way back, asked for by a process of its own.
fn take_back(served: &Served, id: &str) -> Child {
    let mut command = served.command(&["upgrade", "rollback", id, "--by", "replay", "--timeout", "120s"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// What has become of the upgrade, as the next host knows it; and whether there is more than was asked for.
fn fate(next: &Served) -> String {
    let upgrades = next.json(&["upgrade", "log"]);
    let upgrades = upgrades.as_array().expect("a list").iter();
    let (back, up): (Vec<&Value>, Vec<&Value>) = upgrades.partition(|upgrade| !upgrade["rolls_back"].is_null());
    let status = |upgrades: &[&Value]| {
        let statuses: Vec<&str> = upgrades.iter().filter_map(|upgrade| upgrade["status"].as_str()).collect();
        statuses.join(", then ")
    };
    let mut fate = status(&up);
    if !back.is_empty() {
        fate.push_str(&format!(", its rollback {}", status(&back)));
    }
    let ends = up.iter().filter_map(|upgrade| upgrade["probation"].as_object()).flat_map(|ends| ends.keys());
    for how in ends {
        let how = match how.as_str() {
            "host_ended" => "ended with its host",
            "rolled_back" => "taken back",
            other => other,
        };
        fate.push_str(&format!(", its probation {how}"));
    }
    let again = if up.len() == 1 && back.len() < 2 { "nothing is tried again" } else { "it is tried again" };
    format!("{fate}, and {again}")
}

/// Who speaks to a host, whichever it is.
struct Callers {
    line: Line,
    own: Account,
    clients: Option<Clients>,
}

impl Callers {
    /// The host has ended; what the next one says, or the one after that.
    fn outlive(self, mut asking: Child, (desk, ended): (TempDir, ExitStatus), then: Then) -> Row {
        let died = Instant::now();
        asking.wait().expect("it ends with its host");
        let desk = match then {
            Then::Once => desk,
            Then::Again => Served::launched(desk, &[]).kill(),
        };
        let next = Served::at(desk, &[]);
        let own = told(&self.line, 1);
        let accounts = self.clients.map(|clients| {
            clients.flow();
            clients.end()
        });
        let accounts = accounts.into_iter().flatten().map(|account| account.since(died));
        let accounts: Vec<Account> = accounts.chain([own]).collect();
        let told = seen(&next);
        let anew = lives(&told).len() == 1 && !told.log.iter().any(|entry| entry.sender == self.own.sender);
        let origin = if anew { "its start arguments" } else { "something else" };
        let seen = format!(
            "the host ends by signal {}; the next one runs {}.0.0 from {origin}; the upgrade is {}",
            ended.signal().unwrap_or_default(),
            told.version,
            fate(&next),
        );
        Row::new(seen, String::new(), compare(&told.log, &accounts))
    }
}
