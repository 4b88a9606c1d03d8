//! Loading, as whoever pushes, starts and upgrades sees it: what is refused before anybody is paused, and what of a
//! library that comes in is known for sure.
//!
//! The store is damaged behind the host's back, and libraries that no gate would let in are put into it as if an
//! earlier host had: what is checked must be what the disk gives today. Tests that count files or images have a process
//! of their own.

use crate::harness::c::{self, Source};
use crate::harness::child::{self, Child};
use crate::harness::echo::{Count, Nothing};
use crate::harness::house::{GENEROUS, House, Refusal, Refuses, chain, only, until};
use crate::harness::images::{CLOSE_IMAGES, answering, images_by_name};
use crate::harness::{Absent, Test, echo, test};
use std::fs;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;
use teneral::trust::{PublicKey, ReleaseFile, SecretKey};
use teneral::upgrade::report::Now;
use teneral::upgrade::{Outcome, Step};
use teneral::{Manifest, Release, UpgradeOptions, digest_of};
use teneral_store::{EmbeddedStore, Key, Signed, Store};

pub(super) const CHILDREN: &[Child] = &[
    ("budget", the_257th_library_is_one_too_many),
    ("hangs-here", a_constructor_hangs_in_this_process),
    ("names", every_image_has_a_name_of_its_own),
    ("reuse", a_name_that_is_taken_brings_no_old_library),
];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(f01_an_artifact_that_is_missing_empty_or_cut_off_is_refused_before_anybody_is_paused),
        test(f02_an_artifact_with_a_flipped_bit_is_refused_before_anybody_is_paused),
        test(f05_a_library_for_another_machine_or_in_need_of_another_one_is_refused_by_name),
        test(f06_a_library_without_its_entry_or_a_function_or_with_a_second_export_is_refused_by_name),
        test(f07_a_library_of_another_abi_or_one_that_would_abort_is_refused),
        test(f08_an_old_library_handed_back_under_a_reused_name_is_never_taken_for_the_new_one),
        test(r4_a_load_path_is_never_used_twice_in_a_process),
        test(two_systems_of_a_process_share_one_image_of_a_library),
        test(libraries_are_warned_about_at_32_and_refused_at_256_and_what_is_loaded_goes_on),
        test(a_constructor_that_hangs_here_is_given_up_and_turns_go_on),
    ]
}

/// c-echo's answer to `Count`, whatever it counts in this library.
fn count(house: &House, addr: &str) -> u64 {
    house.block_on(house.system.ask(addr, Count {})).expect("answered").echoes
}

// ---- artifacts that are damaged behind the store's back

/// An artifact of the store, which a test may damage.
struct Kept {
    release: Release,
    path: PathBuf,
    whole: Vec<u8>,
}

impl Kept {
    fn push(house: &House, library: &Path) -> Self {
        let release = house.push(library).expect("it is whole");
        let path = house.dir().join("store/artifacts").join(release.sha256.to_string());
        Self { release, whole: c::bytes(&path), path }
    }

