//! The disk, with faults in front of it.
//!
//! redb talks to [`Disk`], artifacts are written through [`Shaky`]; both ask [`Faults`] before every operation. So the
//! code that meets a full disk in a test is the code that meets one in service.

use crate::port::{DiskFault, DiskOp, Faults};
use parking_lot::Mutex;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, StorageBackend};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Bound;
use std::sync::Arc;

/// Which operation failed last: redb's errors do not say, and a failed sync means something else than a failed write.
pub(crate) type LastFailed = Arc<Mutex<Option<DiskOp>>>;

#[derive(Debug)]
enum Medium {
    File(FileBackend),
    Memory(Arc<InMemoryBackend>),
}

/// What redb writes to.
#[derive(Debug)]
pub(crate) struct Disk {
    medium: Medium,
    faults: Arc<dyn Faults>,
    last_failed: LastFailed,
}

impl Disk {
    pub(crate) fn file(
        file: File,
        faults: Arc<dyn Faults>,
        last_failed: LastFailed,
    ) -> Result<Self, redb::DatabaseError> {
        Ok(Self { medium: Medium::File(FileBackend::new(file)?), faults, last_failed })
    }

    pub(crate) fn memory(bytes: Arc<InMemoryBackend>, faults: Arc<dyn Faults>, last_failed: LastFailed) -> Self {
        Self { medium: Medium::Memory(bytes), faults, last_failed }
    }

    fn inner(&self) -> &dyn StorageBackend {
        match &self.medium {
            Medium::File(file) => file,
            Medium::Memory(memory) => &**memory,
        }
    }

    /// A failed sync stays what is known until the next commit begins: what fails after it says less.
    fn failed(&self, op: DiskOp) {
        let mut last = self.last_failed.lock();
        if *last != Some(DiskOp::Sync) {
            *last = Some(op);
        }
    }

    fn guarded(&self, op: DiskOp, run: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let result = match self.faults.next(op) {
            None => run(),
            Some(fault) => Err(fault.error()),
        };
        if result.is_err() {
            self.failed(op);
        }
        result
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.inner().len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.guarded(DiskOp::Read, || self.inner().read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.guarded(DiskOp::Resize, || self.inner().set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.guarded(DiskOp::Sync, || self.inner().sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let result = match self.faults.next(DiskOp::Write) {
            None => self.inner().write(offset, data),
            Some(fault) => {
                if let DiskFault::Short { bytes } = fault {
                    self.inner().write(offset, &data[..bytes.min(data.len())])?;
                }
                Err(fault.error())
            }
        };
        if result.is_err() {
            self.failed(DiskOp::Write);
        }
        result
    }

    fn close(&self) -> io::Result<()> {
        self.inner().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().query_lock_range(start, end)
    }
}

/// A plain file, written under the same faults.
pub(crate) struct Shaky<'a> {
    file: &'a File,
    faults: &'a dyn Faults,
}

impl<'a> Shaky<'a> {
    pub(crate) fn new(file: &'a File, faults: &'a dyn Faults) -> Self {
        Self { file, faults }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.faults.next(DiskOp::Write) {
            None => self.file.write_all(bytes),
            Some(fault) => {
                if let DiskFault::Short { bytes: some } = fault {
                    self.file.write_all(&bytes[..some.min(bytes.len())])?;
                }
                Err(fault.error())
            }
        }
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match self.faults.next(DiskOp::Sync) {
            None => self.file.sync_all(),
            Some(fault) => Err(fault.error()),
        }
    }
}
