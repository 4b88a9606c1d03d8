//! Where a probe misbehaves: the plugin's author is the adversary, and the framework is what is tested.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::path::Path;
use teneral_actor::{Shape, contract::Node};

/// Misbehaves at one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Trap {
    /// `init`, `started`, `save`, `migrate`, `downgrade` or `restore`; empty: never.
    pub step: String,
    /// `panic`, `error`, `garbage` (what it saves is of another shape), `hang FILE` (loops until FILE exists), or
    /// `hang-then-panic FILE`.
    pub how: String,
}

impl Trap {
    /// Misbehaves if `step` is its step.
    ///
    /// # Errors
    /// A sentence, when it is told to fail so.
    ///
    /// # Panics
    /// When it is told to.
    pub fn spring(&self, step: &str) -> Result<(), String> {
        if self.step != step {
            return Ok(());
        }
        match self.how.split_once(' ') {
            None if self.how == "panic" => panic!("{step} panics, as told"),
            None if self.how == "error" => Err(format!("{step} refuses, as told")),
            Some(("hang", file)) => {
                wait_for(file);
                Ok(())
            }
            Some(("hang-then-panic", file)) => {
                wait_for(file);
                panic!("{step} panics, as told");
            }
            _ => Ok(()),
        }
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

/// A trap inside a state: it springs when it is saved and when it is restored.
#[derive(Debug, Clone, Default)]
pub struct Live(pub Trap);

impl Shape for Live {
    const NODE: &'static Node = <Trap as Shape>::NODE;
}

impl Serialize for Live {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.spring("save").map_err(ser::Error::custom)?;
        if self.0.step == "save" && self.0.how == "garbage" {
            return serializer.serialize_u64(7);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let trap = Trap::deserialize(deserializer)?;
        trap.spring("restore").map_err(de::Error::custom)?;
        Ok(Self(trap))
    }
}
