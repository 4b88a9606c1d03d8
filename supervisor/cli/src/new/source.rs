//! Where a new workspace finds teneral's own crates, which are in no registry.
//!
//! The sources that this binary was built from fit it best, and are there wherever it was built; otherwise somebody
//! names a checkout or a git repository. From a checkout its `Cargo.lock` comes along: the versions that teneral itself
//! was tested with, most likely on this machine already.

use crate::failure::Failure;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the sources that this binary was built from.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What a folder of teneral's sources has.
const CRATES: [&str; 3] = ["framework/actor", "framework/contract", "framework/testkit"];

/// Why there are no sources.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("the sources that this teneral was built from are not here any more ({})", .0.display())]
    Gone(PathBuf),
    #[error("{} holds no sources of teneral: there is no {}/Cargo.toml", .0.display(), .1)]
    Other(PathBuf, &'static str),
    #[error("the path of teneral's sources cannot be written into a Cargo.toml: {}", .0.display())]
    Text(PathBuf),
}

/// See the module.
#[derive(Debug)]
pub(super) enum Source {
    Checkout { dir: PathBuf, text: String },
    Git { url: String, revision: Option<String> },
}

impl Source {
    /// What was named, or what this binary was built from.
    ///
    /// # Errors
    /// [`Failure`]: no sources are there.
    pub(super) fn find(named: Option<&str>) -> Result<Self, Failure> {
        let failed = |error: SourceError| {
            let hint = "name a checkout or a git repository: teneral new NAME --teneral PATH|URL";
            Failure::new("NEW-SOURCE", &error, "nothing was written", hint).usage()
        };
        match named {
            Some(url) if url.contains("://") || url.starts_with("git@") => {
                let (url, revision) = match url.split_once('#') {
                    Some((url, revision)) => (url, Some(revision.to_owned())),
                    None => (url, None),
                };
                Ok(Self::Git { url: url.to_owned(), revision })
            }
            Some(path) => Self::checkout(Path::new(path)).map_err(failed),
            None => Self::checkout(Path::new(BUILT_FROM)).map_err(|error| match error {
                SourceError::Other(dir, _) => failed(SourceError::Gone(dir)),
                error => failed(error),
            }),
        }
    }

    fn checkout(path: &Path) -> Result<Self, SourceError> {
        let dir = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(missing) = CRATES.into_iter().find(|part| !dir.join(part).join("Cargo.toml").is_file()) {
            return Err(SourceError::Other(dir, missing));
        }
        match dir.to_str() {
            Some(text) => Ok(Self::Checkout { text: text.to_owned(), dir }),
            None => Err(SourceError::Text(dir)),
        }
    }

    /// A manifest whose `"@framework/actor@"` and the like are dependencies from here.
    pub(super) fn fill(&self, manifest: &str) -> String {
        let parts = manifest.split("\"@").map(|part| match part.split_once("@\"") {
            Some((folder, rest)) if CRATES.contains(&folder) => format!("{}{rest}", self.dependency(folder)),
            _ => part.to_owned(),
        });
        parts.collect()
    }

    fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Checkout { text, .. } => format!("{{ path = {} }}", quoted(&format!("{text}/{folder}"))),
            Self::Git { url, revision: None } => format!("{{ git = {} }}", quoted(url)),
            Self::Git { url, revision: Some(revision) } => {
                format!("{{ git = {}, rev = {} }}", quoted(url), quoted(revision))
            }
        }
    }

    /// The lock file that goes with a checkout.
    pub(super) fn lock(&self) -> Option<Vec<u8>> {
        match self {
            Self::Checkout { dir, .. } => fs::read(dir.join("Cargo.lock")).ok(),
            Self::Git { .. } => None,
        }
    }
}

/// A string of TOML; what JSON escapes, TOML escapes in the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_repository_is_named_by_its_url_and_its_revision() {
        let source = |text: &str| Source::find(Some(text)).expect("a source");
        let filled = source("https://example.org/teneral.git#1a2b").fill("a = \"@framework/actor@\"\nb = \"1\"\n");
        assert_eq!(filled, "a = { git = \"https://example.org/teneral.git\", rev = \"1a2b\" }\nb = \"1\"\n");
        let plain = source("git@example.org:teneral.git").fill("a = \"@framework/actor@\"");
        assert_eq!(plain, "a = { git = \"git@example.org:teneral.git\" }");
    }
}
