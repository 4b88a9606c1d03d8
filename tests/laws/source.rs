//! Laws about source files: sizes, openings, what is banned, where unsafe may stand.

use super::none;
use super::text::{self, File, code, rust_files, words};
use crate::harness::{Test, test};
use std::collections::BTreeMap;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 120;

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_function_fits_on_a_screen),
        test(a_file_stays_below_its_bound),
        test(a_line_stays_below_its_bound),
        test(every_module_opens_by_saying_what_it_is),
        test(nothing_is_silenced_unfinished_or_left_out),
        test(product_code_neither_unwraps_nor_panics),
        test(unsafe_stands_only_where_it_may),
        test(tests_never_sleep),
        test(a_test_proves_one_promise_that_exists),
        test(no_line_names_a_machine),
    ]
}

fn breaches(files: &[File], check: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    files.iter().flat_map(check).collect()
}

fn a_function_fits_on_a_screen() {
    let breaches = breaches(&rust_files(), |file| {
        let tables = |name: &str| name == "tests" || name == "main";
        text::functions(file)
            .into_iter()
            .filter(|(_, name, lines)| *lines > FUNCTION_LINES_MAX && !(file.is_test() && tables(name)))
            .map(|(line, name, lines)| format!("{}:{line}: fn {name} has {lines} lines", file.path))
            .collect()
    });
    none("a function has at most 70 lines", &breaches);
}

fn a_file_stays_below_its_bound() {
    let breaches = breaches(&rust_files(), |file| {
        let lines = file.product_lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.path)).into_iter().collect()
    });
    none("a file has at most 500 lines, tests apart", &breaches);
}

fn a_line_stays_below_its_bound() {
    let breaches = breaches(&rust_files(), |file| {
        let long = |(_, line): &(usize, &str)| line.chars().count() > LINE_CHARS_MAX;
        file.lines().filter(long).map(|(number, _)| format!("{}:{number}", file.path)).collect()
    });
    none("a line has at most 120 characters", &breaches);
}

fn every_module_opens_by_saying_what_it_is() {
    // A compile-fail case is a snippet that the compiler's message quotes, not a module.
    let snippet = |file: &File| file.path.contains("/tests/ui/") || file.path.contains("/tests/compile");
    let mute = |file: &&File| !file.text.starts_with("//!") && !snippet(file);
    let breaches: Vec<String> = rust_files().iter().filter(mute).map(|file| file.path.clone()).collect();
    none("a module opens with //!", &breaches);
}

fn nothing_is_silenced_unfinished_or_left_out() {
    const BANNED: [&str; 8] =
        ["#[allow", "#![allow", "todo!(", "unimplemented!(", "#[ignore", "dbg!(", "cfg_attr(test", "cfg!(test"];
    let breaches = breaches(&rust_files(), |file| {
        let mut found = Vec::new();
        for (number, line) in file.lines() {
            let code = code(line);
            found.extend(
                BANNED.iter().filter(|banned| code.contains(*banned)).map(|b| format!("{}:{number}: {b}", file.path)),
            );
        }
        found
    });
    none("no allow, no todo, no ignored test, no branch on being under test", &breaches);
}

fn product_code_neither_unwraps_nor_panics() {
    const BANNED: [&str; 4] = [".unwrap()", ".unwrap_err()", "panic!(", ".expect()"];
    let product = |file: &&File| file.path.starts_with("framework/") || file.path.starts_with("supervisor/");
    let mut breaches = Vec::new();
    for file in rust_files().iter().filter(product) {
        for (number, line) in file.product_lines() {
            let code = code(line);
            let found = BANNED.iter().find(|banned| code.contains(*banned) && !code.contains("debug_assert"));
            // `code` drops what is quoted, so an expect with its reason reads `.expect()`; it must give one at length.
            let reasoned = line.split(".expect(\"").nth(1).is_some_and(|reason| reason.len() > 12);
            match found {
                Some(&".expect()") if reasoned => {}
                Some(banned) => breaches.push(format!("{}:{number}: {banned}", file.path)),
                None => {}
            }
        }
    }
    none("product code neither unwraps nor panics, and an expect says why it cannot", &breaches);
}

