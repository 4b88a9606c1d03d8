//! The host as a library sees it: one static table, and the first call into new code.

use crate::code::{Code, LoadError};
use crate::instance::with_error;
use crate::speaks::{Called, called};
use crate::turn::slice;
use std::ffi::{c_char, c_void};
use teneral_abi as abi;
use teneral_abi::{TnBytes, TnHost};
use teneral_runtime::speaking;

/// One line of a library, with who said it as far as that is known: the actor whose turn this is, or else the code that
/// was called without one, as when an instance is made.
macro_rules! say {
    ($level:ident, $target:expr, $text:expr) => {
        if tracing::enabled!(tracing::Level::$level) {
            let (who, code) = (speaking(), called());
            let actor = who.as_ref().map(|who| who.addr.path());
            let kind = who.as_ref().map(|who| who.addr.kind()).or(code.as_ref().map(|code| code.0.as_str()));
            let version = who.as_ref().map(|who| &who.version).or(code.as_ref().map(|code| &code.1));
            let version = version.map(tracing::field::display);
            let generation = who.as_ref().map(|who| who.generation.0);
            tracing::event!(
                tracing::Level::$level, actor, kind, version, generation, plugin = %$target, "{}", $text
            );
        }
    };
}

static HOST: TnHost = TnHost {
    size: size_of::<TnHost>() as u32,
    magic: abi::MAGIC,
    abi_major: abi::ABI_MAJOR,
    abi_minor: abi::ABI_MINOR,
    reserved: 0,
    get_extension: Some(get_extension),
    log: Some(log),
};

/// Runs the plugin's `init`, if it has one.
pub(crate) fn init(code: &Code) -> Result<(), LoadError> {
    let Some(init) = code.plugin().init else { return Ok(()) };
    let _called = Called::of(code);
    with_error(|err| {
        // SAFETY: [load]: the loader calls it once per image, before any other function of it; HOST is static.
        unsafe { init(&raw const HOST, err) }
    })
    .map_err(|fault| LoadError::Init(fault.text))
}

unsafe extern "C" fn get_extension(_host: *const TnHost, _id: *const c_char) -> *const c_void {
    // This host offers none yet; a plugin that requires one is refused by the gate.
    std::ptr::null()
}

unsafe extern "C" fn log(_host: *const TnHost, level: u32, target: TnBytes, text: TnBytes) {
    // SAFETY: the header's contract for `log`: bytes readable during the call.
    let (target, text) = unsafe { (slice(target), slice(text)) };
    let (Some(target), Some(text)) = (target, text) else { return };
    let (target, text) = (String::from_utf8_lossy(target), String::from_utf8_lossy(text));
    match level {
        abi_level::ERROR => say!(ERROR, target, text),
        abi_level::WARN => say!(WARN, target, text),
        abi_level::INFO => say!(INFO, target, text),
        abi_level::DEBUG => say!(DEBUG, target, text),
        _ => say!(TRACE, target, text),
    }
}

/// The header's `TN_ERROR` and so on.
mod abi_level {
    pub(super) const ERROR: u32 = 1;
    pub(super) const WARN: u32 = 2;
    pub(super) const INFO: u32 = 3;
    pub(super) const DEBUG: u32 = 4;
}