    /// Puts these bytes in its place, as the store's owner may; `None` leaves nothing there.
    fn lay(&self, bytes: Option<&[u8]>) {
        let _ = fs::remove_file(&self.path);
        let Some(bytes) = bytes else { return };
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path);
        file.and_then(|mut file| file.write_all(bytes)).expect("the store is ours");
    }

    /// Damaged before anybody looked at it, it is neither started nor moved to.
    #[track_caller]
    fn is_refused_unseen(&self, house: &House, addr: &str, damaged: Option<&[u8]>, code: &str) {
        self.lay(damaged);
        let version = self.release.version.to_string();
        let upgrade = house.try_upgrade(addr, &version, UpgradeOptions::new()).map(drop).expect_err("it is damaged");
        self.tells(&upgrade, damaged, code);
        let start = house.block_on(house.system.start("c-echo/fresh", &version, Nothing {})).map(drop);
        self.tells(&start.expect_err("it is damaged"), damaged, code);
        self.lay(Some(&self.whole));
    }

    /// Damaged after a plan was made for it, it is refused by the step that looks at it, before the pause.
    #[track_caller]
    fn is_refused_as_planned(&self, house: &House, addr: &str, damaged: Option<&[u8]>, code: &str) {
        let version = self.release.version.to_string();
        let plan = house.block_on(house.system.plan(addr, &version, UpgradeOptions::new())).expect("it is whole");
        self.lay(damaged);
        let report = house.block_on(house.system.apply(plan)).expect("what came of each actor is a report");
        self.lay(Some(&self.whole));
        let actor = only(&report);
        let Outcome::Refused(failure) = &actor.outcome else { panic!("{report}") };
        assert_eq!((&*failure.code, actor.step, actor.pause_us), (code, Step::Verify, 0), "{report}");
        assert!(matches!(actor.now, Now::Serving { generation: 0, .. }), "{report}");
        self.names(&failure.cause, damaged);
        assert!(!failure.hint.is_empty(), "{report}");
    }

    fn tells(&self, error: &dyn Refuses, damaged: Option<&[u8]>, code: &str) {
        assert_eq!(error.code(), code, "{}", chain(error));
        assert!(!error.hint().is_empty());
        self.names(&chain(error), damaged.filter(|_| code == "GATE-DIGEST"));
    }

    /// The cause says what was found and what was expected.
    fn names(&self, cause: &str, found: Option<&[u8]>) {
        let expected = found.is_none_or(|_| cause.contains(&self.release.sha256.to_string()));
        let found = found.is_none_or(|bytes| cause.contains(&digest_of(bytes).to_string()));
        assert!(expected && found, "{cause}");
    }
}

/// c-echo 2.0.0, of a digest that nobody else in this process has: an image that is there already is not read again.
fn never_loaded(name: &str) -> Result<NamedTempFile, Absent> {
    Source::c_echo(2).end(&format!("int only_{name}(void) {{ return 1; }}")).build()
}

fn f01_an_artifact_that_is_missing_empty_or_cut_off_is_refused_before_anybody_is_paused() -> Result<(), Absent> {
    let house = House::with(&[]);
    house.push(echo::library(1)?).expect("c-echo passes the gate");
    let kept = Kept::push(&house, never_loaded("f01")?.path());
    house.start("c-echo/a", "1.0.0", Nothing {});
    let cut = |bytes: usize| Some(&kept.whole[..kept.whole.len() - bytes]);
    let short = Some(&kept.whole[..300]);
    // A truncated library may load without an error: only the digest is sure to catch it.
    for damaged in [short, cut(1), cut(8), cut(64), cut(kept.whole.len() / 2)] {
        kept.is_refused_unseen(&house, "c-echo/a", damaged, "GATE-DIGEST");
    }
    kept.is_refused_unseen(&house, "c-echo/a", Some(&[]), "GATE-EMPTY");
    kept.is_refused_unseen(&house, "c-echo/a", None, "STORE-MISSING");
    for damaged in [Some(&[][..]), short, cut(1), cut(8), cut(64), cut(kept.whole.len() / 2)] {
        kept.is_refused_as_planned(&house, "c-echo/a", damaged, "GATE-DIGEST");
    }
    kept.is_refused_as_planned(&house, "c-echo/a", None, "STORE-MISSING");
    assert_eq!(count(&house, "c-echo/a"), 0, "the old version serves");
    // Nothing was wrong but the file.
    let report = house.upgrade("c-echo/a", "2.0.0");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    Ok(())
}

fn f02_an_artifact_with_a_flipped_bit_is_refused_before_anybody_is_paused() -> Result<(), Absent> {
    let house = House::with(&[]);
    house.push(echo::library(1)?).expect("c-echo passes the gate");
    let kept = Kept::push(&house, never_loaded("f02")?.path());
    house.start("c-echo/a", "1.0.0", Nothing {});
    let flipped = |step: usize| {
        let mut bytes = kept.whole.clone();
        bytes[step * (kept.whole.len() - 1) / 63] ^= 1 << (step % 8);
        bytes
    };
    // Every other one before the manifest was ever read, the rest after.
    (0..64).step_by(2).for_each(|n| kept.is_refused_unseen(&house, "c-echo/a", Some(&flipped(n)), "GATE-DIGEST"));
    (0..64).for_each(|n| kept.is_refused_as_planned(&house, "c-echo/a", Some(&flipped(n)), "GATE-DIGEST"));
    assert_eq!(count(&house, "c-echo/a"), 0, "the old version serves");
    Ok(())
}

