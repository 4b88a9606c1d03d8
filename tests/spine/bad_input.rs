//! Input that is wrong, each in its own way: it is refused with a code of its own, says what was found and what was
//! expected, and changes nothing.

use crate::harness::c::{self, Source};
use crate::harness::child::{self, Child};
use crate::harness::echo::Nothing;
use crate::harness::house::{GENEROUS, House, LIVE, Refuses, chain, only, patient, until};
use crate::harness::libraries::library;
use crate::harness::puppet::posing_as;
use crate::harness::{Absent, Test, echo, root, test};
use probe_api::{Act, Do, Note, Read, Relay, Start, Tick, v1};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use teneral::runtime::DeadKind;
use teneral::upgrade::Outcome;
use teneral::{AskError, Request, Shape, System, SystemError, UpgradeOptions, Wire, Wish};

pub(super) const CHILDREN: &[Child] =
    &[("bombs", bombs_cost_no_memory), ("full", fills_its_disk), ("holder", holds_a_store_until_its_input_ends)];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(a_file_that_is_no_whole_library_of_this_machine_is_refused),
        test(a_library_without_one_readable_manifest_is_refused),
        test(a_library_that_wants_what_this_host_does_not_have_is_refused),
        test(a_library_that_would_endanger_the_host_is_refused),
        test(a_library_with_a_hole_where_a_function_should_be_does_not_load),
        test(names_that_nothing_has_bring_the_nearest_ones),
        test(texts_that_are_no_names_are_refused),
        test(start_arguments_of_another_shape_are_refused),
        test(a_message_over_its_limit_is_refused_and_given_back),
        test(a_state_over_its_limit_rolls_the_upgrade_back),
        test(a_plan_that_somebody_overtook_is_stale),
        test(a_version_means_one_library_for_ever),
        test(a_store_that_another_process_holds_is_refused_with_its_pid),
        test(a_store_that_cannot_be_read_right_is_refused_and_left_as_it_was),
        test(a_full_disk_refuses_what_it_cannot_record_and_everybody_serves),
        test(r18_a_message_that_lies_about_its_lengths_costs_a_loaded_actor_nothing_but_the_message),
        test(f29_a_state_that_is_no_state_rolls_back_whatever_lengths_it_claims),
    ]
}

/// The error has this code, says all this, and has a hint; its page says what stands and what to do.
#[track_caller]
fn says(error: &dyn Refuses, code: &str, parts: &[&str]) {
    let cause = chain(error);
    assert_eq!(error.code(), code, "{cause}");
    let missing: Vec<_> = parts.iter().filter(|part| !cause.contains(**part)).collect();
    assert!(missing.is_empty() && !error.hint().is_empty(), "{missing:?} is not in: {cause}\nhint: {}", error.hint());
    let page = std::fs::read_to_string(root().join(format!("docs/errors/{code}.md"))).expect("every code has a page");
    assert!(page.contains("## What stands now") && page.contains("## What to do"), "{code}");
}

// ---- files

/// A push refuses each file, and so does the terminal, in an error of four parts; the store is as it was.
#[track_caller]
fn are_refused(files: &[(&Path, &str, &[&str])]) {
    let house = House::with(&["probe-v1"]);
    for (file, code, parts) in files {
        says(&house.push(file).expect_err("it is no library"), code, parts);
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let output = command.args(["artifact", "verify"]).arg(file).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let four = [
            &format!("error[{code}]: {}", file.display()),
            "\n  cause: ",
            "\n  now:   nothing of it has run",
            "\n  hint:  ",
        ];
        assert!(four.iter().chain(*parts).all(|part| told.contains(part)), "{told}");
        assert!(!output.status.success() && output.stdout.is_empty(), "{told}");
    }
    let kinds: Vec<String> =
        house.system.releases().expect("it reads").into_iter().map(|release| release.kind).collect();
    assert_eq!(kinds, ["probe"]);
}

