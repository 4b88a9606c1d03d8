//! `teneral module`: the processes that serve modules.

use super::{Host, or_dash, when};
use crate::failure::Failure;
use crate::output::{json_lines, print_on};
use crate::table::{grouped, harmless, words};
use semver::Version;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;
use teneral::api::client::part;
use teneral::api::wire::{ModuleOutput, ModuleView};
use teneral::api::{ApiError, Client};

/// How often what is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What to do with modules.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the versions that run in processes of their own: which process, how often one was started, and why the
    /// latest is gone
    ///
    /// A kind runs so when the host's configuration says `[kinds.KIND] place = "process"`. One process serves all of
    /// the kind's actors of one version; one that dies is started again, and its actors begin anew as after a panic.
    List(List),
    /// Show one of them, a line for each thing that is known of it
    Show(Show),
    /// Print what its process wrote to its output, and go on with what comes with --follow
    ///
    /// Each process writes to a file of its own; that of the one before is kept: --previous. What is followed goes on
    /// with the next process when one is started, without a gap.
    Logs(Logs),
}

/// How they are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    host: Host,
}

/// Of which version.
#[derive(Debug, clap::Args)]
struct Which {
    /// The kind
    kind: String,
    /// Its version; needed where several run
    #[arg(long)]
    version: Option<Version>,
}

/// Whose output, and which part of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    which: Which,
    /// Go on with what is written from now on, until ^C
    #[arg(long, short, conflicts_with = "previous")]
    follow: bool,
    /// Of the process before the latest
    #[arg(long)]
    previous: bool,
    /// The last lines alone, so many
    #[arg(long, value_name = "LINES", conflicts_with_all = ["from", "json"])]
    tail: Option<usize>,
    /// From this byte on, as --json said where the next part begins
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(List { host }) => list(host),
        Command::Show(Show { which, host }) => show(which, host),
        Command::Logs(asked) => logs(asked),
    }
}

fn list(host: &Host) -> Result<ExitCode, Failure> {
    let modules: Vec<ModuleView> = host.call(all)?;
    host.print(&modules, |modules| {
        let head = ["KIND", "VERSION", "PLACE", "PID", "STARTS", "ACTORS", "MEMORY", "OUTPUT", "GONE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(modules.iter().map(|module| {
            vec![
                module.kind.clone(),
                module.version.to_string(),
                module.place.clone(),
                or_dash(module.pid),
                module.starts.to_string(),
                module.actors.to_string(),
                memory(module),
                module.output.clone(),
                or_dash(module.gone.as_ref()),
            ]
        }));
        words(&rows)
    })
}

async fn all(client: Client) -> Result<Vec<ModuleView>, ApiError> {
    client.get("/v1/modules").await
}

fn memory(module: &ModuleView) -> String {
    or_dash(module.memory_bytes.map(|bytes| format!("{} KiB", grouped(bytes >> 10))))
}

fn show(which: &Which, host: &Host) -> Result<ExitCode, Failure> {
    let module = only(which, host.call(all)?)?;
    host.print(&module, |module| {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        words(&[
            row("kind", module.kind.clone()),
            row("version", module.version.to_string()),
            row("place", module.place.clone()),
            row("pid", or_dash(module.pid)),
            row("started", when(module.started)),
            row("starts", module.starts.to_string()),
            row("actors", module.actors.to_string()),
            row("memory", memory(module)),
            row("output", module.output.clone()),
            row("gone", or_dash(module.gone.as_ref())),
        ])
    })
}

