//! `teneral kind`: what there is of a kind, and which version new actors get.

use super::down::downs;
use super::probation::on_probation;
use super::unwell::{hung, quarantined};
use super::{Host, OfVersion, or_dash, when};
use crate::failure::Failure;
use crate::table::{columns, harmless, words};
use serde_json::Value;
use std::process::ExitCode;
use teneral::Addr;
use teneral::api::client::part;
use teneral::api::wire::{ImageView, KindDetail, KindView, MessageDetail, Refusal, SetDefault, VersionDetail};
use teneral::contract::spell::spelled;

/// What to do with kinds.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the kinds: their default, their versions, and what runs
    List(List),
    /// Show a kind: each version with its digest, who signed it, when it came, and who runs it; and what it
    /// understands: its start arguments, its state, its messages and their replies, with their fields and types
    Show(ShowOptions),
    /// Name the version that new actors of a kind get
    SetDefault(OfVersion),
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Which kind.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowOptions {
    /// The kind
    kind: String,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(List { host }) => list(&host),
        Command::Show(ShowOptions { kind, host }) => {
            let path = format!("/v1/kinds/{}", part(&kind));
            let detail: KindDetail = host.call(async |client| client.get(&path).await)?;
            host.print(&detail, shown)
        }
        Command::SetDefault(OfVersion { kind, version, why, host }) => {
            let host = host.because(&why);
            let body = SetDefault { kind, version };
            let done: Value = host.call(async |client| client.post("/v1/kinds/set-default", &body).await)?;
            host.print(&done, |_| format!("new actors of {} get {}\n", body.kind, body.version))
        }
    }
}

fn shown(detail: &KindDetail) -> String {
    let head = ["VERSION", "DEFAULT", "SCHEMA", "PUSHED", "SIGNED BY", "RUNNING", "DEFINED", "SHA256"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(detail.versions.iter().map(|version| {
        let signer = match (&version.trusted_as, &version.signer) {
            (Some(name), Some(_)) => name.clone(),
            (None, Some(key)) => format!("{key}, not trusted"),
            _ => "-".to_owned(),
        };
        let default = if detail.default.as_ref() == Some(&version.version) { "yes" } else { "-" };
        vec![
            version.version.to_string(),
            default.to_owned(),
            version.schema.to_string(),
            when(version.pushed),
            signer,
            names(&version.running),
            names(&version.defined),
            version.sha256.to_string(),
        ]
    }));
    let mut text = words(&rows);
    for version in &detail.versions {
        text.push_str(&format!("\n{} {}\n", harmless(&detail.kind), version.version));
        if let Some(Refusal { code, cause, .. }) = &version.refused {
            text.push_str(&format!("  is not loaded any more: [{code}] {}\n", harmless(cause)));
        }
        text.push_str(&held(version));
        if !version.on_probation.is_empty() {
            text.push_str(&format!("  on probation: {}\n", names(&version.on_probation)));
        }
        if let Some(declared) = version.deterministic {
            text.push_str(&format!("  deterministic: {}\n", deterministic(declared, &detail.place)));
        }
        text.push_str(&understood(version));
    }
    text
}

/// Whether a version's work can be done anew, by what its manifest declares and by where it runs.
fn deterministic(declared: bool, place: &str) -> &'static str {
    match (declared, place) {
        (false, _) => "no, so there is no way back by replay",
        (true, "process" | "remote") => {
            "yes, but it runs in a process of its own, where there is no way back by replay"
        }
        (true, _) => "yes",
    }
}

/// Who keeps a version's library in the process.
fn held(VersionDetail { image, running, .. }: &VersionDetail) -> String {
    let Some(ImageView { holders, upgrades, instances_before }) = image else { return "  not loaded\n".to_owned() };
    let actors = running.len();
    let mut by = Vec::new();
    if actors > 0 {
        by.push(format!("{actors} actor{}", if actors == 1 { "" } else { "s" }));
    }
    by.extend(upgrades.iter().map(|id| format!("upgrade {id}")));
    if !instances_before.is_empty() {
        by.push(format!("the instance before of {}, on probation", names(instances_before)));
    }
    match (holders, by.is_empty()) {
        (0, _) => {
            "  loaded, and retired: nobody uses it; its memory comes back with a restart of the host\n".to_owned()
        }
        // A handle that a service keeps of an actor that has stopped, or a thread that hangs in its code.
        (_, true) => {
            "  loaded, held by no actor and no upgrade, but by who keeps a handle or hangs in its code\n".to_owned()
        }
        _ => format!("  loaded, held by {}\n", by.join(", ")),
    }
}

fn names(actors: &[Addr]) -> String {
    match actors {
        [] => "-".to_owned(),
        [one, two, three, more @ ..] if !more.is_empty() => format!("{one},{two},{three} and {} more", more.len()),
        few => few.iter().map(Addr::path).collect::<Vec<_>>().join(","),
    }
}

/// What a version understands, a line each.
fn understood(VersionDetail { args, state, schema, messages, .. }: &VersionDetail) -> String {
    let mut rows = Vec::new();
    let mut row = |what: &str, name: String, shape: String| rows.push(vec![format!("  {what}"), name, shape]);
    if let (Some(args), Some(state)) = (args, state) {
        row("starts from", String::new(), spelled(args));
        row("state", format!("schema {schema}"), spelled(state));
    }
    for MessageDetail { name, body, reply } in messages {
        match reply {
            None => row("tell", name.clone(), spelled(body)),
            Some(reply) => row("ask", name.clone(), format!("{} -> {}", spelled(body), spelled(reply))),
        }
    }
    words(&rows)
}

fn list(host: &Host) -> Result<ExitCode, Failure> {
    let kinds: Vec<KindView> = host.call(async |client| client.get("/v1/kinds").await)?;
    host.print(&kinds, |kinds| {
        let head = ["KIND", "DEFAULT", "VERSIONS", "RUNNING", "DOWN", "HUNG", "QUARANTINE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(kinds.iter().map(|view| {
            let versions: Vec<String> = view.versions.iter().map(ToString::to_string).collect();
            let running: Vec<String> =
                view.running.iter().map(|(version, count)| format!("{count} on {version}")).collect();
            let running = if running.is_empty() { "-".to_owned() } else { running.join(", ") };
            let quarantined: Vec<String> = view.quarantined.iter().map(|one| one.version.to_string()).collect();
            vec![
                view.kind.clone(),
                or_dash(view.default.as_ref()),
                versions.join(", "),
                running,
                view.down.to_string(),
                view.hung.len().to_string(),
                if quarantined.is_empty() { "-".to_owned() } else { quarantined.join(", ") },
            ]
        }));
        let named = kinds.iter().map(|view| {
            let unwell = hung(&view.hung) + &quarantined(&view.quarantined);
            downs(view.down, &view.down_first) + &on_probation(view.on_probation, &view.on_probation_first) + &unwell
        });
        columns(&rows) + &named.collect::<String>()
    })
}
