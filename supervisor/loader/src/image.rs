//! A loaded version of a kind: [`Provider`] over its code.

use crate::code::Code;
use crate::instance::{Instance, function, with_error};
use crate::speaks::Called;
use crate::turn::from_tag;
use crate::writer::Writer;
use std::sync::Arc;
use teneral_abi::{TnBytes, TnJson, TnStatus, TnTag, TnU128, TnWriter};
use teneral_contract::{Contract, Digest, Fingerprint, Manifest};
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Json, JsonDone, Provider};

/// Most that JSON or a down-graded snapshot may take, in bytes.
const OUTPUT_BYTES_MAX: usize = 256 << 20;

/// One loaded version of one kind. There is one image per digest and process; it is never unmapped.
#[derive(Clone)]
pub struct Image {
    code: Arc<Code>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} {})", self.code.name(), self.code.digest())
    }
}

impl Image {
    pub(crate) fn new(code: Arc<Code>) -> Self {
        Self { code }
    }

    /// How many instances and providers use the code. The loader's own hold is not counted.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.code).saturating_sub(1)
    }

    fn message(&self, json: &TnJson, name: &str, text: &str) -> Result<JsonDone, Fault> {
        let message = function(json.message, "json.message")?;
        let mut tag = TnTag { variant: 0, fingerprint: TnU128 { hi: 0, lo: 0 } };
        let mut reply = TnU128 { hi: 0, lo: 0 };
        let body = output(|out, err| {
            // SAFETY: the extension's function; bytes borrowed for the call, places and writers are ours.
            unsafe { message(bytes(name), bytes(text), &raw mut tag, &raw mut reply, out, err) }
        })?;
        let reply = Fingerprint(reply.into());
        Ok(JsonDone::Message { tag: from_tag(tag), body, reply: (reply != Fingerprint::NONE).then_some(reply) })
    }

    fn args(json: &TnJson, text: &str) -> Result<JsonDone, Fault> {
        let args = function(json.args, "json.args")?;
        let mut shape = TnU128 { hi: 0, lo: 0 };
        let written = output(|out, err| {
            // SAFETY: as in `message`.
            unsafe { args(bytes(text), &raw mut shape, out, err) }
        })?;
        Ok(JsonDone::Args { shape: Fingerprint(shape.into()), bytes: written })
    }
}

impl Provider for Image {
    fn manifest(&self) -> &Manifest {
        self.code.manifest()
    }

    fn contract(&self) -> &Arc<Contract> {
        self.code.contract()
    }

    fn digest(&self) -> Digest {
        self.code.digest()
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        Ok(Box::new(Instance::create(&self.code, args)?))
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        Ok(Box::new(Instance::restore(&self.code, schema, state)?))
    }

    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        let downgrade = match self.code.downgrade() {
            Ok(table) => function(table.downgrade, "downgrade")?,
            // A code that offers no way back has no path, which is a cause of its own.
            Err(fault) if fault.kind == FaultKind::Denied => return Err(Fault { kind: FaultKind::Schema, ..fault }),
            Err(fault) => return Err(fault),
        };
        let _called = Called::of(&self.code);
        output(|out, err| {
            // SAFETY: the extension's function; bytes borrowed for the call, writers are ours.
            unsafe { downgrade(TnBytes::new(state), to_schema, out, err) }
        })
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        let json = self.code.json()?;
        match job {
            Json::Message { name, json: text } => self.message(json, name, text),
            Json::Args(text) => Self::args(json, text),
            Json::Reply { variant, body } => {
                let reply = function(json.reply, "json.reply")?;
                let (shape, reply_bytes) = (TnU128::from(body.shape.0), TnBytes::new(body.bytes));
                // SAFETY: as in `message`.
                text(output(|out, err| unsafe { reply(variant, shape, reply_bytes, out, err) })?)
            }
            Json::State(state) => {
                let from = function(json.state, "json.state")?;
                // SAFETY: as in `message`.
                text(output(|out, err| unsafe { from(TnBytes::new(state), out, err) })?)
            }
            Json::StateFrom(json_text) => {
                let to = function(json.state_from, "json.state_from")?;
                // SAFETY: as in `message`.
                Ok(JsonDone::State(output(|out, err| unsafe { to(bytes(json_text), out, err) })?))
            }
        }
    }
}

fn bytes(text: &str) -> TnBytes {
    TnBytes::new(text.as_bytes())
}

fn text(bytes: Vec<u8>) -> Result<JsonDone, Fault> {
    String::from_utf8(bytes)
        .map(JsonDone::Text)
        .map_err(|_| Fault::new(FaultKind::Protocol, "the code wrote JSON that is not UTF-8"))
}

fn output(run: impl FnOnce(*mut TnWriter, *mut TnWriter) -> TnStatus) -> Result<Vec<u8>, Fault> {
    let mut out = Writer::new(OUTPUT_BYTES_MAX);
    let result = with_error(|err| run(out.raw(), err));
    if out.refused() {
        return Err(Fault::new(FaultKind::Limit, format!("the output is over {OUTPUT_BYTES_MAX} bytes")));
    }
    result.map(|()| out.into_bytes())
}
