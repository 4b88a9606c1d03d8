//! What the store promises: what was stored is found, and what went wrong is said.
#![forbid(unsafe_code)]

use semver::Version;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use teneral_contract::{Addr, Digest, Fingerprint};
use teneral_store::*;

fn release(kind: &str, version: &str, bytes: &[u8]) -> Release {
    Release {
        kind: kind.to_owned(),
        version: Version::parse(version).unwrap(),
        sha256: digest_of(bytes),
        bytes: bytes.len() as u64,
        abi: [1, 0],
        schema: 2,
        from: vec![1],
        down: vec![1],
        added_unix_us: 7,
    }
}

fn signed() -> Signed {
    Signed { release: "{}".to_owned(), signature: "by ada".to_owned() }
}

fn step(number: u64) -> Entry {
    Entry::Step(StepDone {
        at_unix_us: number,
        actor: Some(Addr::new("counter/a").unwrap()),
        step: "pause".to_owned(),
        took_us: 3,
        result: StepResult::Failed { code: "UPG-BUSY".to_owned(), cause: "busy".to_owned() },
    })
}

fn id(text: &str) -> UpgradeId {
    UpgradeId(text.to_owned())
}

/// A directory of a store that is closed again.
fn made() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("store");
    let store = EmbeddedStore::open(&path).unwrap();
    store.push(&release("counter", "1.0.0", b"one"), b"one", &signed()).unwrap();
    (temp, path)
}

fn code(path: &Path) -> &'static str {
    EmbeddedStore::open(path).map_or_else(|error| error.code(), |_| "opened")
}

fn keeps_what_it_is_given(store: &dyn Store) {
    let version = |text: &str| Version::parse(text).unwrap();
    let two = release("counter", "2.0.0", b"two");
    assert_eq!(store.push(&two, b"two", &signed()).unwrap(), Pushed::New);
    assert_eq!(store.push(&two, b"two", &signed()).unwrap(), Pushed::Known);
    assert_eq!(store.push(&release("counter", "10.0.0", b"ten"), b"ten", &signed()).unwrap(), Pushed::New);
    let taken = store.push(&release("counter", "2.0.0", b"other"), b"other", &signed()).unwrap_err();
    assert_eq!(taken.code(), "STORE-TAKEN");
    assert_eq!(store.push(&two, b"bent", &signed()).unwrap_err().code(), "STORE-ARTIFACT");
    let versions: Vec<_> = store.releases().unwrap().iter().map(|release| release.version.clone()).collect();
    assert_eq!(versions, [version("2.0.0"), version("10.0.0")], "by version, not by text");
    assert_eq!(store.artifact(digest_of(b"two")).unwrap(), b"two");
    assert_eq!(store.artifact(digest_of(b"none")).unwrap_err().code(), "STORE-MISSING");

    assert_eq!(store.default_version("counter").unwrap(), None);
    store.set_default("counter", &version("1.2.3-rc.1+x")).unwrap();
    assert_eq!(store.default_version("counter").unwrap(), Some(version("1.2.3-rc.1+x")));

    let bad = |why: &str| Quarantined {
        digest: Digest([9; 32]),
        kind: "counter".to_owned(),
        version: version("2.0.0"),
        why: why.to_owned(),
        at_unix_us: 1,
    };
    store.quarantine(&bad("first")).unwrap();
    store.quarantine(&bad("second")).unwrap();
    assert_eq!(store.quarantined().unwrap(), [bad("first")]);
    store.pardon(Digest([9; 32])).unwrap();
    assert_eq!(store.quarantined().unwrap(), []);

    keeps_journals(store);
    let definition = Definition {
        addr: Addr::new("counter/a b").unwrap(),
        version: version("2.0.0"),
        generation: 4,
        args_shape: Fingerprint(7),
        args: vec![0, 255],
        lives: Lives {
            restart: "permanent".to_owned(),
            restart_state: "init".to_owned(),
            restarts_max: 3,
            period_us: 5_000_000,
        },
    };
    store.define(&definition).unwrap();
    assert_eq!(store.definitions().unwrap(), std::slice::from_ref(&definition));
    assert_eq!(store.definition(&definition.addr).unwrap(), Some(definition.clone()));
    store.forget(&definition.addr).unwrap();
    assert_eq!(store.definition(&definition.addr).unwrap(), None);
    assert_eq!(store.definitions().unwrap(), []);
    keeps_states(store, &definition.addr);
    assert_eq!((store.next_epoch().unwrap(), store.next_epoch().unwrap()), (1, 2));
}

