//! The guide and `docs/upgrade.md`, followed word by word: every command in them is typed into one shell, every file
//! written, every change made, and what they say comes of it must come of it.
//!
//! A chapter is Markdown that people read, so its marks are comments, which no page shows:
//!
//! * a block `console`: what comes after `$ ` is typed; the lines below are what is said, `[..]` stands for anything
//!   in a line and a line `...` for any lines. A command that ends with `&` goes on beside the others.
//! * `<!-- file: PATH -->` before a block: the block is that file; `<!-- edit: PATH -->`: the block, a diff, is a
//!   change to it
//! * `<!-- says: NAME -->` before a block: what the command that goes on under that name (`serve`, `dev`) says in time
//! * `<!-- hidden: COMMAND -->`: typed, and not shown
//!
//! How far an upgrade is, which is said of one that takes a while, is passed over: no page can know how busy a machine
//! is.

use crate::harness::house::until_within;
use crate::harness::{Test, free_port, root, test};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(every_command_of_the_guide_does_what_the_guide_says),
        test(six_wrong_upgrades_do_no_harm_as_the_document_says),
    ]
}

/// How long anything may take, a first build on a slow and busy machine included.
const PATIENCE: Duration = Duration::from_secs(600);

const GUIDE: [&str; 4] = [
    "docs/guide/src/get-started.md",
    "docs/guide/src/change.md",
    "docs/guide/src/operate.md",
    "docs/guide/src/embed.md",
];

/// The ports that they name. Somebody else may follow them on this machine, so that one that is free stands for each.
const PORTS: [&str; 2] = ["8765", "8766"];

/// What a chapter asks of its reader.
#[derive(Debug)]
enum Deed {
    Type { command: String, said: Vec<String> },
    Write { path: String, text: String },
    Edit { path: String, diff: Vec<String> },
    Hear { name: String, said: Vec<String> },
}

/// A chapter's deeds, each with the line where it stands.
fn deeds(text: &str) -> Vec<(usize, Deed)> {
    let mut deeds = Vec::new();
    let mut mark = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            if let Some(command) = comment.strip_prefix("hidden: ") {
                let said = vec!["...".to_owned()];
                deeds.push((at + 1, Deed::Type { command: command.to_owned(), said }));
            } else {
                comment.clone_into(&mut mark);
            }
            continue;
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<String> =
            lines.by_ref().map(|(_, line)| line.to_owned()).take_while(|line| line != "```").collect();
        let (what, about) = mark.split_once(": ").unwrap_or(("", ""));
        let about = about.to_owned();
        match (language, what) {
            ("console", _) => deeds.extend(typed(at + 2, &block)),
            (_, "file") => deeds.push((at, Deed::Write { path: about, text: block.join("\n") + "\n" })),
            (_, "edit") => deeds.push((at, Deed::Edit { path: about, diff: block })),
            (_, "says") => deeds.push((at, Deed::Hear { name: about, said: block })),
            _ => {}
        }
        mark.clear();
    }
    deeds
}

fn typed(first: usize, block: &[String]) -> Vec<(usize, Deed)> {
    let mut deeds: Vec<(usize, Deed)> = Vec::new();
    for (at, line) in block.iter().enumerate() {
        match (line.strip_prefix("$ "), deeds.last_mut()) {
            (Some(command), _) => {
                deeds.push((first + at, Deed::Type { command: command.to_owned(), said: Vec::new() }));
            }
            (None, Some((_, Deed::Type { command, said }))) => match line.strip_prefix("> ") {
                Some(more) if said.is_empty() => *command = format!("{command}\n{more}"),
                _ => said.push(line.clone()),
            },
            _ => panic!("line {}: a console block begins with what is typed", first + at),
        }
    }
    deeds
}

/// A shell that a reader sits at.
struct Reader {
    shell: Child,
    keys: ChildStdin,
    desk: TempDir,
    typed: usize,
    /// What the shell's folder is, as it said last.
    folder: PathBuf,
}

