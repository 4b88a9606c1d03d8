//! Laws about documents: what they name exists, and what exists is named.

use super::{none, text};
use crate::harness::{Test, root, test};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(every_path_that_the_architecture_names_exists),
        test(every_invariant_names_its_test_and_back),
        test(every_error_code_has_its_page_and_back),
        test(an_error_page_says_what_an_operator_types),
        test(the_guide_lists_every_chapter_and_a_chapter_says_which_file_it_changes),
        test(the_table_of_steps_has_every_code_of_an_upgrade),
        test(conformance_has_a_row_for_every_promise),
        test(every_planted_bug_says_what_catches_it),
        test(the_readmes_code_is_code_of_the_repository),
    ]
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn every_path_that_the_architecture_names_exists() {
    const TOPS: [&str; 11] =
        ["framework", "supervisor", "actors", "tests", "benches", "docs", "xtask", "examples", "fuzz", ".ci", ".cargo"];
    let architecture = text::root_file("ARCHITECTURE.md");
    let mut breaches = Vec::new();
    for (index, line) in architecture.lines().enumerate() {
        for name in quoted(line) {
            let path = name.split([':', ' ', '#']).next().unwrap_or(name).trim_end_matches('/');
            let ours = TOPS.iter().any(|top| path == *top || path.starts_with(&format!("{top}/")));
            if ours && !path.contains(['<', '*', '{', '?']) && !root().join(path).exists() {
                breaches.push(format!("ARCHITECTURE.md:{}: {path}", index + 1));
            }
        }
    }
    none("every path that ARCHITECTURE.md names exists", &breaches);
}

/// Functions of tests by name, with the invariant that the comment above them names (`Invariant` and its number), if
/// one does.
fn tests_with_invariants() -> BTreeMap<String, Option<u32>> {
    let mut tests = BTreeMap::new();
    for file in text::rust_files() {
        let mut invariant = None;
        for (_, line) in file.test_lines() {
            let line = line.trim_start();
            if let Some(name) = text::function_opened(line) {
                tests.insert(name.to_owned(), invariant.take());
            } else if line.starts_with("//") {
                let number = line.split("Invariant ").nth(1).and_then(|rest| {
                    rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
                });
                invariant = number.or(invariant);
            }
        }
    }
    tests
}

/// The items of a numbered list, each with its number; an item goes on until the next one or an empty line.
fn items(list: &str) -> Vec<(u32, String)> {
    let mut items: Vec<(u32, String)> = Vec::new();
    for paragraph in list.split("\n\n") {
        let mut open = false;
        for line in paragraph.lines() {
            match line.split_once(". ").and_then(|(number, text)| Some((number.parse().ok()?, text))) {
                Some((number, text)) => items.push((number, text.to_owned())),
                None if open => items.last_mut().expect("an item is open").1.push_str(line),
                None => continue,
            }
            open = true;
        }
    }
    items
}

