//! From checked bytes to a running image: one per digest and process, under a deadline, within a budget.
//!
//! `dlopen` runs constructors, and a constructor that hangs holds the dynamic loader's lock for ever. So every load has
//! a thread of its own and a deadline; after a hang the loader says that it is degraded and loads no more. Turns go
//! on; new threads wait for the same lock (glibc's `__cxa_thread_atexit_impl` takes it).

use crate::code::{Code, LoadError};
use crate::host;
use crate::image::Image;
use crate::verified::Verified;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use teneral_contract::Digest;

/// How many images a process takes, and how long a load may last. Every image stays mapped: 0.2 to 0.6 MB each, and
/// possibly one of the process's 1,024 pthread keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderLimits {
    /// From this many images on a warning is logged.
    pub images_warn: usize,
    /// At this many images a load is refused.
    pub images_max: usize,
    /// How long constructors and `init` may take.
    pub load_timeout: Duration,
}

impl LoaderLimits {
    /// Warn at 32 images, refuse at 256, 5 s for a load.
    #[must_use]
    pub const fn standard() -> Self {
        Self { images_warn: 32, images_max: 256, load_timeout: Duration::from_secs(5) }
    }
}

/// The images of this process. Share one: an image per digest is a promise of the process, not of a loader.
#[derive(Debug)]
pub struct Loader {
    state: Mutex<State>,
    /// Held while a library is loaded, and apart from the state: whoever wants an image that is there does not wait.
    loading: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<Digest, Image>,
    /// What was mapped and then refused, and why: asked again, it is not mapped again.
    refused: BTreeMap<Digest, LoadError>,
    degraded_by: Option<String>,
}

/// An image as a list shows it.
#[derive(Debug, Clone)]
pub struct ImageInfo {
    /// The image.
    pub image: Image,
    /// Instances and providers that use it; 0: retired.
    pub holders: usize,
}

impl Loader {
    /// A loader without images.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "there is one in a process, and nobody should get a second in passing"
    )]
    pub const fn new() -> Self {
        let state = State { images: BTreeMap::new(), refused: BTreeMap::new(), degraded_by: None };
        Self { state: Mutex::new(state), loading: Mutex::new(()) }
    }

    /// Loads what the gate let through, within these limits, or hands out the image of that digest that is there
    /// already.
    ///
    /// Blocking, at most `load_timeout`. Loads are one after the other: the dynamic loader has one lock.
    ///
    /// # Errors
    /// [`LoadError`]; after any of them nothing of the file is used.
    pub fn load(&self, verified: Verified, limits: LoaderLimits) -> Result<Image, LoadError> {
        if verified.is_program() {
            return Err(LoadError::Program);
        }
        let _one_at_a_time = self.loading.lock();
        if let Some(image) = self.image(verified.digest) {
            return Ok(image);
        }
        self.admit(verified.digest, limits)?;
        let name = format!("{} {}", verified.manifest.kind, verified.manifest.version);
        let digest = verified.digest;
        let loaded = load_within(verified, limits.load_timeout);
        let mut state = self.state.lock();
        match &loaded {
            Ok(image) => drop(state.images.insert(digest, image.clone())),
            Err(LoadError::Hung(_)) => {
                tracing::error!(library = name, "hung while it was loaded: this process loads no more libraries");
                state.degraded_by = Some(name);
            }
            Err(error) if error.stays_mapped() => drop(state.refused.insert(digest, error.clone())),
            Err(_) => {}
        }
        loaded
    }

    /// Whether this one may be loaded besides the others.
    fn admit(&self, digest: Digest, limits: LoaderLimits) -> Result<(), LoadError> {
        let state = self.state.lock();
        if let Some(error) = state.refused.get(&digest) {
            return Err(error.clone());
        }
        if let Some(name) = &state.degraded_by {
            return Err(LoadError::Degraded(name.clone()));
        }
        let (images, images_max) = (state.images.len() + state.refused.len(), limits.images_max);
        if images >= images_max {
            return Err(LoadError::Budget { images, images_max });
        }
        if images + 1 >= limits.images_warn {
            tracing::warn!(images = images + 1, images_max, "many libraries are loaded; none is ever unloaded");
        }
        Ok(())
    }

    /// What is loaded, by digest.
    #[must_use]
    pub fn images(&self) -> Vec<ImageInfo> {
        let state = self.state.lock();
        // Less the loader's own hold and the clone in the list.
        let info = |image: &Image| ImageInfo { holders: image.holders(), image: image.clone() };
        state.images.values().map(info).collect()
    }

    /// The image of `digest`, if it is loaded.
    #[must_use]
    pub fn image(&self, digest: Digest) -> Option<Image> {
        self.state.lock().images.get(&digest).cloned()
    }

    /// What hung while it was loaded, if anything did.
    #[must_use]
    pub fn degraded_by(&self) -> Option<String> {
        self.state.lock().degraded_by.clone()
    }
}

/// Blocks for at most `timeout`.
fn load_within(verified: Verified, timeout: Duration) -> Result<Image, LoadError> {
    let (done, outcome) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("teneral-load".into())
        .spawn(move || {
            // A receiver that has gone away gave up: the image stays mapped, and nobody uses it.
            let _ = done.send(open(verified));
        })
        .map_err(|error| LoadError::Thread(error.to_string()))?;
    match outcome.recv_timeout(timeout) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(LoadError::Hung(timeout)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(LoadError::Thread("it ended without a word".into())),
    }
}

fn open(verified: Verified) -> Result<Image, LoadError> {
    // SAFETY: `Verified` is only made by the gate, of a sealed file that passed every check and of its own manifest.
    let code = unsafe { Code::open(verified) }?;
    host::init(&code)?;
    Ok(Image::new(Arc::new(code)))
}
