//! Who may bring code: signatures, keys and the high-water mark, with real libraries and real files.

use crate::harness::desk::{Desk, key, production};
use crate::harness::house::{House, Refuses, patient};
use crate::harness::libraries::library;
use crate::harness::probe::{self, seen};
use crate::harness::{Absent, Test, test};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use teneral::trust::{KeyPurpose, Profile, PublicKey, RELEASE_BYTES_MAX, ReleaseFile, SecretKey, Signed, TrustedKey};
use teneral::trusted::{release_path, signature_path};
use teneral::{Admission, Release};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(f03_unsigned_anothers_signature_an_unknown_or_an_expired_key_is_refused),
        test(f04_a_version_below_the_high_water_mark_is_refused_unless_it_is_asked_for),
        test(r2_what_a_trusted_key_signed_is_admitted_and_nothing_else_is),
        test(r2_minisigns_own_tool_signs_for_us_and_checks_ours),
        test(r8_the_high_water_mark_outlives_the_host),
        test(r11_a_release_file_or_a_signature_over_its_bound_is_refused_unread),
        test(a_key_that_is_taken_back_signs_nothing_that_is_loaded_any_more),
        test(a_production_host_does_not_take_what_a_development_key_signed),
    ]
}

fn code(pushed: Result<Release, impl Refuses>) -> String {
    pushed.map_or_else(|error| error.code().to_owned(), |_| "admitted".to_owned())
}

fn push(house: &House, artifact: &Path) -> String {
    code(house.push(artifact))
}

fn f03_unsigned_anothers_signature_an_unknown_or_an_expired_key_is_refused() {
    let house = production();
    let (desk, other) = (Desk::with("probe-v1"), Desk::with("probe-v2"));
    let ((secret, trusted), (stranger, _)) = (key(), key());
    house.system.trust(&trusted).expect("the store writes");
    assert_eq!(push(&house, &desk.artifact), "TRUST-UNSIGNED");
    desk.put(&Signed { signature: String::new(), ..desk.signed_by(&secret) });
    assert_eq!(push(&house, &desk.artifact), "TRUST-UNSIGNED", "a release file alone says nothing");
    // Signed by the right key, and about another artifact.
    desk.put(&other.signed_by(&secret));
    assert_eq!(push(&house, &desk.artifact), "GATE-DIGEST");
    // The right release file, with the signature of another one.
    desk.put(&Signed { signature: other.signed_by(&secret).signature, ..desk.signed_by(&secret) });
    assert_eq!(push(&house, &desk.artifact), "TRUST-SIGNATURE");
    desk.put(&desk.signed_by(&stranger));
    assert_eq!(push(&house, &desk.artifact), "TRUST-KEY");
    let expires = Some("2026-02-01T00:00:00Z".parse().expect("a time"));
    house.system.trust(&TrustedKey { expires, ..trusted.clone() }).expect("the store writes");
    desk.put(&desk.signed_by(&secret));
    assert_eq!(push(&house, &desk.artifact), "TRUST-KEY");
    // A release that says what is not so of the very bytes, and one whose time is over.
    house.system.trust(&trusted).expect("the store writes");
    let sign = |release: &ReleaseFile| secret.sign(release.to_bytes().expect("JSON"), "").expect("signed");
    let mut lies = desk.release();
    lies.schemas.runs.schema += 1;
    desk.put(&sign(&lies));
    assert_eq!(push(&house, &desk.artifact), "TRUST-RELEASE");
    let mut expired = desk.release();
    expired.expires = expires;
    desk.put(&sign(&expired));
    assert_eq!(push(&house, &desk.artifact), "TRUST-EXPIRED");
    assert_eq!(house.system.releases().expect("the store reads"), []);
    desk.put(&desk.signed_by(&secret));
    assert_eq!(push(&house, &desk.artifact), "admitted");
}

