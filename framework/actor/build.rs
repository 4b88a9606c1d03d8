//! Tells the crate what a manifest says of the build: the target triple and the compiler.
#![forbid(unsafe_code)]

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let target = env::var("TARGET").unwrap_or_default();
    let compiler = env::var("RUSTC").ok().and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    let compiler = compiler.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=TENERAL_TARGET={target}");
    println!("cargo::rustc-env=TENERAL_COMPILER={}", compiler.trim());
}
