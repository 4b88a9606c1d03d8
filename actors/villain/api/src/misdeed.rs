//! The misdeeds, and the plan of them that a villain keeps in its state.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use teneral_contract::{Node, Shape};

/// What it will do, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Misdeed {
    /// Where.
    pub at: At,
    /// How.
    pub how: How,
}

/// Where a villain does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum At {
    /// In `init`.
    Init,
    /// In `started`.
    Started,
    /// In `handle`, before it reads the message.
    Handle,
    /// While its state is written.
    Save,
    /// While a state is read.
    Restore,
    /// In the step from 1.0.0 to 2.0.0.
    Migrate,
    /// In the step back.
    Downgrade,
    /// While the instance is destroyed.
    Drop,
}

/// How a villain does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum How {
    /// It panics.
    Panic,
    /// It panics with something that panics again when it is dropped.
    PanicTwice,
    /// It returns an error.
    Fail,
    /// It loops without sleep or end.
    Hang,
    /// It allocates without end.
    Devour,
    /// It calls itself without end.
    Recurse,
    /// It ends the process, as a signal would.
    Abort,
    /// It ends the process, as if all were well.
    Exit,
    /// It allocates 1 MiB and forgets it.
    Leak,
    /// What it writes is no state; on the way up it makes another state each time, on the way down it forgets some.
    Garble,
}

/// A value that panics when it is dropped.
struct Sting;

impl Drop for Sting {
    fn drop(&mut self) {
        panic!("a payload that should have been forgotten was dropped");
    }
}

/// Does it.
///
/// # Errors
/// [`How::Fail`] does.
///
/// # Panics
/// [`How::Panic`] and [`How::PanicTwice`] do.
pub fn commit(how: How) -> Result<(), String> {
    match how {
        How::Panic => panic!("as planned"),
        How::PanicTwice => std::panic::panic_any(Sting),
        How::Fail => Err("refused, as planned".to_owned()),
        How::Hang => loop {
            std::hint::spin_loop();
        },
        How::Devour => {
            let mut devoured = Vec::new();
            loop {
                devoured.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&devoured);
            }
        }
        How::Recurse => {
            std::hint::black_box(recurse(&[0; 512]));
            Ok(())
        }
        How::Abort => std::process::abort(),
        How::Exit => std::process::exit(0),
        How::Leak => {
            std::mem::forget(vec![1_u8; 1 << 20]);
            Ok(())
        }
        How::Garble => Ok(()),
    }
}

#[expect(unconditional_recursion, reason = "it ends with the stack, which is the point")]
fn recurse(frame: &[u8; 512]) -> u8 {
    let mut next = *frame;
    next[0] = next[0].wrapping_add(1);
    std::hint::black_box(&next);
    recurse(&next).wrapping_add(next[1])
}

/// A villain's plan. Being part of the state, it sees the state written, read and dropped.
#[derive(Debug, Default)]
pub struct Plan(pub Vec<Misdeed>);

impl Plan {
    /// Does what is planned at this place.
    ///
    /// # Errors
    /// As [`commit`].
    ///
    /// # Panics
    /// As [`commit`].
    pub fn at(&self, place: At) -> Result<(), String> {
        self.0.iter().filter(|misdeed| misdeed.at == place).try_for_each(|misdeed| commit(misdeed.how))
    }

    /// Whether it is to write something else than it should at this place: the code there does that itself.
    #[must_use]
    pub fn garbles(&self, place: At) -> bool {
        self.0.contains(&Misdeed { at: place, how: How::Garble })
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // A drop inside an unwind that panicked again would abort, which `How::Abort` does more plainly.
        if !std::thread::panicking() {
            let _ = self.at(At::Drop);
        }
    }
}

impl Shape for Plan {
    const NODE: &'static Node = <Vec<Misdeed> as Shape>::NODE;
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.at(At::Save).map_err(ser::Error::custom)?;
        if self.garbles(At::Save) {
            return serializer.serialize_str("no plan at all");
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let plan = Self(Vec::deserialize(deserializer)?);
        plan.at(At::Restore).map_err(de::Error::custom)?;
        Ok(plan)
    }
}
