//! What is too large for a record: each in a file of its own, by name.

use crate::StoreError;
use crate::dir::Dir;
use crate::port::Faults;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Files of one directory, or the same in memory.
#[derive(Debug)]
pub(crate) enum Blobs {
    Dir(Dir),
    Memory(Mutex<BTreeMap<String, Vec<u8>>>),
}

impl Blobs {
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Dir(dir) => dir.read(name, bytes_max),
            Self::Memory(map) => Ok(map.lock().get(name).cloned()),
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8], faults: &dyn Faults) -> Result<(), StoreError> {
        match self {
            Self::Dir(dir) => dir.write(name, bytes, faults),
            Self::Memory(map) => {
                map.lock().insert(name.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Dir(dir) => dir.remove(name),
            Self::Memory(map) => {
                map.lock().remove(name);
                Ok(())
            }
        }
    }
}