fn a_file_that_is_no_whole_library_of_this_machine_is_refused() {
    let whole = c::bytes(library("probe-v1"));
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        c::file(&bytes)
    };
    let (text, empty, short) = (c::file(b"#!/bin/sh\n"), c::file(b""), c::file(&whole[..300]));
    let (half, tail) = (c::file(&whole[..whole.len() / 2]), c::file(&whole[..whole.len() - 1]));
    let (narrow, foreign, object) = (with(4, 1), with(18, 0xf3), with(16, 1));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (link, missing) = (dir.path().join("link.so"), dir.path().join("missing.so"));
    std::os::unix::fs::symlink(library("probe-v1"), &link).expect("a link");
    are_refused(&[
        (text.path(), "GATE-ELF", &["no ELF file"]),
        (empty.path(), "GATE-EMPTY", &["the file is empty"]),
        (short.path(), "GATE-ELF", &[]),
        (half.path(), "GATE-ELF", &[]),
        (tail.path(), "GATE-ELF", &[]),
        (narrow.path(), "GATE-ARCH", &["not ELF64 little-endian"]),
        (foreign.path(), "GATE-ARCH", &["machine 243", "this one is 62"]),
        (object.path(), "GATE-TYPE", &["ELF type 1", "3 (ET_DYN)"]),
        (&link, "GATE-FILE", &["symbolic link"]),
        (dir.path(), "GATE-FILE", &["a directory"]),
        (&missing, "GATE-FILE", &["no such file"]),
    ]);
}

fn a_library_without_one_readable_manifest_is_refused() -> Result<(), Absent> {
    let none = Source::alone("int f(void) { return 0; }").build()?;
    let again = "__attribute__((section(\".teneral\"), used)) static const __typeof__(manifest) again = \
                 {TN_MANIFEST_MAGIC, TN_MANIFEST_FORMAT, 0, sizeof MANIFEST - 1, MANIFEST_CRC, MANIFEST};";
    let doubled = Source::c_echo(1).end(again).build()?;
    let long = Source::c_echo(1).says("/compiler", "x".repeat(1 << 20)).build()?;
    let kind = Source::c_echo(1).says("/kind", "No Kind").build()?;
    let schema = Source::c_echo(1).says("/state/schema", 0).build()?;
    let mut bent = c::bytes(Source::c_echo(1).build()?.path());
    let json = bent.windows(9).position(|nine| nine == b"\"format\":").expect("it has a manifest");
    bent[json + 1] = b'F';
    let bent = c::file(&bent);
    are_refused(&[
        (none.path(), "GATE-NO-MANIFEST", &["no section .teneral"]),
        (doubled.path(), "GATE-TWO-MANIFESTS", &["a second manifest"]),
        (long.path(), "GATE-MANIFEST-SIZE", &["over the limit of 1048576"]),
        (kind.path(), "GATE-MANIFEST", &["\"No Kind\" is no kind", "a-z"]),
        (schema.path(), "GATE-MANIFEST", &["schema is 0"]),
        (bent.path(), "GATE-MANIFEST", &["checksum is", "its header claims"]),
    ]);
    Ok(())
}

fn a_library_that_wants_what_this_host_does_not_have_is_refused() -> Result<(), Absent> {
    let echo = || Source::c_echo(1);
    let abi = echo().says("/abi/1", 9).build()?;
    let target = echo().says("/target", "riscv64gc-unknown-linux-gnu").build()?;
    let extension = echo().says("/requires", vec!["teneral.table/1"]).build()?;
    let capability = echo().says("/capabilities", vec!["net"]).build()?;
    let needing = echo().flag("-Wl,--no-as-needed").flag("-lresolv").build()?;
    let searching = echo().flag("-Wl,--enable-new-dtags").flag("-Wl,-rpath,/opt/lib").build()?;
    let mut glibc = c::bytes(echo().build()?.path());
    let version = glibc.windows(11).position(|eleven| eleven == b"GLIBC_2.2.5").expect("it needs the oldest glibc");
    glibc[version + 6] = b'9';
    let glibc = c::file(&glibc);
    are_refused(&[
        (abi.path(), "GATE-ABI", &["ABI 1.9", "this host speaks 1.0"]),
        (target.path(), "GATE-TARGET", &["riscv64gc-unknown-linux-gnu", "this host is"]),
        (extension.path(), "GATE-EXTENSION", &["teneral.table/1"]),
        (capability.path(), "GATE-CAPABILITY", &["capability net", "kind c-echo"]),
        (needing.path(), "GATE-NEEDED", &["libresolv.so.2", "allow-list"]),
        (searching.path(), "GATE-RPATH", &["RUNPATH", "/opt/lib"]),
        (glibc.path(), "GATE-GLIBC", &["GLIBC_9.2.5", "here is GLIBC_"]),
    ]);
    Ok(())
}

