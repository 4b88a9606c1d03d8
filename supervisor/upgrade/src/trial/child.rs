//! The trial process itself: binds its hands, loads, rehearses, and says each time what it is about to do.
//!
//! It speaks over its standard input, which is a socket. Whatever else is written here goes to the output that the host
//! keeps for the author.

use super::walk::{Stop, Walk};
use super::wire::{self, Order, PROTOCOL, Rehearse, Stage, Word};
use crate::error::{Refused, chain};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::Digest;
use teneral_loader::{Confinement, Gate, Loader, LoaderLimits, Release, UnsignedRecord, confine};
use teneral_runtime::ports::Provider;

/// A library or a state is larger only if nobody looked.
const BODY_BYTES_MAX: u64 = 4 << 30;

/// Serves one host until it hangs up. Its hands are bound before it reads a word.
///
/// # Errors
/// What the socket says; the process then has nobody to tell it to.
pub(super) fn serve(limits: &Confinement) -> io::Result<()> {
    let confined = confine(limits);
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut trial = Trial { socket, loader: Loader::new(), codes: BTreeMap::new(), gate: None };
    if let Err(error) = confined {
        return trial.refuse("UPG-TRIAL-CONFINE", chain(&error), "look at this machine's limits, or skip the trial");
    }
    trial.say(&Word::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })?;
    loop {
        let (order, body): (Order, Vec<u8>) = match wire::read(&mut trial.socket, BODY_BYTES_MAX) {
            Ok(order) => order,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        match order {
            Order::Policy(policy) => trial.gate = Some(Gate { policy: *policy, trust: UnsignedRecord }),
            Order::Load { release } => trial.load(&release, body)?,
            Order::Rehearse(rehearse) => trial.rehearse(&rehearse, &body)?,
        }
    }
}

struct Trial {
    socket: UnixStream,
    loader: Loader,
    codes: BTreeMap<Digest, Arc<dyn Provider>>,
    /// What the host's own gate goes by.
    gate: Option<Gate<UnsignedRecord>>,
}

impl Trial {
    fn say(&mut self, word: &Word) -> io::Result<()> {
        wire::write(&mut self.socket, word, &[])
    }

    fn refuse(&mut self, code: &str, cause: String, hint: &str) -> io::Result<()> {
        self.say(&Word::Refused(Refused { code: code.to_owned(), cause, hint: hint.to_owned() }))
    }

    fn load(&mut self, release: &Release, bytes: Vec<u8>) -> io::Result<()> {
        self.say(&Word::At(Stage::Load))?;
        let Some(gate) = &self.gate else { return Err(io::ErrorKind::InvalidInput.into()) };
        let verified = match gate.verify_bytes(bytes, Some(release)) {
            Ok(verified) => verified,
            Err(error) => return self.refuse(error.code(), error.to_string(), error.hint()),
        };
        // The host ends this process before that: it has the deadline.
        let limits = LoaderLimits { load_timeout: Duration::from_secs(3600), ..LoaderLimits::standard() };
        match self.loader.load(verified, limits) {
            Ok(image) => {
                self.codes.insert(release.digest, Arc::new(image));
                self.say(&Word::Loaded { digest: release.digest })
            }
            Err(error) => self.refuse(error.code(), error.to_string(), error.hint()),
        }
    }

    fn rehearse(&mut self, rehearse: &Rehearse, state: &[u8]) -> io::Result<()> {
        let socket = &mut self.socket;
        let mut at = |stage, _| wire::write(socket, &Word::At(stage), &[]);
        let told = match (Walk { codes: &self.codes, at: &mut at }).twice(rehearse, state) {
            Ok(told) => Word::Rehearsed(told),
            Err(Stop::Fault(fault)) => Word::Faulted(fault),
            Err(Stop::Said(error)) => return Err(error),
        };
        self.say(&told)
    }
}