fn may_hold_unsafe(path: &str) -> bool {
    let export = path.starts_with("framework/actor/") && path.contains("export");
    path.starts_with("framework/abi/") || path.starts_with("supervisor/loader/") || export
}

// Invariant 11
fn unsafe_stands_only_where_it_may() {
    let files = rust_files();
    let mut breaches = breaches(&files, |file| {
        let marked = |(_, line): &(usize, &str)| words(&code(line)).any(|word| word == "unsafe");
        let allowed = may_hold_unsafe(&file.path);
        file.lines().filter(|line| !allowed && marked(line)).map(|(n, _)| format!("{}:{n}", file.path)).collect()
    });
    let texts: BTreeMap<&str, &str> = files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    for (package, root) in super::floors::crate_roots() {
        let apart = ["teneral-abi", "teneral-actor", "teneral-loader"].contains(&package.as_str());
        // A library's outermost file holds only the export, whose expansion is the ABI's unsafe.
        let text = texts.get(root.as_str()).copied().unwrap_or_default();
        let exports = text.contains("export_actor!") && text.lines().count() < 30;
        if !apart && !exports && !text.contains("#![forbid(unsafe_code)]") {
            breaches.push(format!("{root}: no #![forbid(unsafe_code)]"));
        }
    }
    none("unsafe stands only in abi, actor's export and loader; every other crate forbids it", &breaches);
}

fn tests_never_sleep() {
    let breaches = breaches(&rust_files(), |file| {
        let sleeps = |(_, line): &(usize, &str)| {
            let code = code(line);
            code.contains("thread::sleep(") || code.contains("time::sleep(")
        };
        file.test_lines().filter(sleeps).map(|(number, _)| format!("{}:{number}", file.path)).collect()
    });
    none("tests wait for a condition, never for time to pass", &breaches);
}

fn a_test_proves_one_promise_that_exists() {
    let promised = text::root_file("docs/promises.md");
    let mut breaches = Vec::new();
    for file in rust_files() {
        for (line, name, _) in text::functions(&file) {
            let Some(id) = text::promise_of(&name) else { continue };
            let second = name.split_once('_').and_then(|(_, rest)| text::promise_of(rest));
            if let Some(second) = second {
                breaches.push(format!("{}:{line}: {name} names {id} and {second}", file.path));
            }
            if !promised.contains(&format!("- **{id}** ")) {
                breaches.push(format!("{}:{line}: {name}: docs/promises.md has no {id}", file.path));
            }
        }
    }
    none("a test proves one promise, and the promise exists", &breaches);
}

fn no_line_names_a_machine() {
    const HOMES: [&str; 4] =
        [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("C:\\Us", "ers")];
    let mut files = rust_files();
    for extension in ["md", "toml", "h", "c", "lock", "yml"] {
        files.extend(text::files(
            &["framework", "supervisor", "actors", "tests", "benches", "xtask", "examples", "docs", ".ci", ".cargo"],
            extension,
        ));
    }
    let mut breaches = breaches(&files, |file| {
        let named = |(_, line): &(usize, &str)| HOMES.iter().any(|home| line.contains(home));
        file.lines().filter(named).map(|(number, _)| format!("{}:{number}", file.path)).collect()
    });
    let lock = text::root_file("Cargo.lock");
    let elsewhere =
        |line: &&str| line.starts_with("source = ") && !line.contains("//github.com/rust-lang/crates.io-index\"");
    breaches.extend(lock.lines().filter(elsewhere).map(|line| format!("Cargo.lock: {line}")));
    none("no line names a machine or a registry of its own", &breaches);
}