fn a_library_that_would_endanger_the_host_is_refused() -> Result<(), Absent> {
    let echo = || Source::c_echo(1);
    let abort = echo().says("/panic", "abort").build()?;
    let pretends = echo().says("/panic", "unwind").build()?;
    let exports = echo().end("__attribute__((visibility(\"default\"))) int malloc_hook;").build()?;
    let stack = echo().flag("-Wl,-z,execstack").build()?;
    let tls = "__thread int spot __attribute__((tls_model(\"initial-exec\"))); int *where(void) { return &spot; }";
    let tls = echo().end(tls).build()?;
    let ifunc = "static int one(void) { return 1; } static int (*pick(void))(void) { return one; } \
                 int picked(void) __attribute__((ifunc(\"pick\"))); int use(void) { return picked(); }";
    let ifunc = echo().end(ifunc).build()?;
    are_refused(&[
        (abort.path(), "GATE-PANIC", &["panic = \"abort\"", "\"unwind\""]),
        (pretends.path(), "GATE-PANIC", &["_Unwind_RaiseException is not imported"]),
        (exports.path(), "GATE-EXPORTS", &["besides teneral_entry", "malloc_hook"]),
        (stack.path(), "GATE-EXEC-STACK", &["PT_GNU_STACK"]),
        (tls.path(), "GATE-STATIC-TLS", &["DF_STATIC_TLS"]),
        (ifunc.path(), "GATE-IFUNC", &["STT_GNU_IFUNC"]),
    ]);
    Ok(())
}

fn a_library_with_a_hole_where_a_function_should_be_does_not_load() -> Result<(), Absent> {
    let hole = Source::c_echo(1).version("1.1.0").end("int nowhere(void); int hole(void) { return nowhere(); }");
    let house = House::with(&[]);
    for library in [Source::c_echo(1).build()?, hole.build()?] {
        house.push(library.path()).expect("what is missing shows only when it is loaded");
    }
    let actor = house.start("c-echo/a", "1.0.0", Nothing {});
    let refused = house.block_on(house.system.start("c-echo/b", "1.1.0", Nothing {})).map(drop);
    says(&refused.expect_err("a hole"), "LOAD-REFUSED", &["undefined symbol: nowhere"]);
    let report = house.upgrade("c-echo/a", "1.1.0");
    let Outcome::Refused(failure) = &only(&report).outcome else { panic!("{report}") };
    assert!(failure.code == "LOAD-REFUSED" && failure.cause.contains("nowhere"), "{report}");
    assert_eq!(only(&report).pause_us, 0, "{report}");
    house.block_on(actor.state(GENEROUS)).expect("the old version serves");
    Ok(())
}

// ---- names