/// The one that is meant, of those that run.
fn only(Which { kind, version }: &Which, modules: Vec<ModuleView>) -> Result<ModuleView, Failure> {
    let is_meant = |of: &ModuleView| of.kind == *kind && version.as_ref().is_none_or(|version| of.version == *version);
    let mut meant: Vec<ModuleView> = modules.into_iter().filter(is_meant).collect();
    match &meant[..] {
        [_] => Ok(meant.remove(0)),
        [] => {
            let what = version.as_ref().map_or_else(|| kind.clone(), |version| format!("{kind} {version}"));
            let hint = "see what runs: teneral module list; what one wrote that has ended: teneral module logs KIND \
                        --version VERSION";
            Err(Failure::of_many("MOD-NONE", format!("no process serves {what}"), Vec::new(), "nothing was done", hint))
        }
        [first, ..] => {
            let versions: Vec<String> = meant.iter().map(|module| module.version.to_string()).collect();
            let what = format!("{kind} is served in several versions: {}", versions.join(", "));
            let hint = format!("name one: --version {}", first.version);
            Err(Failure::of_many("CLI-USAGE", what, Vec::new(), "nothing was done", hint).usage())
        }
    }
}

fn logs(asked: &Logs) -> Result<ExitCode, Failure> {
    let Logs { which, follow, tail, host, .. } = asked;
    let version = match &which.version {
        Some(version) => version.clone(),
        None => only(which, host.call(all)?)?.version,
    };
    let path = format!("/v1/modules/{}/{}/output", part(&which.kind), part(&version.to_string()));
    let (mut reader, mut tail, mut kept) = (Reader::of(path, asked), *tail, String::new());
    host.goes_on(async |client| {
        loop {
            let got = reader.next(&client).await?;
            let is_over = got.text.is_empty() || got.ended;
            let shown = match tail {
                Some(lines) => {
                    kept.push_str(&got.text);
                    kept = last(&kept, lines).to_owned();
                    // All that there was: what comes after it is shown as it comes.
                    if is_over {
                        tail = None;
                        text(&std::mem::take(&mut kept))?
                    } else {
                        ControlFlow::Continue(())
                    }
                }
                None if got.text.is_empty() => ControlFlow::Continue(()),
                None if host.json => print_on(json_lines(&[&got])?)?,
                None => text(&got.text)?,
            };
            match (shown, is_over, follow) {
                (ControlFlow::Break(left), ..) => return Ok(left),
                (_, true, false) => return Ok(ExitCode::SUCCESS),
                (_, true, true) if !got.ended => tokio::time::sleep(LOOK).await,
                _ => {}
            }
        }
    })
}

/// Asks for one part after the other.
struct Reader {
    path: String,
    file: Option<String>,
    previous: bool,
    from: u64,
}

impl Reader {
    fn of(path: String, &Logs { previous, from, .. }: &Logs) -> Self {
        Self { path, file: None, previous, from }
    }

    async fn next(&mut self, client: &Client) -> Result<ModuleOutput, ApiError> {
        let Self { path, file, previous, from } = &*self;
        let file = file.as_ref().map(|file| format!("&file={}", part(file))).unwrap_or_default();
        let got: ModuleOutput = client.get(&format!("{path}?previous={previous}&from={from}{file}")).await?;
        if got.lost {
            eprintln!("some of what was written before this is not kept any more");
        }
        // Where one process ended, the next one's begins.
        (self.file, self.from) = if got.ended { (None, 0) } else { (Some(got.file.clone()), got.next) };
        self.previous &= !got.ended;
        Ok(got)
    }
}

/// Prints what a process wrote: to a terminal without the power to do more than write.
fn text(text: &str) -> Result<ControlFlow<ExitCode>, Failure> {
    if !std::io::stdout().is_terminal() {
        return print_on(text);
    }
    let lines: Vec<String> =
        text.split('\n').map(|line| line.split('\t').map(harmless).collect::<Vec<_>>().join("\t")).collect();
    print_on(lines.join("\n"))
}

/// The last lines of a text, so many; the last of them may have no end yet.
fn last(text: &str, lines: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    match lines.checked_sub(1) {
        None => "",
        Some(before) => match body.rmatch_indices('\n').nth(before) {
            Some((at, _)) => &text[at + 1..],
            None => text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_so_many() {
        for (text, lines, are) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("a\nb\n", 0, ""),
            ("\n\n\n", 2, "\n\n"),
            ("", 3, ""),
        ] {
            assert_eq!(last(text, lines), are, "{text:?} {lines}");
        }
    }
}
