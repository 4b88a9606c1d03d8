//! The terminal of teneral: data to stdout, all else to stderr; with `--json` an error is one JSON object on a line.
//!
//! Exit codes: 0, 1 when something is off, 2 when the command cannot be done as it was typed, 3 when no host serves, or
//! not yet, or not any more, 4 when a host did not answer in time, 130 when it was interrupted.
#![forbid(unsafe_code)]

mod artifact;
mod cargo;
mod cert;
mod config;
mod demo;
mod dev;
mod explain;
mod failure;
mod freeze;
mod help;
mod host;
mod hosting;
mod listen;
mod log;
mod new;
mod output;
mod pack;
mod serve;
mod sign;
mod table;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// An actor system whose actors change their code while they live.
#[derive(Debug, Parser)]
#[command(name = "teneral", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stream a log through actors that are upgraded meanwhile, and account for every message
    Demo(demo::Options),
    /// Make a workspace for an actor kind of one's own: it builds, tests and loads as it is
    New(new::New),
    /// Serve the workspace's actors, and move them to new code at every save
    Dev(dev::Dev),
    /// Build the workspace's libraries, and lock the shapes of their states: a locked shape does not change any more
    Freeze(freeze::Freeze),
    /// Serve a directory: run its actors, and do what the other commands ask
    Serve(serve::Serve),
    /// Host modules: run this machine's artifacts for supervisors on others, over mutual TLS alone
    ///
    /// A supervisor whose configuration says `place = "remote"` for a kind connects here and names an artifact by its
    /// digest. It gets a process of its own, which ends with its connection. Which code runs here is up to whoever puts
    /// files here: a supervisor brings none.
    Host(hosting::Hosting),
    /// Say how a host is; ends with 3 when it does not serve
    Status(host::status::Status),
    /// Say by which values a host goes, and where they came from
    #[command(subcommand)]
    Config(config::show::Command),
    /// Look at libraries without running any of their code, and bring them to a host
    #[command(subcommand)]
    Artifact(artifact::Command),
    /// Start, stop, look at and speak to a host's actors
    #[command(subcommand)]
    Actor(host::actor::Command),
    /// Look at a host's actor kinds, and name their defaults
    #[command(subcommand)]
    Kind(host::kind::Command),
    /// Move a host's actors to another version while they live
    #[command(subcommand)]
    Upgrade(host::upgrade::Command),
    /// Have two versions of a kind side by side: a canary that grows, is promoted, or is aborted
    #[command(subcommand)]
    Route(host::route::Command),
    /// Look at the versions that run in processes of their own
    #[command(subcommand)]
    Module(host::module::Command),
    /// Look at who had a host do what, and what came of it
    #[command(subcommand)]
    Audit(host::audit::Command),
    /// Look at messages that went nowhere
    #[command(subcommand)]
    DeadLetter(host::dead_letter::Command),
    /// Make a host what a file says: shows the difference first, then does it
    Apply(host::apply::Apply),
    /// Make keys that sign releases, and say whose a host accepts
    #[command(subcommand)]
    Key(sign::KeyCommand),
    /// Make certificates for modules on other machines
    #[command(subcommand)]
    Cert(cert::Command),
    /// Write a library's release file, and sign it
    Sign(sign::Sign),
    /// Say whether a library is what one of these keys signed, and whether this machine would load it
    Verify(sign::Verify),
    /// Print the control API of this version as an OpenAPI 3.1 document
    Api,
    /// Explain an error code, or list all of them
    Explain(explain::Options),
    /// Print the completions of a shell, for it to source
    Completions {
        /// The shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    // A module's own words, and those of its actors' code, go where its output goes.
    if teneral::is_module_process() {
        log::usual("info");
    }
    teneral::trial_hook();
    let matches = help::explained(Arguments::command()).try_get_matches_from(typed());
    let command = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(Arguments { command }) => command,
        // What was asked to be printed, as `--help`, is none.
        Err(error) if failure::wants_json() && error.exit_code() != 0 => return Failure::mistyped(&error).report(),
        Err(error) => error.exit(),
    };
    match command {
        // What its bad versions say in their panics stands in the report; in between it would tear the view.
        Command::Demo(_) => log::usual("error,teneral_loader::host=off"),
        // As its configuration says, which is read first.
        Command::Dev(_) | Command::Serve(_) => {}
        Command::Host(_) => log::usual("info"),
        _ => log::usual("error"),
    }
    let done = match command {
        Command::Demo(options) => demo::run(&options),
        Command::New(options) => new::run(&options),
        Command::Dev(options) => dev::run(&options),
        Command::Freeze(options) => freeze::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Host(options) => hosting::run(&options),
        Command::Status(options) => host::status::run(&options),
        Command::Config(command) => config::show::run(&command),
        Command::Artifact(command) => artifact::run(&command),
        Command::Actor(command) => host::actor::run(command),
        Command::Kind(command) => host::kind::run(command),
        Command::Route(command) => host::route::run(command),
        Command::Module(command) => host::module::run(&command),
        Command::Audit(command) => host::audit::run(&command),
        Command::DeadLetter(command) => host::dead_letter::run(&command),
        Command::Apply(options) => host::apply::run(&options),
        Command::Upgrade(command) => host::upgrade::run(command),
        Command::Key(command) => sign::key(&command),
        Command::Cert(command) => cert::run(&command),
        Command::Sign(options) => sign::sign(&options),
        Command::Verify(options) => sign::verify(&options),
        Command::Api => output::print_json(&teneral::served::document()).map(|()| ExitCode::SUCCESS),
        Command::Explain(options) => explain::run(&options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "teneral", &mut script);
            output::print(String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// The arguments, without the `--` of `cargo demo -- --rate 0`: the alias has passed its own before.
fn typed() -> impl Iterator<Item = OsString> {
    let of_alias = |(place, argument): &(usize, OsString)| *place == 2 && argument == "--";
    let is_demo = std::env::args_os().nth(1).is_some_and(|command| command == "demo");
    let arguments = std::env::args_os().enumerate().filter(move |found| !(is_demo && of_alias(found)));
    arguments.map(|(_, argument)| argument)
}