fn keeps_journals(store: &dyn Store) {
    store.append(&id("up-1"), &[step(0), step(1)]).unwrap();
    store.append(&id("up-10"), &[step(9)]).unwrap();
    store.append(&id("up-1"), &[step(2)]).unwrap();
    assert_eq!(store.journal(&id("up-1")).unwrap(), [step(0), step(1), step(2)]);
    assert_eq!(store.journal(&id("up-2")).unwrap(), []);
    assert_eq!(store.upgrades().unwrap(), [id("up-1"), id("up-10")]);
    let of = |logged: &teneral_store::Logged| (logged.id.clone(), logged.first.clone(), logged.last.clone());
    let latest =
        |before: Option<&UpgradeId>, count| -> Vec<_> { store.latest(before, count).unwrap().iter().map(of).collect() };
    let (one, ten) = ((id("up-1"), step(0), step(2)), (id("up-10"), step(9), step(9)));
    assert_eq!(latest(None, 9), [ten.clone(), one.clone()], "newest first");
    assert_eq!((latest(None, 1), latest(Some(&id("up-10")), 9)), (vec![ten.clone()], vec![one.clone()]));
    assert_eq!(latest(Some(&id("up-1")), 9), []);
    let over = Entry::Probation(ProbationOver {
        at_unix_us: 1,
        actors: vec![],
        how: "finalised".to_owned(),
        why: String::new(),
        by: None,
    });
    store.append(&id("up-1"), &[over.clone(), over.clone()]).unwrap();
    assert_eq!(latest(None, 9), [ten.clone(), one.clone()], "how it ended is not what came after it");
    assert_eq!(store.journal(&id("up-1")).unwrap(), [step(0), step(1), step(2), over.clone(), over.clone()]);
    let ends = store.probation_ends(&id("up-1")).unwrap();
    assert_eq!(ends.into_iter().map(Entry::Probation).collect::<Vec<_>>(), [over.clone(), over]);
    assert_eq!(store.probation_ends(&id("up-10")).unwrap(), []);
    let begin = Begin {
        at_unix_us: 1,
        who: "me".to_owned(),
        why: String::new(),
        request: Some("monday/1".to_owned()),
        rolls_back: None,
        probation: None,
        defaults: Default::default(),
        moves: vec![],
    };
    store.append(&id("up-2"), &[Entry::Begin(begin.clone())]).unwrap();
    assert_eq!(store.requested("monday/1").unwrap(), Some(id("up-2")));
    assert_eq!(store.requested("monday").unwrap(), None);
    for back in ["up-4", "up-3"] {
        let begin = Begin { request: None, rolls_back: Some(id("up-1")), ..begin.clone() };
        store.append(&id(back), &[Entry::Begin(begin)]).unwrap();
    }
    assert_eq!(store.rollbacks(&id("up-1")).unwrap(), [id("up-3"), id("up-4")]);
    assert_eq!(store.rollbacks(&id("up-10")).unwrap(), []);
}

