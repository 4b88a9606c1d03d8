//! What is asked of a process that is no turn, and waited for on the thread that asks.

use super::Process;
use super::fate::Fate;
use super::instance::Instance;
use super::process::{LATE_LOOK, LOOK};
use crate::convert::{fault, fingerprint, tag, to_fingerprint};
use crate::proto::{self, json_reply, json_request, state_reply};
use bytes::Bytes;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Json, JsonDone, Provider};
use tokio::time::timeout;
use tonic::{Code, Status};

impl Process {
    /// Asks, and waits for the answer on this thread: which may be any but one of the runtime's own.
    pub(super) fn call<T: Send + 'static>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Fault> {
        let failed = |why: &str| Fault::new(FaultKind::Failed, format!("the module did not {what}: {why}"));
        if let Some(gone) = self.gone() {
            return Err(failed(&gone));
        }
        let limit = self.limits.call_timeout;
        let (came, comes) = mpsc::sync_channel(1);
        self.handle.spawn(async move { came.send(timeout(limit, asked).await) });
        match comes.recv() {
            Ok(Ok(Ok(answer))) => {
                self.turns.goes_on();
                Ok(answer)
            }
            Ok(Ok(Err(status))) => {
                // Who watches the process may know better why: its end is seen a moment later.
                let until = Instant::now() + LATE_LOOK * 4;
                while broke(&status) && self.gone().is_none() && Instant::now() < until {
                    thread::sleep(LOOK);
                }
                let fault = failed(&self.gone().unwrap_or_else(|| status.message().to_owned()));
                // It has answered, and nobody can believe that.
                let kind = if status.code() == Code::InvalidArgument { FaultKind::Protocol } else { fault.kind };
                Err(Fault { kind, ..fault })
            }
            Ok(Err(_)) => {
                // It hangs, and would hang for whoever asks next.
                self.fate.is(Fate::Hung(limit));
                self.turns.fail(&format!("it did not {what} within {limit:?}"), self.limits.threads);
                Err(failed(&format!("no answer within {limit:?}")))
            }
            Err(_) => Err(failed("the host stops")),
        }
    }

    fn made(&self, id: u64, made: proto::MadeReply) -> Result<Box<dyn Behaviour>, Fault> {
        if let Some(found) = made.fault {
            return Err(fault(found).unwrap_or_else(|| Fault::new(FaultKind::Protocol, "no instance, and no reason")));
        }
        let this = self.this.upgrade().ok_or_else(|| Fault::new(FaultKind::Failed, "nobody needs the module"))?;
        Ok(Box::new(Instance::new(this, id)))
    }
}

/// Whether it is the connection's word, and not the module's.
fn broke(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Unavailable | Code::Cancelled)
}

impl Provider for Process {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        let (mut control, instance) = (self.control.clone(), self.next_instance());
        let (shape, args) = (Some(to_fingerprint(args.shape)), self.speech().args(args)?);
        let asked = async move { control.create(proto::CreateRequest { instance, shape, args }).await };
        self.made(instance, self.call("make an instance", asked)?)
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        let (mut control, instance) = (self.control.clone(), self.next_instance());
        let state = Bytes::copy_from_slice(state);
        let asked = async move { control.restore(proto::RestoreRequest { instance, schema, state }).await };
        self.made(instance, self.call("restore an instance", asked)?)
    }

    fn downgrade(&self, before: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        let (mut control, before) = (self.control.clone(), Bytes::copy_from_slice(before));
        let asked = async move { control.downgrade(proto::DowngradeRequest { state: before, to_schema }).await };
        state(self.call("downgrade a state", asked)?)
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        if let Some(done) = self.speech().json(job) {
            return done;
        }
        let mut control = self.control.clone();
        let job = Some(to_job(job));
        json_done(self.call("read or write JSON", async move { control.json(proto::JsonRequest { job }).await })?)
    }
}

pub(super) fn state(reply: proto::StateReply) -> Result<Vec<u8>, Fault> {
    match reply.done {
        Some(state_reply::Done::State(state)) => Ok(state.into()),
        Some(state_reply::Done::Fault(found)) => Err(fault(found).unwrap_or_else(nothing)),
        None => Err(nothing()),
    }
}

fn nothing() -> Fault {
    Fault::new(FaultKind::Protocol, "the module's answer is refused: done is missing")
}

fn to_job(job: Json<'_>) -> json_request::Job {
    match job {
        Json::Message { name, json } => {
            json_request::Job::Message(proto::JsonMessage { name: name.to_owned(), json: json.to_owned() })
        }
        Json::Args(json) => json_request::Job::Args(json.to_owned()),
        Json::Reply { variant, body } => json_request::Job::Reply(proto::JsonReplyTo {
            variant,
            shape: Some(to_fingerprint(body.shape)),
            body: Bytes::copy_from_slice(body.bytes),
        }),
        Json::State(state) => json_request::Job::State(Bytes::copy_from_slice(state)),
        Json::StateFrom(json) => json_request::Job::StateFrom(json.to_owned()),
    }
}

fn json_done(reply: proto::JsonReply) -> Result<JsonDone, Fault> {
    let wrong = |error: crate::convert::Malformed| {
        Fault::new(FaultKind::Protocol, format!("the module's answer is refused: {error}"))
    };
    Ok(match reply.done.ok_or_else(nothing)? {
        json_reply::Done::Message(message) => JsonDone::Message {
            tag: tag("json.message.tag", message.tag.as_ref()).map_err(wrong)?,
            body: message.body.into(),
            reply: match message.reply {
                None => None,
                reply => Some(fingerprint("json.message.reply", reply.as_ref()).map_err(wrong)?),
            },
        },
        json_reply::Done::Args(args) => JsonDone::Args {
            shape: fingerprint("json.args.shape", args.shape.as_ref()).map_err(wrong)?,
            bytes: args.bytes.into(),
        },
        json_reply::Done::Text(text) => JsonDone::Text(text),
        json_reply::Done::State(state) => JsonDone::State(state.into()),
        json_reply::Done::Fault(found) => return Err(fault(found).unwrap_or_else(nothing)),
    })
}
