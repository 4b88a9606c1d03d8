//! The host's side of a trial process: start it, speak to it within a deadline, and say how it ended.

use super::program::{self, TrialProgram};
use super::wire::{self, Order, PROTOCOL, Rehearse, Stage, Told, Word};
use super::{Bounds, Crash, How, TrialError};
use crate::error::Refused;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use teneral_loader::{Confinement, Policy, Release};
use teneral_runtime::ports::Fault;

/// Of what a trial process wrote, so much is read: the end.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// What it may write besides copies of the libraries.
const FILE_BYTES_BESIDES: u64 = 1 << 20;

/// How often is asked whether anybody still wants to know.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Whether anybody still wants to know what a trial says.
pub(crate) type Going = Rc<dyn Fn() -> bool>;

/// Nobody does.
#[derive(Debug, thiserror::Error)]
#[error("nobody wants to know any more")]
pub(super) struct CalledOff;

/// A trial process; killed when this is dropped.
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    output: File,
    /// How long the output was when it was last asked for something: what came before is of another rehearsal.
    output_from: u64,
    stage: Stage,
    bounds: Bounds,
    going: Going,
    ended: bool,
}

/// What a rehearsal came to, when the process lived to tell.
pub(super) enum Answer {
    Rehearsed(Told),
    Faulted(Stage, Fault),
    Refused(Refused),
}

impl Process {
    /// Starts one, and waits for its first word.
    pub(super) fn start(
        program: &TrialProgram,
        bounds: Bounds,
        policy: &Policy,
        going: &Going,
    ) -> Result<Self, TrialError> {
        let path = program.find()?;
        let not_started = |error: io::Error| TrialError::NotStarted(format!("{}: {error}", path.display()));
        let (socket, theirs) = UnixStream::pair().map_err(not_started)?;
        let output = File::from(
            rustix::fs::memfd_create("trial-output", MemfdFlags::CLOEXEC).map_err(|error| not_started(error.into()))?,
        );
        let copy = || output.try_clone().map(Stdio::from).map_err(not_started);
        let limits = Confinement {
            host: i32::try_from(std::process::id()).unwrap_or(0),
            memory_bytes_max: bounds.memory_bytes_max,
            cpu_seconds_max: bounds.cpu_seconds_max(),
            file_bytes_max: policy.bytes_max.saturating_add(FILE_BYTES_BESIDES),
        };
        let mut command = Command::new(&path);
        command.args(limits.words(program::ASKED)).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(copy()?).stderr(copy()?);
        let child = program::spawn(command).map_err(not_started)?;
        let (stage, going) = (Stage::Start, Rc::clone(going));
        let mut process = Self { child, socket, output, output_from: 0, stage, bounds, going, ended: false };
        let deadline = Instant::now() + bounds.timeout;
        match process.hear(deadline)? {
            Word::Hello { protocol: PROTOCOL, version } if version == env!("CARGO_PKG_VERSION") => {}
            Word::Hello { protocol, version } => {
                let found = format!("{} is teneral {version}, trial protocol {protocol}", path.display());
                let wanted = env!("CARGO_PKG_VERSION");
                return Err(TrialError::NotStarted(format!("{found}; this host is {wanted}, protocol {PROTOCOL}")));
            }
            Word::Refused(refused) => return Err(TrialError::Refused(refused)),
            other => return Err(process.babbled(&other)),
        }
        process.order(&Order::Policy(Box::new(policy.clone())), &[], deadline)?;
        Ok(process)
    }

    /// Loads a library there.
    pub(super) fn load(&mut self, release: &Release, bytes: &[u8]) -> Result<(), TrialError> {
        let deadline = Instant::now() + self.bounds.timeout;
        self.order(&Order::Load { release: release.clone() }, bytes, deadline)?;
        loop {
            match self.hear(deadline)? {
                Word::At(stage) => self.stage = stage,
                Word::Loaded { digest } if digest == release.digest => return Ok(()),
                Word::Refused(refused) => return Err(TrialError::Refused(refused)),
                other => return Err(self.babbled(&other)),
            }
        }
    }

    /// Rehearses there.
    pub(super) fn rehearse(&mut self, rehearse: &Rehearse, state: &[u8]) -> Result<Answer, TrialError> {
        let deadline = Instant::now() + self.bounds.timeout;
        self.order(&Order::Rehearse(Box::new(rehearse.clone())), state, deadline)?;
        loop {
            match self.hear(deadline)? {
                Word::At(stage) => self.stage = stage,
                Word::Rehearsed(told) => return Ok(Answer::Rehearsed(told)),
                Word::Faulted(fault) => return Ok(Answer::Faulted(self.stage, fault)),
                Word::Refused(refused) => return Ok(Answer::Refused(refused)),
                other => return Err(self.babbled(&other)),
            }
        }
    }