fn keeps_states(store: &dyn Store, addr: &Addr) {
    let saved = |bytes: &[u8]| SavedState {
        version: Version::new(2, 0, 0),
        schema: 2,
        generation: 4,
        sha256: digest_of(bytes),
        taken: false,
    };
    let other = Addr::new("counter/b").unwrap();
    store.save_state(addr, &saved(b"old"), b"old").unwrap();
    store.save_state(addr, &saved(b"state"), b"state").unwrap();
    store.save_state(&other, &saved(b""), b"").unwrap();
    assert_eq!(store.saved_state(addr).unwrap(), Some((saved(b"state"), b"state".to_vec())));
    let taken = |addr| store.saved_state(addr).unwrap().map(|(saved, bytes)| (saved.taken, bytes));
    store.take_state(addr).unwrap();
    assert_eq!(taken(addr), Some((true, b"state".to_vec())));
    store.put_back_state(addr).unwrap();
    assert_eq!(taken(addr), Some((false, b"state".to_vec())));
    store.take_state(addr).unwrap();
    store.save_state(addr, &saved(b"newer"), b"newer").unwrap();
    assert_eq!(taken(addr), Some((false, b"newer".to_vec())), "that one was not taken");
    store.forget_state(addr).unwrap();
    store.forget_state(addr).unwrap();
    store.take_state(addr).unwrap();
    store.put_back_state(addr).unwrap();
    assert_eq!(store.saved_state(addr).unwrap(), None);
    assert_eq!(store.saved_state(&other).unwrap(), Some((saved(b""), Vec::new())));
    // All who are back have used theirs up at once.
    store.save_state(addr, &saved(b"state"), b"state").unwrap();
    assert_eq!([store.begin_return().unwrap(), store.begin_return().unwrap()], [false, true]);
    store.end_return(&[addr.clone(), Addr::new("counter/none").unwrap()]).unwrap();
    assert_eq!(store.saved_state(addr).unwrap(), None);
    assert!(store.saved_state(&other).unwrap().is_some() && !store.begin_return().unwrap());
    store.end_return(&[]).unwrap();
    // Bytes that are not what the record says are no state.
    store.save_state(addr, &saved(b"state"), b"stale").unwrap();
    assert_eq!(store.saved_state(addr).unwrap_err().code(), "STORE-ARTIFACT");
}

#[test]
fn a_store_on_disk_keeps_what_it_is_given() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("store");
    keeps_what_it_is_given(&EmbeddedStore::open(&path).unwrap());
    let again = EmbeddedStore::open(&path).unwrap();
    assert_eq!(again.journal(&id("up-1")).unwrap()[..3], [step(0), step(1), step(2)]);
    assert_eq!(again.next_epoch().unwrap(), 3);
}

#[test]
fn a_store_in_memory_keeps_what_it_is_given() {
    keeps_what_it_is_given(&EmbeddedStore::in_memory(Arc::new(NoFaults)).unwrap());
}

#[test]
fn every_code_has_one_title_and_every_title_one_code() {
    let codes: std::collections::BTreeSet<_> = CODES.iter().map(|(code, _)| code).collect();
    let titles: std::collections::BTreeSet<_> = CODES.iter().map(|(_, title)| title).collect();
    assert_eq!((codes.len(), titles.len()), (CODES.len(), CODES.len()));
}

// ---- who may open it

#[test]
fn a_store_held_by_another_process_is_refused_with_its_pid_and_free_once_that_ends() {
    let (_temp, path) = made();
    let (mut child, mut lines) = child(Command::new(program()), &path, "hold");
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    match EmbeddedStore::open(&path) {
        Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(child.id())),
        other => panic!("{other:?}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(code(&path), "opened");
}

#[test]
fn a_store_is_open_once_in_a_process_too() {
    let (_temp, path) = made();
    let _first = EmbeddedStore::open(&path).unwrap();
    assert_eq!(code(&path), "STORE-LOCKED");
}

#[test]
fn a_lock_that_a_forked_child_shares_for_a_moment_is_waited_for() {
    let (_temp, path) = made();
    let lock = path.join("lock");
    // As a child has it that was forked while the store was open, until it is another program.
    let shared = fs::File::open(&lock).unwrap();
    shared.try_lock().unwrap();
    let opener = std::thread::spawn({
        let path = path.clone();
        move || code(&path)
    });
    let looks_at_it = || {
        let files = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        files.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to == lock)).count() == 2
    };
    while !looks_at_it() && !opener.is_finished() {
        std::thread::yield_now();
    }
    drop(shared);
    assert_eq!(opener.join().unwrap(), "opened");
}

