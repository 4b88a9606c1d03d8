//! `teneral upgrade status`: an upgrade step by step, and the probation of its actors after it.

use super::super::probation::{block, moment, span};
use super::super::watch::{Next, line, stopped};
use super::super::{Host, or_dash};
use crate::failure::Failure;
use crate::output::{json_lines, print, print_on};
use crate::table::{columns, harmless};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use teneral::api::client::part;
use teneral::api::event::{Happened, own_reason};
use teneral::api::wire::{ProbationEnd, ProbationView, UpgradeSummary, UpgradeView};
use teneral::api::{ApiError, Client, Told, Watch};
use teneral::store::{ActorEnd, BackDone, Entry, Move, StepResult, UpgradeId};
use teneral::upgrade::{Failure as Refused, Phase};
use teneral::{Addr, OnProbation, WayBack};

/// So many actors on probation are shown in full, those that need somebody first.
const SHOWN_MAX: usize = 10;

/// So many actors are named where the same is said of all.
const NAMED_MAX: usize = 5;

/// How long until an upgrade is looked at that nothing was said of.
const WHILE: Duration = Duration::from_secs(5);

/// How long to wait for more of what is said at once, and how much of it.
const TOGETHER: Duration = Duration::from_millis(50);
const TOGETHER_MAX: usize = 256;

/// Which upgrade.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The upgrade's id
    id: Option<String>,
    /// Go on with a line for each step: of that upgrade until its end, and until nobody is on probation for it;
    /// without an id of all that come, until ^C. Ends with 1 when somebody is not where it was to be, or was taken
    /// back
    #[arg(long, short = 'w')]
    watch: bool,
    #[command(flatten)]
    host: Host,
}

/// Shows it.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(super) fn status(options: &Status) -> Result<ExitCode, Failure> {
    let Status { id, watch, host } = options;
    if *watch {
        return host.watch("/v1/events", async |client, watch| status_on(options, &client, watch).await);
    }
    let (view, others) = host.call(async |client| {
        let view = found(id.as_deref(), &client).await?;
        let others: Vec<OnProbation> = match id {
            Some(_) => Vec::new(),
            None => client.get("/v1/probations").await?,
        };
        Ok((view, others))
    })?;
    host.print(&view, |view| shown(view.as_ref()) + &elsewhere(view.as_ref(), &others))
}

/// Who is on probation for other upgrades than the one that is shown.
fn elsewhere(view: Option<&UpgradeView>, all: &[OnProbation]) -> String {
    let mut upgrades: BTreeMap<&UpgradeId, usize> = BTreeMap::new();
    for on in all.iter().filter(|on| view.is_none_or(|view| view.id != on.upgrade)) {
        *upgrades.entry(&on.upgrade).or_default() += 1;
    }
    let line = |(id, count)| format!("{count} on probation for {id}: teneral upgrade status {id}\n");
    upgrades.into_iter().map(line).collect()
}

async fn found(id: Option<&str>, client: &Client) -> Result<Option<UpgradeView>, ApiError> {
    match id {
        Some(id) => seen(id, client).await.map(Some),
        None => match client.get::<Vec<UpgradeSummary>>("/v1/upgrades?limit=1").await?.pop() {
            Some(latest) => seen(&latest.id.to_string(), client).await.map(Some),
            None => Ok(None),
        },
    }
}

/// An upgrade as it is now.
pub(super) async fn seen(id: &str, client: &Client) -> Result<UpgradeView, ApiError> {
    client.get(&format!("/v1/upgrades/{}", part(id))).await
}

fn shown(view: Option<&UpgradeView>) -> String {
    view.map_or_else(|| "no upgrade so far\n".to_owned(), steps)
}

/// How it stands, and then a line for each step: of that upgrade until its end, or of all that come.
async fn status_on(options: &Status, client: &Client, mut watch: Watch) -> Result<ExitCode, Failure> {
    let Status { id, host, .. } = options;
    let view = found(id.as_deref(), client).await?;
    let first = if host.json { json_lines(view.as_slice())? } else { shown(view.as_ref()) };
    if let Next::Break(end) = print_on(first)? {
        return Ok(end);
    }
    if let (Some(_), Some(end)) = (id, view.as_ref().and_then(over)) {
        return Ok(end);
    }
    while let Some(told) = watch.next().await? {
        let ours = match &told {
            Told::Event(event, _) => {
                event.what.upgrade().is_some_and(|upgrade| id.as_ref().is_none_or(|id| upgrade.0 == *id))
            }
            Told::Gap(_) => true,
        };
        if !ours {
            continue;
        }
        if let Next::Break(end) = print_on(line(&told, host))? {
            return Ok(end);
        }
        let (Some(id), true) = (id, may_be_over(&told)) else { continue };
        let view = seen(id, client).await?;
        let Some(end) = over(&view) else { continue };
        if !host.json {
            print(after(&view))?;
        }
        return Ok(end);
    }
    Err(stopped())
}

