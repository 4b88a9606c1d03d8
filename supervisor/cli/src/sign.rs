//! `teneral key`, `sign` and `verify`: what authors and operators do with files, on their own machines.

use crate::artifact::gate;
use crate::failure::Failure;
use crate::host::key;
use crate::output::{print, print_json};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use teneral::Digest;
use teneral::loader::Release;
use teneral::trust::{
    self, KeyPurpose, Profile, PublicKey, ReleaseFile, SecretKey, Signed, Timestamp, TrustError, TrustedKey, Vouched,
};
use teneral::trusted::{read_beside, release_path, signature_path};

/// The variable that holds a secret key's password, for scripts.
const PASSWORD: &str = "TENERAL_KEY_PASSWORD";

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key: NAME.key, which stays with you, and NAME.pub, which hosts are told to trust
    ///
    /// The files are minisign's. A password is asked for, or taken from TENERAL_KEY_PASSWORD.
    Generate(Generate),
    /// List the keys whose signatures a host accepts
    List(key::List),
    /// Have a host accept a key's signatures
    Trust(key::TrustOptions),
    /// Have a host accept a key's signatures no longer
    Distrust(key::Distrust),
}

/// Which key to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// The files' name, without their endings
    name: PathBuf,
    /// Guard the key by nothing but the mode of its file
    #[arg(long)]
    no_password: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to sign.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The library; FILE.release and FILE.release.minisig are written beside it
    file: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE.key")]
    key: PathBuf,
    /// Until when the release may be brought to a host: a date, as in 2027-01-31, or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// The release set that it belongs to
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The library, with FILE.release and FILE.release.minisig beside it
    file: PathBuf,
    /// A public key that may have signed it; may be given several times
    #[arg(long, value_name = "FILE.pub", required = true)]
    key: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A moment to come; of a date, its end in universal time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry(pub(crate) Timestamp);

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = if text.contains('T') { text.to_owned() } else { format!("{text}T23:59:59Z") };
        let parsed = moment.parse::<Timestamp>();
        let moment =
            parsed.map_err(|_| "write a date, as in 2027-01-31, or a moment, as in 2027-01-31T12:00:00Z".to_owned())?;
        if moment <= Timestamp::now() {
            return Err(format!("that is over: it would expire at {moment}, before anybody could use it"));
        }
        Ok(Self(moment))
    }
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
struct FileError {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

pub(crate) fn on_file(act: &'static str, path: &Path, source: std::io::Error) -> Failure {
    let full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let error = FileError { act, path: path.to_owned(), source };
    let now = match act {
        "read" => "nothing was done",
        _ => "it may be there in part; nothing else was written after it",
    };
    // Nothing was wrong with what was typed where the disk has no room for it.
    match full {
        true => Failure::new("CLI-FILE", &error, now, "make room on that disk, and ask for it again"),
        false => Failure::new("CLI-FILE", &error, now, "look at the path and at its permissions").usage(),
    }
}

pub(crate) fn not_trusted(error: &TrustError) -> Failure {
    let now = match error.code() {
        "TRUST-SECRET" => "nothing was signed, and no key was made",
        "TRUST-PUBLIC" => "nothing was checked",
        _ => "nothing of the library has run",
    };
    Failure::new(error.code(), error, now, error.hint())
}

/// Runs a command about keys.
///
/// # Errors
/// [`Failure`]: a file that is there already, or cannot be written; a key that cannot be made.
pub(crate) fn key(command: &KeyCommand) -> Result<ExitCode, Failure> {
    match command {
        KeyCommand::Generate(options) => generate(options),
        KeyCommand::List(options) => key::list(options),
        KeyCommand::Trust(options) => key::trust(options),
        KeyCommand::Distrust(options) => key::distrust(options),
    }
}

fn generate(options: &Generate) -> Result<ExitCode, Failure> {
    let with = |ending: &str| {
        let mut path = options.name.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let (secret_path, public_path) = (with(".key"), with(".pub"));
    let password = if options.no_password { None } else { Some(password("Password for the new key: ", true)?) };
    let (key, files) = SecretKey::generate(password.as_deref()).map_err(|error| not_trusted(&error))?;
    // Never over a key that is there: what it signed could not be signed again.
    let make = |path: &Path, mode: u32, text: &str| {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|source| on_file("make", path, source))
    };
    make(&secret_path, 0o600, &files.secret)?;
    make(&public_path, 0o644, &files.public)?;
    let id = key.public().map_err(|error| not_trusted(&error))?.id();
    if options.json {
        let key = serde_json::json!({ "id": id.to_string(), "secret": secret_path, "public": public_path });
        print_json(&key)?;
    } else {
        print(format_args!("key {id}\nsecret {}\npublic {}\n", secret_path.display(), public_path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a password; of a new key twice.
fn password(prompt: &str, new: bool) -> Result<String, Failure> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        let error = TrustError::Password("it wants a password, and there is no terminal to ask at".to_owned());
        let hint = match new {
            true => format!("put it into {PASSWORD}, or guard the key by its file's mode alone: --no-password"),
            false => format!("put it into {PASSWORD}"),
        };
        return Err(not_trusted(&error).hinting(&hint));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|source| on_file("ask at", "the terminal".as_ref(), source))
    };
    let typed = ask(prompt)?;
    if new && ask("The same again: ")? != typed {
        return Err(not_trusted(&TrustError::Password("the two are not the same".to_owned())));
    }
    Ok(typed)
}

/// Writes the release file of a library and signs it.
///
/// # Errors
/// [`Failure`]: the library is refused by the gate, the key cannot be used, or a file cannot be written.
pub(crate) fn sign(options: &Sign) -> Result<ExitCode, Failure> {
    let read = fs::read_to_string(&options.key).map_err(|source| on_file("read", &options.key, source))?;
    let wants = SecretKey::wants_password(&read).map_err(|error| not_trusted(&error))?;
    let verified =
        gate().verify(&options.file, None).map_err(|error| crate::artifact::failed(&options.file, &error))?;
    let mut release = ReleaseFile::of(verified.manifest(), verified.digest(), verified.bytes());
    (release.expires, release.set) = (options.expires.map(|Expiry(moment)| moment), options.set.clone());
    let password = if wants { Some(password("Password: ", false)?) } else { None };
    let key = SecretKey::open(&read, password.as_deref()).map_err(|error| not_trusted(&error))?;
    let comment = format!("{} {} sha256 {}", release.kind, release.version, release.sha256);
    let bytes = release.to_bytes().map_err(|error| not_trusted(&error))?;
    let Signed { release: bytes, signature } = key.sign(bytes, &comment).map_err(|error| not_trusted(&error))?;
    let path = release_path(&options.file);
    let put = |path: &Path, bytes: &[u8]| {
        let written = File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(|source| on_file("write", path, source))
    };
    put(&path, &bytes)?;
    put(&signature_path(&path), signature.as_bytes())?;
    let id = key.public().map_err(|error| not_trusted(&error))?.id();
    if options.json {
        print_json(&serde_json::json!({ "key": id.to_string(), "file": path, "release": release }))?;
    } else {
        print(format_args!("signed {} {} with key {id}\n{}\n", release.kind, release.version, path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct Verdict {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<ReleaseFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    code: String,
    cause: String,
}

/// Checks a library, its release file and its signature.
///
/// # Errors
/// [`Failure`]: a key cannot be read, nobody of the named signed it, or the gate refuses it.
pub(crate) fn verify(options: &Verify) -> Result<ExitCode, Failure> {
    let checked = keys(&options.key).and_then(|keys| check(&options.file, &keys));
    if options.json {
        let verdict = match &checked {
            Ok(Vouched { release, key }) => Verdict {
                file: options.file.display().to_string(),
                ok: true,
                sha256: Some(release.sha256),
                release: Some(release.clone()),
                key: Some(key.to_string()),
                refused: None,
            },
            Err(failure) => Verdict {
                file: options.file.display().to_string(),
                ok: false,
                release: None,
                key: None,
                sha256: None,
                refused: Some(Refused { code: failure.code().to_owned(), cause: failure.cause() }),
            },
        };
        print_json(&verdict)?;
    }
    let Vouched { release, key } = checked?;
    if !options.json {
        let ReleaseFile { kind, version, sha256, .. } = release;
        print(format_args!("{}: {kind} {version}, signed by key {key}\nsha256 {sha256}\n", options.file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn keys(files: &[PathBuf]) -> Result<Vec<TrustedKey>, Failure> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|source| on_file("read", path, source))?;
        let public = PublicKey::parse(&text).map_err(|error| not_trusted(&error))?;
        let (name, by) = (path.display().to_string(), "the command".to_owned());
        let (purpose, added) = (KeyPurpose::Release, Timestamp::now());
        Ok(TrustedKey { public, name, purpose, added, by, expires: None })
    };
    files.iter().map(read).collect()
}

fn check(file: &Path, keys: &[TrustedKey]) -> Result<Vouched, Failure> {
    let now = Timestamp::now();
    let trusted = || -> Result<Vouched, TrustError> {
        let signed = read_beside(file)?.ok_or(TrustError::Unsigned)?;
        trust::vouch(&signed, keys, Profile::Production, now)
    };
    let vouched = trusted().map_err(|error| not_trusted(&error))?;
    let ReleaseFile { kind, version, sha256, .. } = &vouched.release;
    let record = Release { kind: kind.clone(), version: version.clone(), digest: *sha256 };
    let verified = gate().verify(file, Some(&record)).map_err(|error| crate::artifact::failed(file, &error))?;
    let about = vouched.release.is_about(verified.manifest(), verified.digest(), verified.bytes());
    about.and_then(|()| vouched.release.is_current(now)).map_err(|error| not_trusted(&error))?;
    Ok(vouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_mistake_of_whoever_typed_the_command() {
        let full = on_file("write", Path::new("a.key"), ErrorKind::StorageFull.into());
        assert_eq!(full.to_json()["hint"], "make room on that disk, and ask for it again");
        assert_eq!(full.report(), ExitCode::from(1));
        let denied = on_file("write", Path::new("a.key"), ErrorKind::PermissionDenied.into());
        assert_eq!(denied.report(), ExitCode::from(2));
    }
}
