//! What a host is told before it starts: defaults, over them `teneral.toml`, then the environment, then flags.
//!
//! Every value knows where it came from, and all that is wrong is said at once. The layout:
//!
//! * `settings`: the keys with one value each
//! * `value`: how values are written
//! * `grants`, `kinds`, `routes`: the tables of another shape
//! * `file`: a file as a tree whose parts know their lines, and refuses what nobody takes
//! * `problems`: all that is wrong
//! * `show`: `teneral config show`; `running`: the same of a host that serves
//! * `variables`: variables of the environment that are none of these
//!
//! A table of another shape becomes a module of its own: [`load`] lets it take its part out of the file's
//! [`file::Table`], it says what is wrong to the [`problems::Problems`], and [`Config::rows`] asks it for its rows.

pub(crate) mod file;
mod grants;
mod kinds;
pub(crate) mod problems;
mod routes;
mod running;
mod settings;
pub(crate) mod show;
mod value;
mod variables;

use crate::failure::Failure;
use file::{At, Table};
use problems::Problems;
use serde::Serialize;
use settings::{AT_MOST, DIR, SETTINGS, Setting};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use teneral::api::wire::ConfigRow;
use value::Given;

pub(crate) use settings::Serving;
pub(crate) use value::{Format, bytes_of, time_of};

/// The file that is read when none is named and it is there.
const FILE: &str = "teneral.toml";

/// Which host.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// The host's directory; without it TENERAL_DIR, or what the configuration says, or .teneral
    #[arg(long, value_name = "DIR")]
    dir: Option<OsString>,
    /// The host's configuration; without it TENERAL_CONFIG, or teneral.toml where there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What the command line says of a host.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    place: Where,
    /// Whether only what a trusted release key signed is loaded (production), or what this host signs itself as well
    #[arg(long, value_name = "development|production")]
    profile: Option<OsString>,
    /// The same as --profile production
    #[arg(long, conflicts_with = "profile")]
    production: bool,
    /// How long a stop may take before actors are cut off [default: 30s]
    #[arg(long, value_name = "TIME")]
    stop_timeout: Option<OsString>,
}

/// What a flag says: the key, the flag, the text.
type Said<'a> = (&'static str, &'static str, &'a OsStr);

impl Where {
    /// The directory of the host that a command is for. Of the file it reads nothing else.
    ///
    /// # Errors
    /// [`Failure`]: the file cannot be read, or what it says is no path.
    pub(crate) fn dir(&self) -> Result<PathBuf, Failure> {
        let mut problems = Problems::default();
        let flags: Vec<Said<'_>> = self.said().collect();
        let mut serving = Serving::usual();
        // Said outright: then a file has nothing to say about it, and may be as it likes.
        let outright = !flags.is_empty() || variable(&variable_of(DIR.key)).is_some();
        let mut file = if outright { None } else { self.file(&mut problems)? };
        DIR.resolve(file.as_mut(), (Heard::All, &flags), &mut serving, &mut problems);
        variables::warn();
        problems.none().map(|()| serving.dir)
    }

    fn said(&self) -> impl Iterator<Item = Said<'_>> {
        self.dir.iter().map(|dir| ("dir", "--dir", dir.as_os_str()))
    }

    /// The file that is named, or the one that is there.
    fn file(&self, problems: &mut Problems) -> Result<Option<Table>, Failure> {
        let named = self.config.clone().or_else(|| variable("TENERAL_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(file::parse(&path, &text, problems))),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(crate::sign::on_file("read", &path, error)),
        }
    }
}

impl Flags {
    fn said(&self) -> Vec<Said<'_>> {
        let mut said: Vec<Said<'_>> = self.place.said().collect();
        said.extend(self.profile.iter().map(|profile| ("profile", "--profile", profile.as_os_str())));
        if self.production {
            said.push(("profile", "--production", OsStr::new("production")));
        }
        said.extend(self.stop_timeout.iter().map(|time| ("stop_timeout", "--stop-timeout", time.as_os_str())));
        said
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of a file.
    File(At),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(at) => write!(f, "{}:{}", at.file.display(), at.line),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Origin {
    /// Which of them, in a word.
    fn source(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Variable(_) => "variable",
            Self::Flag(_) => "flag",
        }
    }
}

/// A value as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Its key.
    pub(crate) key: String,
    /// As it would be written.
    pub(crate) value: String,
    /// In what it is counted; `name`, `path` and `time` are counted in nothing else.
    pub(crate) unit: &'static str,
    /// Where it came from.
    pub(crate) from: String,
    /// Which kind of place that is: see [`Origin::source`].
    pub(crate) source: &'static str,
}

impl Row {
    fn told(&self) -> ConfigRow {
        let (key, value, from) = (self.key.clone(), self.value.clone(), self.from.clone());
        ConfigRow { key, value, unit: self.unit.to_owned(), from, source: self.source.to_owned() }
    }
}

/// Who is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// The file, the environment, flags.
    All,
    /// The file alone.
    File,
}