/// Waits until something is said that may be an upgrade's last word, with what is said at once; a while at most: not
/// all that may end a wait is said. Whoever asks a host that says no more hears why.
pub(super) async fn last_word(watch: &mut Watch) {
    let word = async {
        loop {
            match watch.next().await {
                Ok(Some(told)) if !may_be_over(&told) => {}
                Ok(word) => break word,
                Err(_) => break None,
            }
        }
    };
    match tokio::time::timeout(WHILE, word).await {
        Ok(Some(_)) => {
            for _ in 0..TOGETHER_MAX {
                if tokio::time::timeout(TOGETHER, watch.next()).await.is_err() {
                    break;
                }
            }
        }
        Ok(None) => tokio::time::sleep(TOGETHER).await,
        Err(_) => {}
    }
}

/// Whether it may be an upgrade's last word; that may also be what was missed.
const fn may_be_over(told: &Told) -> bool {
    match told {
        Told::Event(event, _) => matches!(event.what, Happened::UpgradeEnded { .. } | Happened::Probation { .. }),
        Told::Gap(_) => true,
    }
}

fn is_well(outcome: &str) -> bool {
    outcome == "committed" || outcome == "unchanged"
}

fn ends(view: &UpgradeView) -> impl Iterator<Item = &ActorEnd> {
    Entry::end_of(&view.journal).into_iter().flat_map(|end| &end.actors)
}

/// Whether it has ended, and well for every actor.
pub(super) fn went_well(view: &UpgradeView) -> bool {
    let ended = view.journal.iter().any(|entry| matches!(entry, Entry::End(_)));
    ended && ends(view).all(|actor| is_well(&actor.outcome))
}

