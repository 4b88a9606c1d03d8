//! A program that opens a store and does one thing with it: the other process in the tests of crashes and locks.
//!
//! `store_child DIR hold` keeps it open until its input ends; `store_child DIR write` appends numbered steps to one
//! journal and prints each number once it is stored; `store_child DIR fill` does so until the store says no, and prints
//! the code.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use teneral_store::{EmbeddedStore, Entry, StepDone, StepResult, Store, StoreError, UpgradeId};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, verb] = arguments.as_slice() else { return ExitCode::from(2) };
    match (verb.as_str(), EmbeddedStore::open(Path::new(dir))) {
        ("hold", Ok(_store)) => {
            say("ready");
            let _ = std::io::stdin().read(&mut [0]);
        }
        ("write" | "fill", Ok(store)) => say(write_on(&store).code()),
        (_, Ok(_)) => return ExitCode::from(2),
        (_, Err(error)) => say(error.code()),
    }
    ExitCode::SUCCESS
}

fn write_on(store: &EmbeddedStore) -> StoreError {
    let id = UpgradeId("up-1".to_owned());
    let mut number = store.journal(&id).map_or(0, |entries| entries.len() as u64);
    loop {
        let (actor, step, result) = (None, "x".repeat(2000), StepResult::Done);
        let step = StepDone { at_unix_us: number, actor, step, took_us: 0, result };
        match store.append(&id, &[Entry::Step(step)]) {
            Ok(()) => say(&number.to_string()),
            Err(error) => return error,
        }
        number += 1;
    }
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