    /// The end of what it wrote to its standard output and error since it was last asked for something.
    pub(super) fn output(&self) -> String {
        let end = self.output_bytes();
        let from = self.output_from.max(end.saturating_sub(OUTPUT_BYTES_MAX));
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
        // At a place of our own: where the process writes next is the file's one place, and must stay where it is. A
        // memory file of ours that cannot be read has nothing to say.
        let read = self.output.read_at(&mut bytes, from).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    fn output_bytes(&self) -> u64 {
        self.output.metadata().map_or(0, |file| file.len())
    }

    fn order(&mut self, order: &Order, body: &[u8], deadline: Instant) -> Result<(), TrialError> {
        self.output_from = self.output_bytes();
        let written = wire::write(&mut self.within(deadline), order, body);
        written.map_err(|error| self.silent(&error))
    }

    fn hear(&mut self, deadline: Instant) -> Result<Word, TrialError> {
        match wire::read(&mut self.within(deadline), 0) {
            Ok((word, _)) => Ok(word),
            Err(error) => Err(self.silent(&error)),
        }
    }

    fn within(&self, deadline: Instant) -> Within<'_> {
        Within { socket: &self.socket, deadline, going: &*self.going }
    }

    fn babbled(&mut self, word: &Word) -> TrialError {
        self.end();
        TrialError::Babbled(format!("it said {word:?} while {}", self.stage.doing()))
    }

    /// It does not answer: it hangs, or it is dead, and then its end says of what.
    fn silent(&mut self, error: &io::Error) -> TrialError {
        if error.get_ref().is_some_and(|error| error.is::<CalledOff>()) {
            self.end();
            return TrialError::CalledOff;
        }
        let late = is_late(error);
        let dead = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        );
        let status = self.end();
        let output = self.output();
        if !late && !dead {
            return TrialError::Babbled(format!("{error}, while {}", self.stage.doing()));
        }
        let how = match status {
            // Planted: how it died is nobody's business.
            Some(_) if cfg!(feature = "bug-f15") => How::Gone,
            _ if late => How::Hung(self.bounds.timeout),
            Some(status) => match (status.signal(), status.code()) {
                (Some(signal), _) if signal == Signal::ABORT.as_raw() => match abort_of(&output) {
                    Some(Abort::Memory) => How::Memory(self.bounds.memory_bytes_max),
                    Some(Abort::Overflow) => How::Overflow,
                    None => How::Signal(signal),
                },
                (Some(signal), _) => How::Signal(signal),
                (None, Some(code)) => How::Exit(code),
                (None, None) => How::Gone,
            },
            None => How::Gone,
        };
        let (stage, said) = (self.stage, last_line(&output));
        if stage == Stage::Start {
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            return TrialError::NotStarted(format!("the trial process {how} before its first word{said}"));
        }
        TrialError::Crashed(Crash { stage, how, said })
    }

    /// Ends it with all that it started, and says how it ended. A process that was dying already keeps its own end: its
    /// socket is closed after its fate is sealed.
    fn end(&mut self) -> Option<std::process::ExitStatus> {
        if self.ended {
            return None;
        }
        self.ended = true;
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Nobody is there any more: so be it.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        // By itself too: code that runs there may have taken it to another group, and the wait has no end but its own.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A socket on which every read and write is over at the deadline, and soon after nobody wants to know any more.
struct Within<'a> {
    socket: &'a UnixStream,
    deadline: Instant,
    going: &'a dyn Fn() -> bool,
}

impl Within<'_> {
    /// How long to wait before this is asked again.
    fn turn(&self) -> io::Result<Duration> {
        if !(self.going)() {
            return Err(io::Error::other(CalledOff));
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.min(TICK)) }
    }
}

impl Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(self.turn()?))?;
            match self.socket.read(buffer) {
                Err(error) if is_late(&error) => {}
                done => return done,
            }
        }
    }
}

impl io::Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.set_write_timeout(Some(self.turn()?))?;
            match self.socket.write(bytes) {
                Err(error) if is_late(&error) => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What Rust itself aborts for, and says so.
#[derive(Debug, PartialEq, Eq)]
enum Abort {
    Memory,
    Overflow,
}

/// Whose words the last ones before an abort are, if they are Rust's own.
fn abort_of(output: &str) -> Option<Abort> {
    output.lines().rev().take(ABORT_LINES_MAX).find_map(|line| {
        let memory = line.strip_prefix("memory allocation of ").and_then(|rest| rest.strip_suffix(" bytes failed"));
        let overflow = line.starts_with("fatal runtime error: stack overflow")
            || (line.starts_with("thread '") && line.ends_with("' has overflowed its stack"));
        match (memory, overflow) {
            (Some(bytes), _) if bytes.chars().all(|c| c.is_ascii_digit()) => Some(Abort::Memory),
            (_, true) => Some(Abort::Overflow),
            _ => None,
        }
    })
}

/// Rust says it in its last few lines.
const ABORT_LINES_MAX: usize = 4;

/// What Rust adds to whatever it says at an end: how to see more is nothing that happened.
const ASIDE: &str = "note: run with `RUST_BACKTRACE";

/// The last line that says something.
pub(super) fn last_line(output: &str) -> Option<String> {
    let line = output.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with(ASIDE))?;
    Some(line.chars().filter(|c| !c.is_control()).take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rusts_own_last_words_say_what_an_abort_was_for() {
        assert_eq!(abort_of("memory allocation of 1048576 bytes failed\n"), Some(Abort::Memory));
        let overflow = "\nthread 'main' (7) has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
        assert_eq!(abort_of(overflow), Some(Abort::Overflow));
        assert_eq!(abort_of("I am afraid of a stack overflow\n"), None);
        assert_eq!(abort_of("the memory allocation of 5 bytes failed me\n"), None);
        let long_ago = format!("memory allocation of 5 bytes failed\n{}", "another word\n".repeat(ABORT_LINES_MAX));
        assert_eq!(abort_of(&long_ago), None);
    }
}
