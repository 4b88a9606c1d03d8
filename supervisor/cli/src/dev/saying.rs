//! What `teneral dev` says: to a person in sentences, to a program as one JSON object a line.

use crate::failure::Failure;
use crate::output::print;
use serde_json::{Value, json};

/// How it says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saying {
    /// As JSON.
    pub(super) json: bool,
}

impl Saying {
    /// One thing that happened, with its name and what is known of it.
    ///
    /// # Errors
    /// [`Failure`]: it cannot be written.
    pub(super) fn event(self, name: &str, about: Value, text: &str) -> Result<(), Failure> {
        if !self.json {
            return print(format_args!("{text}\n"));
        }
        let mut line = json!({ "event": name });
        if let (Some(line), Value::Object(about)) = (line.as_object_mut(), about) {
            line.extend(about);
        }
        print(format_args!("{line}\n"))
    }

    /// One thing that happened, of which a sentence is all.
    ///
    /// # Errors
    /// As [`Saying::event`].
    pub(super) fn note(self, name: &str, text: &str) -> Result<(), Failure> {
        self.event(name, Value::Null, text)
    }

    /// Cargo begins; people read what it says itself.
    ///
    /// # Errors
    /// As [`Saying::event`].
    pub(super) fn building(self, number: u64) -> Result<(), Failure> {
        if self.json { self.event("building", json!({ "build": number }), "") } else { Ok(()) }
    }

    /// What went wrong, while the host goes on.
    ///
    /// # Errors
    /// As [`Saying::event`].
    pub(super) fn failure(self, failure: &Failure) -> Result<(), Failure> {
        if self.json {
            return self.event("failed", failure.to_json(), "");
        }
        eprintln!("{failure}");
        Ok(())
    }
}