#[test]
fn a_store_from_a_newer_teneral_is_refused_with_both_formats_and_left_as_it_was() {
    let (_temp, path) = made();
    let mut bytes = fs::read(path.join("format")).unwrap();
    bytes[4..6].copy_from_slice(&9_u16.to_le_bytes());
    fs::write(path.join("format"), &bytes).unwrap();
    match EmbeddedStore::open(&path) {
        Err(StoreError::Newer { found, supported, .. }) => assert_eq!((found, supported), (9, 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(path.join("format")).unwrap(), bytes);
}

#[test]
fn a_store_whose_database_is_gone_is_never_begun_anew_in_silence() {
    let (_temp, path) = made();
    fs::rename(path.join("teneral.redb"), path.join("kept")).unwrap();
    assert_eq!(code(&path), "STORE-CORRUPT");
    assert!(!path.join("teneral.redb").exists(), "nothing was made in its place");
    fs::rename(path.join("kept"), path.join("teneral.redb")).unwrap();
    assert_eq!(code(&path), "opened");
    // One that was never finished is begun again.
    fs::remove_file(path.join("format")).unwrap();
    assert_eq!(code(&path), "opened");
    assert!(path.join("format").exists());
}

#[test]
fn r8_the_high_water_mark_never_sinks_and_its_loss_is_said() {
    let (_temp, path) = made();
    let version = |text: &str| Version::parse(text).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    store.push(&release("counter", "3.0.0", b"three"), b"three", &signed()).unwrap();
    store.push(&release("counter", "2.0.0", b"two"), b"two", &signed()).unwrap();
    store.push(&release("other", "1.0.0", b"other"), b"other", &signed()).unwrap();
    let marks = store.marks().unwrap();
    assert_eq!((&marks["counter"], &marks["other"]), (&version("3.0.0"), &version("1.0.0")));
    assert_eq!(store.signed(digest_of(b"two")).unwrap(), Some(signed()));
    drop(store);
    let (file, database) = (path.join("marks"), path.join("teneral.redb"));
    let (old_file, old_database) = (fs::read(&file).unwrap(), fs::read(&database).unwrap());
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.marks().unwrap(), marks, "after a restart");
    store.push(&release("counter", "4.0.0", b"four"), b"four", &signed()).unwrap();
    store.push(&release("counter", "5.0.0", b"five"), b"five", &signed()).unwrap();
    drop(store);
    // One of the two is restored alone, or gone; nothing is admitted, and the marks stay as they are.
    let (new_file, new_database) = (fs::read(&file).unwrap(), fs::read(&database).unwrap());
    for (name, bytes) in [(&file, Some(&old_file)), (&file, None), (&database, Some(&old_database))] {
        match bytes {
            Some(bytes) => fs::write(name, bytes).unwrap(),
            None => fs::remove_file(name).unwrap(),
        }
        let store = EmbeddedStore::open(&path).unwrap();
        assert_eq!(store.marks().unwrap_err().code(), "STORE-MARKS");
        let refused = store.push(&release("counter", "6.0.0", b"six"), b"six", &signed()).unwrap_err();
        assert_eq!(refused.code(), "STORE-MARKS");
        assert!(!store.releases().unwrap().iter().any(|found| found.version == version("6.0.0")));
        drop(store);
        fs::write(&file, &new_file).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&database, &new_database).unwrap();
    }
    fs::remove_file(&file).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    store.accept_marks().unwrap();
    assert_eq!(store.marks().unwrap()["counter"], version("5.0.0"), "an operator's word, and the higher of the two");
    store.push(&release("counter", "6.0.0", b"six"), b"six", &signed()).unwrap();
    assert_eq!(store.marks().unwrap()["counter"], version("6.0.0"));
}

