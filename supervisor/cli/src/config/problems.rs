//! All that is wrong with a configuration, said at once: whoever mends a file mends it whole.

use super::file::At;
use crate::failure::Failure;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    /// Files first, by line; what has none comes after.
    order: (usize, usize),
    text: String,
}

impl Problems {
    /// Something at a place of a file.
    pub(crate) fn at(&mut self, at: &At, what: impl AsRef<str>) {
        self.0.push(Problem { order: (at.line, at.column), text: format!("{at}: {}", what.as_ref()) });
    }

    /// Something elsewhere: in a flag, in a variable, or between two values.
    pub(crate) fn elsewhere(&mut self, what: String) {
        self.0.push(Problem { order: (usize::MAX, 0), text: what });
    }

    /// Nothing is wrong.
    ///
    /// # Errors
    /// [`Failure`] with all that is.
    pub(crate) fn none(self) -> Result<(), Failure> {
        let hint = "mend what is named; docs/configuration.md says what each key takes, as does teneral config show";
        self.none_of("CLI-CONFIG", "the configuration", hint)
    }

    /// As [`Problems::none`], of another file than a configuration.
    ///
    /// # Errors
    /// [`Failure`] with all that is.
    pub(crate) fn none_of(mut self, code: &str, file: &str, hint: &str) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|problem| problem.order);
        let what = match self.0.len() {
            1 => format!("{file} has an error"),
            count => format!("{file} has {count} errors"),
        };
        let causes = self.0.into_iter().map(|problem| problem.text).collect();
        Err(Failure::of_many(code, what, causes, "nothing was started or asked for", hint).usage())
    }
}
