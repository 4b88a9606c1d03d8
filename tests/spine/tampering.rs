//! Files that somebody plays with while the host reads them: what is hashed is what is loaded, and no name leads out of
//! the store.

use crate::harness::c::{self, Source};
use crate::harness::child::{self, Child};
use crate::harness::echo::Nothing;
use crate::harness::house::{Ending, House, Refuses, chain};
use crate::harness::{Absent, Test, echo, test};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use teneral::contract::Fingerprint;
use teneral::digest_of;
use teneral::loader::{Gate, GateError, Loader, LoaderLimits, Policy, Release, UnsignedRecord};
use teneral::runtime::ports::{Body, Provider};

pub(super) const CHILDREN: &[Child] = &[("swapped", what_was_recorded_is_what_runs)];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(r3_a_file_swapped_while_it_is_read_is_never_taken_for_the_one_that_was_recorded),
        test(r5_a_kind_or_a_path_that_could_lead_out_of_the_store_is_refused_at_the_push),
        test(r5_an_artifact_of_the_store_that_became_a_link_a_fifo_or_a_second_name_is_not_loaded),
    ]
}

/// Copies that are made and hashed while the file is swapped.
const COPIES: usize = 10_000;

/// Processes that load it meanwhile.
const LOADS: usize = 200;

/// Where a child finds the file, and the two that are laid there in turns.
const PLACE: &str = "TENERAL_TEST_SWAPPED";

/// Two libraries of the same length that differ in a word of their code.
fn twins() -> Result<[Vec<u8>; 2], Absent> {
    let saying = |word: &str| {
        let refuses = format!("(void)shape; (void)args; (void)self; return fail(err, TN_FAILED, \"{word}\");");
        let head = "static tn_status create(tn_u128 shape, tn_bytes args, void **self, tn_writer *err) {";
        Source::c_echo(1).edit(head, &format!("{head}\n  {refuses}")).build().map(|built| c::bytes(built.path()))
    };
    let twins = [saying("recorded")?, saying("swapped!")?];
    assert_eq!(twins[0].len(), twins[1].len());
    Ok(twins)
}

/// The record of the first twin.
fn recorded(twin: &[u8]) -> Release {
    Release { kind: "c-echo".into(), version: "1.0.0".parse().expect("a version"), digest: digest_of(twin) }
}

fn gate() -> Gate<UnsignedRecord> {
    Gate { policy: Policy::standard(), trust: UnsignedRecord }
}

/// Lays the twins there in turns, by a rename and by writing over what lies there, until it is told to stop.
fn swap(place: &Path, twins: &[Vec<u8>; 2], over: &AtomicBool) {
    let other = place.with_extension("other");
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let twin = &twins[turn % 2];
        if turn % 3 == 0 {
            fs::write(&other, twin).and_then(|()| fs::rename(&other, place)).expect("the folder is ours");
        } else {
            let file = fs::OpenOptions::new().write(true).open(place).expect("it is there");
            file.write_all_at(twin, 0).expect("it is ours");
        }
    }
}

