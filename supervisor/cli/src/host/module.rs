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
use teneral::api::wire::{MemberView, ModuleOutput, ModuleView};
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
    /// With `instances = N` there are N of them, each in a slot, and each address has a member in each: what is pending
    /// there, and how it stands with it.
    List(List),
    /// Show one of them, a line for each thing that is known of it
    ///
    /// Of a kind with several instances all are shown, each member of each address in a row.
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
    /// Of several instances the one in this slot
    #[arg(long, value_name = "SLOT")]
    slot: Option<usize>,
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
        let head =
            ["KIND", "VERSION", "SLOT", "PID", "STARTS", "ACTORS", "PENDING", "HEALTH", "MEMORY", "OUTPUT", "GONE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(modules.iter().map(|module| {
            vec![
                module.kind.clone(),
                module.version.to_string(),
                or_dash(module.slot),
                or_dash(module.pid),
                module.starts.to_string(),
                module.actors.to_string(),
                or_dash(module.slot.map(|_| module.members.iter().map(|of| of.pending).sum::<usize>())),
                health_of(module),
                memory(module),
                module.output.clone(),
                or_dash(module.gone.as_ref()),
            ]
        }));
        words(&rows)
    })
}

/// How it stands with a process: with each of its members, where they differ.
fn health_of(module: &ModuleView) -> String {
    let mut all: Vec<String> = module.members.iter().map(health).collect();
    all.dedup();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn health(of: &MemberView) -> String {
    match (&*of.health, of.percent, of.ejected_ms) {
        ("slow_start", Some(percent), _) => format!("slow start {percent}%"),
        ("ejected", _, Some(left_ms)) => format!("ejected for {}.{} s", left_ms / 1000, left_ms % 1000 / 100),
        ("not_serving", ..) => "not serving".to_owned(),
        ("serving", ..) => "ok".to_owned(),
        (health, ..) => health.to_owned(),
    }
}

async fn all(client: Client) -> Result<Vec<ModuleView>, ApiError> {
    client.get("/v1/modules").await
}

fn memory(module: &ModuleView) -> String {
    or_dash(module.memory_bytes.map(|bytes| format!("{} KiB", grouped(bytes >> 10))))
}

fn show(which: &Which, host: &Host) -> Result<ExitCode, Failure> {
    let modules = meant(which, host.call(all)?)?;
    match &modules[..] {
        [module] => host.print(module, one),
        several => host.print(&several, |several| instances(several)),
    }
}

fn one(module: &ModuleView) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("kind", module.kind.clone()),
        row("version", module.version.to_string()),
        row("place", module.place.clone()),
        row("pid", or_dash(module.pid)),
        row("endpoint", or_dash(module.endpoint.as_ref())),
        row("found by", module.found.clone()),
        row("started", when(module.started)),
        row("starts", module.starts.to_string()),
        row("actors", module.actors.to_string()),
        row("memory", memory(module)),
        row("output", module.output.clone()),
        row("gone", or_dash(module.gone.as_ref())),
    ];
    if let Some(slot) = module.slot {
        rows.insert(3, row("slot", slot.to_string()));
    }
    let members = module.members.iter().map(|of| {
        let says = format!("{} pending, {}", of.pending, health(of));
        row(of.member.path(), says)
    });
    rows.extend(members);
    words(&rows)
}

/// All instances of a version, each member of each address in a row.
fn instances(modules: &[ModuleView]) -> String {
    let head = ["ADDRESS", "MEMBER", "VERSION", "SLOT", "PID", "PENDING", "HEALTH", "ENDPOINT", "FOUND BY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for module in modules {
        let row = |address: String, member: String, pending: String, health: String| {
            vec![
                address,
                member,
                module.version.to_string(),
                or_dash(module.slot),
                or_dash(module.pid),
                pending,
                health,
                or_dash(module.endpoint.as_ref()),
                module.found.clone(),
            ]
        };
        let none = || "-".to_owned();
        let members = module
            .members
            .iter()
            .map(|of| row(of.address.to_string(), of.member.to_string(), of.pending.to_string(), health(of)));
        rows.extend(members);
        if module.members.is_empty() {
            rows.push(row(none(), none(), none(), none()));
        }
    }
    words(&rows)
}

/// The only one that is meant, of those that run.
fn only(which: &Which, modules: Vec<ModuleView>) -> Result<ModuleView, Failure> {
    let mut meant = meant(which, modules)?;
    if meant.len() == 1 {
        return Ok(meant.remove(0));
    }
    let slots: Vec<String> = meant.iter().filter_map(|module| Some(module.slot?.to_string())).collect();
    let what = format!("{} is served in several slots: {}", which.kind, slots.join(", "));
    Err(Failure::of_many("CLI-USAGE", what, Vec::new(), "nothing was done", "name one: --slot 1".to_owned()).usage())
}

/// Those of one version that are meant: one, or one a slot.
fn meant(Which { kind, version, slot }: &Which, modules: Vec<ModuleView>) -> Result<Vec<ModuleView>, Failure> {
    let is_meant = |of: &ModuleView| {
        let is_version = version.as_ref().is_none_or(|version| of.version == *version);
        of.kind == *kind && is_version && slot.is_none_or(|slot| of.slot == Some(slot))
    };
    let meant: Vec<ModuleView> = modules.into_iter().filter(is_meant).collect();
    let Some(first) = meant.first() else {
        let of_version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let in_slot = slot.map(|slot| format!(" in slot {slot}")).unwrap_or_default();
        let what = format!("no process serves {kind}{of_version}{in_slot}");
        let hint = "see what runs: teneral module list; what one wrote that has ended: teneral module logs KIND \
                    --version VERSION";
        return Err(Failure::of_many("MOD-NONE", what, Vec::new(), "nothing was done", hint));
    };
    if meant.iter().all(|module| module.version == first.version) {
        return Ok(meant);
    }
    let mut versions: Vec<String> = meant.iter().map(|module| module.version.to_string()).collect();
    versions.dedup();
    let what = format!("{kind} is served in several versions: {}", versions.join(", "));
    let hint = format!("name one: --version {}", first.version);
    Err(Failure::of_many("CLI-USAGE", what, Vec::new(), "nothing was done", hint).usage())
}

fn logs(asked: &Logs) -> Result<ExitCode, Failure> {
    let Logs { which, follow, tail, host, .. } = asked;
    let (version, slot) = match &which.version {
        // Of one that has ended, too.
        Some(version) => (version.clone(), which.slot),
        None => {
            let module = only(which, host.call(all)?)?;
            (module.version, module.slot)
        }
    };
    let path = format!("/v1/modules/{}/{}/output", part(&which.kind), part(&version.to_string()));
    let (mut reader, mut tail, mut kept) = (Reader::of((path, slot), asked), *tail, String::new());
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
    slot: Option<usize>,
    file: Option<String>,
    previous: bool,
    from: u64,
}

impl Reader {
    fn of((path, slot): (String, Option<usize>), &Logs { previous, from, .. }: &Logs) -> Self {
        Self { path, slot, file: None, previous, from }
    }

    async fn next(&mut self, client: &Client) -> Result<ModuleOutput, ApiError> {
        let Self { path, slot, file, previous, from } = &*self;
        let slot = slot.map(|slot| format!("&slot={slot}")).unwrap_or_default();
        let file = file.as_ref().map(|file| format!("&file={}", part(file))).unwrap_or_default();
        let got: ModuleOutput = client.get(&format!("{path}?previous={previous}&from={from}{file}{slot}")).await?;
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
