//! `native/file` against real files: parts, appends, and logs that are rotated and truncated while they are followed.

use super::{errand, notes, outcome, run, seen, with_files};
use crate::harness::house::{GENEROUS, House, chain, until};
use crate::harness::{Test, libraries, test};
use errand_api::{Do, Look, Seen, Start, What};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use teneral::{FileAct, Grant, Grants, Launch, Options, System};
use teneral_native_api::file::{Append, CHUNK_BYTES, CHUNK_BYTES_MAX, Cut, Follow, Keep, Read, Since};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_part_is_read_and_bytes_are_appended),
        test(a_path_that_leads_out_of_what_is_granted_is_refused),
        test(a_granted_file_is_that_file_and_no_other),
        test(a_followed_file_is_told_whole_over_rotation_and_truncation),
        test(a_file_that_is_not_there_yet_is_waited_for),
        test(a_follower_goes_on_at_its_place_after_a_restart_and_a_rotation),
        test(a_file_that_is_followed_under_an_upgrade_is_told_once_and_whole),
    ]
}

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn read(file: &Path) -> What {
    What::Read(Read { path: path(file), offset: 0, bytes_max: 1000 })
}

fn append(file: &Path, bytes: &[u8]) -> What {
    What::Append(Append { path: path(file), bytes: bytes.into(), keep: Keep::Synced })
}

fn follow(file: &Path, since: Since, stream: u64) -> What {
    What::Follow(Follow { path: path(file), since, stream, cut: Cut::Lines, bytes_max: CHUNK_BYTES })
}

fn add(file: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).expect("it opens");
    file.write_all(bytes).expect("it writes");
}

fn a_part_is_read_and_bytes_are_appended() {
    let (house, dir) = with_files(&[FileAct::Read, FileAct::Append]);
    let (errand, file) = (errand(&house), dir.join("notes"));
    assert_eq!(outcome(&house, &errand, append(&file, b"one\n")), "has 4");
    assert_eq!(fs::metadata(&file).expect("it is made").permissions().mode() & 0o777, 0o600);
    assert_eq!(outcome(&house, &errand, append(&file, b"two\n")), "has 8");
    let part = What::Read(Read { path: path(&file), offset: 2, bytes_max: 4 });
    assert_eq!(outcome(&house, &errand, part), "e\ntw of 8");
    let behind = What::Read(Read { path: path(&file), offset: 100, bytes_max: 4 });
    assert_eq!(outcome(&house, &errand, behind), " of 8");
    let missing = outcome(&house, &errand, read(&dir.join("missing")));
    assert!(missing.ends_with("missing: no such file"), "{missing}");
    let nowhere = outcome(&house, &errand, append(&dir.join("no/dir"), b"x"));
    assert!(nowhere.contains("no such file"), "{nowhere}");
    for bytes_max in [0, CHUNK_BYTES_MAX + 1] {
        let part = What::Read(Read { path: path(&file), offset: 0, bytes_max });
        assert!(outcome(&house, &errand, part).contains("a chunk has 1 to"));
    }
    let large = append(&file, &vec![b'x'; CHUNK_BYTES_MAX as usize + 1]);
    assert!(outcome(&house, &errand, large).contains("over the limit"));
    assert_eq!(fs::read(&file).expect("it reads"), b"one\ntwo\n");
    fs::remove_dir_all(dir).expect("it is ours");
}

