//! A process of this machine: started, recognised, and ended with all that it started.

use super::ModuleError;
use super::process::{LOOK, Launch};
use crate::LISTEN;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A process that is ended with all that it started, whoever drops it.
pub(crate) struct Ends(Child);

impl Ends {
    /// Starts it.
    ///
    /// # Errors
    /// [`ModuleError::NotStarted`].
    pub(crate) fn start(launch: &Launch) -> Result<Self, ModuleError> {
        let program = launch.program.display().to_string();
        let not_started = |source| ModuleError::NotStarted { program: program.clone(), source };
        let mut command = Command::new(&launch.program);
        let listen = format!("unix:{}", launch.socket.display());
        command.args(&launch.args).env_clear().env(LISTEN, listen).current_dir("/").process_group(0);
        let output = || launch.output.try_clone().map_err(not_started);
        command.kill_on_drop(true).stdin(Stdio::piped()).stdout(output()?).stderr(output()?);
        command.spawn().map(Self).map_err(not_started)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
    }

    pub(crate) fn kill(&self) {
        // Gone already: so be it.
        let _ = Pid::from_raw(self.pid()).map(|group| kill_process_group(group, Signal::KILL));
    }

    /// Waits until it has ended. A cancelled future has lost nothing.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// Gives it what it reads, and waits until it listens, and looks who does.
    ///
    /// # Errors
    /// [`ModuleError`]: it has ended, or somebody else listens.
    pub(crate) async fn listens(&mut self, input: &[u8], socket: &Path) -> Result<(), ModuleError> {
        if let Some(mut stdin) = self.0.stdin.take() {
            // Who ends instead of reading says why by its end.
            let _ = stdin.write_all(input).await;
        }
        let started = self.pid();
        loop {
            self.has_not_ended()?;
            match UnixStream::connect(socket).await {
                Ok(stream) => {
                    let found = stream.peer_cred().map_err(ModuleError::Socket)?.pid().unwrap_or(0);
                    return if found == started { Ok(()) } else { Err(ModuleError::Stranger { found, started }) };
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                    sleep(LOOK).await;
                }
                Err(error) => return Err(ModuleError::Socket(error)),
            }
        }
    }

    /// # Errors
    /// [`ModuleError::Ended`]: it has.
    pub(crate) fn has_not_ended(&mut self) -> Result<(), ModuleError> {
        match self.0.try_wait().map_err(ModuleError::Socket)? {
            Some(ended) => Err(ModuleError::Ended { ended: how(ended) }),
            None => Ok(()),
        }
    }

    /// That it ended, if that is why it does not answer.
    pub(crate) async fn ended_instead(&mut self) -> Option<ModuleError> {
        // Its socket is closed a moment before it can be waited for.
        let ended = timeout(Duration::from_millis(200), self.0.wait()).await.ok()?.ok()?;
        Some(ModuleError::Ended { ended: how(ended) })
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn how(ended: ExitStatus) -> String {
    match (ended.code(), ended.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "nobody knows how".to_owned(),
    }
}
