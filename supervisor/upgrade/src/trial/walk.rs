//! What a rehearsal does: there, a second time, and back. Wherever the code runs: loaded into the trial process, or in
//! a process of its own.

use super::wire::{Back, Rehearse, Stage, Told};
use crate::climb::{Codes, Way};
use crate::error::ended;
use crate::plan::{Climb, Hop, ReleaseRef};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use teneral_contract::Digest;
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Provider};

/// A rehearsal of code that is at hand, by its digest.
pub(super) struct Walk<'a> {
    pub(super) codes: &'a BTreeMap<Digest, Arc<dyn Provider>>,
    /// Is told what is about to be done, and by whose code: what a crash is blamed on.
    pub(super) at: &'a mut dyn FnMut(Stage, Digest) -> io::Result<()>,
}

/// Why a rehearsal ends early.
pub(super) enum Stop {
    /// The code failed.
    Fault(Fault),
    /// Who is told what is done wants no more.
    Said(io::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Walk<'_> {
    /// The whole way, a second time for what differs from run to run, and back.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) fn twice(&mut self, rehearse: &Rehearse, state: &[u8]) -> Result<Told, Stop> {
        let (bytes, took) = self.once(rehearse, state)?;
        let (again, _) = self.once(rehearse, state)?;
        let (back, back_fails) = match &rehearse.back {
            None => (Back::None, None),
            Some(hops) => {
                let mut telling = self.telling(true);
                let walked = back(hops, &bytes, rehearse.state_bytes_max, &mut telling);
                if let Some(error) = telling.failed {
                    return Err(Stop::Said(error));
                }
                match walked {
                    Ok(found) if found == state => (Back::Exact, None),
                    Ok(_) => (Back::Lossy, None),
                    Err(fault) => (Back::Lossy, Some(ended(&fault))),
                }
            }
        };
        let migrate_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Ok(Told { migrate_us, bytes: bytes.len(), same: bytes == again, back, back_fails })
    }

    fn once(&mut self, rehearse: &Rehearse, state: &[u8]) -> Result<(Vec<u8>, Duration), Stop> {
        let (new, to) = (code(self.codes, &rehearse.to)?, rehearse.to.digest);
        let began = Instant::now();
        let made: Box<dyn Behaviour> = match rehearse.args {
            Some(shape) => {
                self.at(Stage::Init, to)?;
                new.create(Body { shape, bytes: state })?
            }
            None => {
                let way = Way {
                    from_schema: rehearse.from_schema,
                    hops: &rehearse.ladder,
                    to,
                    bytes_max: rehearse.state_bytes_max,
                };
                let mut telling = self.telling(false);
                let walked = way.walk(state, &new, &mut telling);
                if let Some(error) = telling.failed {
                    return Err(Stop::Said(error));
                }
                walked?.0
            }
        };
        let took = began.elapsed();
        self.at(Stage::Encode, to)?;
        let bytes = made.save(rehearse.state_bytes_max)?;
        self.at(Stage::Drop, to)?;
        drop(made);
        Ok((bytes, took))
    }

    fn at(&mut self, stage: Stage, digest: Digest) -> Result<(), Stop> {
        (self.at)(stage, digest).map_err(Stop::Said)
    }

    fn telling(&mut self, is_back: bool) -> Telling<'_> {
        Telling { at: &mut *self.at, codes: self.codes, is_back, failed: None }
    }
}

fn back(hops: &[Hop], new: &[u8], bytes_max: usize, codes: &mut dyn Codes) -> Result<Vec<u8>, Fault> {
    hops.iter().try_fold(new.to_vec(), |at, hop| hop.step(&at, bytes_max, codes))
}

fn code(codes: &BTreeMap<Digest, Arc<dyn Provider>>, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
    let missing = || Fault::new(FaultKind::Schema, format!("{release} is not loaded"));
    codes.get(&release.digest).cloned().ok_or_else(missing)
}

/// Says what is entered.
struct Telling<'a> {
    at: &'a mut dyn FnMut(Stage, Digest) -> io::Result<()>,
    codes: &'a BTreeMap<Digest, Arc<dyn Provider>>,
    /// Whichever way a hop of the way back goes.
    is_back: bool,
    failed: Option<io::Error>,
}

impl Codes for Telling<'_> {
    fn code(&self, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
        code(self.codes, release)
    }

    fn enters(&mut self, climb: Climb, code: &Arc<dyn Provider>) {
        let stage = match climb {
            _ if self.is_back => Stage::Back,
            Climb::Up => Stage::Migrate,
            Climb::Down => Stage::Downgrade,
        };
        self.failed = self.failed.take().or((self.at)(stage, code.digest()).err());
    }
}