fn a_path_that_leads_out_of_what_is_granted_is_refused() {
    let outer = tempfile::TempDir::with_prefix("teneral-files-").expect("a directory");
    let outer = outer.path();
    let dir = outer.join("granted");
    fs::create_dir(&dir).expect("it is ours");
    let house = super::granted(|grant| grant.file(&dir, [FileAct::Read, FileAct::Append, FileAct::Follow]));
    let errand = errand(&house);
    fs::write(outer.join("secret"), "secret").expect("it is ours");
    fs::write(dir.join("plain"), "plain").expect("it is ours");
    fs::create_dir(dir.join("sub")).expect("it is ours");
    symlink("plain", dir.join("within")).expect("it is ours");
    symlink("../secret", dir.join("out")).expect("it is ours");
    symlink(outer.join("secret"), dir.join("absolute")).expect("it is ours");
    symlink(outer, dir.join("up")).expect("it is ours");
    symlink("/dev/null", dir.join("device")).expect("it is ours");
    let made = Command::new("mkfifo").arg(dir.join("fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    assert_eq!(outcome(&house, &errand, read(&dir.join("within"))), "plain of 5", "a link that stays within");
    for name in ["out", "absolute", "up/secret", "device", "fifo", "sub", "../secret", "sub/../plain", "./plain"] {
        for what in [read(&dir.join(name)), append(&dir.join(name), b"x"), follow(&dir.join(name), Since::Start, 1)] {
            let asked = format!("{what:?}");
            let said = outcome(&house, &errand, what);
            assert!(said.starts_with("error: denied: "), "{asked}: {said}");
        }
    }
    for far in ["/dev/null", "/proc/self/mem", "relative", "", "/"] {
        let said = outcome(&house, &errand, read(Path::new(far)));
        assert!(said.starts_with("error: denied: "), "{far}: {said}");
    }
    assert_eq!(fs::read(outer.join("secret")).expect("it reads"), b"secret");
    assert!(seen(&house, &errand).bytes.is_empty());
}

fn a_granted_file_is_that_file_and_no_other() {
    let outer = tempfile::TempDir::with_prefix("teneral-files-").expect("a directory");
    let (log, other) = (outer.path().join("log"), outer.path().join("other"));
    fs::write(&log, "mine").expect("it is ours");
    fs::write(&other, "other").expect("it is ours");
    let house = super::granted(|grant| grant.file(&log, [FileAct::Read]));
    let errand = errand(&house);
    assert_eq!(outcome(&house, &errand, read(&log)), "mine of 4");
    assert!(outcome(&house, &errand, read(&other)).starts_with("error: denied: "));
    assert!(outcome(&house, &errand, append(&log, b"x")).contains("may not append"));
    fs::remove_file(&log).expect("it is ours");
    symlink("other", &log).expect("it is ours");
    assert!(outcome(&house, &errand, read(&log)).starts_with("error: denied: "));
}

/// What was told of a file is this, in the end.
#[track_caller]
fn told(house: &House, errand: &teneral::ActorRef, expected: &[u8]) {
    until("all of it is told", || seen(house, errand).bytes.len() >= expected.len());
    let bytes = seen(house, errand).bytes;
    assert!(bytes[..] == *expected, "{} != {}", String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
}

fn a_followed_file_is_told_whole_over_rotation_and_truncation() {
    let (house, dir) = with_files(&[FileAct::Follow]);
    let (errand, log) = (errand(&house), dir.join("access.log"));
    let mut all = b"first\r\n\xff\xfe not UTF-8\n".to_vec();
    fs::write(&log, &all).expect("it is ours");
    assert_eq!(outcome(&house, &errand, follow(&log, Since::Start, 1)), "follows");
    told(&house, &errand, &all);
    assert_eq!(seen(&house, &errand).senders, [teneral_native_api::file::addr()]);
    // Half a line is no line yet.
    add(&log, b"half");
    add(&log, b" and half\n");
    all.extend(b"half and half\n");
    told(&house, &errand, &all);
    // Rotated as nginx is: renamed, written to for a while, then a new file; the last line has no end.
    let mut writer = OpenOptions::new().append(true).open(&log).expect("it opens");
    fs::rename(&log, dir.join("access.log.1")).expect("it is ours");
    add(&dir.join("access.log.1"), b"after the rename\n");
    add(&log, b"new file\n");
    writer.write_all(b"a worker that is late\nno end").expect("it writes");
    all.extend(b"after the rename\na worker that is late\nno endnew file\n");
    told(&house, &errand, &all);
    // Truncated, and written to from the beginning.
    OpenOptions::new().write(true).truncate(true).open(&log).expect("it is ours");
    until("it is seen to be shorter", || seen(&house, &errand).place.is_some() && truncated(&house, &errand, &log));
    all.extend(b"short\n");
    told(&house, &errand, &all);
    // Gone for a moment.
    fs::remove_file(&log).expect("it is ours");
    add(&log, b"back\n");
    all.extend(b"back\n");
    told(&house, &errand, &all);
    // A line longer than a chunk comes in pieces.
    let mut long = vec![b'x'; CHUNK_BYTES as usize * 2 + 7];
    long.push(b'\n');
    add(&log, &long);
    all.extend(&long);
    told(&house, &errand, &all);
    fs::remove_dir_all(dir).expect("it is ours");
}

/// Writes a line into an emptied file, once; it is read whether the emptiness was seen or not.
fn truncated(house: &House, errand: &teneral::ActorRef, log: &Path) -> bool {
    if fs::metadata(log).expect("it is there").len() == 0 {
        add(log, b"short\n");
    }
    seen(house, errand).bytes.ends_with(b"short\n")
}

fn a_file_that_is_not_there_yet_is_waited_for() {
    let (house, dir) = with_files(&[FileAct::Follow]);
    let (errand, log) = (errand(&house), dir.join("later.log"));
    assert_eq!(outcome(&house, &errand, follow(&log, Since::End, 1)), "follows");
    // Asked again: one stream, not two.
    assert_eq!(outcome(&house, &errand, follow(&log, Since::End, 2)), "follows");
    add(&log, b"one\n");
    told(&house, &errand, b"one\n");
    add(&log, b"two\n");
    told(&house, &errand, b"one\ntwo\n");
    fs::remove_dir_all(dir).expect("it is ours");
}

/// A system that is opened again and again in one directory.
struct Lives {
    tokio: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl Lives {
    fn open(&self) -> System {
        let mut options = Options::new(self.dir.path().join("store"));
        let grant = Grant::nothing().file(self.dir.path(), [FileAct::Follow]).expect("a plain path");
        options.grants = Grants::none().to("errand", grant).expect("a kind");
        System::open_with(options).expect("it opens")
    }

    fn seen(&self, system: &System) -> Seen {
        let seen = self.tokio.block_on(system.ask_within("errand/a", Look {}, GENEROUS));
        seen.unwrap_or_else(|error| panic!("it answers: {}", chain(&error)))
    }

    fn follow(&self, system: &System, what: What) {
        let told = self.tokio.block_on(system.tell("errand/a", Do { what, timeout_ms: 60_000 }));
        told.expect("it is told");
    }
}

fn a_follower_goes_on_at_its_place_after_a_restart_and_a_rotation() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio");
    let lives = Lives { tokio, dir: tempfile::TempDir::with_prefix("teneral-files-").expect("a directory") };
    let log = lives.dir.path().join("access.log");
    let mut all = Vec::new();
    for line in 0..10_000 {
        writeln!(all, "line {line}").expect("memory");
    }
    fs::write(&log, &all).expect("it is ours");
    let system = lives.open();
    lives.tokio.block_on(system.push(libraries::library("errand-v1"))).expect("it passes");
    let launch = Launch { version: None, options: teneral::ActorOptions::permanent() };
    system.set_default("errand", "1.0.0").expect("it is there");
    lives.tokio.block_on(system.define("errand/a", launch, Start {})).expect("it starts");
    lives.follow(&system, follow(&log, Since::Start, 1));
    until("it begins", || !lives.seen(&system).bytes.is_empty());
    // In the middle of it, or not.
    for defined in lives.tokio.block_on(system.close(GENEROUS)).expect("it closes") {
        defined.outcome.expect("its state is kept");
    }
    drop(system);
    add(&log, b"while nobody looked\n");
    fs::rename(&log, lives.dir.path().join("access.log.1")).expect("it is ours");
    add(&log, b"and after the rotation\n");
    all.extend(b"while nobody looked\nand after the rotation\n");
    let system = lives.open();
    lives.tokio.block_on(system.start_defined()).expect("it comes back");
    let place = lives.seen(&system).place.expect("the place is kept");
    lives.follow(&system, follow(&log, Since::Place(place), 2));
    until("all of it is told", || lives.seen(&system).bytes.len() >= all.len());
    assert!(lives.seen(&system).bytes.0 == all, "nothing is lost and nothing comes twice");
    lives.tokio.block_on(system.shutdown(GENEROUS));
}

fn a_file_that_is_followed_under_an_upgrade_is_told_once_and_whole() {
    let (house, dir) = with_files(&[FileAct::Follow]);
    let (errand, log) = (errand(&house), dir.join("busy.log"));
    File::create(&log).expect("it is ours");
    let writer = std::thread::spawn({
        let log = log.clone();
        move || {
            let mut all = Vec::new();
            for line in 0..2_000 {
                let text = format!("line {line} of a busy log\n");
                add(&log, text.as_bytes());
                all.extend(text.into_bytes());
            }
            all
        }
    });
    run(&house, &errand, follow(&log, Since::Start, 1));
    until("it begins", || !seen(&house, &errand).bytes.is_empty());
    house.moved("errand/a", "2.0.0");
    let all = writer.join().expect("it writes");
    told(&house, &errand, &all);
    assert_eq!(seen(&house, &errand).version, "2.0.0");
    assert_eq!(notes(&house, &errand, 1), ["follows"]);
    fs::remove_dir_all(dir).expect("it is ours");
}