fn names_that_nothing_has_bring_the_nearest_ones() {
    let house = House::with(&["probe-v1", "probe-v2", "counter-v1"]);
    house.start("probe/alpha", "1.0.0", Start::default());
    house.start("counter/a", "1.0.0", counter_api::Start { total: 0 });
    let refused = |error: &dyn Refuses, code: &str, found: &str, nearest: &str| {
        says(error, code, &[found]);
        assert!(error.hint().contains(nearest), "{}", error.hint());
    };
    let start = |addr: &str, version: &str| {
        let started = house.block_on(house.system.start(addr, version, Start::default())).map(drop);
        started.expect_err("there is no such code")
    };
    let upgrade = |target: &str, version: &str| {
        house.try_upgrade(target, version, UpgradeOptions::new()).map(drop).expect_err("there is no such thing")
    };
    refused(&house.system.actor("probe/alpah").expect_err("a typo"), "SYS-ACTOR", "probe/alpah", "probe/alpha");
    let asked = house.block_on(house.system.ask("probe/alha", Read {})).map(drop);
    refused(&asked.expect_err("a typo"), "SYS-ACTOR", "probe/alha", "did you mean probe/alpha?");
    refused(&start("prboe/a", "1.0.0"), "SYS-KIND", "prboe", "did you mean probe?");
    refused(&start("probe/b", "1.0.1"), "SYS-VERSION", "probe 1.0.1", "1.0.0");
    refused(&house.system.set_default("cuonter", "1.0.0").expect_err("a typo"), "SYS-KIND", "cuonter", "counter");
    refused(&upgrade("probe/alphq", "2.0.0"), "UPG-ACTOR", "probe/alphq", "did you mean probe/alpha?");
    refused(&upgrade("probe/alpha", "2.0.1"), "UPG-VERSION", "probe 2.0.1", "2.0.0");
    refused(&upgrade("prob", "2.0.0"), "SYS-NOBODY", "prob", "did you mean probe?");
    let seen = house.block_on(house.system.ask("probe/alpha", Read {})).expect("nobody was touched");
    assert_eq!(seen.version, 1);
}

fn texts_that_are_no_names_are_refused() {
    let house = House::with(&["probe-v1"]);
    for text in ["", "probe", "probe/", "/a", "Probe/a", "probe/\n", &"x".repeat(5000)] {
        says(&house.system.actor(text).expect_err("no address"), "SYS-ADDRESS", &["cannot name an actor"]);
    }
    for text in ["", "1", "1.0", "v1.0.0", "one"] {
        let started = house.block_on(house.system.start("probe/a", text, Start::default())).map(drop);
        says(&started.expect_err("no version"), "SYS-VERSION-TEXT", &[&format!("{text:?} is no version")]);
    }
}

fn start_arguments_of_another_shape_are_refused() {
    let house = House::with(&["probe-v1"]);
    let other = counter_api::Start { total: 1 };
    let started = house.block_on(house.system.start("probe/a", "1.0.0", other)).map(drop);
    let (found, expected) = (counter_api::Start::FINGERPRINT.to_string(), Start::FINGERPRINT.to_string());
    says(&started.expect_err("no arguments of a probe"), "SYS-START", &["probe/a", &found, &expected]);
    house.start("probe/a", "1.0.0", Start::default());
    let twice = house.block_on(house.system.start("probe/a", "1.0.0", Start::default())).map(drop);
    says(&twice.expect_err("the name is taken"), "SYS-START", &["probe/a is already started"]);
}

// ---- limits

fn a_message_over_its_limit_is_refused_and_given_back() {
    let house = House::with(&["probe-v1"]);
    let actor = house.start("probe/a", "1.0.0", Start::default());
    let tick = || Tick { text: "x".repeat(1 << 20) };
    let told = house.block_on(house.system.tell("probe/a", tick())).expect_err("too large");
    says(&told, "SYS-TELL", &["1048584 bytes", "over the limit of 1048576"]);
    let back = house.block_on(actor.tell(tick())).expect_err("too large");
    let teneral::runtime::TellError::TooLarge { message, bytes: 1_048_584, limit_bytes: 1_048_576 } = back else {
        panic!("{back}");
    };
    assert_eq!(message.text.len(), 1 << 20, "the message comes back whole");
    let seen = house.block_on(actor.ask(Read {}, GENEROUS)).expect("it serves");
    assert_eq!(seen.notes, ["1: started Fresh", "1: opened"]);
}