fn f04_a_version_below_the_high_water_mark_is_refused_unless_it_is_asked_for() {
    let house = House::with(&["probe-v2"]);
    let error = house.push(library("probe-v1")).expect_err("refused");
    assert_eq!(error.code(), "TRUST-OLDER");
    assert!(crate::harness::house::chain(&error).contains("probe 1.0.0 is below 2.0.0"), "{error:?}");
    // The same again is nothing older, and neither is what is newer.
    assert_eq!(push(&house, library("probe-v2")), "admitted");
    assert_eq!(push(&house, library("probe-v3")), "admitted");
    assert_eq!(push(&house, library("probe-v2")), "admitted", "it is here");
    let older = Admission { older: true, ..Admission::default() };
    assert_eq!(code(house.block_on(house.system.push_as(library("probe-v1"), older))), "admitted");
    // What was admitted is gone down to without a word: the mark is about what comes.
    let actor = probe::start(&house, "probe/a", "3.0.0");
    for to in ["2.0.0", "1.0.0", "2.0.0"] {
        assert_eq!(house.moved("probe/a", to).outcome, teneral::upgrade::Outcome::Committed);
    }
    assert_eq!(seen(&house, &actor).version, 2);
}

fn r2_what_a_trusted_key_signed_is_admitted_and_nothing_else_is() {
    let house = production();
    let desk = Desk::with("probe-v1");
    let (secret, trusted) = key();
    house.system.trust(&trusted).expect("the store writes");
    assert_eq!(house.system.trusted_keys().expect("the store reads"), [trusted]);
    desk.put(&desk.signed_by(&secret));
    let release = house.push(&desk.artifact).expect("admitted");
    assert_eq!((release.kind.as_str(), release.version.to_string().as_str()), ("probe", "1.0.0"));
    let actor = probe::start(&house, "probe/a", "1.0.0");
    assert_eq!(seen(&house, &actor).version, 1);
    // A bit of the release file, wherever it is, and the signature is no longer one of it.
    let signed = desk.signed_by(&secret);
    for at in (0..signed.release.len()).step_by(37) {
        let mut release = signed.release.clone();
        release[at] ^= 1;
        desk.put(&Signed { release, signature: signed.signature.clone() });
        assert_eq!(push(&house, &desk.artifact), "TRUST-SIGNATURE", "byte {at}");
    }
}

