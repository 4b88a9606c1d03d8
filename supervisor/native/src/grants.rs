//! Which kinds may use what: nothing, unless it is said.
//!
//! A refusal says what to write into `teneral.toml`, word for word, and stands in the log with its code. Whoever asks
//! from outside all actors is the host's own program or its operator, who could load code to do the same: that is let
//! through.

use crate::call::Refused;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use teneral_contract::Addr;
use teneral_contract::addr::is_kind;

/// What each kind may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    kinds: BTreeMap<String, Grant>,
}

/// What one kind may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    clock: bool,
    hosts: BTreeSet<String>,
    /// Directories and files, absolute and plain.
    files: BTreeMap<PathBuf, BTreeSet<FileAct>>,
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileAct {
    /// Parts of it are read.
    Read,
    /// It is appended to, and made if it is not there.
    Append,
    /// It is read as it grows.
    Follow,
}

/// Why a grant is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A kind that is none.
    #[error("{0:?} is no kind: 1 to 64 of a-z, 0-9, '.', '_', '-'")]
    Kind(String),
    /// A path that could lead elsewhere.
    #[error("{0:?} is no plain absolute path: without . and ..")]
    Path(PathBuf),
    /// A host that is none.
    #[error("{0:?} is no host: write api.example.com, 127.0.0.1:8080 or *.example.com")]
    Host(String),
    /// Nothing may be done with the path.
    #[error("{0:?} is granted for nothing: name read, append or follow")]
    Nothing(PathBuf),
    /// No such act.
    #[error("{0:?} is nothing that is done with a file: write read, append or follow")]
    Act(String),
}

impl FileAct {
    /// As it is written in `teneral.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Follow => "follow",
        }
    }
}

impl std::str::FromStr for FileAct {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let all = [Self::Read, Self::Append, Self::Follow];
        all.into_iter().find(|act| act.name() == text).ok_or_else(|| GrantError::Act(text.to_owned()))
    }
}

impl fmt::Display for FileAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Grant {
    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { clock: false, hosts: BTreeSet::new(), files: BTreeMap::new() }
    }

    /// And the wall clock.
    #[must_use]
    pub const fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// And HTTP with a host: `api.example.com` is its ports 80 and 443, `127.0.0.1:8080` that one, `*.example.com` all
    /// hosts below, `*` all there are.
    ///
    /// # Errors
    /// [`GrantError::Host`].
    pub fn host(mut self, host: &str) -> Result<Self, GrantError> {
        let (name, port) = split_port(host);
        let well = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let name = name.strip_prefix("*.").unwrap_or(name);
        let named = name == "*" || (!name.is_empty() && name.chars().all(well));
        if !named || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(GrantError::Host(host.to_owned()));
        }
        self.hosts.insert(host.to_ascii_lowercase());
        Ok(self)
    }

    /// And files: one file, or all beneath a directory.
    ///
    /// # Errors
    /// [`GrantError::Path`], [`GrantError::Nothing`].
    pub fn file(
        mut self,
        path: impl Into<PathBuf>,
        acts: impl IntoIterator<Item = FileAct>,
    ) -> Result<Self, GrantError> {
        let path = path.into();
        let acts: BTreeSet<FileAct> = acts.into_iter().collect();
        if !is_plain(&path) {
            return Err(GrantError::Path(path));
        }
        if acts.is_empty() {
            return Err(GrantError::Nothing(path));
        }
        self.files.entry(path).or_default().extend(acts);
        Ok(self)
    }
}

impl Grants {
    /// Nothing to anybody.
    #[must_use]
    pub const fn none() -> Self {
        Self { kinds: BTreeMap::new() }
    }

    /// And this to a kind, in place of what it had.
    ///
    /// # Errors
    /// [`GrantError::Kind`].
    pub fn to(mut self, kind: &str, grant: Grant) -> Result<Self, GrantError> {
        if !is_kind(kind) {
            return Err(GrantError::Kind(kind.to_owned()));
        }
        self.kinds.insert(kind.to_owned(), grant);
        Ok(self)
    }

    fn of(&self, who: &Addr) -> Option<&Grant> {
        self.kinds.get(who.kind())
    }

    /// Whether it may use the clock.
    pub(crate) fn clock(&self, who: Option<&Addr>) -> Result<(), Refused> {
        let Some(who) = who else { return Ok(()) };
        if self.of(who).is_some_and(|grant| grant.clock) {
            return Ok(());
        }
        Err(denied(who, "use native/clock", "clock = true"))
    }

    /// Whether it may speak to a host.
    pub(crate) fn http(&self, who: Option<&Addr>, host: &str, port: u16) -> Result<(), Refused> {
        let Some(who) = who else { return Ok(()) };
        let host = host.to_ascii_lowercase();
        if self.of(who).is_some_and(|grant| grant.hosts.iter().any(|granted| fits(granted, &host, port))) {
            return Ok(());
        }
        let shown = if matches!(port, 80 | 443) { host } else { format!("{host}:{port}") };
        Err(denied(who, &format!("speak to {shown}"), &format!("http-client = [{shown:?}]")))
    }