// ---- libraries that the gate lets nobody load

/// The library is refused when it is pushed; and where it lies in the store all the same, because an earlier host let
/// it in, it is neither started nor moved to.
#[track_caller]
fn is_refused(source: &Source, library: &[u8], code: &str, says: &[&str]) -> Result<(), Absent> {
    let manifest: Manifest = serde_json::from_str(&source.manifest()).expect("a manifest");
    let house = House::open(&[], |options| {
        let store = EmbeddedStore::open(&options.dir).expect("an empty store opens");
        let release = Release::of(&manifest, digest_of(library), library.len() as u64, 0);
        let signed = vouched_for(&store, &manifest, &release);
        store.push(&release, library, &signed).expect("a store takes any bytes");
    });
    house.push_older(echo::library(1)?).expect("c-echo passes the gate");
    let actor = house.start("c-echo/a", "1.0.0", Nothing {});
    let version = manifest.version.to_string();
    let attempts = [
        house.push(c::file(library).path()).map(drop),
        house.try_upgrade("c-echo/a", &version, UpgradeOptions::new()).map(drop),
        house.block_on(house.system.start("c-echo/b", &version, Nothing {})).map(drop).map_err(Refusal::Here),
    ];
    for attempt in attempts {
        let error = attempt.expect_err("no host lets that in");
        let cause = chain(&error);
        assert!(error.code() == code && says.iter().all(|part| cause.contains(part)), "{} {cause}", error.code());
        assert!(!error.hint().is_empty(), "{cause}");
    }
    assert_eq!((count(&house, "c-echo/a"), actor.info().generation.0), (0, 0), "the old version serves");
    Ok(())
}

/// What a key that the store trusts from now on signed of it: nothing but the gate stands in its way.
fn vouched_for(store: &EmbeddedStore, manifest: &Manifest, release: &Release) -> Signed {
    let (secret, files) = SecretKey::generate(None).expect("a key");
    let public = PublicKey::parse(&files.public).expect("a key");
    let key = Key {
        id: public.id().to_string(),
        public: public.to_string(),
        name: "an earlier host".to_owned(),
        development: true,
        added_unix_us: 0,
        by: "tests".to_owned(),
        expires_unix_us: None,
    };
    store.trust(&key).expect("the store writes");
    let file = ReleaseFile::of(manifest, release.sha256, release.bytes).to_bytes().expect("JSON");
    let signed = secret.sign(file, "").expect("signed");
    Signed { release: String::from_utf8(signed.release).expect("JSON"), signature: signed.signature }
}

/// c-echo 1.1.0, of the schema of 1.0.0.
fn next() -> Source {
    Source::c_echo(1).version("1.1.0")
}

fn f05_a_library_for_another_machine_or_in_need_of_another_one_is_refused_by_name() -> Result<(), Absent> {
    let mut foreign = c::bytes(next().build()?.path());
    foreign[18] = 0xf3; // e_machine: RISC-V
    is_refused(&next(), &foreign, "GATE-ARCH", &["machine 243", "62"])?;
    let helper = Source::alone("int helper(void) { return 1; }").flag("-Wl,-soname,libhelper.so.1").build()?;
    let needing = next().flag("-Wl,--no-as-needed").flag(helper.path().to_string_lossy());
    is_refused(&needing, &c::bytes(needing.build()?.path()), "GATE-NEEDED", &["libhelper.so.1", "allow-list"])
}