#[test]
fn keys_are_kept_replaced_and_taken_back() {
    let (_temp, path) = made();
    let store = EmbeddedStore::open(&path).unwrap();
    let key = |name: &str| Key {
        id: "0123456789ABCDEF".to_owned(),
        public: "RW..".to_owned(),
        name: name.to_owned(),
        development: false,
        added_unix_us: 7,
        by: "ops".to_owned(),
        expires_unix_us: Some(9),
    };
    store.trust(&key("ada")).unwrap();
    store.trust(&key("eve")).unwrap();
    assert_eq!(store.keys().unwrap(), [key("eve")]);
    store.distrust("FFFFFFFFFFFFFFFF").unwrap();
    store.distrust(&key("eve").id).unwrap();
    assert_eq!(store.keys().unwrap(), []);
    store.keep_private("development.key", b"secret").unwrap();
    assert_eq!(store.private("development.key").unwrap().as_deref(), Some(&b"secret"[..]));
    fs::set_permissions(path.join("development.key"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.private("development.key").unwrap_err().code(), "STORE-MODE");
}

#[test]
fn r6_a_store_that_others_may_enter_is_refused() {
    let (_temp, path) = made();
    for (name, mode) in [("", 0o755), ("", 0o770), ("artifacts", 0o701), ("format", 0o644), ("teneral.redb", 0o660)] {
        let target = path.join(name);
        let before = fs::metadata(&target).unwrap().permissions();
        fs::set_permissions(&target, Permissions::from_mode(mode)).unwrap();
        assert_eq!(code(&path), "STORE-MODE", "{name:?} {mode:o}");
        fs::set_permissions(&target, before).unwrap();
    }
    assert_eq!(code(&path), "opened");
}

#[test]
fn r6_a_store_of_another_user_is_refused() {
    let (_temp, path) = made();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert_eq!(code(&path), "STORE-OWNER");
    } else {
        assert_eq!(code(Path::new("/")), "STORE-OWNER", "the root directory is root's");
    }
}

#[test]
fn r5_a_name_that_could_lead_elsewhere_is_refused() {
    let (_temp, path) = made();
    let store = EmbeddedStore::open(&path).unwrap();
    let long = "x".repeat(4096);
    for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "A", "é", long.as_str()] {
        let refused = store.push(&release(name, "1.0.0", b"new"), b"new", &signed()).unwrap_err();
        assert_eq!(refused.code(), "STORE-NAME", "{name:?}");
        assert_eq!(store.append(&id(name), &[step(0)]).unwrap_err().code(), "STORE-NAME", "{name:?}");
    }
}

#[test]
fn r5_an_artifact_replaced_by_a_link_a_fifo_or_a_second_name_is_not_read() {
    let (temp, path) = made();
    let store = EmbeddedStore::open(&path).unwrap();
    let digest = digest_of(b"one");
    let artifact = path.join("artifacts").join(digest.to_string());
    let other = temp.path().join("other");
    fs::write(&other, b"one").unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    let read = || store.artifact(digest).unwrap_err().code();

    fs::remove_file(&artifact).unwrap();
    assert_eq!(read(), "STORE-MISSING");
    symlink(&other, &artifact).unwrap();
    assert_eq!(read(), "STORE-FILE");
    fs::remove_file(&artifact).unwrap();
    fs::hard_link(&other, &artifact).unwrap();
    assert_eq!(read(), "STORE-FILE");
    fs::remove_file(&artifact).unwrap();
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&artifact).status().unwrap().success());
    assert_eq!(read(), "STORE-FILE");
    fs::remove_file(&artifact).unwrap();
    fs::create_dir(&artifact).unwrap();
    fs::set_permissions(&artifact, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(read(), "STORE-FILE");
}

