//! Values as they are written: in a file, in a variable, behind a flag, and when they are shown.

use super::file::{Item, Node, folder};
use jiff::SignedDuration;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use teneral::trust::Profile;
use teneral::upgrade::nearest;
use teneral::{Probation, Watch};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const PROFILES: [(&str, Profile); 2] =
    [(Profile::Development.as_str(), Profile::Development), (Profile::Production.as_str(), Profile::Production)];
const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("json", Format::Json)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const SIZES: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// Where one value is kept, and so what it is.
#[derive(Debug)]
pub(crate) enum Slot<'a> {
    Path(&'a mut PathBuf),
    File(&'a mut Option<PathBuf>),
    Address(&'a mut Option<SocketAddr>),
    Time(&'a mut Duration),
    /// A time, or `off`.
    Probation(&'a mut Probation),
    Count(&'a mut usize),
    Bytes(&'a mut usize),
    FileBytes(&'a mut u64),
    Filter(&'a mut String),
    Format(&'a mut Format),
    Profile(&'a mut Profile),
}

/// A value as somebody gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Given<'a> {
    /// In a file, whose types count.
    InFile(&'a Item),
    /// As a text: a variable, a flag.
    Text(&'a OsStr),
}

impl Slot<'_> {
    /// What is kept, as it would be written.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::File(path) => path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string()),
            Self::Address(address) => address.map_or_else(|| "none".to_owned(), |address| address.to_string()),
            Self::Time(time) => shown(**time),
            Self::Probation(probation) => probation.watch().map_or_else(|| OFF.to_owned(), |watch| shown(watch.time)),
            Self::Count(number) | Self::Bytes(number) => number.to_string(),
            Self::FileBytes(number) => number.to_string(),
            Self::Filter(text) => (*text).clone(),
            Self::Format(format) => word(&FORMATS, **format),
            Self::Profile(profile) => profile.as_str().to_owned(),
        }
    }

    /// Its size, where it has one: a number, or milliseconds.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Count(number) | Self::Bytes(number) => u64::try_from(**number).ok(),
            Self::FileBytes(number) => Some(**number),
            Self::Time(time) => u64::try_from(time.as_millis()).ok(),
            _ => None,
        }
    }

    /// Keeps what was given, within `bounds`: of numbers as they are, of times in milliseconds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn set(self, given: Given<'_>, bounds: (u64, u64)) -> Result<(), String> {
        match self {
            Self::Path(path) => *path = given.path()?,
            Self::File(path) => *path = Some(given.path()?),
            Self::Address(address) => {
                let wanted = "an address and a port, as in \"127.0.0.1:8080\"";
                let text = given.text(wanted)?;
                let read = text.parse().map_err(|_| format!("takes {wanted}, not {text:?}"))?;
                *address = Some(read);
            }
            Self::Time(time) => *time = given.time(bounds)?,
            Self::Probation(probation) => {
                *probation = match given.text("a time as a text, as in \"60s\", or \"off\"")? {
                    OFF => Probation::Off,
                    _ => Probation::Watch(Watch::new(given.time(bounds)?)),
                }
            }
            Self::Count(number) => *number = sized(within(given.whole()?, bounds, |most| most.to_string())?)?,
            Self::Bytes(number) => *number = sized(within(given.bytes()?, bounds, |most| most.to_string())?)?,
            Self::FileBytes(number) => *number = within(given.bytes()?, bounds, |most| most.to_string())?,
            Self::Filter(filter) => *filter = level(given.text("a text")?)?,
            Self::Format(format) => *format = choice(given.text("a text")?, &FORMATS)?,
            Self::Profile(profile) => *profile = choice(given.text("a text")?, &PROFILES)?,
        }
        Ok(())
    }
}

impl<'a> Given<'a> {
    fn unlike(self, wanted: &str) -> String {
        match self {
            Self::InFile(item) => format!("takes {wanted}, not {}", item.node.type_name()),
            Self::Text(text) => format!("takes {wanted}, not {}", text.display()),
        }
    }

    fn text(self, wanted: &str) -> Result<&'a str, String> {
        let text = match self {
            Self::InFile(Item { node: Node::Text(text), .. }) => Some(text.as_str()),
            Self::InFile(_) => None,
            Self::Text(text) => text.to_str(),
        };
        text.ok_or_else(|| self.unlike(wanted))
    }

    /// Paths of a file are relative to its folder.
    fn path(self) -> Result<PathBuf, String> {
        let path = match self {
            Self::InFile(item) => self.text("a path as a text").map(|path| (folder(&item.at), Path::new(path)))?,
            Self::Text(path) => (PathBuf::new(), Path::new(path)),
        };
        match path {
            (_, empty) if empty.as_os_str().is_empty() => Err("takes a path, and this one is empty".to_owned()),
            (folder, path) => Ok(folder.join(path)),
        }
    }

    fn time(self, bounds: (u64, u64)) -> Result<Duration, String> {
        let read = time_of(self.text("a time as a text, as in \"5s\" or \"200ms\"")?)?;
        let millis = u64::try_from(read.as_millis()).unwrap_or(u64::MAX);
        within(millis, bounds, |ms| shown(Duration::from_millis(ms)))?;
        Ok(read)
    }

    fn whole(self) -> Result<u64, String> {
        let number = match self {
            Self::InFile(Item { node: Node::Whole(number), .. }) => u64::try_from(*number).ok(),
            Self::InFile(_) => None,
            Self::Text(text) => text.to_str().and_then(|text| text.parse().ok()),
        };
        number.ok_or_else(|| match self {
            Self::InFile(Item { node: Node::Whole(number), .. }) => {
                format!("takes no negative number, and {number} is one")
            }
            _ => self.unlike("a whole number"),
        })
    }

    fn bytes(self) -> Result<u64, String> {
        let Ok(text) = self.text("") else { return self.whole().map_err(|_| self.unlike(BYTES)) };
        bytes_of(text).ok_or_else(|| format!("takes {BYTES}, not {text:?}"))
    }
}

/// Bytes as people write them: `64 MiB`, or a number.
pub(crate) fn bytes_of(text: &str) -> Option<u64> {
    let (digits, size) =
        SIZES.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim_end(), *size))).unwrap_or((text, 1));
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(size))
}

