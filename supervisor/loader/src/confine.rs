//! A process that is about to run code which nobody has tried yet binds its own hands first.
//!
//! It dies with its host, has no file open but its own three, gains no privilege, writes no core, starts no other
//! process, which would outlive it and have bounds of its own, and what it allocates or computes has a bound. That
//! keeps accidents small. It is no sandbox: signed code may still do whatever else its user may (the README says so),
//! and what keeps a hostile module in is the process tier with Landlock and a stricter filter of its calls.

use rustix::process::{self, Pid, Resource, Rlimit, Signal};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What a confined process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// The process that it dies with.
    pub host: i32,
    /// Address space that it may have besides what it has already, in bytes.
    pub memory_bytes_max: u64,
    /// Processor time in all, in seconds.
    pub cpu_seconds_max: u64,
    /// Largest file that it may write, memory files with it, in bytes.
    pub file_bytes_max: u64,
}

impl Confinement {
    /// The words that a process is started with which is to confine itself so: by the first it knows what it is for.
    #[must_use]
    pub fn words(&self, asked: &str) -> Vec<OsString> {
        let host = u64::from(self.host.unsigned_abs());
        let numbers = [host, self.memory_bytes_max, self.cpu_seconds_max, self.file_bytes_max];
        std::iter::once(asked.to_owned()).chain(numbers.iter().map(u64::to_string)).map(OsString::from).collect()
    }

    /// Whether this process was started with that first word.
    #[must_use]
    pub fn is_asked(asked: &str) -> bool {
        std::env::args_os().nth(1).as_deref() == Some(OsStr::new(asked))
    }

    /// What the words after the first say. `None`: no host has written them.
    #[must_use]
    pub fn of_words() -> Option<Self> {
        let words = std::env::args_os().skip(2);
        let numbers: Vec<u64> = words.filter_map(|word| word.to_str()?.parse().ok()).collect();
        let [host, memory_bytes_max, cpu_seconds_max, file_bytes_max] = numbers[..] else { return None };
        let host = i32::try_from(host).unwrap_or(0);
        Some(Self { host, memory_bytes_max, cpu_seconds_max, file_bytes_max })
    }
}

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The process that was to die with its host has none.
    #[error("the host, process {0}, is gone")]
    Orphan(i32),
    /// The kernel refused one of the bounds.
    #[error("{what}: {text}")]
    Refused {
        /// Which.
        what: &'static str,
        /// What the kernel said.
        text: String,
    },
}

/// Confines this process for the rest of its life. The first thing that it does of its own; it may have threads.
///
/// # Errors
/// [`ConfineError`]: then nothing may be loaded.
pub fn confine(limits: &Confinement) -> Result<(), ConfineError> {
    bind(limits, Becomes::Nothing)
}

/// The same for a process that is about to become another program, which is bound as this one is: it may become
/// another one itself, and start none.
///
/// # Errors
/// [`ConfineError`]: then nothing may be run.
pub fn confine_program(limits: &Confinement) -> Result<(), ConfineError> {
    bind(limits, Becomes::Programs)
}

/// Whether a process may become another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    Nothing,
    Programs,
}

fn bind(limits: &Confinement, becomes: Becomes) -> Result<(), ConfineError> {
    let refused =
        |what: &'static str| move |text: std::io::Error| ConfineError::Refused { what, text: text.to_string() };
    process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| refused("dying with the host")(error.into()))?;
    // Asked for first and looked at then: a host that died in between would never be seen to die.
    if process::getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(limits.host) {
        return Err(ConfineError::Orphan(limits.host));
    }
    close_inherited().map_err(refused("closing what was inherited"))?;
    set_no_new_privs(true).map_err(|error| refused("no new privileges")(error.into()))?;
    let mapped = address_space().map_err(refused("reading the address space"))?;
    // What is too much to add up is no bound.
    let memory = mapped.saturating_add(limits.memory_bytes_max);
    let limits = [
        ("no core", Resource::Core, 0, 0),
        ("address space", Resource::As, memory, memory),
        // One second apart: the first is a signal that says what happened, the second is the end.
        ("processor time", Resource::Cpu, limits.cpu_seconds_max, limits.cpu_seconds_max.saturating_add(1)),
        ("file size", Resource::Fsize, limits.file_bytes_max, limits.file_bytes_max),
        ("open files", Resource::Nofile, OPEN_FILES_MAX, OPEN_FILES_MAX),
    ];
    for (what, resource, current, maximum) in limits {
        // What the host itself may not go over, it cannot hand on either.
        let inherited = process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limit = Rlimit { current: Some(current.min(inherited)), maximum: Some(maximum.min(inherited)) };
        process::setrlimit(resource, limit).map_err(|error| refused(what)(error.into()))?;
    }
    stay_alone(becomes).map_err(|error| refused("no other process")(std::io::Error::other(error)))
}

/// From here on this process starts threads and no process, and becomes no other program unless it may: what tries is
/// told EPERM. Holds for all of its threads, and for what it becomes.
fn stay_alone(becomes: Becomes) -> Result<(), seccompiler::Error> {
    // What `clone3` is asked for lies in memory, where no filter can look; without it the C library takes `clone`.
    let unseen = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let no_thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(libc::CLONE_THREAD.unsigned_abs().into()),
        0,
    )?;
    let mut other = BTreeMap::from([(libc::SYS_clone, vec![SeccompRule::new(vec![no_thread])?])]);
    if becomes == Becomes::Nothing {
        other.extend([(libc::SYS_execve, Vec::new()), (libc::SYS_execveat, Vec::new())]);
    }
    #[cfg(target_arch = "x86_64")]
    other.extend([(libc::SYS_fork, Vec::new()), (libc::SYS_vfork, Vec::new())]);
    for (calls, error) in [(unseen, libc::ENOSYS), (other, libc::EPERM)] {
        let refuse = SeccompAction::Errno(error.unsigned_abs());
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
        seccompiler::apply_filter_all_threads(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// Files open at once: its own, the copies of the libraries, and the loader's.
const OPEN_FILES_MAX: u64 = 128;

/// What the process has mapped, in bytes.
fn address_space() -> std::io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// Closes what was inherited, and nothing else: what outlives an `exec` is not marked to be closed by it, and all that
/// this process has opened since, tokio's own files too, is.
fn close_inherited() -> std::io::Result<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > libc::STDERR_FILENO);
    for number in numbers.collect::<Vec<libc::c_int>>() {
        // SAFETY: asks the kernel for the flags of a number, which may be nobody's.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: it was there before this program began, so nothing in it owns that descriptor: Rust's own library
            // and tokio mark all that they open.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}
