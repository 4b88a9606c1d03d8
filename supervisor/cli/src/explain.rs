//! `teneral explain`: what an error code means, what stands then, and what to do, without a network.

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table::columns;
use serde::Serialize;
use std::process::ExitCode;
use teneral::upgrade::nearest;

/// The pages of `docs/errors` by their codes, in the order of the codes.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Which code to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The code, as it stands between the brackets of an error; without one, all codes are listed
    code: Option<String>,
    /// Print one JSON object, or a list of them
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Page {
    code: &'static str,
    title: &'static str,
    text: &'static str,
}

/// A code that no error has.
#[derive(Debug, thiserror::Error)]
#[error("no error has the code {0}")]
struct Unknown(String);

fn pages() -> impl Iterator<Item = Page> {
    PAGES.iter().map(|&(code, text)| {
        let heading = text.lines().next().unwrap_or_default();
        Page { code, title: heading.split_once(": ").map_or(heading, |(_, title)| title), text }
    })
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: no error has the code.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Some(typed) = &options.code else {
        if options.json {
            print_json(&pages().collect::<Vec<_>>())?;
        } else {
            let rows: Vec<_> = pages().map(|page| vec![page.code.to_owned(), page.title.to_owned()]).collect();
            print(columns(&rows))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let code = typed.to_ascii_uppercase();
    let page = pages().find(|page| page.code == code).ok_or_else(|| {
        let hint = nearest::hint(&code, PAGES.iter().map(|(known, _)| *known));
        Failure::new("CLI-CODE", &Unknown(code), "nothing was printed or changed", hint).usage()
    })?;
    if options.json {
        print_json(&page)?;
    } else {
        print(page.text)?;
    }
    Ok(ExitCode::SUCCESS)
}