fn a_state_over_its_limit_rolls_the_upgrade_back() {
    let house = House::with(&["probe-v1", "probe-v2"]);
    let actor = house.start("probe/a", "1.0.0", Start::default());
    house.block_on(actor.tell(v1::Note { sender: 1, number: 0 })).expect("accepted");
    house.block_on(actor.tell(Do { act: Act::Grow(200_000) })).expect("accepted");
    // A read of the state does not wait behind messages; this does.
    house.block_on(actor.ask(Read {}, GENEROUS)).expect("it serves");
    let before = house.block_on(actor.state(GENEROUS)).expect("it saves");
    let options = UpgradeOptions { snapshot_bytes_max: 100_000, ..LIVE };
    let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it begins");
    let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
    assert!(failure.code == "UPG-LIMIT" && failure.cause.contains("limit of 100000"), "{report}");
    let text = report.to_string();
    for part in [
        "error[UPG-LIMIT]: probe/a: upgrade 1.0.0 -> 2.0.0 rolled back at snapshot",
        "\n  cause: ",
        "\n  now:   1.0.0 is serving, generation 0",
        "\n  hint:  allow a larger snapshot_bytes_max",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(house.block_on(actor.state(GENEROUS)).expect("it saves"), before);
    let report = house.upgrade_live("probe/a", "2.0.0");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
}

fn a_plan_that_somebody_overtook_is_stale() {
    let house = House::with(&["probe-v1", "probe-v2", "probe-v3"]);
    house.start("probe/a", "1.0.0", Start::default());
    let plan = house.block_on(house.system.plan("probe/a", "2.0.0", UpgradeOptions::new())).expect("a plan");
    assert!(house.upgrade("probe/a", "3.0.0").ok());
    let refused = house.block_on(house.system.apply(plan)).map(drop).expect_err("it is stale");
    says(
        &refused,
        "UPG-STALE",
        &["probe/a runs probe 3.0.0 at generation 1", "starts from probe 1.0.0 at generation 0"],
    );
    let SystemError::Upgrade(error) = &refused else { panic!("{refused}") };
    assert!(error.render().contains("now:   nobody was paused, nothing has changed"), "{}", error.render());
    assert_eq!(house.block_on(house.system.ask("probe/a", Read {})).expect("it serves").version, 3);
}

// ---- stores

fn a_version_means_one_library_for_ever() -> Result<(), Absent> {
    let house = House::with(&[]);
    let first = house.push(Source::c_echo(1).build()?.path()).expect("it passes the gate");
    let other = Source::c_echo(1).end("int more(void) { return 1; }").build()?;
    let digest = teneral::digest_of(&c::bytes(other.path())).to_string();
    let refused = house.push(other.path()).expect_err("the version is taken");
    says(&refused, "STORE-TAKEN", &["c-echo 1.0.0", &first.sha256.to_string(), &digest]);
    assert_eq!(house.system.releases().expect("it reads"), [first]);
    Ok(())
}

/// Where a child finds its store.
const STORE: &str = "TENERAL_TEST_STORE";

fn store_of_this_child() -> PathBuf {
    std::env::var_os(STORE).expect("the parent says where").into()
}

fn holds_a_store_until_its_input_ends() {
    let system = System::open(store_of_this_child()).expect("nobody else has it");
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("the parent says when");
    drop(system);
}

fn a_store_that_another_process_holds_is_refused_with_its_pid() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("store");
    let mut command = child::command("holder");
    let held = command.env(STORE, &store).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut holder = held.expect("this binary runs");
    let lines = BufReader::new(holder.stdout.take().expect("it is piped")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "the child holds the store");
    let refused = System::open(&store).map(drop).expect_err("it is held");
    says(&refused, "STORE-LOCKED", &[&format!("pid {}", holder.id()), &store.display().to_string()]);
    drop(holder.stdin.take());
    assert!(holder.wait().expect("it ends").success());
    System::open(&store).expect("nobody holds it any more");
}

