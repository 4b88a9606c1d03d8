//! `teneral config show --running`: what a host goes by that serves, and what another start would change.
//!
//! What came from its environment or its flags is left out of that: how it would be started is not known here. All else
//! is compared with the file as it is now.

use super::{Config, Flags, Heard, Row, read};
use crate::failure::Failure;
use crate::host::Host;
use crate::output::{print, print_json};
use crate::table::words;
use serde::Serialize;
use std::process::ExitCode;
use teneral::api::wire::ConfigRow;

/// A value of a running host beside the file's.
#[derive(Debug, Serialize)]
struct Beside {
    #[serde(flatten)]
    running: ConfigRow,
    /// What it would be after another start, where that is something else; an empty text: it would not be there.
    after_restart: Option<String>,
}

/// Prints it. A file that has errors is said after that.
///
/// # Errors
/// [`Failure`]: what the host says, or all that is wrong with the file.
pub(super) fn show(flags: &Flags, host: &Host) -> Result<ExitCode, Failure> {
    let running: Vec<ConfigRow> = host.call(async |client| client.get("/v1/config").await)?;
    let file = read(flags, Heard::File);
    let rows = beside(running, file.as_ref().ok());
    if host.json {
        print_json(&rows)?;
        return file.map(|_| ExitCode::SUCCESS);
    }
    let mut table = vec![["KEY", "VALUE", "UNIT", "FROM", "AFTER A RESTART"].map(str::to_owned).to_vec()];
    let differ = rows.iter().filter(|row| row.after_restart.is_some()).count();
    table.extend(rows.into_iter().map(|Beside { running, after_restart }| {
        let ConfigRow { key, value, unit, from, .. } = running;
        let after = after_restart.map(|value| if value.is_empty() { "gone".to_owned() } else { value });
        vec![key, value, unit, from, after.unwrap_or_default()]
    }));
    print(words(&table))?;
    match differ {
        0 => {}
        1 => print("1 value would be another after a restart of the host\n")?,
        count => print(format_args!("{count} values would be others after a restart of the host\n"))?,
    }
    file.map(|_| ExitCode::SUCCESS)
}

/// Which value it is: a route is known by what it is asked with.
fn identity<'a>(key: &'a str, value: &'a str) -> (&'a str, &'a str) {
    (key, if key == "route" { value.split(" -> ").next().unwrap_or_default() } else { "" })
}

fn beside(running: Vec<ConfigRow>, file: Option<&Config>) -> Vec<Beside> {
    let Some(Config { rows: now, .. }) = file else {
        return running.into_iter().map(|running| Beside { running, after_restart: None }).collect();
    };
    let is = |row: &Row, other: &ConfigRow| identity(&row.key, &row.value) == identity(&other.key, &other.value);
    let added = now.iter().filter(|row| !running.iter().any(|old| is(row, old)));
    let added: Vec<Beside> = added
        .map(|row| Beside {
            running: ConfigRow { value: "-".to_owned(), from: "-".to_owned(), ..row.told() },
            after_restart: Some(row.value.clone()),
        })
        .collect();
    let old = running.into_iter().map(|old| {
        let of_file = matches!(old.source.as_str(), "default" | "file");
        let now = now.iter().find(|row| is(row, &old)).map_or("", |row| row.value.as_str());
        let after_restart = (of_file && now != old.value).then(|| now.to_owned());
        Beside { running: old, after_restart }
    });
    old.chain(added).collect()
}
