//! The high-water marks: the highest version of each kind that was ever here, in two places, so that neither can go
//! back alone.

use crate::StoreError;
use crate::embedded::{EmbeddedStore, HOST};
use crate::envelope;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In table `host`, and the name of the file beside the database.
pub(crate) const MARKS: &str = "marks";

/// The highest version of each kind, and how often they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    count: u64,
    pub(crate) versions: BTreeMap<String, Version>,
}

impl EmbeddedStore {
    fn both_marks(&self) -> Result<(Option<Marks>, Option<Marks>), StoreError> {
        const BYTES_MAX: u64 = 16 << 20;
        let in_database: Option<Marks> = self.db.get(HOST, MARKS)?;
        let in_file = match &self.dir {
            Some(dir) => {
                let bytes = dir.read(MARKS, BYTES_MAX)?;
                bytes.map(|bytes| envelope::open("the high-water marks", &bytes)).transpose()?
            }
            // In memory nothing outlives anything.
            None => in_database.clone(),
        };
        Ok((in_database, in_file))
    }

    /// The marks, where both places agree: the file may be one write ahead, after a crash between the two.
    pub(crate) fn known_marks(&self) -> Result<Marks, StoreError> {
        let refused = |why: String| Err(StoreError::Marks(why));
        match self.both_marks()? {
            (None, None) => Ok(Marks::default()),
            (Some(database), Some(file)) if database == file => Ok(file),
            (database, Some(file)) if file.count == database.as_ref().map_or(0, |marks| marks.count) + 1 => Ok(file),
            (Some(_), None) => refused(format!("the file {MARKS} is gone")),
            (None, Some(_)) => refused("the database has none".to_owned()),
            (Some(database), Some(file)) => refused(format!(
                "the database was written {} times, the file {MARKS} {} times",
                database.count, file.count
            )),
        }
    }

    /// The marks with this version among them, already in the file; `None`: nothing is higher than it was.
    pub(crate) fn raised(&self, kind: &str, version: &Version) -> Result<Option<Marks>, StoreError> {
        let mut marks = self.known_marks()?;
        if marks.versions.get(kind).is_some_and(|mark| mark >= version) {
            return Ok(None);
        }
        marks.versions.insert(kind.to_owned(), version.clone());
        marks.count = self.db.get::<Marks>(HOST, MARKS)?.map_or(0, |marks| marks.count) + 1;
        self.write_marks_file(&marks)?;
        Ok(Some(marks))
    }

    fn write_marks_file(&self, marks: &Marks) -> Result<(), StoreError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        dir.write(MARKS, &envelope::seal("the high-water marks", marks)?, &*self.faults)
    }

    /// Takes what is left of them for all there is, and writes it down in both places.
    pub(crate) fn take_marks(&self) -> Result<(), StoreError> {
        let (in_database, in_file) = self.both_marks()?;
        let mut left = in_database.unwrap_or_default();
        let Marks { count, versions } = in_file.unwrap_or_default();
        left.count = left.count.max(count);
        for (kind, version) in versions {
            let mark = left.versions.entry(kind).or_insert_with(|| version.clone());
            *mark = version.max(mark.clone());
        }
        left.count += 1;
        self.write_marks_file(&left)?;
        self.db.put("accept the high-water marks", HOST, MARKS, &left)
    }
}
