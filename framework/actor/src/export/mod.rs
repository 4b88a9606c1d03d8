//! Across the C ABI: what [`export_actor!`](crate::export_actor) puts into a library, and the crate's only unsafe.
//!
//! Each entry is a generic `extern "C"` function over a [`Plugin`]: it turns pointers into references, runs the
//! [`engine`](crate::engine) behind a wall, and writes what went wrong into the host's writer. No panic leaves it, no
//! memory changes hands, and a pointer that the host must not pass null is answered, not followed.
#![expect(unsafe_code, reason = "the C ABI: pointers in, pointers out; the only unsafe of an author's program")]

mod border;
mod class;
mod extensions;
mod log;
mod turn;

use crate::about::About;
use crate::actor::Actor;
use crate::error::{Fault, FaultKind};
use crate::wall;
use std::ffi::{CStr, c_char, c_void};
use std::{marker::PhantomData, mem, ptr};
use teneral_abi as abi;
pub use teneral_abi::TnPlugin;
use teneral_abi::{TnClass, TnDowngrade, TnHost, TnJson, TnStatus, TnWriter};

/// What a library exports. Implemented by [`export_actor!`](crate::export_actor) on a type of the library's own.
pub trait Plugin: 'static {
    /// The actor.
    type Actor: Actor;
    /// What the library says of it.
    const ABOUT: About<Self::Actor>;
    /// Its kind and a NUL, as C reads it.
    const KIND: &'static str;
}

/// The tables of one library, as constants.
struct Tables<P>(PhantomData<P>);

const fn size_of<T>() -> u32 {
    // No table of the ABI comes near 4 GiB.
    mem::size_of::<T>() as u32
}

impl<P: Plugin> Tables<P> {
    const CLASS: &'static TnClass = &TnClass {
        size: size_of::<TnClass>(),
        state_schema: <P::Actor as teneral_contract::State>::SCHEMA,
        kind: P::KIND.as_ptr().cast(),
        create: Some(class::create::<P>),
        restore: Some(class::restore::<P>),
        started: Some(class::started::<P>),
        handle: Some(class::handle::<P>),
        save: Some(class::save::<P>),
        destroy: Some(class::destroy::<P>),
    };
    const CLASSES: &'static [*const TnClass; 1] = &[Self::CLASS];
    const PLUGIN: &'static TnPlugin = &TnPlugin {
        size: size_of::<TnPlugin>(),
        magic: abi::MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        class_count: 1,
        classes: Self::CLASSES.as_ptr(),
        init: Some(init::<P>),
        deinit: None,
        get_extension: Some(get_extension::<P>),
    };
    const JSON: &'static TnJson = &TnJson {
        size: size_of::<TnJson>(),
        reserved: 0,
        message: Some(extensions::message::<P>),
        args: Some(extensions::args::<P>),
        reply: Some(extensions::reply::<P>),
        state: Some(extensions::state::<P>),
        state_from: Some(extensions::state_from::<P>),
    };
    const DOWNGRADE: &'static TnDowngrade =
        &TnDowngrade { size: size_of::<TnDowngrade>(), reserved: 0, downgrade: Some(extensions::downgrade::<P>) };
}

/// What `teneral_entry` returns.
#[must_use]
pub fn entry<P: Plugin>() -> *const TnPlugin {
    Tables::<P>::PLUGIN
}

unsafe extern "C" fn init<P: Plugin>(host: *const TnHost, err: *mut TnWriter) -> TnStatus {
    // SAFETY: the host lends the writer for this call, and passes null or a table that lives as long as the process.
    let (err, host) = unsafe { (border::Out::lent(err), host.as_ref()) };
    border::cross(err, || {
        let table: &'static TnHost = host.ok_or_else(|| Fault::new(FaultKind::Invalid, "init without a host"))?;
        if table.magic != abi::MAGIC || table.abi_major != abi::ABI_MAJOR || table.size < size_of::<TnHost>() {
            return Err(Fault::new(FaultKind::Invalid, "init by a host of another ABI"));
        }
        log::forward_to(table);
        wall::hear_panics(P::ABOUT.kind, P::ABOUT.version, |line| tracing::error!(target: "panic", "{line}"));
        Ok(())
    })
}

unsafe extern "C" fn get_extension<P: Plugin>(id: *const c_char) -> *const c_void {
    if id.is_null() {
        return ptr::null();
    }
    // SAFETY: not null, and the ABI says that `id` is NUL-terminated and borrowed for this call.
    let id = unsafe { CStr::from_ptr(id) }.to_bytes();
    if id == abi::EXT_JSON.as_bytes() {
        ptr::from_ref(Tables::<P>::JSON).cast()
    } else if id == abi::EXT_DOWNGRADE.as_bytes() && !P::ABOUT.ladder.down.is_empty() {
        ptr::from_ref(Tables::<P>::DOWNGRADE).cast()
    } else {
        ptr::null()
    }
}

/// Exports one actor from a library: section, symbol and tables. It stands alone in a `cdylib`:
///
/// ```ignore
/// export_actor!(LogHandler, kind = "log-handler", from = [v1::LogHandler], down = [v1::LogHandler]);
/// ```
///
/// * `from`: the older states that it migrates from, oldest first, each one [`Migrate`](crate::Migrate) from the next.
/// * `down`: the older states that it goes down to, nearest first, by [`Downgrade`](crate::Downgrade).
/// * `deterministic`: equal inputs give equal effects, so the host may offer a replay.
/// * `blocking`: a handler may block, so the host gives its turns threads of their own.
///
/// The version is the package's. A library built with `panic = "abort"` is refused here, as the host would refuse it.
#[macro_export]
macro_rules! export_actor {
    ($actor:ty, $($about:tt)+) => {
        #[cfg(panic = "abort")]
        ::core::compile_error!("a panic must be caught: build the library with panic = \"unwind\"");

        const _: () = {
            struct Library;
            impl $crate::export::Plugin for Library {
                type Actor = $actor;
                const ABOUT: $crate::About<$actor> = $crate::about!($actor, $($about)+);
                const KIND: &'static str = $crate::__kind!($($about)+);
            }

            const PARTS: $crate::contract::parts::ManifestParts<'static> =
                <Library as $crate::export::Plugin>::ABOUT.parts();
            #[used]
            #[unsafe(link_section = ".teneral")]
            static MANIFEST: [u8; PARTS.section_bytes()] = PARTS.section();

            #[unsafe(no_mangle)]
            extern "C" fn teneral_entry() -> *const $crate::export::TnPlugin {
                $crate::export::entry::<Library>()
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __kind {
    (kind = $kind:literal $($rest:tt)*) => {
        ::core::concat!($kind, "\0")
    };
}
