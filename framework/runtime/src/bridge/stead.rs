//! The code of a cell in whose stead a ractor actor handles the messages.
//!
//! The kind declares `blocking`: a turn waits until the ractor actor has room for the message and, for an ask, until it
//! has replied. So the cell's bounded mailbox pushes back for it, and order is kept.

use crate::block::block_on;
use crate::ports::{Behaviour, Body, Call, Digest, Effects, Fault, FaultKind, Json, JsonDone, Provider, Why};
use ractor::RpcReplyPort;
use ractor::concurrency::oneshot;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use teneral_contract::parts::{BodyParts, StateParts};
use teneral_contract::shape::{Node, fnv128};
use teneral_contract::{Contract, EncodeError, Fingerprint, Manifest, ManifestError, ManifestParts, Message, Wire};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a ractor actor gets that stands behind a cell.
#[derive(Debug)]
pub struct Incoming<M> {
    /// The message.
    pub message: M,
    /// Who waits for a reply, if somebody does. Dropped without a reply, the asker gets an error.
    pub reply: Option<Reply>,
    _room: OwnedSemaphorePermit,
}

/// A reply that is owed.
#[derive(Debug)]
pub struct Reply {
    shape: Fingerprint,
    port: RpcReplyPort<(Fingerprint, Vec<u8>)>,
}

impl Reply {
    /// Replies. An asker that has gone meanwhile hears nothing.
    ///
    /// # Errors
    /// [`EncodeError`]: it is not the reply that the request declares, or cannot be written.
    pub fn send<R: Wire>(self, reply: &R) -> Result<(), EncodeError> {
        let mut body = Vec::new();
        reply.encode_as(self.shape, &mut body)?;
        drop(self.port.send((self.shape, body)));
        Ok(())
    }
}

/// The code of cells of one kind whose messages `M` a ractor actor handles. It has no state of its own.
pub struct Stead<M: Message> {
    manifest: Manifest,
    contract: Arc<Contract>,
    target: Target<M>,
}

struct Target<M> {
    actor: ractor::ActorRef<Incoming<M>>,
    room: Arc<Semaphore>,
}

impl<M> Clone for Target<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), room: Arc::clone(&self.room) }
    }
}

const UNIT: Node = Node::Leaf("unit");

impl<M: Message> Stead<M> {
    /// Code of `kind` whose messages go to `actor`, up to `messages_max` at once.
    ///
    /// # Errors
    /// [`ManifestError`]: a kind or a version that is none.
    pub fn new(
        kind: &str,
        version: &str,
        actor: ractor::ActorRef<Incoming<M>>,
        messages_max: usize,
    ) -> Result<Arc<Self>, ManifestError> {
        let unit = teneral_contract::shape::fingerprint(&UNIT);
        let parts = ManifestParts {
            abi: [1, 0],
            target: std::env::consts::ARCH,
            panic: "unwind",
            compiler: "",
            kind,
            version,
            state: StateParts { schema: 1, node: &UNIT, fingerprint: unit, from: &[], down: &[] },
            args: BodyParts { node: &UNIT, fingerprint: unit, also: &[] },
            messages: M::VARIANTS,
            requires: &[],
            capabilities: &[],
            deterministic: false,
            blocking: true,
        };
        let manifest = parts.manifest()?;
        let contract = Arc::new(Contract::new(&manifest));
        let target = Target { actor, room: Arc::new(Semaphore::new(messages_max)) };
        Ok(Arc::new(Self { manifest, contract, target }))
    }
}

impl<M: Message> fmt::Debug for Stead<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stead({} {})", self.manifest.kind, self.manifest.version)
    }
}

impl<M: Message> Provider for Stead<M> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// Of kind and version: there is no artifact.
    fn digest(&self) -> Digest {
        let name = format!("{} {}", self.manifest.kind, self.manifest.version);
        let half = fnv128(name.as_bytes()).to_le_bytes();
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&half);
        Digest(digest)
    }

    fn create(&self, _: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        Ok(Box::new(self.target.clone()))
    }

    fn restore(&self, _: u32, _: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        Ok(Box::new(self.target.clone()))
    }

    fn downgrade(&self, _: &[u8], _: u32) -> Result<Vec<u8>, Fault> {
        Err(Fault::new(FaultKind::Schema, "a ractor actor behind a cell has no older schema"))
    }

    fn json(&self, _: Json<'_>) -> Result<JsonDone, Fault> {
        Err(Fault::new(FaultKind::Denied, "a ractor actor behind a cell offers no JSON"))
    }
}

impl<M: Message> Behaviour for Target<M> {
    fn started(&mut self, _: Why, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Ok(())
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let message = M::decode(call.index, call.tag.fingerprint, call.body);
        let message = message.map_err(|error| Fault::new(FaultKind::Decode, error.to_string()))?;
        let stopped = || Fault::new(FaultKind::Failed, "the ractor actor is stopped");
        let room = block_on(Arc::clone(&self.room).acquire_owned(), None);
        let Some(Ok(room)) = room else { return Err(stopped()) };
        let (port, answer) = oneshot();
        let waiting = call.waiting;
        let reply = waiting.map(|waiting| Reply { shape: waiting.shape, port: port.into() });
        self.actor.send_message(Incoming { message, reply, _room: room }).map_err(|_| stopped())?;
        let Some(waiting) = waiting else { return Ok(()) };
        let until = waiting.remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        match block_on(answer, until) {
            Some(Ok((shape, body))) => effects.reply(waiting.call, shape, &body),
            Some(Err(_)) => Err(Fault::new(FaultKind::Failed, "the ractor actor did not reply")),
            None => Ok(()), // The asker has given up as well.
        }
    }

    fn save(&self, _: usize) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }
}