fn r3_a_file_swapped_while_it_is_read_is_never_taken_for_the_one_that_was_recorded() -> Result<(), Absent> {
    let twins = twins()?;
    let desk = TempDir::with_prefix("teneral-test-").expect("a temporary directory");
    let place = desk.path().join("plugin.so");
    fs::write(&place, &twins[0]).expect("it is writable");
    fs::write(desk.path().join("recorded"), &twins[0]).expect("it is writable");
    let (release, over) = (recorded(&twins[0]), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _closing = Ending(&over);
        scope.spawn(|| swap(&place, &twins, &over));
        let (mut admitted, mut refused) = (0, 0);
        for _ in 0..COPIES {
            match gate().verify(&place, Some(&release)) {
                Ok(verified) => {
                    admitted += 1;
                    assert_eq!(verified.digest(), release.digest);
                    assert!(verified.contents().expect("memory") == twins[0], "what was hashed lies behind the seal");
                }
                Err(error) => refused += u32::from(is_another(&error)),
            }
        }
        println!("{admitted} admitted, {refused} refused");
        assert!(admitted > COPIES / 100 && refused > 100, "the file was not swapped: {admitted}, {refused}");
        for _ in 0..LOADS {
            let output = child::command("swapped").env(PLACE, &place).output().expect("this binary runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    Ok(())
}

fn is_another(error: &GateError) -> bool {
    assert_eq!(error.code(), "GATE-DIGEST", "{error}");
    true
}

/// A child: loads what the gate lets in, and hears from its code which of the two it is.
fn what_was_recorded_is_what_runs() {
    let place = PathBuf::from(std::env::var_os(PLACE).expect("the parent says where"));
    let release = recorded(&c::bytes(&place.with_file_name("recorded")));
    let verified = loop {
        match gate().verify(&place, Some(&release)) {
            Ok(verified) => break verified,
            Err(error) => assert!(is_another(&error)),
        }
    };
    static LOADER: Loader = Loader::new();
    let image = LOADER.load(verified, LoaderLimits::standard()).expect("it loads");
    let refused = image.create(Body { shape: Fingerprint::NONE, bytes: &[] }).map(drop).expect_err("it always refuses");
    assert!(refused.text.contains("recorded"), "the code that runs says: {}", refused.text);
}

fn r5_a_kind_or_a_path_that_could_lead_out_of_the_store_is_refused_at_the_push() -> Result<(), Absent> {
    let house = House::with(&[]);
    for kind in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "A", "é", &"x".repeat(4096)] {
        let library = Source::c_echo(1).says("/kind", kind).build()?;
        let refused = house.push(library.path()).expect_err("that is no name");
        assert_eq!(refused.code(), "GATE-MANIFEST", "{kind:?}: {}", chain(&refused));
    }
    let desk = TempDir::with_prefix("teneral-test-").expect("a temporary directory");
    let link = desk.path().join("link.so");
    symlink(echo::library(1)?, &link).expect("the folder is ours");
    let fifo = desk.path().join("fifo.so");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|made| made.success()));
    for path in [link.as_path(), &fifo, desk.path(), Path::new("/dev/zero")] {
        let refused = house.push(path).expect_err("that is no file of its own");
        assert_eq!(refused.code(), "GATE-FILE", "{}: {}", path.display(), chain(&refused));
    }
    assert!(house.system.releases().expect("the store reads").is_empty());
    Ok(())
}

fn r5_an_artifact_of_the_store_that_became_a_link_a_fifo_or_a_second_name_is_not_loaded() -> Result<(), Absent> {
    let house = House::with(&[]);
    // Of a digest that nobody else in this process has: an image that is there already is not read again.
    let library = Source::c_echo(1).end("int only_r5(void) { return 1; }").build()?;
    let release = house.push(library.path()).expect("it passes the gate");
    let artifact = house.dir().join("store/artifacts").join(release.sha256.to_string());
    let other = house.dir().join("other");
    fs::copy(&artifact, &other).expect("the folder is ours");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let lays: [(&str, &dyn Fn()); 3] = [
        ("a symbolic link", &|| symlink(&other, &artifact).expect("the store is ours")),
        ("a second name", &|| fs::hard_link(&other, &artifact).expect("the store is ours")),
        ("a fifo", &|| {
            let made = Command::new("mkfifo").args(["-m", "600"]).arg(&artifact).status();
            assert!(made.is_ok_and(|made| made.success()));
        }),
    ];
    for (what, lay) in lays {
        fs::remove_file(&artifact).expect("it is there");
        lay();
        let refused = house.block_on(house.system.start("c-echo/a", "1.0.0", Nothing {})).map(drop);
        assert_eq!(refused.expect_err("it is not read").code(), "STORE-FILE", "{what}");
    }
    // Whole again, it starts: nothing else stood in the way.
    fs::remove_file(&artifact).expect("it is there");
    fs::copy(&other, &artifact).expect("the store is ours");
    house.start("c-echo/a", "1.0.0", Nothing {});
    Ok(())
}