fn f06_a_library_without_its_entry_or_a_function_or_with_a_second_export_is_refused_by_name() -> Result<(), Absent> {
    let hidden = next().flag("-Dteneral_entry=other_entry");
    is_refused(&hidden, &c::bytes(hidden.build()?.path()), "GATE-EXPORTS", &["no function teneral_entry"])?;
    let second = next().end("__attribute__((visibility(\"default\"))) int also_here(void) { return 1; }");
    is_refused(&second, &c::bytes(second.build()?.path()), "GATE-EXPORTS", &["besides teneral_entry", "also_here"])?;
    // What a class lacks is seen when its table is, which is after the file was let in and before anybody is paused.
    for function in ["create", "restore", "handle", "save", "destroy"] {
        let house = House::with(&[]);
        house.push(echo::library(1)?).expect("c-echo passes the gate");
        house.start("c-echo/a", "1.0.0", Nothing {});
        let lacking = next().edit(&format!(".{function} = {function},"), "").build()?;
        house.push(lacking.path()).expect("the file is as it should be");
        let report = house.upgrade("c-echo/a", "1.1.0");
        let Outcome::Refused(failure) = &only(&report).outcome else { panic!("{report}") };
        assert_eq!((&*failure.code, only(&report).step, only(&report).pause_us), ("LOAD-TABLE", Step::Trial, 0));
        assert!(failure.cause.contains(&format!("no function {function}")), "{report}");
        assert_eq!(count(&house, "c-echo/a"), 0, "the old version serves");
    }
    Ok(())
}

fn f07_a_library_of_another_abi_or_one_that_would_abort_is_refused() -> Result<(), Absent> {
    let refused =
        |source: &Source, code: &str, says: &[&str]| is_refused(source, &c::bytes(source.build()?.path()), code, says);
    refused(&next().says("/abi/1", 9), "GATE-ABI", &["ABI 1.9", "1.0"])?;
    refused(&next().says("/abi/0", 2), "GATE-ABI", &["ABI 2.0", "1.0"])?;
    refused(&next().says("/panic", "abort"), "GATE-PANIC", &["\"abort\"", "\"unwind\""])?;
    refused(&next().says("/panic", "unwind"), "GATE-PANIC", &["_Unwind_RaiseException is not imported"])
}

// ---- which image answers

fn f08_an_old_library_handed_back_under_a_reused_name_is_never_taken_for_the_new_one() -> Result<(), Absent> {
    c::compiler()?;
    child::run("reuse");
    Ok(())
}

fn a_name_that_is_taken_brings_no_old_library() {
    let house = House::with(&[]);
    let build = |source: Source| source.build().expect("the parent has found a compiler");
    house.push(build(answering("close_images()", CLOSE_IMAGES)).path()).expect("it passes the gate");
    house.push(build(answering("4711", "").version("1.0.1")).path()).expect("it passes the gate");
    house.start("c-echo/a", "1.0.0", Nothing {});
    // Everything below is taken, so that the number which is let go is the next one to be used.
    let highest = *images_by_name().last().expect("one image is loaded");
    let open = || fs::File::open("/dev/null").expect("it is there");
    let _taken: Vec<_> = std::iter::repeat_with(open).take_while(|file| file.as_raw_fd() <= highest).collect();
    assert_eq!(count(&house, "c-echo/a"), 1, "one image's file is closed");
    let report = house.upgrade("c-echo/a", "1.0.1");
    let Outcome::Refused(failure) = &only(&report).outcome else {
        panic!("moved to a library that answers {}: {report}", count(&house, "c-echo/a"));
    };
    assert_eq!((&*failure.code, only(&report).step), ("LOAD-NAME", Step::Load), "{report}");
    assert!(failure.cause.contains(&format!("/proc/self/fd/{highest}")), "{report}");
    assert_eq!(count(&house, "c-echo/a"), 0, "the old version serves");
}

fn r4_a_load_path_is_never_used_twice_in_a_process() -> Result<(), Absent> {
    c::compiler()?;
    child::run("names");
    Ok(())
}

/// The number in the name that the dynamic loader knows this library under.
const OWN_NAME: &str = r#"
#include <dlfcn.h>
static uint64_t own_name(void) {
  Dl_info info = {0};
  dladdr((void *)own_name, &info);
  return strtoull(info.dli_fname + strlen("/proc/self/fd/"), NULL, 10);
}"#;

