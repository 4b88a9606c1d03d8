//! Compiles the protocols. With protox, which is Rust: no `protoc` need be installed.
#![forbid(unsafe_code)]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["proto/teneral/module/v1/module.proto", "proto/teneral/host/v1/host.proto"];
    protos.iter().for_each(|proto| println!("cargo::rerun-if-changed={proto}"));
    let files = protox::compile(protos, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
