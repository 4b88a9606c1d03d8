//! The trial process itself: binds its hands, loads, rehearses, and says each time what it is about to do.
//!
//! It speaks over its standard input, which is a socket. Whatever else is written here goes to the output that the host
//! keeps for the author.

use super::wire::{self, Back, Order, PROTOCOL, Rehearse, Stage, Told, Word};
use crate::climb::{Codes, Way};
use crate::error::{Refused, chain, ended};
use crate::plan::{Climb, Hop, ReleaseRef};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use teneral_contract::Digest;
use teneral_loader::{Confinement, Gate, Loader, LoaderLimits, Release, UnsignedRecord, confine};
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Provider};

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
        let told = match self.twice(rehearse, state) {
            Ok(told) => Word::Rehearsed(told),
            Err(Stop::Fault(fault)) => Word::Faulted(fault),
            Err(Stop::Socket(error)) => return Err(error),
        };
        self.say(&told)
    }

    /// The whole way, a second time for what differs from run to run, and back.
    fn twice(&mut self, rehearse: &Rehearse, state: &[u8]) -> Result<Told, Stop> {
        let (bytes, took) = self.once(rehearse, state)?;
        let (again, _) = self.once(rehearse, state)?;
        let (back, back_fails) = match &rehearse.back {
            None => (Back::None, None),
            Some(hops) => {
                self.at(Stage::Back)?;
                match self.back(hops, &bytes, rehearse.state_bytes_max) {
                    Ok(found) if found == state => (Back::Exact, None),
                    Ok(_) => (Back::Lossy, None),
                    Err(fault) => (Back::Lossy, Some(ended(&fault))),
                }
            }
        };
        let migrate_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Ok(Told { migrate_us, bytes: bytes.len(), same: bytes == again, back, back_fails })
    }

    fn back(&self, hops: &[Hop], new: &[u8], bytes_max: usize) -> Result<Vec<u8>, Fault> {
        hops.iter().try_fold(new.to_vec(), |at, hop| hop.step(&at, bytes_max, &mut Quiet(&self.codes)))
    }

    fn once(&mut self, rehearse: &Rehearse, state: &[u8]) -> Result<(Vec<u8>, Duration), Stop> {
        let new = code(&self.codes, &rehearse.to)?;
        let began = Instant::now();
        let made: Box<dyn Behaviour> = match rehearse.args {
            Some(shape) => {
                self.at(Stage::Init)?;
                new.create(Body { shape, bytes: state })?
            }
            None => {
                let way = Way {
                    from_schema: rehearse.from_schema,
                    hops: &rehearse.ladder,
                    to: rehearse.to.digest,
                    bytes_max: rehearse.state_bytes_max,
                };
                let mut telling = Telling { socket: &mut self.socket, codes: &self.codes, failed: None };
                let walked = way.walk(state, &new, &mut telling);
                if let Some(error) = telling.failed {
                    return Err(Stop::Socket(error));
                }
                walked?.0
            }
        };
        let took = began.elapsed();
        self.at(Stage::Encode)?;
        let bytes = made.save(rehearse.state_bytes_max)?;
        self.at(Stage::Drop)?;
        drop(made);
        Ok((bytes, took))
    }

    fn at(&mut self, stage: Stage) -> Result<(), Stop> {
        self.say(&Word::At(stage)).map_err(Stop::Socket)
    }
}

/// Why a rehearsal ends early.
enum Stop {
    Fault(Fault),
    Socket(io::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn code(codes: &BTreeMap<Digest, Arc<dyn Provider>>, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
    let missing = || Fault::new(FaultKind::Schema, format!("{release} is not loaded"));
    codes.get(&release.digest).cloned().ok_or_else(missing)
}

/// Says what is entered.
struct Telling<'a> {
    socket: &'a mut UnixStream,
    codes: &'a BTreeMap<Digest, Arc<dyn Provider>>,
    failed: Option<io::Error>,
}

impl Codes for Telling<'_> {
    fn code(&self, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
        code(self.codes, release)
    }

    fn enters(&mut self, climb: Climb, _: &Arc<dyn Provider>) {
        let stage = if climb == Climb::Up { Stage::Migrate } else { Stage::Downgrade };
        self.failed = self.failed.take().or(wire::write(self.socket, &Word::At(stage), &[]).err());
    }
}

/// Says nothing: it was said already.
struct Quiet<'a>(&'a BTreeMap<Digest, Arc<dyn Provider>>);

impl Codes for Quiet<'_> {
    fn code(&self, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
        code(self.0, release)
    }

    fn enters(&mut self, _: Climb, _: &Arc<dyn Provider>) {}
}