#[test]
fn an_artifact_that_is_gone_or_damaged_is_kept_anew_when_it_is_pushed_again() {
    let (_temp, path) = made();
    let store = EmbeddedStore::open(&path).unwrap();
    let digest = digest_of(b"one");
    let artifact = path.join("artifacts").join(digest.to_string());
    let damages: [fn(&Path); 3] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, b"on").unwrap(),
        |file| fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap(),
    ];
    for damage in damages {
        damage(&artifact);
        assert_eq!(store.push(&release("counter", "1.0.0", b"one"), b"one", &signed()).unwrap(), Pushed::Known);
        assert_eq!(store.artifact(digest).unwrap(), b"one");
    }
}

#[test]
fn pushes_at_once_of_one_build_are_one_and_of_two_builds_of_one_version_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&temp.path().join("store")).unwrap();
    for round in 0..20 {
        let builds: [Vec<u8>; 2] = [b'a', b'b'].map(|build| vec![build; 100_000 + round]);
        let version = format!("1.0.{round}");
        let push = &|number: usize| {
            let build = &builds[number % 2];
            store.push(&release("counter", &version, build), build, &signed())
        };
        let pushed: Vec<Result<Pushed, StoreError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || push(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let news = pushed.iter().filter(|pushed| matches!(pushed, Ok(Pushed::New))).count();
        let refused = pushed.iter().filter(|pushed| matches!(pushed, Err(StoreError::Taken { .. }))).count();
        assert_eq!((news, refused), (1, 4), "{pushed:?}");
    }
}

#[test]
fn a_damaged_database_is_refused_or_read_right_never_misread() {
    let (_temp, path) = made();
    EmbeddedStore::open(&path).unwrap().append(&id("up-1"), &[step(0), step(1)]).unwrap();
    let file = path.join("teneral.redb");
    let whole = fs::read(&file).unwrap();
    let mut refused = 0;
    for offset in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bent = whole.clone();
        bent[offset] ^= 0x40;
        fs::write(&file, &bent).unwrap();
        match EmbeddedStore::open(&path).and_then(|store| store.journal(&id("up-1"))) {
            Ok(entries) => assert_eq!(entries, [step(0), step(1)], "offset {offset}"),
            Err(error) => {
                assert_eq!(error.code(), "STORE-CORRUPT", "offset {offset}: {error}");
                refused += 1;
            }
        }
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(code(&path), "STORE-CORRUPT");
    fs::write(&file, b"this is no database").unwrap();
    assert_eq!(code(&path), "STORE-CORRUPT");
    assert!(refused > 0, "no flipped bit hit anything");
}

// ---- a disk that fails

/// Fails one operation, counted from when it is armed.
#[derive(Debug, Default)]
struct OneFault {
    armed: AtomicU64,
    seen: AtomicU64,
    what: std::sync::Mutex<Option<(Option<DiskOp>, DiskFault)>>,
}

impl OneFault {
    fn arm(&self, after: u64, op: Option<DiskOp>, fault: DiskFault) {
        *self.what.lock().unwrap() = Some((op, fault));
        self.seen.store(0, SeqCst);
        self.armed.store(after + 1, SeqCst);
    }

    /// Whether the fault has struck.
    fn disarm(&self) -> bool {
        self.armed.swap(0, SeqCst) == 0
    }
}

impl Faults for OneFault {
    fn next(&self, op: DiskOp) -> Option<DiskFault> {
        let (only, fault) = (*self.what.lock().unwrap())?;
        let armed = self.armed.load(SeqCst);
        if armed == 0 || op == DiskOp::Read || only.is_some_and(|only| only != op) {
            return None;
        }
        let struck = self.seen.fetch_add(1, SeqCst) + 1 == armed;
        struck.then(|| {
            self.armed.store(0, SeqCst);
            fault
        })
    }
}

/// Writes until the fault strikes; returns how many were acknowledged and the error.
fn write_until_struck(store: &dyn Store) -> (u64, Option<StoreError>) {
    for number in 0..2 {
        if let Err(error) = store.append(&id("up-1"), &[step(number)]) {
            return (number, Some(error));
        }
    }
    (2, None)
}