fn r2_minisigns_own_tool_signs_for_us_and_checks_ours() -> Result<(), Absent> {
    let tool = |arguments: &[&str], dir: &Path| {
        let mut command = Command::new("minisign");
        command.args(arguments).current_dir(dir).stdin(Stdio::null()).output()
    };
    let (house, desk) = (production(), Desk::with("probe-v1"));
    let dir = desk.dir.path();
    let made = tool(&["-G", "-W", "-p", "ada.pub", "-s", "ada.key"], dir).map_err(|_| Absent("minisign"))?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("it is there");
    let (_, trusted) = key();
    let public = PublicKey::parse(&read("ada.pub")).expect("minisign's own key");
    house.system.trust(&TrustedKey { public, ..trusted }).expect("the store writes");
    // Theirs: signed by minisign, admitted by us.
    let bytes = desk.release().to_bytes().expect("JSON");
    fs::write(dir.join("libprobe.so.release"), &bytes).expect("it is writable");
    let signed = tool(&["-S", "-W", "-s", "ada.key", "-m", "libprobe.so.release"], dir).expect("it was there");
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    assert_eq!(push(&house, &desk.artifact), "admitted");
    // Ours: signed by us, with minisign's key and with our own, checked by minisign.
    let (own, files) = SecretKey::generate(None).expect("a key");
    fs::write(dir.join("own.pub"), &files.public).expect("it is writable");
    for (secret, public) in [(SecretKey::open(&read("ada.key"), None).expect("a key"), "ada.pub"), (own, "own.pub")] {
        desk.put(&desk.signed_by(&secret));
        let checked = tool(&["-V", "-p", public, "-m", "libprobe.so.release"], dir).expect("it was there");
        assert!(checked.status.success(), "{public}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    Ok(())
}

fn r8_the_high_water_mark_outlives_the_host() {
    let dir = TempDir::with_prefix("teneral-test-").expect("a temporary directory");
    let store = dir.path().join("store");
    let house = |packages: &[&str]| House::open(packages, |options| options.dir.clone_from(&store));
    drop(house(&["probe-v3"]));
    let again = house(&[]);
    assert_eq!(push(&again, library("probe-v2")), "TRUST-OLDER");
    drop(again);
    // Its second copy is gone: nothing is admitted, old or new, until somebody says so.
    fs::remove_file(store.join("marks")).expect("it was there");
    let lost = house(&[]);
    assert_eq!(push(&lost, library("probe-v2")), "STORE-MARKS");
    assert_eq!(push(&lost, library("counter-v1")), "STORE-MARKS");
    let actor = probe::start(&lost, "probe/a", "3.0.0");
    assert_eq!(seen(&lost, &actor).version, 3, "what is here serves");
    lost.system.accept_marks().expect("the store writes");
    assert_eq!(push(&lost, library("probe-v2")), "TRUST-OLDER", "what is left of them stands");
    assert_eq!(push(&lost, library("counter-v1")), "admitted");
}

fn r11_a_release_file_or_a_signature_over_its_bound_is_refused_unread() {
    let (house, desk) = (production(), Desk::with("probe-v1"));
    let (secret, trusted) = key();
    house.system.trust(&trusted).expect("the store writes");
    let signed = desk.signed_by(&secret);
    // Sparse: whoever read it would read a terabyte.
    desk.put(&signed);
    let file = fs::File::options().write(true).open(release_path(&desk.artifact)).expect("it is there");
    file.set_len(1 << 40).expect("a sparse file");
    assert_eq!(push(&house, &desk.artifact), "TRUST-RELEASE");
    desk.put(&signed);
    let file = fs::File::options().write(true).open(signature_path(&release_path(&desk.artifact)));
    file.expect("it is there").set_len(1 << 40).expect("a sparse file");
    assert_eq!(push(&house, &desk.artifact), "TRUST-RELEASE");
    desk.put(&signed);
    let release = vec![b' '; RELEASE_BYTES_MAX + 1];
    let admission = Admission { signed: Some(Signed { release, ..signed }), older: false };
    assert_eq!(code(house.block_on(house.system.push_as(&desk.artifact, admission))), "TRUST-RELEASE");
    assert_eq!(push(&house, &desk.artifact), "admitted");
}

fn a_key_that_is_taken_back_signs_nothing_that_is_loaded_any_more() {
    let house = production();
    let (secret, trusted) = key();
    house.system.trust(&trusted).expect("the store writes");
    for package in ["probe-v1", "probe-v2"] {
        let desk = Desk::with(package);
        desk.put(&desk.signed_by(&secret));
        house.push(&desk.artifact).expect("admitted");
    }
    let actor = probe::start(&house, "probe/a", "1.0.0");
    house.system.distrust(trusted.public.id()).expect("the store writes");
    // Neither code that is in the process already, nor code that is not.
    let refused = house.block_on(house.system.start("probe/b", "1.0.0", probe_api::Start::default()));
    assert_eq!(refused.map(drop).expect_err("refused").code(), "GATE-TRUST");
    let report = house.try_upgrade("probe/a", "2.0.0", patient());
    let failed = match &report {
        Ok(report) => report.actors[0].outcome.failure().map(|failure| failure.code.clone()).unwrap_or_default(),
        Err(error) => error.code().to_owned(),
    };
    assert_eq!(failed, "GATE-TRUST", "{report:?}");
    assert_eq!(seen(&house, &actor).version, 1, "who runs, runs on");
    house.system.trust(&trusted).expect("the store writes");
    assert_eq!(house.moved("probe/a", "2.0.0").outcome, teneral::upgrade::Outcome::Committed);
}

fn a_production_host_does_not_take_what_a_development_key_signed() {
    let dir = TempDir::with_prefix("teneral-test-").expect("a temporary directory");
    let store = dir.path().join("store");
    let house = |packages: &[&str], profile| {
        House::open(packages, |options| {
            options.dir.clone_from(&store);
            options.profile = profile;
        })
    };
    let development = house(&["probe-v1"], Profile::Development);
    let [key] = development.system.trusted_keys().expect("the store reads").try_into().expect("one key");
    assert_eq!(key.purpose, KeyPurpose::Development);
    drop(development);
    let production = house(&[], Profile::Production);
    assert_eq!(push(&production, library("probe-v2")), "TRUST-UNSIGNED");
    let refused = production.block_on(production.system.start("probe/b", "1.0.0", probe_api::Start::default()));
    assert_eq!(refused.map(drop).expect_err("refused").code(), "GATE-TRUST");
}