fn a_store_that_cannot_be_read_right_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("store");
    drop(System::open(&store).expect("an empty store opens"));
    let (format, database) = (store.join("format"), store.join("teneral.redb"));
    let refused = |file: &Path, bytes: &[u8], code: &str, parts: &[&str]| {
        let good = c::bytes(file);
        std::fs::write(file, bytes).expect("the store is ours");
        says(&System::open(&store).map(drop).expect_err("it is not readable"), code, parts);
        assert_eq!(c::bytes(file), bytes, "it is left as it was");
        std::fs::write(file, good).expect("the store is ours");
    };
    let mut newer = c::bytes(&format);
    newer[4..6].copy_from_slice(&9_u16.to_le_bytes());
    refused(&format, &newer, "STORE-NEWER", &["format 9", "reads up to 1"]);
    refused(&format, b"garbage", "STORE-CORRUPT", &["damaged"]);
    refused(&database, b"this is no database", "STORE-CORRUPT", &["damaged"]);
    let closed = std::fs::metadata(&store).expect("it is there").permissions();
    std::fs::set_permissions(&store, PermissionsExt::from_mode(0o755)).expect("the store is ours");
    says(&System::open(&store).map(drop).expect_err("others may enter"), "STORE-MODE", &["0755", "0700"]);
    std::fs::set_permissions(&store, closed).expect("the store is ours");
    let nowhere = dir.path().join("no/parent");
    says(&System::open(&nowhere).map(drop).expect_err("no parent"), "STORE-UNOPENED", &["no/parent"]);
    System::open(&store).expect("nothing was wrong but what was made so");
}

/// No file of this process grows over 1.5 MB: what a full disk says, without filling one.
fn fills_its_disk() {
    let dir = store_of_this_child();
    let house = House::open(&[], |options| options.dir = dir);
    for major in [1, 2] {
        house.push(echo::library(major).expect("the parent has found a compiler")).expect("it passes the gate");
    }
    let actor = house.start("c-echo/a", "1.0.0", Nothing {});
    let options = patient();
    let mut refused = None;
    until("the disk is full", || {
        let to = if actor.info().schema == 1 { "2.0.0" } else { "1.0.0" };
        // Each takes its room, so that few are enough.
        let wish = Wish { why: "x".repeat(16 << 10), ..Wish::new("c-echo/a", to, options) };
        let done = house.block_on(house.system.upgrade_of(wish));
        refused = match done {
            // Full in the middle of it: the move stands, and its report says that the journal does not have all of it.
            Ok(report) if !report.ok() => {
                assert!(report.to_string().contains("error[STORE-FULL]"), "{report}");
                None
            }
            done => done.err(),
        };
        refused.is_some()
    });
    let (refused, before) = (refused.expect("it is full"), actor.info());
    says(&refused, "UPG-JOURNAL", &["the journal could not be written", "the disk is full"]);
    assert!(refused.hint().contains("make room"), "{}", refused.hint());
    let state = house.block_on(actor.state(GENEROUS)).expect("it serves");
    assert_eq!((actor.info().generation, state.version), (before.generation, before.version), "nothing has changed");
}

fn a_full_disk_refuses_what_it_cannot_record_and_everybody_serves() -> Result<(), Absent> {
    c::compiler()?;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let inner = child::command("full");
    let mut shell = Command::new("sh");
    // Signal 25 is SIGXFSZ: ignored, so that the write fails instead of killing the program. 512-byte blocks.
    shell.args(["-c", "trap '' 25; ulimit -f 3000; exec \"$0\""]).arg(inner.get_program());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.env(STORE, dir.path().join("store")).output().expect("there is a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // With room again the next call is recorded.
    let house = House::open(&[], |options| options.dir = dir.path().join("store"));
    house.start("c-echo/a", "1.0.0", Nothing {});
    let report = house.upgrade("c-echo/a", "2.0.0");
    assert!(report.ok(), "{report}");
    Ok(())
}

// ---- bytes made to hurt

/// The most memory that this process has had so far, in KiB: in use, and set aside.
fn most_kib() -> [u64; 2] {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    ["VmHWM:", "VmPeak:"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux counts it");
        line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("in KiB")
    })
}

fn r18_a_message_that_lies_about_its_lengths_costs_a_loaded_actor_nothing_but_the_message() {
    child::run("bombs");
}