#[test]
fn a_disk_error_anywhere_in_a_commit_is_said_and_the_next_call_finds_what_was_acknowledged() {
    let faults = [DiskFault::Full, DiskFault::Io, DiskFault::Short { bytes: 100 }];
    let mut codes = std::collections::BTreeSet::new();
    for fault in faults {
        for after in 0.. {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("store");
            let one = Arc::new(OneFault::default());
            let store = EmbeddedStore::open_with(&path, one.clone()).unwrap();
            one.arm(after, None, fault);
            let (acknowledged, error) = write_until_struck(&store);
            let struck = one.disarm();
            if let Some(error) = &error {
                codes.insert(error.code());
            }
            assert!(error.is_none() || struck, "{error:?} without a fault");
            let found = store.journal(&id("up-1")).unwrap().len() as u64;
            let unknown = matches!(error, Some(StoreError::Unknown { .. }));
            assert!(
                found == acknowledged || (unknown && found == acknowledged + 1),
                "{fault:?} after {after}: {error:?}"
            );
            store.append(&id("up-1"), &[step(found)]).unwrap();
            drop(store);
            let entries = EmbeddedStore::open(&path).unwrap().journal(&id("up-1")).unwrap();
            assert_eq!(entries, (0..=found).map(step).collect::<Vec<_>>(), "{fault:?} after {after}");
            if !struck {
                break;
            }
        }
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["STORE-FULL", "STORE-IO", "STORE-UNKNOWN"]);
}

// Invariant 13
#[test]
fn a_failed_fsync_leaves_the_outcome_unknown_and_the_same_handle_is_never_used_again() {
    let one = Arc::new(OneFault::default());
    let store = EmbeddedStore::in_memory(one.clone()).unwrap();
    store.append(&id("up-1"), &[step(0)]).unwrap();
    for fault in [DiskFault::Io, DiskFault::Full] {
        one.arm(0, Some(DiskOp::Sync), fault);
        let error = store.set_default("counter", &Version::new(1, 0, 0)).unwrap_err();
        assert_eq!(error.code(), "STORE-UNKNOWN");
        assert!(one.disarm());
        // Opening afresh runs redb's recovery, which syncs: a handle that was kept would not.
        one.arm(0, Some(DiskOp::Sync), DiskFault::Io);
        assert!(store.default_version("counter").is_err());
        assert!(one.disarm(), "no fresh handle was opened");
        assert_eq!(store.journal(&id("up-1")).unwrap(), [step(0)]);
    }
}

#[test]
fn a_disk_that_fills_while_an_artifact_is_written_keeps_nothing_of_it() {
    for fault in [DiskFault::Full, DiskFault::Short { bytes: 2 }, DiskFault::Io] {
        let temp = tempfile::tempdir().unwrap();
        let one = Arc::new(OneFault::default());
        let store = EmbeddedStore::open_with(&temp.path().join("store"), one.clone()).unwrap();
        for op in [DiskOp::Write, DiskOp::Sync] {
            one.arm(0, Some(op), fault);
            let error = store.push(&release("counter", "1.0.0", b"bytes"), b"bytes", &signed()).unwrap_err();
            assert_eq!(error.code(), if fault == DiskFault::Io { "STORE-IO" } else { "STORE-FULL" });
            assert_eq!(store.releases().unwrap(), []);
            assert_eq!(store.artifact(digest_of(b"bytes")).unwrap_err().code(), "STORE-MISSING");
        }
        assert_eq!(store.push(&release("counter", "1.0.0", b"bytes"), b"bytes", &signed()).unwrap(), Pushed::New);
    }
}