/// How a command ends that waited for it: once it has ended, and nobody is on probation for it who may still pass. Who
/// fails and is not taken back by itself is waiting for somebody.
pub(super) fn over(view: &UpgradeView) -> Option<ExitCode> {
    if view.status == "running" {
        return None;
    }
    let mut well = went_well(view);
    if let Some(ProbationView { on, over, not_default, .. }) = &view.probation {
        let stuck = |on: &&OnProbation| match on.phase {
            Phase::Sick { .. } | Phase::Held { .. } => true,
            // Nothing but a quarantine keeps it from passing, which may last.
            Phase::Watching => on.quarantined.is_some() && on.left_us == 0 && on.messages_left == 0,
            Phase::RollingBack { .. } => false,
        };
        let stuck = on.iter().filter(stuck).count();
        let committed = ends(view).filter(|actor| actor.outcome == "committed").count();
        if over.len() + stuck < committed {
            return None;
        }
        well &= stuck == 0 && not_default.is_none() && over.iter().all(|end| end.how == "finalised");
    }
    Some(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn steps(view: &UpgradeView) -> String {
    let mut text = format!("upgrade {}: {}{}\n", view.id, view.status, so_far(view));
    let mut rows = Vec::new();
    for entry in &view.journal {
        match entry {
            Entry::Begin(begin) => {
                let why = if begin.why.is_empty() { String::new() } else { format!(", {}", begin.why) };
                text.push_str(&format!("asked for by {}{}\n", begin.who, harmless(&why)));
                text.extend(begin.rolls_back.iter().map(|of| format!("takes back {of}\n")));
                for moved in &begin.moves {
                    text.push_str(&format!("{}: {} -> {}\n", moved.addr, moved.from, moved.to));
                }
            }
            Entry::Step(step) => {
                let result = match &step.result {
                    StepResult::Done => "done".to_owned(),
                    StepResult::Undone => "undone".to_owned(),
                    StepResult::Failed { code, cause } => format!("failed [{code}] {cause}"),
                };
                let took = took(step.took_us);
                rows.push(vec![step.step.clone(), or_dash(step.actor.as_ref()), took, result]);
            }
            Entry::End(end) => {
                for actor in &end.actors {
                    let code = actor.code.as_ref().map_or_else(String::new, |code| format!(" [{code}]"));
                    rows.push(vec![actor.outcome.clone(), format!("{}{code}", actor.addr)]);
                }
            }
            Entry::Probation(_) => {}
        }
    }
    let did = ends(view).flat_map(|end| back(end).into_iter().chain(lost(end)));
    text + &columns(&rows) + &did.collect::<String>() + &unkept(view).unwrap_or_default() + &after(view)
}

/// A time, in a unit in which it can be read.
fn took(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// That a host which ended now would bring its actors back on other versions than they run.
fn unkept(UpgradeView { unkept, .. }: &UpgradeView) -> Option<String> {
    let Refused { code, cause, .. } = unkept.as_ref()?;
    let what = "the versions that its actors run are not kept yet, and that is tried again";
    Some(format!("{what}: [{code}] {}\n", harmless(cause)))
}

/// What a way back did, where it was one and did something.
fn back(ActorEnd { addr, back, outcome, .. }: &ActorEnd) -> Option<String> {
    let BackDone { way, messages, skipped, failed, matched, unsaid, held, dropped, replay_us } = back.as_ref()?;
    if outcome != "committed" {
        return None;
    }
    let parts = |parts: &[(usize, &str)]| {
        let some: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        some.join(", ")
    };
    let messages = format!("{messages} message{}", if *messages == 1 { "" } else { "s" });
    Some(match way.as_str() {
        "replay" => {
            let but = parts(&[(*skipped, "skipped"), (*failed, "failed")]);
            let but = if but.is_empty() { but } else { format!(" ({but})") };
            let sent = [
                (*matched, "had been sent"),
                (*held, "are held"),
                (*dropped, "that were held are dropped to make room"),
                (*unsaid, "were sent in vain"),
            ];
            let sent = parts(&sent);
            let sent = if sent.is_empty() { sent } else { format!("; of its effects {sent}") };
            format!("{addr}: back by replay: {messages} handled anew in {replay_us} us{but}{sent}\n")
        }
        "restore" => format!("{addr}: back by restore: what {messages} did since the commit is given up\n"),
        _ => format!("{addr}: back by {way}\n"),
    })
}

/// What became of messages that the version it moved to has no way for, where there were some.
fn lost(ActorEnd { addr, now, dead_letters, .. }: &ActorEnd) -> Option<String> {
    let (what, became) = match dead_letters {
        0 => return None,
        1 => ("message", "is a dead letter"),
        _ => ("messages", "are dead letters"),
    };
    Some(format!("{addr}: {dead_letters} {what} had no way to {now} and {became}: teneral dead-letter list\n"))
}

/// What is to be said behind the status, in a word or two.
fn so_far(view: &UpgradeView) -> String {
    let Some(ProbationView { on, over, .. }) = &view.probation else { return String::new() };
    let mut words = Vec::new();
    if !on.is_empty() {
        words.push("on probation");
    }
    for (how, word) in [("finalised", "final"), ("rolled_back", "taken back")] {
        if over.iter().any(|end| end.how == how) {
            words.push(word);
        }
    }
    words.iter().map(|word| format!(", {word}")).collect()
}

/// How the probation of its actors stands, if they had one.
pub(super) fn after(view: &UpgradeView) -> String {
    let Some(ProbationView { time_us, messages, on, over, not_default }) = &view.probation else {
        return String::new();
    };
    let mut text: String = ended(view, over);
    text.extend(not_default.iter().map(|failure| {
        let Refused { code, cause, .. } = failure;
        format!("it is not the default yet, and that is tried again: [{code}] {}\n", harmless(cause))
    }));
    if on.is_empty() {
        return text;
    }
    let s = if on.len() == 1 { "" } else { "s" };
    let least = match messages {
        0 => String::new(),
        messages => format!(" and {messages} messages each"),
    };
    text.push_str(&format!("probation of {} actor{s}, for {}{least}:\n", on.len(), span(*time_us)));
    let mut first: Vec<&OnProbation> = on.iter().collect();
    first.sort_by_key(|on| match on.phase {
        Phase::Held { .. } => 0,
        Phase::Sick { .. } => 1,
        Phase::RollingBack { .. } => 2,
        Phase::Watching => 3,
    });
    text.extend(first.iter().take(SHOWN_MAX).map(|on| block(on)));
    if first.len() > SHOWN_MAX {
        text.push_str(&format!("and {} more: --json shows all of them\n", first.len() - SHOWN_MAX));
    }
    text + &hints(&view.id, &first)
}

/// What an operator may do while somebody is on probation.
pub(super) fn hints(id: &UpgradeId, on: &[&OnProbation]) -> String {
    let mut text = String::new();
    if on.iter().all(|on| on.quarantined.is_none()) {
        text.push_str(&format!("  final:  teneral upgrade finalise {id}\n"));
    }
    // What gives work up is only taken by name.
    let (keep, left): (Vec<&OnProbation>, Vec<&OnProbation>) =
        on.iter().partition(|on| on.ways.iter().any(|way| *way != WayBack::Restore));
    let (restore, none): (Vec<&OnProbation>, Vec<&OnProbation>) = left.into_iter().partition(|on| !on.ways.is_empty());
    let groups = usize::from(!keep.is_empty()) + usize::from(!restore.is_empty()) + usize::from(!none.is_empty());
    for (group, by) in [(keep, ""), (restore, " --by restore")] {
        if group.is_empty() {
            continue;
        }
        // An order for all of them is refused where it is not to be had for one.
        let names: Vec<&str> = group.iter().map(|on| on.actor.path()).filter(|_| groups > 1).collect();
        let names: String = names.iter().map(|name| format!(" {name}")).collect();
        text.push_str(&format!("  back:   teneral upgrade rollback {id}{names}{by}\n"));
    }
    text
}

/// For whom it is over, those of whom the same is to be said together.
fn ended(view: &UpgradeView, over: &[ProbationEnd]) -> String {
    let id = &view.id;
    let mut groups: BTreeMap<String, Vec<&Addr>> = BTreeMap::new();
    for ProbationEnd { actor, how, at, why, by } in over {
        let at = at.map_or_else(String::new, |at| {
            format!(" at {}", moment(u64::try_from(at.as_microsecond()).unwrap_or_default()))
        });
        let by = by.as_ref();
        let says = match (how.as_str(), by) {
            ("finalised", _) => format!("final{at}, by {}", harmless(why)),
            ("rolled_back", Some(by)) => format!("taken back{at} by {by}{}", because(why, id, actor)),
            ("superseded", Some(by)) => format!("its probation was over{at} when {by} moved it"),
            ("superseded", None) => harmless(why),
            ("host_ended", Some(by)) => format!(
                "its probation ended with the host while {by} was taking it back (what it runs: teneral actor list)"
            ),
            ("host_ended", None) => "its probation ended with the host".to_owned(),
            _ => format!("its probation was over{at}: {}", harmless(why)),
        };
        groups.entry(says).or_default().push(actor);
    }
    let line = |(says, actors): (String, Vec<&Addr>)| {
        let named: Vec<&str> = actors.iter().take(NAMED_MAX).map(|actor| actor.path()).collect();
        let more = actors.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}: {says}\n", named.join(", "))
    };
    groups.into_iter().map(line).collect::<String>() + &undecided(view, over)
}

/// What is left to do where the host ended before anybody had decided: the instances before ended with it.
fn undecided(UpgradeView { id, journal, .. }: &UpgradeView, over: &[ProbationEnd]) -> String {
    let left: Vec<&Addr> = over.iter().filter(|end| end.how == "host_ended").map(|end| &end.actor).collect();
    if left.is_empty() {
        return String::new();
    }
    let moves = Entry::begin_of(journal).map_or(&[][..], |begin| &begin.moves);
    let back = moves.iter().filter(|moved| left.contains(&&moved.addr)).map(|Move { addr, from, to, .. }| {
        let down = if from < to { " --allow-downgrade" } else { "" };
        format!("  back:   teneral upgrade apply {addr} --to {from}{down}\n")
    });
    let mut text = format!("  final:  teneral upgrade finalise {id}\n");
    text.extend(back.take(NAMED_MAX));
    let more = left.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        text.push_str(&format!("  and so for {more} more\n"));
    }
    text
}

/// A reason, where there is one; without what a reader of this line knows.
fn because(why: &str, id: &UpgradeId, actor: &Addr) -> String {
    let why = own_reason(why, id, actor);
    if why.is_empty() { String::new() } else { format!(": {}", harmless(why)) }
}

#[cfg(test)]
mod tests {
    use super::took;

    #[test]
    fn a_time_is_written_in_a_unit_in_which_it_can_be_read() {
        let written = [87, 9_999, 10_000, 4_215_000, 9_999_999, 61_000_000].map(took);
        assert_eq!(written, ["87 us", "9999 us", "10 ms", "4215 ms", "9999 ms", "61 s"]);
    }
}