fn bombs_cost_no_memory() {
    let house = House::with(&["probe-v2"]);
    let actor = house.start("probe/a", "2.0.0", Start::default());
    let note = Note { sender: 1, number: 0, weight: 1 };
    house.block_on(actor.tell(note)).expect("accepted");
    let seen = || house.block_on(actor.ask(Read {}, GENEROUS)).expect("it serves").log.len();
    assert_eq!(seen(), 1);
    let letters = house.system.runtime().dead_letters();
    let before = most_kib();
    let mut sent = 0;
    let reply = <<Read as Request>::Reply as Shape>::FINGERPRINT;
    let ask = |tag, body| house.block_on(actor.ask_raw(tag, body, reply, GENEROUS)).map(drop);
    for claimed in [9, 1 << 20, 1 << 32, 1 << 40, u64::MAX] {
        // A text that is as long as it claims, inside of a tell and of an ask.
        let text = [&u64::to_le_bytes(claimed)[..], b"short"].concat();
        let told = house.block_on(actor.tell_raw(<Do as Wire>::tag(), [&[0; 4][..], &text].concat()));
        told.expect("only the code that reads it can tell");
        let asked = ask(<Relay as Wire>::tag(), text);
        assert!(matches!(asked, Err(AskError::Decode(_))), "{asked:?}");
        sent += 1;
        assert_eq!(letters.count(DeadKind::Decode), sent, "what was told is a dead letter with its reason");
    }
    let asked = ask(<Read as Wire>::tag(), vec![0; 500_000]);
    assert!(matches!(asked, Err(AskError::Decode(_))), "bytes after the end: {asked:?}");
    assert_eq!(seen(), 1, "the actor is as it was");
    let after = most_kib();
    // A thread's arena is set aside in 64 MiB; the least that is claimed above 1 MiB is 4 GiB.
    assert!(after[0] - before[0] < 16 << 10 && after[1] - before[1] < 1 << 20, "{before:?} {after:?} KiB");
}

fn f29_a_state_that_is_no_state_rolls_back_whatever_lengths_it_claims() -> Result<(), Absent> {
    // Says that it is probe 1.0.0, and saves what it is told.
    let puppet = posing_as("probe-v1").build()?;
    let house = House::with(&["probe-v2"]);
    house.push_older(puppet.path()).expect("a manifest is a claim");
    let honest = House::with(&["probe-v1"]);
    let real = honest.start("probe/a", "1.0.0", Start::default());
    let real = honest.block_on(real.state(GENEROUS)).expect("it saves").bytes;
    let actor = house.start("probe/a", "1.0.0", Start::default());
    let bombs = [
        ("nothing", Vec::new()),
        ("garbage", vec![0xc1; 100]),
        ("a map of 4 Gi pairs", vec![0xdf, 0xff, 0xff, 0xff, 0xff, 0xa4]),
        ("a text of 4 GiB", [&[0x81, 0xa4][..], b"body", &[0xdb, 0xff, 0xff, 0xff, 0xff], b"short"].concat()),
        ("nesting without end", vec![0x91; 900_000]),
        ("bytes after the end", [&real[..], &[0; 500]].concat()),
        ("an end too early", real[..real.len() - 1].to_vec()),
    ];
    for (what, bytes) in bombs {
        house.block_on(actor.tell_raw(<v1::Note as Wire>::tag(), bytes.clone())).expect("accepted");
        let report = house.upgrade_live("probe/a", "2.0.0");
        let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{what}: {report}") };
        assert_eq!((&*failure.code, only(&report).step), ("UPG-DECODE", teneral::upgrade::Step::Migrate), "{report}");
        assert_eq!(house.block_on(actor.state(GENEROUS)).expect("it saves").bytes, bytes, "{what}");
        assert_eq!(only(&report).snapshot_bytes, bytes.len(), "{what}");
    }
    // What is a state is one, whoever saved it.
    house.block_on(actor.tell_raw(<v1::Note as Wire>::tag(), real)).expect("accepted");
    assert!(house.upgrade("probe/a", "2.0.0").ok());
    assert_eq!(house.block_on(actor.ask(Read {}, GENEROUS)).expect("it serves").version, 2);
    Ok(())
}