/// A configuration that has no errors.
#[derive(Debug)]
pub(crate) struct Config {
    /// What the host is told.
    pub(crate) serving: Serving,
    /// Every value, for people.
    pub(crate) rows: Vec<Row>,
}

/// Reads what a host is told.
///
/// # Errors
/// [`Failure`] with all that is wrong.
pub(crate) fn load(flags: &Flags) -> Result<Config, Failure> {
    read(flags, Heard::All)
}

fn read(flags: &Flags, heard: Heard) -> Result<Config, Failure> {
    let mut problems = Problems::default();
    let said = if heard == Heard::All { flags.said() } else { Vec::new() };
    if heard == Heard::All {
        variables::misspelt(&mut problems);
    }
    let mut file = flags.place.file(&mut problems)?;
    let mut serving = Serving::usual();
    let mut origins = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        origins.push(setting.resolve(file.as_mut(), (heard, &said), &mut serving, &mut problems));
    }
    let mut tables = Vec::new();
    if let Some(file) = &mut file {
        let (granted, routed);
        (serving.grants, granted) = grants::take(file, &mut problems);
        let kinds = kinds::take(file, &mut problems);
        (serving.places, serving.spreads) = (kinds.places, kinds.spreads);
        serving.endpoints = kinds.endpoints;
        serving.checkpoints = kinds.checkpoints;
        (serving.routes, routed) = routes::take(file, &mut problems);
        tables.extend(granted.into_iter().chain(kinds.rows).chain(routed));
    }
    if serving.http_listen.is_none() && !serving.routes.is_empty() {
        problems.elsewhere("there are routes, and http.listen does not say where they are".to_owned());
    }
    if !serving.endpoints.is_empty() {
        match serving.identity() {
            Some(identity) => drop(identity.check().map_err(|error| problems.elsewhere(error.to_string()))),
            None => problems.elsewhere(
                "a kind has place = \"remote\": remote.ca, remote.cert and remote.key are needed".to_owned(),
            ),
        }
    }
    if let Some(file) = file {
        let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        file.end(&keys, &mut problems);
    }
    contradictions(&mut serving, &origins, &mut problems);
    problems.none()?;
    let shown = SETTINGS.iter().zip(&origins).map(|(setting, origin)| Row {
        key: setting.key.to_owned(),
        value: (setting.slot)(&mut serving).show(),
        unit: setting.unit,
        from: origin.to_string(),
        source: origin.source(),
    });
    let rows: Vec<Row> = shown.chain(tables).collect();
    serving.told = rows.iter().map(Row::told).collect();
    Ok(Config { serving, rows })
}

impl Setting {
    /// Finds out its value, and where that came from. Each place that says something is read, so that an error is
    /// found also where another place has the last word.
    fn resolve(
        &self,
        file: Option<&mut Table>,
        (heard, flags): (Heard, &[Said<'_>]),
        serving: &mut Serving,
        problems: &mut Problems,
    ) -> Origin {
        let mut origin = Origin::Default;
        let found = file.and_then(|file| match self.key.split_once('.') {
            Some((table, key)) => file.table(table, problems)?.take(key),
            None => file.take(self.key),
        });
        if let Some(item) = found {
            match (self.slot)(serving).set(Given::InFile(&item), self.bounds) {
                Ok(()) => origin = Origin::File(item.at),
                Err(why) => problems.at(&item.at, format!("{} {why}", self.key)),
            }
        }
        let own = variable_of(self.key);
        let names = [Some(own.as_str()), self.variable].into_iter().flatten();
        for name in names.filter(|_| heard == Heard::All) {
            let Some(text) = variable(name) else { continue };
            match (self.slot)(serving).set(Given::Text(&text), self.bounds) {
                Ok(()) => origin = Origin::Variable(name.to_owned()),
                Err(why) => problems.elsewhere(format!("{name}: {} {why}", self.key)),
            }
        }
        for (_, flag, text) in flags.iter().filter(|(key, ..)| *key == self.key) {
            match (self.slot)(serving).set(Given::Text(text), self.bounds) {
                Ok(()) => origin = Origin::Flag(flag),
                Err(why) => problems.elsewhere(format!("{flag}: {} {why}", self.key)),
            }
        }
        origin
    }
}

/// Values that are right by themselves and not beside each other.
fn contradictions(serving: &mut Serving, origins: &[Origin], problems: &mut Problems) {
    let mut found = |key: &str| {
        let place = SETTINGS.iter().position(|setting| setting.key == key)?;
        let size = (SETTINGS[place].slot)(serving).size()?;
        Some((size, origins.get(place)?))
    };
    for (low, high) in AT_MOST {
        if let (Some((less, of_low)), Some((more, of_high))) = (found(low), found(high))
            && less > more
        {
            problems.elsewhere(format!("{low} is {less} ({of_low}), over {high}, which is {more} ({of_high})"));
        }
    }
}

/// `TENERAL_LIMITS_IMAGES_MAX` for `limits.images_max`.
fn variable_of(key: &str) -> String {
    format!("TENERAL_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// An empty variable is one that is not set.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