fn every_invariant_names_its_test_and_back() {
    let architecture = text::root_file("ARCHITECTURE.md");
    let section = architecture.split("\n## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    let tests = tests_with_invariants();
    let mut breaches = Vec::new();
    let mut named: BTreeSet<(String, u32)> = BTreeSet::new();
    let mut count = 0;
    for (number, item) in items(section.expect("ARCHITECTURE.md has a section `## Invariants`")) {
        count += 1;
        let claims: Vec<&str> = quoted(&item).filter(|name| tests.contains_key(*name)).collect();
        if claims.is_empty() {
            breaches.push(format!("ARCHITECTURE.md: invariant {number} names no test that exists"));
        }
        named.extend(claims.into_iter().map(|name| (name.to_owned(), number)));
    }
    if count == 0 {
        breaches.push("ARCHITECTURE.md: `## Invariants` has no numbered line".to_owned());
    }
    for (name, number) in &named {
        if tests[name] != Some(*number) {
            breaches.push(format!("{name}: the comment above it does not say `Invariant {number}`"));
        }
    }
    for (name, number) in tests.iter().filter_map(|(name, number)| Some((name, (*number)?))) {
        if !named.contains(&(name.clone(), number)) {
            breaches.push(format!("{name} says it holds Invariant {number}, which does not name it"));
        }
    }
    none("every invariant names its test, and the test its invariant", &breaches);
}

/// A whole string literal such as `UPG-MIGRATE` is an error code.
fn is_code(literal: &str) -> bool {
    const AREAS: [&str; 19] = [
        "UPG", "GATE", "LOAD", "SYS", "STORE", "TRUST", "CTL", "CLI", "DEMO", "NEW", "CARGO", "LOCK", "DEV", "NATIVE",
        "HTTP", "ROUTE", "MOD", "PACK", "CERT",
    ];
    let mut parts = literal.split('-');
    let area = parts.next().is_some_and(|area| AREAS.contains(&area));
    let rest: Vec<&str> = parts.collect();
    let upper = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    area && !rest.is_empty() && rest.iter().all(upper)
}

fn every_error_code_has_its_page_and_back() {
    let mut codes = BTreeSet::new();
    for file in text::rust_files().iter().filter(|file| file.path.starts_with("supervisor/")) {
        for (_, line) in file.product_lines().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            codes.extend(line.split('"').skip(1).step_by(2).filter(|literal| is_code(literal)).map(str::to_owned));
        }
    }
    let page = |path: &str| path.strip_prefix("docs/errors/")?.strip_suffix(".md").map(str::to_owned);
    let pages: BTreeSet<String> =
        text::files(&["docs/errors"], "md").iter().filter_map(|file| page(&file.path)).filter(|p| is_code(p)).collect();
    let mut breaches: Vec<String> = codes.difference(&pages).map(|code| format!("{code} has no page")).collect();
    breaches.extend(pages.difference(&codes).map(|code| format!("docs/errors/{code}.md: no such code")));
    let list = text::root_file("docs/errors/README.md");
    let listed = |code: &&String| list.contains(&format!("\n| [{code}]({code}.md) | "));
    breaches.extend(codes.iter().filter(|code| !listed(code)).map(|code| format!("docs/errors/README.md: no {code}")));
    none("every error code has its page in docs/errors, and every page its code", &breaches);
}

/// Each has its three parts, and names what a program calls only where it speaks of programs or of an author's code.
fn an_error_page_says_what_an_operator_types() {
    let mut breaches = Vec::new();
    for page in text::files(&["docs/errors"], "md").iter().filter(|page| !page.path.ends_with("README.md")) {
        let parts = ["\n## What stands now\n", "\n## What to do\n"];
        if !parts.iter().all(|part| page.text.contains(part)) {
            breaches.push(format!("{} lacks a part", page.path));
        }
        let is_call = |name: &str| name.contains("::") && name.starts_with(|first: char| first.is_ascii_uppercase());
        for paragraph in page.text.split("\n\n").filter(|paragraph| quoted(paragraph).any(is_call)) {
            if !["program", "author", "embeds"].iter().any(|whose| paragraph.contains(whose)) {
                breaches.push(format!("{}: {paragraph}", page.path));
            }
        }
    }
    none("an error page says what an operator types", &breaches);
}

