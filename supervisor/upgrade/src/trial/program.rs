//! Which program a trial process runs, and the thread that starts them.
//!
//! A process that begins with [`trial_hook`] starts itself again, from the very file that it runs: so host and trial
//! are one build. Else the `teneral` binary does it: the one that [`TrialProgram::at`] names, or `teneral` beside this
//! program, or the first one in `PATH`; its first word says whether it is of the same version.

use super::child;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use teneral_loader::Confinement;

/// The word by which a program knows that it is a trial process.
pub(super) const ASKED: &str = "--teneral-trial";

/// Whether `main` begins with [`trial_hook`].
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Call it first thing in `main`, also in an `async` one: before arguments are read. In a trial process, which the host
/// starts from this same program, it does that process's work and never returns; everywhere else it returns at once,
/// and the host knows that it may start itself.
pub fn trial_hook() {
    HOOKED.store(true, Ordering::Relaxed);
    if !Confinement::is_asked(ASKED) {
        return;
    }
    let Some(limits) = Confinement::of_words() else {
        eprintln!("{ASKED} is said by a host to a process of its own");
        std::process::exit(2);
    };
    let ended = child::serve(&limits);
    if let Err(error) = &ended {
        eprintln!("the trial's host does not listen: {error}");
    }
    std::process::exit(i32::from(ended.is_err()));
}

/// Where the program of trial processes comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrialProgram {
    /// As the module says.
    #[default]
    ByRule,
    /// This `teneral`.
    At(PathBuf),
}

/// No program can do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoProgram(String);

impl TrialProgram {
    /// The program to start.
    ///
    /// # Errors
    /// [`NoProgram`]: where it was looked for.
    pub fn find(&self) -> Result<PathBuf, NoProgram> {
        match self {
            Self::At(path) if is_program(path) => Ok(path.clone()),
            Self::At(path) => Err(NoProgram(format!("{} is no program that this user may run", path.display()))),
            Self::ByRule if HOOKED.load(Ordering::Relaxed) => Ok(PathBuf::from("/proc/self/exe")),
            Self::ByRule => {
                let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("teneral")));
                let path = std::env::var_os("PATH").unwrap_or_default();
                let in_path = std::env::split_paths(&path).map(|dir| dir.join("teneral"));
                beside.into_iter().chain(in_path).find(|found| is_program(found)).ok_or_else(|| {
                    NoProgram("main does not call trial_hook(), and no teneral is beside it or in PATH".to_owned())
                })
            }
        }
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Starts a process on a thread that lives as long as this one does: the kernel's death signal follows the thread that
/// started a process, not its process.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<(Command, Sender<io::Result<Child>>)>> = OnceLock::new();
    let (answer, started) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let starter = match STARTER.get() {
        Some(starter) => starter,
        None => {
            let (sender, orders) = mpsc::channel::<(Command, Sender<io::Result<Child>>)>();
            std::thread::Builder::new().name("teneral-starter".to_owned()).spawn(move || {
                for (mut command, answer) in orders {
                    // Whoever asked is gone: then nobody has the process, and it ends with its socket.
                    let _ = answer.send(command.spawn());
                }
            })?;
            STARTER.get_or_init(|| sender)
        }
    };
    starter.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}