impl Reader {
    fn sit_down() -> Self {
        let desk = TempDir::with_prefix("teneral-guide-").expect("a temporary directory");
        let binary = Path::new(env!("CARGO_BIN_EXE_teneral")).parent().expect("it lies in a folder");
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("there is one"));
        let work = desk.path().join("work");
        fs::create_dir(&work).expect("the desk is ours");
        let mut shell = Command::new("bash");
        shell.arg("--norc").current_dir(&work).env("PATH", path).env("CHECKOUT", root()).process_group(0);
        shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never").env("SHARED", shared());
        for name in ["TENERAL_DIR", "TENERAL_CONFIG", "RUST_LOG", "CARGO_TARGET_DIR", "CARGO_MANIFEST_DIR"] {
            shell.env_remove(name);
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("bash runs");
        let keys = shell.stdin.take().expect("piped");
        Self { shell, keys, desk, typed: 0, folder: work }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.out(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Types a command and waits for its end; what it said, and how it ended.
    fn types(&mut self, command: &str) -> (String, String) {
        self.typed += 1;
        let (said, done) = (self.out(&format!("{}.said", self.typed)), self.out(&format!("{}.done", self.typed)));
        let (out, end) = (said.display(), done.display());
        if let Some(beside) = command.strip_suffix('&') {
            let words: Vec<&str> = beside.split_whitespace().collect();
            let name = if words[0] == "teneral" { words[1] } else { words[0].rsplit('/').next().expect("a name") };
            let log = self.out(&format!("{name}.log"));
            let line = format!("{beside} >>{} 2>&1 </dev/null &\n", log.display());
            self.keys.write_all(line.as_bytes()).expect("the shell reads");
            // A reader sees that it is ready.
            let ready = format!("until teneral actor list; do sleep 0.1; done >{out} 2>&1; echo $? >{end}.new\n");
            self.keys.write_all(ready.as_bytes()).expect("the shell reads");
        } else {
            let line = format!("{{ {command}\n}} >{out} 2>&1 </dev/null; echo \"$? $PWD\" >{end}.new\n");
            self.keys.write_all(line.as_bytes()).expect("the shell reads");
        }
        self.keys.write_all(format!("mv {end}.new {end}\n").as_bytes()).expect("the shell reads");
        until_within(PATIENCE, command, || done.exists());
        let ended = fs::read_to_string(&done).expect("it is there");
        if let Some((code, folder)) = ended.trim_end().split_once(' ') {
            self.folder = folder.into();
            return (fs::read_to_string(&said).expect("UTF-8"), code.to_owned());
        }
        (String::new(), "0".to_owned())
    }

    fn does(&mut self, deed: &Deed) -> Result<(), String> {
        match deed {
            Deed::Type { command, said } => {
                let (heard, code) = self.types(command);
                let heard: String =
                    heard.lines().filter(|line| !is_progress(line)).map(|line| format!("{line}\n")).collect();
                // A failure that is not shown is not meant.
                if agrees(said, &heard) && (code == "0" || said.iter().any(|line| line.contains("error["))) {
                    return Ok(());
                }
                Err(format!("ended with {code} and said:\n{heard}"))
            }
            Deed::Write { path, text } => {
                let path = self.folder.join(path);
                path.parent().map(fs::create_dir_all);
                fs::write(path, text).map_err(|error| error.to_string())
            }
            Deed::Edit { path, diff } => {
                let file = self.folder.join(path);
                let before = fs::read_to_string(&file).map_err(|error| error.to_string())?;
                fs::write(&file, edited(&before, diff)?).map_err(|error| error.to_string())
            }
            Deed::Hear { name, said } => {
                // In time: what it does takes as long as the machine needs.
                until_within(PATIENCE, &format!("{name} says {said:?}"), || agrees(&around(said), &self.log(name)));
                Ok(())
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The shell and all that it started.
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.shell.wait();
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

/// Where the workspaces that readers make are built, so that teneral's crates are built for them once.
fn shared() -> PathBuf {
    root().join("target/authored")
}

fn around(said: &[String]) -> Vec<String> {
    let any = || "...".to_owned();
    [vec![any()], said.to_vec(), vec![any()]].concat()
}

/// How far an upgrade is: said when it takes a while, and so on a busy machine only.
fn is_progress(line: &str) -> bool {
    let is_step = line.contains("upgrade up-") && [" begins, ", " in "].iter().any(|words| line.contains(words));
    is_step || line.ends_with(": paused")
}

/// Whether what was heard is what the guide says.
fn agrees(said: &[String], heard: &str) -> bool {
    let heard: Vec<&str> = heard.lines().map(str::trim_end).collect();
    let said: Vec<&str> = said.iter().map(|line| line.trim_end()).collect();
    lines_agree(&said, &heard)
}

fn lines_agree(said: &[&str], heard: &[&str]) -> bool {
    match said.split_first() {
        None => heard.is_empty(),
        Some((&"...", rest)) => (0..=heard.len()).any(|skipped| lines_agree(rest, &heard[skipped..])),
        Some((line, rest)) => {
            heard.split_first().is_some_and(|(first, others)| line_agrees(line, first) && lines_agree(rest, others))
        }
    }
}

fn line_agrees(said: &str, heard: &str) -> bool {
    let mut parts = said.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = heard.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The text with a diff's change made, whose context and old lines must stand there once.
fn edited(text: &str, diff: &[String]) -> Result<String, String> {
    let side = |leave: char| -> String {
        let kept = diff.iter().filter(|line| !line.starts_with(leave));
        kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    let (old, new) = (side('+'), side('-'));
    match text.matches(&old).count() {
        1 => Ok(text.replacen(&old, &new, 1)),
        found => Err(format!("stands there {found} times:\n{old}in\n{text}")),
    }
}

/// Does what these chapters ask, one after the other, in one shell that begins in an empty folder.
fn follow(chapters: &[&str]) {
    let mut reader = Reader::sit_down();
    for chapter in chapters {
        let mut text = fs::read_to_string(root().join(chapter)).expect("the chapter is there");
        for port in PORTS {
            text = text.replace(port, &free_port().to_string());
        }
        let deeds = deeds(&text);
        assert!(deeds.len() > 5, "{chapter} asks next to nothing of its reader");
        for (line, deed) in deeds {
            if let Err(error) = reader.does(&deed) {
                let logs = ["serve", "dev"].map(|name| format!("{name}:\n{}", reader.log(name))).join("\n");
                panic!("{chapter}:{line}: {deed:#?}\n{error}\n{logs}");
            }
        }
    }
}

fn every_command_of_the_guide_does_what_the_guide_says() {
    follow(&GUIDE);
}

fn six_wrong_upgrades_do_no_harm_as_the_document_says() {
    follow(&["docs/upgrade.md"]);
}
