//! What the derives refuse, and what they tell the author to write instead.
#![forbid(unsafe_code)]

/// One run for all cases: building the snippets' crate is what takes the time.
#[test]
fn the_derives_say_what_to_write_instead() {
    let lock = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("locked.lock");
    std::fs::write(&lock, "1 = \"0123456789abcdef0123456789abcdef\" # another shape\n")
        .expect("a lock for the snippet");
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/attributes.rs");
    cases.compile_fail("tests/ui/types.rs");
    cases.compile_fail("tests/ui/unordered.rs");
    cases.compile_fail("tests/ui/messages.rs");
    cases.compile_fail("tests/ui/constants.rs");
}
