//! Erlang/OTP: the same work by gen_servers, in a node of its own for each round.
//!
//! `benches/peers/erlang/bench_peer.erl` prints the figures; it is compiled once into the target folder.

use crate::{Missing, Taken, process::figures_of};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Runs `bench_peer:main(words)`.
///
/// # Errors
/// [`Missing`] when Erlang is not installed or the program fails.
pub fn run(words: &str) -> Taken {
    static COMPILED: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    let folder = COMPILED.get_or_init(compile).clone()?;
    let mut command = Command::new("erl");
    command.arg("-noshell").arg("-pa").arg(&folder).args(["-run", "bench_peer", "main"]).args(words.split(' '));
    figures_of(command.env("PEER_FOLDER", folder).env("ERL_CRASH_DUMP_BYTES", "0"))
}

/// Compiles the peer, and the server's two versions into folders `v1` and `v2`.
fn compile() -> Result<PathBuf, Missing> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/erlang");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/erlang");
    let erlc = |output: &Path, arguments: &[&str], source: &str| {
        std::fs::create_dir_all(output).map_err(|error| Missing(error.to_string()))?;
        figures_of(Command::new("erlc").arg("-o").arg(output).args(arguments).arg(sources.join(source)))
    };
    erlc(&folder, &[], "bench_peer.erl")?;
    erlc(&folder.join("v1"), &[], "bench_server.erl")?;
    erlc(&folder.join("v2"), &["-DV2"], "bench_server.erl")?;
    Ok(folder)
}
