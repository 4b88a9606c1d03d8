//! What `--help` says beyond the options: for every verb a command that can be pasted, and what it ends with.

use clap::Command;

/// A verb, and how it is used: one command a line.
const EXAMPLES: &[(&str, &str)] = &[
    ("demo", "teneral demo --lines 2400 --rate 4800"),
    ("new", "teneral new greeter"),
    ("dev", "teneral dev"),
    ("freeze", "teneral freeze"),
    ("serve", "teneral serve\nteneral serve --dir /var/lib/teneral --production"),
    (
        "host",
        "teneral host --listen tcp:0.0.0.0:7443 --tls-ca ca.pem --tls-cert module-1.pem --tls-key module-1.key \\\n\
         \x20   --artifacts /srv/modules",
    ),
    ("status", "teneral status --wait 10s"),
    ("config show", "teneral config show\nteneral config show --running"),
    (
        "artifact inspect",
        "teneral artifact inspect target/release/examples/libcounter_v1.so\nteneral artifact inspect counter 1.0.0",
    ),
    ("artifact verify", "teneral artifact verify libcounter_v1.so --kind counter --version 1.0.0"),
    ("artifact pack", "teneral artifact pack tally.py --manifest tally.json -o tally-1.0.0.tnrl"),
    ("artifact push", "teneral artifact push libcounter_v1.so libcounter_v2.so"),
    ("artifact list", "teneral artifact list --json"),
    ("artifact remove", "teneral artifact remove counter 1.0.0 --reason 'nobody runs it'"),
    ("artifact pardon", "teneral artifact pardon counter 2.0.0 --reason 'the disk hung, not the code'"),
    (
        "artifact accept-marks",
        "teneral artifact accept-marks --dry-run\nteneral artifact accept-marks --reason 'the marks were lost'",
    ),
    ("actor list", "teneral actor list\nteneral actor list -l kind=counter --json"),
    ("actor show", "teneral actor show counter/a"),
    ("actor start", "teneral actor start counter/a '{\"total\": 40}' --version 1.0.0"),
    (
        "actor stop",
        "teneral actor stop counter/a --timeout 10s --reason 'the shop is closed'\n\
         teneral actor stop -l kind=counter --yes",
    ),
    ("actor restart", "teneral actor restart counter/a\nteneral actor restart -l kind=counter --state init --yes"),
    ("actor pause", "teneral actor pause counter/a --max 5m --reason 'to look at its state'"),
    ("actor resume", "teneral actor resume counter/a"),
    ("actor tell", "teneral actor tell counter/a Add '{\"amount\": 2}'"),
    ("actor ask", "teneral actor ask counter/a Get --timeout 2s"),
    ("actor state", "teneral actor state counter/a"),
    ("actor watch", "teneral actor watch counter/a\nteneral actor watch counter/b --wait --timeout 1m"),
    ("kind list", "teneral kind list"),
    ("kind show", "teneral kind show counter"),
    ("kind set-default", "teneral kind set-default counter 2.0.0"),
    (
        "upgrade plan",
        "teneral upgrade plan counter --to 2.0.0\nteneral upgrade plan counter --to 2.0.0 --json > plan.json",
    ),
    (
        "upgrade apply",
        "teneral upgrade apply counter/a --to 2.0.0 --max-pause 50ms --reason 'counts additions'\n\
         teneral upgrade apply -l kind=counter --to 2.0.0 --request-id ticket-7 --queue-timeout 1m\n\
         teneral upgrade apply counter --to 2.0.0 --probation 5m --max-errors 1% --wait\n\
         teneral upgrade apply --plan plan.json",
    ),
    ("upgrade status", "teneral upgrade status\nteneral upgrade status up-0643f5a1b2c3d4-0 --watch"),
    ("upgrade cancel", "teneral upgrade cancel \"$(teneral upgrade log --limit 1 --json | jq -r '.[0].id')\""),
    (
        "upgrade finalise",
        "teneral upgrade finalise up-0643f5a1b2c3d4-0 --reason 'looks good'\n\
         teneral upgrade finalise up-0643f5a1b2c3d4-0 counter/a",
    ),
    (
        "upgrade rollback",
        "teneral upgrade rollback up-0643f5a1b2c3d4-0 --reason 'wrong totals'\n\
         teneral upgrade rollback up-0643f5a1b2c3d4-0 counter/a --by restore",
    ),
    ("upgrade held", "teneral upgrade held list\nteneral upgrade held send 3"),
    ("upgrade held list", "teneral upgrade held list --json"),
    ("upgrade held send", "teneral upgrade held send 3 4\nteneral upgrade held send --all --reason 'they were meant'"),
    ("upgrade held drop", "teneral upgrade held drop 3\nteneral upgrade held drop --all"),
    ("upgrade log", "teneral upgrade log --limit 20"),
    ("dead-letter list", "teneral dead-letter list"),
    ("dead-letter resend", "teneral dead-letter resend 17 18\nteneral dead-letter resend --all --to counter/b"),
    ("dead-letter drop", "teneral dead-letter drop --all --reason 'they are of yesterday'"),
    ("apply", "teneral apply -f system.toml --dry-run\nteneral apply -f - --yes --prune < system.toml"),
    ("key generate", "teneral key generate team"),
    ("key list", "teneral key list"),
    ("key trust", "teneral key trust team.pub --expires 2030-01-31"),
    ("key distrust", "teneral key distrust 0123456789ABCDEF\nteneral key distrust team.pub"),
    (
        "route set",
        "teneral route set counter 1.0.0=90 2.0.0=10 --reason 'a first try'\n\
         teneral route set counter 1.0.0=100 2.0.0=0 --match key=ann\n\
         teneral route set counter 1.0.0=50 2.0.0=50 --probation 5m",
    ),
    ("route status", "teneral route status counter\nteneral route status counter --json"),
    ("route promote", "teneral route promote counter --reason 'a week without an error'"),
    ("route abort", "teneral route abort counter --reason 'it is slow'"),
    ("route explain", "teneral route explain counter/ann"),
    ("route history", "teneral route history counter"),
    ("module list", "teneral module list\nteneral module list --json"),
    ("module show", "teneral module show counter\nteneral module show counter --version 1.0.0 --slot 2 --json"),
    (
        "module logs",
        "teneral module logs counter --follow\n\
         teneral module logs counter --version 1.0.0 --previous --tail 20",
    ),
    ("audit list", "teneral audit list --limit 20\nteneral audit list --messages --json"),
    ("cert init", "teneral cert init ca --name 'shop CA'"),
    (
        "cert issue",
        "teneral cert issue host module-1.example 10.0.0.7 --ca ca\n\
         teneral cert issue supervisor shop --ca ca --expires 2030-01-31\n\
         teneral cert issue host module-1.example --ca ca --replace",
    ),
    ("cert show", "teneral cert show module-1.example.pem ca/ca.pem"),
    ("sign", "teneral sign libcounter_v1.so --key team.key"),
    ("verify", "teneral verify libcounter_v1.so --key team.pub"),
    ("explain", "teneral explain UPG-MIGRATE"),
    ("api", "teneral api > openapi.json"),
    ("completions", "teneral completions bash > ~/.local/share/bash-completion/completions/teneral"),
];

const EXITS: &str = "\
Exit codes:
  0    done
  1    something is off: refused, rolled back, not answered
  2    it cannot be done as it was typed
  3    no host serves there, or not yet, or not any more
  4    the host did not answer in time: see --timeout
  130  interrupted; the host goes on with what it was asked for

Times are a number and a unit: 200ms, 5s, 1m 30s. Errors have codes: teneral explain CODE.";

/// The commands with their examples and exit codes in their long help.
pub(crate) fn explained(command: Command) -> Command {
    let root = command.after_long_help(EXITS);
    EXAMPLES.iter().fold(root, |root, (verb, examples)| {
        let lines: String = examples.lines().map(|line| format!("  {line}\n")).collect();
        let help = format!("Examples:\n{lines}\n{EXITS}");
        within(root, &verb.split(' ').collect::<Vec<_>>(), help)
    })
}

fn within(command: Command, verb: &[&str], help: String) -> Command {
    match verb {
        [] => command.after_long_help(help),
        [first, rest @ ..] => command.mut_subcommand(first, |inner| within(inner, rest, help)),
    }
}
