//! Where a probe misbehaves: the plugin's author is the adversary, and the framework is what is tested.

use serde::ser::{self, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::path::Path;
use teneral_actor::{Shape, contract::Node};

/// Misbehaves at one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Trap {
    /// `init`, `started`, `save`, `migrate`, `downgrade` or `restore`; empty: never.
    pub step: String,
    /// `panic`, `error`, `abort`, `exit`, `overflow` (of the stack), `devour` (memory), `hang FILE` (loops until FILE
    /// exists), or `hang-then-panic FILE`.
    ///
    /// What it saves may be no state: `garbage` (of another shape), `claim` (a list that says that it has 4 Gi
    /// entries), `nest` (lists in lists, deeper than a state may be) or `trail` (with bytes after the end).
    ///
    /// A move may be `fickle`: up it makes another state each time, down it forgets what the probe has grown by.
    ///
    /// With `in PID ` before it, it misbehaves in that process alone, and whoever tries it elsewhere learns nothing.
    pub how: String,
}

impl Trap {
    /// How it misbehaves at this step, in this process.
    #[must_use]
    pub fn at(&self, step: &str) -> Option<&str> {
        if self.step != step {
            return None;
        }
        let Some(somewhere) = self.how.strip_prefix("in ") else { return Some(&self.how) };
        let (process, how) = somewhere.split_once(' ')?;
        (process.parse() == Ok(std::process::id())).then_some(how)
    }

    /// Misbehaves if `step` is its step.
    ///
    /// # Errors
    /// A sentence, when it is told to fail so.
    ///
    /// # Panics
    /// When it is told to.
    pub fn spring(&self, step: &str) -> Result<(), String> {
        let Some(how) = self.at(step) else { return Ok(()) };
        match how.split_once(' ').unwrap_or((how, "")) {
            ("panic", _) => panic!("{step} panics, as told"),
            ("error", _) => return Err(format!("{step} refuses, as told")),
            ("abort", _) => std::process::abort(),
            ("exit", _) => std::process::exit(0),
            ("overflow", _) => _ = std::hint::black_box(recurse(&[0; 512])),
            ("devour", _) => devour(),
            ("hang", file) => wait_for(file),
            ("hang-then-panic", file) => {
                wait_for(file);
                panic!("{step} panics, as told");
            }
            _ => {}
        }
        Ok(())
    }
}

#[expect(unconditional_recursion, reason = "it ends with the stack, which is the point")]
fn recurse(frame: &[u8; 512]) -> u8 {
    let next = std::hint::black_box(frame.map(|byte| byte.wrapping_add(1)));
    recurse(&next).wrapping_add(next[0])
}

fn devour() {
    let mut devoured = Vec::new();
    loop {
        devoured.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&devoured);
    }
}

/// Loops, without sleep, until a file exists; `FILE.reached` says meanwhile that it does.
pub fn wait_for(file: &str) {
    // Whoever waits for it in vain says so.
    let _ = std::fs::write(format!("{file}.reached"), "");
    while !Path::new(file).exists() {
        std::hint::spin_loop();
    }
}

/// Takes its time: five milliseconds of work at least.
pub fn dawdle() {
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_millis(5) {
        std::hint::spin_loop();
    }
}

/// A trap inside a state: it springs when it is saved and when it is restored.
#[derive(Debug, Clone, Default)]
pub struct Live(pub Trap);

impl Shape for Live {
    const NODE: &'static Node = <Trap as Shape>::NODE;
}

impl Serialize for Live {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.spring("save").map_err(ser::Error::custom)?;
        match self.0.at("save") {
            Some("garbage") => serializer.serialize_u64(7),
            Some("claim") => list(serializer, u32::MAX as usize, &[0_u8]),
            Some("nest") => Nest(1000).serialize(serializer),
            // A list of none, with one entry: it stands after the end of the state, whose last part this is.
            Some("trail") => list(serializer, 0, &[0_u8]),
            _ => self.0.serialize(serializer),
        }
    }
}

/// A list that says that it has `claimed` entries.
fn list<S: Serializer, T: Serialize>(serializer: S, claimed: usize, entries: &[T]) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(claimed))?;
    entries.iter().try_for_each(|entry| list.serialize_element(entry))?;
    list.end()
}

/// So many lists in lists.
struct Nest(u32);

impl Serialize for Nest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = self.0.checked_sub(1).map(Nest);
        list(serializer, usize::from(inner.is_some()), inner.as_slice())
    }
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let trap = Trap::deserialize(deserializer)?;
        trap.spring("restore").map_err(de::Error::custom)?;
        Ok(Self(trap))
    }
}