#[test]
fn a_process_that_may_write_no_more_bytes_is_told_that_the_disk_is_full_and_loses_nothing() {
    let (_temp, path) = made();
    let mut shell = Command::new("sh");
    // Signal 25 is SIGXFSZ: ignored, so that the write fails instead of killing the program. 512-byte blocks.
    shell.args(["-c", "trap '' 25; ulimit -f 6000; exec \"$0\" \"$@\""]).arg(program());
    let (mut child, lines) = child(shell, &path, "fill");
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    child.wait().unwrap();
    let (last, acknowledged) = lines.split_last().unwrap();
    assert_eq!(last, "STORE-FULL");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.journal(&id("up-1")).unwrap().len(), acknowledged.len());
    store.append(&id("up-1"), &[step(0)]).unwrap();
}

// ---- a process that dies

#[test]
fn a_writer_killed_at_any_moment_leaves_every_acknowledged_entry_and_at_most_one_more() {
    let (_temp, path) = made();
    let mut stored = 0;
    for round in 0..8_u64 {
        let (mut child, mut lines) = child(Command::new(program()), &path, "write");
        let mut last = None;
        for _ in 0..1 + round * 3 {
            last = Some(lines.next().unwrap().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines.map_while(Result::ok).last().or(last).unwrap();
        let acknowledged = last.parse::<usize>().unwrap() + 1;
        let entries = EmbeddedStore::open(&path).unwrap().journal(&id("up-1")).unwrap();
        assert!(acknowledged > stored, "the writer went on where the last one was killed");
        assert!((acknowledged..=acknowledged + 1).contains(&entries.len()), "{acknowledged} {}", entries.len());
        for (number, entry) in entries.iter().enumerate() {
            let Entry::Step(step) = entry else { panic!("{entry:?}") };
            assert_eq!(step.at_unix_us, number as u64);
        }
        stored = entries.len();
    }
}

/// The example beside this test's own program.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/store_child")
}

fn child(
    mut command: Command,
    dir: &Path,
    verb: &str,
) -> (Child, impl Iterator<Item = std::io::Result<String>> + use<>) {
    let mut child =
        command.arg(dir).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("store_child is built");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[test]
fn a_route_is_kept_over_a_restart_with_the_default_that_it_leaves_behind() {
    let (_temp, path) = made();
    let (one, two) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.route("counter").unwrap(), None);
    store.set_default("counter", &one).unwrap();
    store.keep_route("counter", &[1, 0, 255], None).unwrap();
    assert_eq!(store.default_version("counter").unwrap(), Some(one));
    store.keep_route("counter", b"settled", Some(&two)).unwrap();
    assert_eq!(store.keep_route("../counter", b"x", None).unwrap_err().code(), "STORE-NAME");
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.route("counter").unwrap().as_deref(), Some(&b"settled"[..]));
    assert_eq!(store.default_version("counter").unwrap(), Some(two));
    assert_eq!(store.route("cart").unwrap(), None);
}

#[test]
fn a_disk_that_fails_keeps_a_route_and_its_default_or_neither() {
    let (one, two) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
    for fault in [DiskFault::Full, DiskFault::Io, DiskFault::Short { bytes: 3 }] {
        for after in 0.. {
            let faults = Arc::new(OneFault::default());
            let store = EmbeddedStore::in_memory(faults.clone()).unwrap();
            store.keep_route("counter", b"old", Some(&one)).unwrap();
            faults.arm(after, None, fault);
            let kept = store.keep_route("counter", b"new", Some(&two));
            let struck = faults.disarm();
            let found = (store.route("counter").unwrap(), store.default_version("counter").unwrap());
            let (old, new) = ((Some(b"old".to_vec()), Some(one.clone())), (Some(b"new".to_vec()), Some(two.clone())));
            match kept {
                Ok(()) => assert_eq!(found, new, "{fault:?} after {after}"),
                Err(StoreError::Unknown { .. }) => assert!(found == old || found == new, "{fault:?} after {after}"),
                Err(_) => assert_eq!(found, old, "{fault:?} after {after}"),
            }
            if !struck {
                break;
            }
        }
    }
}
