//! The libraries that the tests load: every actor of the workspace as cargo builds it, and the plain C one.
//!
//! Cargo is asked once a process, so that no test ever runs against a library that is older than its source; in
//! `cargo test --workspace`, which has built them all, it has nothing to do.

use super::{Absent, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// The library of a package, `probe-v1` for instance.
#[track_caller]
pub(crate) fn library(package: &str) -> &'static Path {
    let found = LIBRARIES.get(package);
    found.unwrap_or_else(|| panic!("no library of {package} among {:?}", LIBRARIES.keys()))
}

/// c-echo in that major version, built by nothing but a C compiler; `None` where there is none.
pub(crate) fn c_echo(major: u32) -> Option<&'static Path> {
    C_ECHO.as_deref().map(|dir| match major {
        1 => Box::leak(dir.join("libc_echo_v1.so").into_boxed_path()),
        _ => Box::leak(dir.join("libc_echo_v2.so").into_boxed_path()) as &Path,
    })
}

/// probe 2.0.0 as nightly builds it with these `RUSTFLAGS`, in a target folder of its own.
#[track_caller]
pub(crate) fn nightly(flags: &str) -> Result<&'static Path, Absent> {
    // Nothing is installed for a test: what is not there is not there.
    let asked = Command::new("rustup").args(["run", "nightly", "rustc", "-V"]).env("RUSTUP_AUTO_INSTALL", "0").output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        return Err(Absent("nightly toolchain"));
    }
    // Built and copied once: a test that copied it again would take it from under another that reads it.
    static BUILT: Mutex<BTreeMap<String, &Path>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = built.get(flags) {
        return Ok(kept);
    }
    let kept = nightly_build(flags);
    built.insert(flags.to_owned(), kept);
    Ok(kept)
}

#[track_caller]
fn nightly_build(flags: &str) -> &'static Path {
    let (target, folder) = (format!("{}-unknown-linux-gnu", std::env::consts::ARCH), root().join("target/nightly"));
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "build", "--offline", "--locked", "--quiet", "-p", "probe-v2"]);
    // With a target named, the flags are not for what runs here: procedural macros are built once for all flags.
    command.args(["--example", "probe_v2", "--target", &target, "--target-dir"]).arg(&folder);
    command.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_PROFILE_DEV_DEBUG", "0");
    let built =
        command.current_dir(root()).stdin(Stdio::null()).output().expect("rustup, which has just said a version");
    assert!(built.status.success(), "nightly builds probe-v2: {}", String::from_utf8_lossy(&built.stderr));
    // The next flags' library takes this one's place.
    let kept = folder.join(format!("probe_v2{}.so", flags.replace([' ', '='], "")));
    std::fs::copy(folder.join(target).join("debug/examples/libprobe_v2.so"), &kept).expect("the target folder is ours");
    Box::leak(kept.into_boxed_path())
}

/// What a child is told of them, so that not every child asks cargo.
pub(crate) const KNOWN: &str = "TENERAL_TEST_LIBRARIES";

/// The value of [`KNOWN`].
pub(crate) fn known() -> String {
    serde_json::to_string(&*LIBRARIES).expect("JSON")
}

/// By package.
static LIBRARIES: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    if let Ok(told) = std::env::var(KNOWN) {
        return serde_json::from_str(&told).expect("the parent's own words");
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--workspace", "--examples", "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let built = built.expect("cargo, which runs this test, runs");
    assert!(built.status.success(), "cargo builds the libraries");
    String::from_utf8_lossy(&built.stdout).lines().filter_map(library_of).collect()
});

/// The package and the library that a line of cargo's output tells of.
fn library_of(line: &str) -> Option<(String, PathBuf)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let kinds = line["target"]["crate_types"].as_array()?;
    if line["reason"] != "compiler-artifact" || !kinds.iter().any(|kind| kind == "cdylib") {
        return None;
    }
    let file = line["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|file| file.ends_with(".so"))?;
    // `log_handler_v1` is the example of package log-handler-v1.
    Some((line["target"]["name"].as_str()?.replace('_', "-"), file.into()))
}

/// Where both versions of c-echo lie.
static C_ECHO: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let out = root().join("target").join("c-echo");
    std::fs::create_dir_all(&out).expect("the target folder is ours");
    for major in [1, 2] {
        // As its Makefile does, by nothing but the compiler.
        let mut compile = Command::new("cc");
        compile.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]);
        compile.arg("-I").arg(root().join("framework/abi/include"));
        compile.arg("-o").arg(out.join(format!("libc_echo_v{major}.so")));
        compile.arg(root().join(format!("actors/c-echo/v{major}/c_echo.c")));
        let built = compile.status().ok()?;
        assert!(built.success(), "c-echo builds with a C compiler alone");
    }
    Some(out)
});