    /// The granted directory or file that a path lies in: the innermost.
    pub(crate) fn file(&self, who: Option<&Addr>, path: &Path, act: FileAct) -> Result<PathBuf, Refused> {
        if !is_plain(path) {
            let text = format!("{} is no plain absolute path: without . and ..", path.display());
            return Err(Refused::Denied(text));
        }
        let Some(who) = who else { return Ok(PathBuf::from("/")) };
        let granted = self.of(who).into_iter().flat_map(|grant| &grant.files);
        let within = granted.filter(|(root, acts)| path.starts_with(root) && acts.contains(&act));
        if let Some((root, _)) = within.max_by_key(|(root, _)| root.as_os_str().len()) {
            return Ok(root.clone());
        }
        let dir = path.parent().unwrap_or(path).display().to_string();
        Err(denied(who, &format!("{act} {}", path.display()), &format!("file = {{ {dir:?} = [\"{act}\"] }}")))
    }
}

fn denied(who: &Addr, what: &str, line: &str) -> Refused {
    let kind = who.kind();
    let table = if kind.contains('.') { format!("[grants.{kind:?}]") } else { format!("[grants.{kind}]") };
    tracing::warn!(code = "NATIVE-DENIED", actor = %who, hint = format!("{table} {line}"), "{kind} may not {what}");
    Refused::Denied(format!("{kind} may not {what}; to grant it, write into teneral.toml:\n{table}\n{line}"))
}

/// The host, and the port if one is there; a name in brackets has colons of its own.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, Some(port)),
        _ => (host, None),
    }
}

fn fits(granted: &str, host: &str, port: u16) -> bool {
    let (name, granted_port) = split_port(granted);
    let port_fits = match granted_port {
        Some(granted) => granted.parse() == Ok(port),
        None => name == "*" || matches!(port, 80 | 443),
    };
    let below = |suffix: &str| host.strip_suffix(suffix).is_some_and(|before| before.ends_with('.'));
    let name_fits = name == "*" || name == host || name.strip_prefix("*.").is_some_and(below);
    port_fits && name_fits
}

/// Absolute, and nothing in it leads back or nowhere.
fn is_plain(path: &Path) -> bool {
    let steps = path.components().all(|step| matches!(step, Component::RootDir | Component::Normal(_)));
    // `components` drops a `.` in the middle, and a slash too many.
    let as_written = path.components().as_path() == path && path.as_os_str().len() == length(path);
    path.is_absolute() && steps && as_written && !path.as_os_str().as_encoded_bytes().contains(&0)
}

fn length(path: &Path) -> usize {
    let steps = path.components().skip(1).map(|step| step.as_os_str().len() + 1).sum::<usize>();
    steps.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(path: &str) -> Addr {
        Addr::new(path).expect("an address")
    }

    fn grants() -> Result<Grants, GrantError> {
        let grant = Grant::nothing().host("api.example.com")?.host("127.0.0.1:8080")?.host("*.example.org")?;
        let grant = grant.file("/var/log", [FileAct::Read])?.file("/var/log/nginx", [FileAct::Follow])?;
        Grants::none().to("log-handler", grant)
    }

    #[test]
    fn nothing_is_granted_that_is_not_said() -> Result<(), GrantError> {
        let (grants, who) = (grants()?, addr("log-handler/web"));
        assert!(grants.clock(Some(&who)).is_err());
        assert!(grants.http(Some(&addr("counter/a")), "api.example.com", 443).is_err());
        assert!(grants.http(Some(&who), "API.example.com", 443).is_ok());
        for (host, port) in [
            ("api.example.com", 8080),
            ("127.0.0.1", 80),
            ("example.org", 443),
            ("badexample.org", 443),
            ("evil.com", 443),
        ] {
            assert!(grants.http(Some(&who), host, port).is_err(), "{host}:{port}");
        }
        assert!(grants.http(Some(&who), "a.b.example.org", 443).is_ok());
        assert!(grants.http(Some(&who), "127.0.0.1", 8080).is_ok());
        Ok(())
    }

    #[test]
    fn the_innermost_directory_that_grants_the_act_counts() -> Result<(), GrantError> {
        let (grants, who) = (grants()?, addr("log-handler/web"));
        let of = |path: &str, act| grants.file(Some(&who), Path::new(path), act);
        assert_eq!(of("/var/log/nginx/access.log", FileAct::Follow), Ok("/var/log/nginx".into()));
        assert_eq!(of("/var/log/nginx/access.log", FileAct::Read), Ok("/var/log".into()));
        for path in
            ["/var/log/nginx/../../shadow", "/var/log/./x", "/var/log//x", "/var/log/x/", "var/log/x", "/var/logs/x"]
        {
            assert!(of(path, FileAct::Read).is_err(), "{path}");
        }
        assert!(of("/var/log/nginx/access.log", FileAct::Append).is_err());
        Ok(())
    }

    #[test]
    fn a_refusal_says_what_to_write() -> Result<(), GrantError> {
        let (grants, who) = (grants()?, addr("log-handler/web"));
        let Err(Refused::Denied(text)) = grants.file(Some(&who), Path::new("/srv/a.txt"), FileAct::Append) else {
            panic!("it is not granted");
        };
        assert!(text.ends_with("\n[grants.log-handler]\nfile = { \"/srv\" = [\"append\"] }"), "{text}");
        let Err(Refused::Denied(text)) = grants.http(Some(&who), "10.0.0.1", 9000) else {
            panic!("it is not granted");
        };
        assert!(text.ends_with("\n[grants.log-handler]\nhttp-client = [\"10.0.0.1:9000\"]"), "{text}");
        Ok(())
    }
}
