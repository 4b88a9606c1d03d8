//! The workspace as text: its files, its code without comments and strings, its functions.

use crate::harness::root;
use std::{fs, path::Path};

/// One file that belongs to the project.
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Tests are apart from some laws: a file under a `tests` folder, or a module called `tests`.
    pub(super) fn is_test(&self) -> bool {
        ["/tests/", "/tests.rs", "_tests.rs"].iter().any(|part| format!("/{}", self.path).contains(part))
    }

    /// The lines with their numbers, up to an inline test module, which formatting puts last.
    pub(super) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tested = self.is_test();
        self.lines().take_while(move |(_, line)| !tested && *line != "#[cfg(test)]")
    }

    /// The lines of tests: the whole file, or what stands from an inline test module on.
    pub(super) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tested = self.is_test();
        self.lines().skip_while(move |(_, line)| !tested && *line != "#[cfg(test)]")
    }

    /// All lines, numbered from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The Rust sources of the workspace.
pub(super) fn rust_files() -> Vec<File> {
    files(&["framework", "supervisor", "actors", "tests", "benches", "xtask", "examples", "fuzz"], "rs")
}

/// The files below `folders` whose names end in `.extension`.
pub(super) fn files(folders: &[&str], extension: &str) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    for folder in folders {
        collect(&root, &root.join(folder), extension, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, extension: &str, found: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                collect(root, &path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = fs::read_to_string(&path).expect("project files are UTF-8");
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push(File { path, text });
        }
    }
}

/// A file at the root; a missing one fails the test that needs it.
pub(super) fn root_file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `line` without comments and without what stands in string literals.
pub(super) fn code(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => _ = chars.next(),
            '"' => quoted = !quoted,
            '\'' if !quoted && chars.peek() == Some(&'"') => _ = chars.next(),
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

/// The identifiers of a line of code.
pub(super) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The function that a line opens, if it does.
pub(super) fn function_opened(line: &str) -> Option<&str> {
    let code = line.trim_start();
    if code.starts_with("//") || code.starts_with('"') {
        return None;
    }
    let at = if code.starts_with("fn ") { 0 } else { code.find(" fn ")? + 1 };
    let before = &code[..at];
    let plain = before.chars().all(|c| c.is_alphanumeric() || " _()\"".contains(c));
    let name = code[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (plain && !name.is_empty()).then_some(name)
}

/// Every function of a file: first line, name, number of lines.
pub(super) fn functions(file: &File) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_opened(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let ends = |line: &str| line == close || (line.starts_with(indent) && line[indent.len()..].starts_with("} "));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let length = if one_line { 1 } else { lines[start..].iter().position(|l| ends(l)).map_or(1, |n| n + 1) };
        found.push((start + 1, name.to_owned(), length));
    }
    found
}

/// The id that a test's name opens with, in capitals: `u16_an_actor..` gives `U16`.
pub(super) fn promise_of(name: &str) -> Option<String> {
    let id = name.split('_').next()?;
    let (letter, digits) = id.split_at_checked(1)?;
    let known = "usmifercp".contains(letter) && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    known.then(|| id.to_uppercase())
}
