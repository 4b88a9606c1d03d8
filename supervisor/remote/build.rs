//! Compiles the protocol. With protox, which is Rust: no `protoc` need be installed.
#![forbid(unsafe_code)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/teneral/module/v1/module.proto";
    println!("cargo::rerun-if-changed={proto}");
    let files = protox::compile([proto], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