fn every_image_has_a_name_of_its_own() {
    let house = House::with(&[]);
    let naming = |version: &str| answering("own_name()", OWN_NAME).flag("-D_GNU_SOURCE").version(version);
    let push = |source: Source| {
        let library = source.build().expect("the parent has found a compiler");
        house.push(library.path()).expect("it passes the gate")
    };
    let refused = |version: &str| {
        let started = house.block_on(house.system.start("c-echo/refused", version, Nothing {})).map(drop);
        started.expect_err("it does not come up").code().to_owned()
    };
    let mut names = Vec::new();
    let mut starts = |release: &Release| {
        let (addr, version) = (format!("c-echo/{}", release.version.patch), release.version.to_string());
        house.start(&addr, &version, Nothing {});
        let name = count(&house, &addr);
        let loaded = fs::read(format!("/proc/self/fd/{name}")).expect("the file stays open as long as the image");
        assert_eq!(digest_of(&loaded), release.sha256, "the code that answers lies in the file that was hashed");
        assert!(!names.contains(&name), "{name} is used twice: {names:?}");
        names.push(name);
    };
    starts(&push(naming("1.0.0")));
    // Mapped before they are refused, and so never gone again: their names are taken too.
    push(naming("1.0.1").edit(".destroy = destroy,", ""));
    push(naming("1.0.2").edit(".class_count = 1,", ".class_count = 1, .init = no,").edit(
        "static const tn_plugin PLUGIN",
        "static tn_status no(const tn_host *h, tn_writer *e) { (void)h; return fail(e, TN_FAILED, \"not today\"); }\n\
         static const tn_plugin PLUGIN",
    ));
    for _ in 0..2 {
        assert_eq!((refused("1.0.1"), refused("1.0.2")), ("LOAD-TABLE".to_owned(), "LOAD-INIT".to_owned()));
    }
    let mapped = images_by_name().len();
    assert_eq!(mapped, 3, "what was refused is not mapped again to be refused again");
    starts(&push(naming("1.0.3")));
    starts(&push(naming("1.0.4")));
}

fn two_systems_of_a_process_share_one_image_of_a_library() -> Result<(), Absent> {
    // Its variables are there once an image: each answer counts on from the one before, whoever asks.
    let library = answering("++served", "static uint64_t served;").build()?;
    let other = answering("++served + 100", "static uint64_t served;").version("1.0.1").build()?;
    let houses = [House::with(&[]), House::with(&[])];
    for house in &houses {
        house.push(library.path()).expect("it passes the gate");
        house.push(other.path()).expect("it passes the gate");
        house.start("c-echo/a", "1.0.0", Nothing {});
    }
    houses[1].start("c-echo/b", "1.0.0", Nothing {});
    houses[1].start("c-echo/c", "1.0.1", Nothing {});
    let asked = [(0, "c-echo/a"), (1, "c-echo/a"), (1, "c-echo/b"), (1, "c-echo/c"), (0, "c-echo/a")];
    assert_eq!(asked.map(|(house, addr)| count(&houses[house], addr)), [1, 2, 3, 101, 4]);
    Ok(())
}

// ---- how many

fn libraries_are_warned_about_at_32_and_refused_at_256_and_what_is_loaded_goes_on() -> Result<(), Absent> {
    c::compiler()?;
    let log = String::from_utf8_lossy(&child::run("budget").stderr).into_owned();
    let warned = |images: u32| log.contains(&format!("none is ever unloaded images={images} images_max=256"));
    assert_eq!([31, 32, 33, 256].map(warned), [false, true, true, true], "{log}");
    Ok(())
}

/// c-echo 1.0.`number`, without a compiler: the manifest's version and checksum are written over.
fn numbered(base: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = base.to_vec();
    let section = base.windows(4).position(|four| four == b"TNRL").expect("it has a manifest");
    let length = u32::from_le_bytes(base[section + 8..section + 12].try_into().expect("four bytes")) as usize;
    let json = section + 16..section + 16 + length;
    let text = String::from_utf8(base[json.clone()].to_vec())
        .expect("JSON is text")
        .replace("1.0.100", &format!("1.0.{number}"));
    bytes[section + 12..section + 16]
        .copy_from_slice(&teneral::contract::constjson::crc32(text.as_bytes()).to_le_bytes());
    bytes[json].copy_from_slice(text.as_bytes());
    bytes
}

