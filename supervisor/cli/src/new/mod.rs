//! `teneral new`: a workspace of one actor kind that builds, tests, signs and loads as it is.
//!
//! * `name`: what a kind may be called, so that packages, libraries and types can be called after it
//! * `source`: where the workspace finds teneral's own crates
//! * `greeter`: the workspace itself, as files that can be read; `greeter` in them becomes the kind
//!
//! It is written beside its place and moved there whole: whatever goes wrong, there is no half of one.

mod name;
mod source;

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::sign::on_file;
use name::Name;
use serde::Serialize;
use source::Source;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Each file of the workspace, by its place in it.
const FILES: [(&str, &str); 13] = [
    ("Cargo.toml", include_str!("greeter/Cargo.toml.in")),
    ("README.md", include_str!("greeter/README.md")),
    (".gitignore", include_str!("greeter/gitignore")),
    ("rustfmt.toml", include_str!("greeter/rustfmt.toml")),
    ("teneral.toml", include_str!("greeter/teneral.toml")),
    ("schemas.lock", include_str!("greeter/schemas.lock")),
    ("api/Cargo.toml", include_str!("greeter/api/Cargo.toml.in")),
    ("api/src/lib.rs", include_str!("greeter/api/src/lib.rs")),
    ("api/src/v1.rs", include_str!("greeter/api/src/v1.rs")),
    ("v1/Cargo.toml", include_str!("greeter/v1/Cargo.toml.in")),
    ("v1/src/lib.rs", include_str!("greeter/v1/src/lib.rs")),
    ("v1/examples/greeter_v1.rs", include_str!("greeter/v1/examples/greeter_v1.rs")),
    ("v1/tests/greeter.rs", include_str!("greeter/v1/tests/greeter.rs")),
];

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The actor kind: it names the actors (NAME/key), the packages and the library
    name: String,
    /// Where the workspace goes [default: NAME, here]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Where teneral's own crates are: a checkout, or the URL of a git repository, with #REVISION if need be [default:
    /// the sources that this command was built from]
    #[arg(long, value_name = "PATH|URL")]
    teneral: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    kind: String,
    dir: PathBuf,
    files: Vec<String>,
}

/// Something is in the way.
#[derive(Debug, thiserror::Error)]
#[error("{} is there already, and not empty", .0.display())]
struct Exists(PathBuf);

/// Makes the workspace.
///
/// # Errors
/// [`Failure`]: a name that cannot be one, something in the way, no sources, a disk that refuses.
pub(crate) fn run(options: &New) -> Result<ExitCode, Failure> {
    let New { name, path, teneral, json } = options;
    let name = Name::parse(name).map_err(|error| {
        Failure::new("NEW-NAME", &error, "nothing was written", format!("teneral new {}", error.better())).usage()
    })?;
    let dir = path.clone().unwrap_or_else(|| name.kind().into());
    is_free(&dir)?;
    let source = Source::find(teneral.as_deref())?;
    write(&dir, &name, &source)?;
    let files = FILES.iter().map(|(path, _)| name.fill(path)).collect();
    let made = Made { kind: name.kind().to_owned(), dir, files };
    if *json {
        print_json(&made)?
    } else {
        print(next(&made))?
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing, or a directory with nothing in it.
fn is_free(dir: &Path) -> Result<(), Failure> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound && fs::symlink_metadata(dir).is_err(),
    };
    if empty {
        return Ok(());
    }
    let hint = "take another name, or another place: --path DIR";
    Err(Failure::new("NEW-EXISTS", &Exists(dir.to_owned()), "it is as it was", hint).usage())
}

/// Writes all of it beside its place, and moves it there.
fn write(dir: &Path, name: &Name, source: &Source) -> Result<(), Failure> {
    let parent = dir.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let beside = tempfile::Builder::new().prefix(".teneral-new-").tempdir_in(parent);
    let beside = beside.map_err(|error| on_file("write below", parent, error))?;
    // Of the mode that the user's own directories have.
    let whole = beside.path().join("new");
    for (path, text) in FILES {
        let text = if path == "Cargo.toml" { source.fill(text) } else { text.to_owned() };
        put(&whole.join(name.fill(path)), name.fill(&text).as_bytes())?;
    }
    if let Some(lock) = source.lock() {
        put(&whole.join("Cargo.lock"), &lock)?;
    }
    // Over an empty directory, or to where nothing is; whoever was faster is not overwritten.
    fs::rename(&whole, dir).map_err(|error| match error.kind() {
        ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory => {
            Failure::new("NEW-EXISTS", &Exists(dir.to_owned()), "it is as it was", "take another name").usage()
        }
        _ => on_file("write", dir, error),
    })
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    made.map_err(|error| on_file("write", path, error))
}

/// What to type next.
fn next(Made { kind, dir, .. }: &Made) -> String {
    let typed = dir.to_str().filter(|dir| dir.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)));
    let dir = typed.map_or_else(|| format!("'{}'", dir.display().to_string().replace('\'', r"'\''")), str::to_owned);
    format!(
        "a workspace of kind {kind} is in {dir}; next:\n\n  cd {dir}\n  cargo test     # the first time it builds \
         teneral's crates\n  teneral dev    # serves here, and moves the actors to new code at every save\n"
    )
}
