//! The high-water marks: the highest version of each kind that was ever here, in two places, so that neither can go
//! back alone.

use crate::embedded::{EmbeddedStore, HOST};
use crate::envelope;
use crate::{Store, StoreError};
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

/// What is left of the marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarksLeft {
    /// Why they cannot be relied on; none: they can.
    pub why: Option<String>,
    /// The highest version of each kind, as the database has it.
    pub in_database: Option<BTreeMap<String, Version>>,
    /// The same as the file beside it has it.
    pub in_file: Option<BTreeMap<String, Version>>,
    /// The highest of both, and of what the store holds.
    pub left: BTreeMap<String, Version>,
}

impl EmbeddedStore {
    /// What is left of the marks, whether or not they can be relied on.
    ///
    /// # Errors
    /// As every function of [`crate::Store`]; [`StoreError::Corrupt`]: the file cannot be read as one.
    pub fn marks_left(&self) -> Result<MarksLeft, StoreError> {
        let why = match self.known_marks() {
            Ok(_) => None,
            Err(StoreError::Marks(why)) => Some(why),
            Err(error) => return Err(error),
        };
        let (in_database, in_file) = self.both_marks()?;
        let left = self.highest(&in_database, &in_file)?;
        let versions = |marks: Option<Marks>| marks.map(|marks| marks.versions);
        Ok(MarksLeft { why, in_database: versions(in_database), in_file: versions(in_file), left })
    }

    /// The highest version of each kind of all that is known: what is here was here.
    fn highest(
        &self,
        in_database: &Option<Marks>,
        in_file: &Option<Marks>,
    ) -> Result<BTreeMap<String, Version>, StoreError> {
        let marks = in_database.iter().chain(in_file).flat_map(|marks| marks.versions.clone());
        let held = self.releases()?.into_iter().map(|release| (release.kind, release.version));
        let mut left: BTreeMap<String, Version> = BTreeMap::new();
        for (kind, version) in marks.chain(held) {
            let mark = left.entry(kind).or_insert_with(|| version.clone());
            *mark = version.max(mark.clone());
        }
        Ok(left)
    }

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
        let versions = self.highest(&in_database, &in_file)?;
        let count = in_database.iter().chain(&in_file).map(|marks| marks.count).max().unwrap_or(0) + 1;
        let left = Marks { count, versions };
        self.write_marks_file(&left)?;
        self.db.put("accept the high-water marks", HOST, MARKS, &left)
    }
}
