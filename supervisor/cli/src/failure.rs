//! A failure as the terminal shows it: a stable code, what happened, why, what stands now, and what to do.
//!
//! The causes are printed here and nowhere else, once: in lines for people, and to a program, which says `--json`, as
//! one object on a line of its own.

use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use teneral::api::ApiError;

/// What went wrong, for whoever typed the command.
#[derive(Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: String,
    what: String,
    causes: Vec<String>,
    now: String,
    hint: String,
    exit: Exit,
}

/// What the process says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Something is off.
    Off = 1,
    /// It was asked for something that cannot be done as asked.
    Usage = 2,
    /// No host serves there, or not now, as systemctl says it.
    Down = 3,
    /// The host did not answer in time: within the command's `--timeout`, or before it showed no life for too long.
    Late = 4,
    /// Somebody pressed ^C, as a shell says it.
    Interrupted = 130,
}

impl Failure {
    /// A failure with the stable code of its cause, what stands now, and what to do.
    pub(crate) fn new(
        code: impl Into<String>,
        error: &dyn Error,
        now: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let causes =
            std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string).collect();
        let (code, what) = (code.into(), error.to_string());
        Self(Box::new(Parts { code, what, causes, now: now.into(), hint: hint.into(), exit: Exit::Off }))
    }

    /// Several things that are wrong at once.
    pub(crate) fn of_many(
        code: impl Into<String>,
        what: String,
        causes: Vec<String>,
        now: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts { code: code.into(), what, causes, now: now.into(), hint: hint.into(), exit: Exit::Off }))
    }

    /// Somebody pressed ^C while the host was at work.
    pub(crate) fn interrupted() -> Self {
        let now = "what the host was asked for as a whole goes on without this command";
        let hint = "look before it is asked for again: teneral upgrade status, teneral actor list";
        let what = "interrupted".to_owned();
        let mut failure = Self::of_many("CLI-INTERRUPTED", what, Vec::new(), now, hint);
        failure.0.exit = Exit::Interrupted;
        failure
    }

    /// A command that no verb takes, as clap says it.
    pub(crate) fn mistyped(error: &clap::Error) -> Self {
        let said = error.render().to_string();
        let said = said.trim_start_matches("error: ");
        let (what, usage) = said.split_once("\n\nUsage: ").unwrap_or((said, ""));
        let usage = usage.lines().next().map_or("teneral --help", str::trim);
        let what = what.split_once("\n\nFor more information").map_or(what, |(what, _)| what);
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = if usage.is_empty() { "teneral --help".to_owned() } else { format!("it is used so: {usage}") };
        Self::of_many("CLI-USAGE", what, Vec::new(), "nothing was done", hint).usage()
    }

    /// Says it on stderr, as whoever typed the command reads it; what the process then ends with.
    pub(crate) fn report(&self) -> ExitCode {
        match wants_json() {
            true => {
                let mut error = self.to_json();
                error["exit"] = (self.0.exit as u8).into();
                eprintln!("{}", json!({ "error": error }));
            }
            false => eprintln!("{self}"),
        }
        ExitCode::from(self.0.exit as u8)
    }

    /// The same, with what it is about before what happened.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.0.what = format!("{what}: {}", self.0.what);
        self
    }

    /// The same, with another thing to do.
    pub(crate) fn hinting(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.0.hint);
        self
    }

    /// The same, with something else that stands now.
    pub(crate) fn standing(mut self, now: String) -> Self {
        self.0.now = now;
        self
    }

    /// Nothing was wrong; it took too long.
    pub(crate) fn late(mut self) -> Self {
        self.0.exit = Exit::Late;
        self
    }

    /// The command was wrong, not the world.
    pub(crate) fn usage(mut self) -> Self {
        self.0.exit = Exit::Usage;
        self
    }

    /// The same, of a host that serves no longer.
    pub(crate) fn down(mut self) -> Self {
        self.0.exit = Exit::Down;
        self
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    /// What happened and why, as one line.
    pub(crate) fn cause(&self) -> String {
        let Parts { what, causes, .. } = &*self.0;
        causes.iter().fold(what.clone(), |line, cause| format!("{line}: {cause}"))
    }

    /// The same as data.
    pub(crate) fn to_json(&self) -> Value {
        let Parts { code, what, causes, now, hint, .. } = &*self.0;
        json!({ "code": code, "what": what, "causes": causes, "now": now, "hint": hint })
    }
}

/// Whether a program reads this command: it says so also where the rest of what it says makes no sense.
pub(crate) fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// What a host says.
impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match (&*error.code, error.status) {
            ("CTL-SILENT", _) => {
                return Self::from(ApiError { code: "CLI-TIMEOUT".into(), ..error }).late();
            }
            ("CTL-DOWN" | "CTL-BETWEEN" | "CTL-STARTING" | "CTL-STOPPING", _) => Exit::Down,
            (_, 400 | 404) => Exit::Usage,
            _ => Exit::Off,
        };
        let ApiError { code, what, causes, now, hint, .. } = error;
        Self(Box::new(Parts { code: code.into(), what, causes, now: now.into(), hint: hint.into(), exit }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { code, what, causes, now, hint, .. } = &*self.0;
        write!(f, "error[{code}]: {what}")?;
        let lines = causes.iter().map(|cause| ("cause:", cause));
        let lines = lines.chain([("now:  ", now), ("hint: ", hint)]);
        // A cause of several lines stays inside its column.
        lines
            .into_iter()
            .try_for_each(|(label, text)| write!(f, "\n  {label} {}", text.trim_end().replace('\n', "\n         ")))
    }
}