const OFF: &str = "off";
const BYTES: &str = "a number of bytes, or a text as in \"8 MiB\"";

fn within(number: u64, (least, most): (u64, u64), show: impl Fn(u64) -> String) -> Result<u64, String> {
    match number {
        low if low < least => Err(format!("is {}, and at least {}", show(low), show(least))),
        high if high > most => Err(format!("is {}, and at most {}", show(high), show(most))),
        number => Ok(number),
    }
}

fn sized(number: u64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("is {number}, which this machine cannot count"))
}

pub(crate) fn time_of(text: &str) -> Result<Duration, String> {
    let span = text.parse::<SignedDuration>();
    let span = span.map_err(|_| format!("takes a number and a unit, as in \"5s\" or \"200ms\", not {text:?}"))?;
    Duration::try_from(span).map_err(|_| format!("takes no negative time, and {text:?} is one"))
}

fn shown(time: Duration) -> String {
    SignedDuration::try_from(time).map_or_else(|_| format!("{time:?}"), |time| format!("{time:#}"))
}

/// Levels, or what `RUST_LOG` takes. A word alone is a level: as the name of a crate it would be a slip.
fn level(text: &str) -> Result<String, String> {
    let plain = text.split(',').map(str::trim).find(|part| {
        let word = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        word && !LEVELS.contains(&part.to_ascii_lowercase().as_str())
    });
    if let Some(word) = plain {
        return Err(format!("knows no level {word}: {}", nearest::hint(word, LEVELS)));
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("cannot be read: {error}"))
}

fn choice<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| format!("cannot be {text}: {}", nearest::hint(text, words.iter().map(|(word, _)| *word))))
}

fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> String {
    words.iter().find(|(_, known)| *known == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}