fn the_guide_lists_every_chapter_and_a_chapter_says_which_file_it_changes() {
    let summary = text::root_file("docs/guide/src/SUMMARY.md");
    let listed: BTreeSet<String> =
        summary.lines().filter_map(|line| Some(line.split_once("](")?.1.split_once(')')?.0.to_owned())).collect();
    let mut chapters = text::files(&["docs/guide/src"], "md");
    let name = |file: &text::File| file.path.trim_start_matches("docs/guide/src/").to_owned();
    let there: BTreeSet<String> = chapters.iter().map(name).filter(|name| name != "SUMMARY.md").collect();
    let mut breaches: Vec<String> =
        there.symmetric_difference(&listed).map(|name| format!("SUMMARY.md and {name}")).collect();
    chapters.extend(text::files(&["docs"], "md").into_iter().filter(|file| file.path == "docs/upgrade.md"));
    for chapter in &chapters {
        // What is read since the last block, of which the marks are no part: a page does not show them.
        let (mut read, mut changed, mut within) = (String::new(), String::new(), false);
        for line in chapter.text.lines() {
            let mark = line.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
            let path = mark.and_then(|mark| mark.strip_prefix("edit: ").or_else(|| mark.strip_prefix("file: ")));
            if let Some(path) = path.filter(|_| !within) {
                let goes_on = read.trim().is_empty() && changed == path;
                if !goes_on && !quoted(&read).any(|name| name == path) {
                    breaches.push(format!("{}: nobody reads that a block is {path}", chapter.path));
                }
                path.clone_into(&mut changed);
            } else if line.starts_with("```") {
                within = !within;
                read.clear();
            } else if !within && mark.is_none() {
                read.extend([line, "\n"]);
            }
        }
    }
    none("the guide lists every chapter, and a chapter says which file it changes", &breaches);
}

fn the_table_of_steps_has_every_code_of_an_upgrade() {
    let document = text::root_file("docs/upgrade.md");
    let rows: String = document.lines().filter(|line| line.starts_with("| ")).collect();
    let named: BTreeSet<&str> = rows.split([' ', ',', ';', ':', '|']).collect();
    let codes = teneral::upgrade::CODES.iter().map(|(code, _)| *code);
    let missing: Vec<String> = codes.filter(|code| !named.contains(code)).map(str::to_owned).collect();
    none("docs/upgrade.md has every code of an upgrade in its table of steps", &missing);
}

fn conformance_has_a_row_for_every_promise() {
    let promises = text::root_file("docs/promises.md");
    let conformance = text::root_file("docs/conformance.md");
    let ids = promises.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("** ").map(|(id, _)| id));
    let missing: Vec<String> =
        ids.filter(|id| !conformance.contains(&format!("\n| {id} | "))).map(str::to_owned).collect();
    none("docs/conformance.md (cargo xtask conformance) has a row for every promise", &missing);
}

fn every_planted_bug_says_what_catches_it() {
    let page = text::root_file("docs/planted-bugs.md");
    let planted = |file: &text::File| {
        let id = |line: &str| Some(line.strip_prefix("bug-")?.split_once(' ')?.0.to_uppercase());
        file.text.lines().filter_map(id).collect::<Vec<_>>()
    };
    let ids: BTreeSet<String> = text::files(&["framework", "supervisor"], "toml").iter().flat_map(planted).collect();
    let listed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | `"))
        .map(|(id, _)| id.to_owned())
        .collect();
    let breaches: Vec<String> = ids.symmetric_difference(&listed).cloned().collect();
    none(
        "docs/planted-bugs.md (cargo xtask conformance --bugs) has a row for every planted bug, and no other",
        &breaches,
    );
}

/// Each block of Rust stands, word for word, in the file that is named last before it.
fn the_readmes_code_is_code_of_the_repository() {
    let readme = text::root_file("README.md");
    let (mut file, mut block, mut blocks, mut breaches) = (None, None, 0, Vec::new());
    for line in readme.lines() {
        match (&mut block, line) {
            (None, "```rust") => block = Some(String::new()),
            (None, line) => file = quoted(line).filter(|name| name.ends_with(".rs")).last().map(str::to_owned).or(file),
            (Some(code), "```") => {
                let path = file.clone().unwrap_or_default();
                let holds = std::fs::read_to_string(root().join(&path)).is_ok_and(|text| text.contains(code.as_str()));
                if !holds {
                    breaches.push(format!("{path} does not hold:\n{code}"));
                }
                (block, blocks) = (None, blocks + 1);
            }
            (Some(code), line) => code.extend([line, "\n"]),
        }
    }
    assert!(blocks > 0, "the README shows code");
    none("the README's code is the repository's", &breaches);
}
