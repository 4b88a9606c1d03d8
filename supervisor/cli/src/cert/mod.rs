//! `teneral cert`: a small certificate authority of one's own, for modules on other machines.
//!
//! Nothing here speaks to a host or over a network: files come out, and whoever has a CA already leaves this be.

mod authority;
mod read;

use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::sign::{Expiry, on_file};
use crate::table::words;
use authority::{Authority, Purpose, Term, Wanted};
use read::Certificate;
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The authority's files, in its directory.
const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";

const NOTHING: &str = "nothing was written";

/// What to do with certificates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a certificate authority: ca.pem, which every machine gets, and ca.key, which stays here
    Init(Init),
    /// Issue a certificate and its key: NAME.pem and NAME.key
    ///
    /// One for a host says by which names or addresses supervisors reach it, and is good for nothing else; one for a
    /// supervisor lets it connect to hosts, and to nobody else.
    Issue(Issue),
    /// Show what certificates say: for whom, by whom, until when
    Show(Show),
}

/// Which authority to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The directory; made if it is not there
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// What it is called
    #[arg(long, value_name = "NAME", default_value = "teneral CA")]
    name: String,
    /// Until when: a date, as in 2037-01-31, or a moment in RFC 3339 [default: in 10 years]
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Which certificate to issue.
#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// For whom
    #[arg(value_enum)]
    purpose: Purpose,
    /// Its name; of a host each name and address by which it is reached
    #[arg(required = true)]
    names: Vec<String>,
    /// The directory of the authority
    #[arg(long, value_name = "DIR", default_value = ".")]
    ca: PathBuf,
    /// The files' name, without their endings [default: its first name]
    #[arg(short, long, value_name = "NAME")]
    output: Option<PathBuf>,
    /// Until when: a date, as in 2027-01-31, or a moment in RFC 3339 [default: in a year]
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// In place of files that are there, as for a certificate that is about to expire
    #[arg(long)]
    replace: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Files of certificates, in PEM
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print a list of JSON objects
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: files that cannot be read, made or meant.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(options) => init(options),
        Command::Issue(options) => issue(options),
        Command::Show(options) => show(options),
    }
}

/// Files that were written.
#[derive(Debug, Serialize)]
struct Written {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(flatten)]
    says: Certificate,
}

fn init(Init { dir, name, expires, json }: &Init) -> Result<ExitCode, Failure> {
    fs::create_dir_all(dir).map_err(|source| on_file("make", dir, source))?;
    let made = authority::root(name, Term::of(expires.as_ref(), Term::AUTHORITY)?)?;
    write(&made, (dir.join(CA_CERTIFICATE), dir.join(CA_KEY)), Existing::Kept, *json)
}

fn issue(options: &Issue) -> Result<ExitCode, Failure> {
    let Issue { purpose, names, ca, output, expires, replace, json } = options;
    let authority = Authority::read((&ca.join(CA_CERTIFICATE), &ca.join(CA_KEY)))?;
    let term = Term::of(expires.as_ref(), Term::LEAF)?;
    let made = authority.issue(&Wanted { purpose: *purpose, names, term })?;
    let stem = output.clone().unwrap_or_else(|| PathBuf::from(names.first().map_or("certificate", String::as_str)));
    let with = |ending: &str| {
        let mut path = stem.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let existing = if *replace { Existing::Replaced } else { Existing::Kept };
    write(&made, (with(".pem"), with(".key")), existing, *json)
}

/// What becomes of files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Kept,
    Replaced,
}

/// A certificate and its key, as their files have them.
#[derive(Debug)]
struct Made {
    certificate: String,
    key: String,
}

/// Writes both, the key for this user alone, and says what they are.
fn write(
    made: &Made,
    (certificate, key): (PathBuf, PathBuf),
    existing: Existing,
    json: bool,
) -> Result<ExitCode, Failure> {
    let files = [(&key, 0o600, &made.key), (&certificate, 0o644, &made.certificate)];
    if existing == Existing::Kept {
        // Looked for before either is made: a key whose certificate was not written is of no use.
        for (path, ..) in &files {
            if path.symlink_metadata().is_ok() {
                let source = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(on_file("make", path, source).standing(format!("{NOTHING}; what is there stays")));
            }
        }
    }
    for (path, mode, text) in files {
        placed(path, mode, text, existing).map_err(|source| on_file("make", path, source))?;
    }
    let says = read::all(&made.certificate, &certificate)?.pop();
    let Some(says) = says else { return Ok(ExitCode::SUCCESS) };
    let written = Written { certificate, key, says };
    if json {
        print_json(&written)?;
    } else {
        let files = [("certificate", &written.certificate), ("key", &written.key)];
        let mut rows = files.map(|(name, path)| vec![name.to_owned(), path.display().to_string()]).to_vec();
        rows.extend(written.says.rows());
        print(words(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whole or not at all: whoever reads it meanwhile reads the one before.
fn placed(path: &Path, mode: u32, text: &str, existing: Existing) -> io::Result<()> {
    let write = |path: &Path| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    if existing == Existing::Kept {
        return write(path);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    write(&beside).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        // What could not be put in place is nobody's.
        let _ = fs::remove_file(&beside);
    })
}

fn show(Show { files, json }: &Show) -> Result<ExitCode, Failure> {
    let mut shown = Vec::new();
    for path in files {
        let text = fs::read_to_string(path).map_err(|source| on_file("read", path, source))?;
        shown.extend(read::all(&text, path)?);
    }
    if *json {
        print_json(&shown)?;
    } else {
        let all: Vec<String> = shown.iter().map(|one| words(&one.rows())).collect();
        print(all.join("\n"))?;
    }
    // Something is off with one that is over.
    let is_over = shown.iter().any(Certificate::is_over);
    Ok(if is_over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