fn the_257th_library_is_one_too_many() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let house = House::with(&[]);
    let base = c::bytes(Source::c_echo(1).version("1.0.100").build().expect("the parent has found a compiler").path());
    let start = |number: usize| {
        house.push(c::file(&numbered(&base, number)).path()).expect("it passes the gate");
        let (addr, version) = (format!("c-echo/{number}"), format!("1.0.{number}"));
        house.block_on(house.system.start(&*addr, &version, Nothing {})).map(drop)
    };
    for number in 100..356 {
        start(number).unwrap_or_else(|error| panic!("library {}: {}", number - 99, chain(&error)));
    }
    let refused = start(356).expect_err("256 are loaded");
    assert_eq!(refused.code(), "LOAD-BUDGET");
    assert!(chain(&refused).contains("256 libraries are loaded, the limit is 256"), "{}", chain(&refused));
    assert!(refused.hint().contains("restart"), "{}", refused.hint());
    (100..356).for_each(|number| assert_eq!(count(&house, &format!("c-echo/{number}")), 0));
    house.start("c-echo/again", "1.0.100", Nothing {});
    let report = house.upgrade("c-echo/again", "1.0.355");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
}

// ---- constructors

fn a_constructor_that_hangs_here_is_given_up_and_turns_go_on() -> Result<(), Absent> {
    c::compiler()?;
    child::run("hangs-here");
    Ok(())
}

/// Hangs in this process and in no other: whatever is tried elsewhere first is none the wiser.
const HANGS_HERE: &str = r#"
#include <unistd.h>
__attribute__((constructor)) static void hang(void) {
  while (getenv("TENERAL_TEST_CHILD")) pause();
}"#;

/// glibc holds one lock while constructors run, and takes the same lock whenever a thread starts, ends, or first meets
/// a thread-local with a destructor, and when the process ends. So turns go on, and so does whoever has asked before; a
/// task that its tokio moves to another thread may already wait for ever.
fn a_constructor_hangs_in_this_process() {
    let seen = std::panic::catch_unwind(turns_go_on_while_a_constructor_hangs);
    // An orderly end would wait for the same lock.
    let end = Command::new(if seen.is_ok() { "true" } else { "false" }).exec();
    panic!("{end}");
}

fn turns_go_on_while_a_constructor_hangs() {
    let house = ManuallyDrop::new(House::with(&["probe-v1"]));
    for source in [Source::c_echo(1).end(HANGS_HERE), Source::c_echo(1).version("1.0.1")] {
        let library = source.build().expect("the parent has found a compiler");
        house.push(library.path()).expect("a push runs nothing");
    }
    let probe = house.start("probe/a", "1.0.0", probe_api::Start::default());
    let goes_on = |when: &str| {
        for _ in 0..100 {
            let asked = house.block_on(probe.ask(probe_api::Read {}, GENEROUS));
            asked.unwrap_or_else(|error| panic!("{when}: {error}"));
        }
    };
    goes_on("before");
    let start = |addr: &'static str, version: &'static str| {
        let system = house.system.clone();
        house.spawn(async move { system.start(addr, version, Nothing {}).await.map(drop) })
    };
    let hanging = start("c-echo/hangs", "1.0.0");
    until("its constructor runs", || threads_called("teneral-load") == 1);
    goes_on("while it hangs");
    until("the start comes back", || hanging.is_finished());
    let hung = house.block_on(hanging).expect("it comes back").expect_err("it never comes up");
    assert!(hung.code() == "LOAD-HUNG" && hung.hint().contains("restart"), "{} {}", hung.code(), chain(&hung));
    // On the thread that has just come back, before it is let go.
    let next = start("c-echo/b", "1.0.1");
    until("the next start comes back", || next.is_finished());
    let next = house.block_on(next).expect("it comes back").expect_err("nothing is loaded any more");
    assert!(next.code() == "LOAD-DEGRADED" && chain(&next).contains("c-echo 1.0.0 hung"), "{}", chain(&next));
    // It is remembered, where the next process looks.
    let again = start("c-echo/c", "1.0.0");
    until("the last start comes back", || again.is_finished());
    let again = house.block_on(again).expect("it comes back").expect_err("it is in quarantine");
    assert!(again.code() == "SYS-QUARANTINED" && chain(&again).contains("while it was loaded"), "{}", chain(&again));
    goes_on("afterwards");
}

/// How many threads of this process bear this name.
fn threads_called(name: &str) -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("there is a /proc").filter_map(Result::ok);
    threads.filter(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|n| n.trim() == name)).count()
}
