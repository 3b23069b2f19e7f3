//! Access to the store's file: through `disk`, whose operations tests can make fail, or read-only. Errors name the
//! file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use tidewater_connectors::disk::DiskFile;

/// The store's file.
#[derive(Debug)]
pub struct Backend {
    file: DiskFile,
    /// The same open file, for the locks by which readers and the writer know of each other.
    locks: FileBackend,
}

impl Backend {
    /// A backend over a file.
    ///
    /// # Errors
    /// When the system refuses another handle of the file.
    pub fn new(file: DiskFile) -> io::Result<Self> {
        let locks = FileBackend::new(file.file().try_clone()?).map_err(io::Error::other)?;
        Ok(Self { file, locks })
    }

    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        let path = self.file.path().display();
        result.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let metadata = self.named(self.file.file().metadata())?;
        Ok(metadata.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.named(self.file.file().read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.named(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.named(self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.named(self.file.write_all_at(data, offset))
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.query_lock_range(start, end)
    }
}

/// Writes are held in memory in pages of this size.
const PAGE_BYTES: u64 = 4096;

/// A store's file that is never changed. The store writes even when it is only read: it marks itself as open, and
/// repairs what a killed process left. These writes are held in memory, over the content of the file.
#[derive(Debug)]
pub struct Unchanged {
    file: File,
    over: Mutex<Over>,
}

/// The differences from the file.
#[derive(Debug)]
struct Over {
    bytes: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Unchanged {
    /// Reads from `file`.
    ///
    /// # Errors
    /// When the file's length is unknown.
    pub fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let over = Over {
            bytes,
            pages: BTreeMap::new(),
        };
        Ok(Self {
            file,
            over: Mutex::new(over),
        })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page of the file, filled with zeros after its end.
    fn stored(&self, page: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(PAGE_BYTES).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < bytes.len() {
            let at = page * PAGE_BYTES + u64::try_from(filled).map_err(io::Error::other)?;
            match self.file.read_at(&mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// Splits `length` bytes from `offset` at page boundaries. Each part has the page, the offset in it, and the range
/// among the bytes.
fn parts(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = io::Result<(u64, usize, std::ops::Range<usize>)>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= length {
            return None;
        }
        let next = || {
            let at = offset + u64::try_from(done).map_err(io::Error::other)?;
            let within = usize::try_from(at % PAGE_BYTES).map_err(io::Error::other)?;
            let room = usize::try_from(PAGE_BYTES).map_err(io::Error::other)? - within;
            Ok((at / PAGE_BYTES, within, done..length.min(done + room)))
        };
        let part = next();
        done = part.as_ref().map_or(length, |(_, _, part)| part.end);
        Some(part)
    })
}

impl StorageBackend for Unchanged {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if over.pages.is_empty() {
            return self.file.read_exact_at(out, offset);
        }
        for part in parts(offset, out.len()) {
            let (page, within, part) = part?;
            let length = part.len();
            match over.pages.get(&page) {
                Some(bytes) => out[part].copy_from_slice(&bytes[within..within + length]),
                None => out[part].copy_from_slice(&self.stored(page)?[within..within + length]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        // Bytes that are cut off read as zeros if the file grows again.
        for page in len / PAGE_BYTES..over.bytes.div_ceil(PAGE_BYTES) {
            let mut bytes = match over.pages.remove(&page) {
                Some(bytes) => bytes,
                None => self.stored(page)?,
            };
            let kept = len.saturating_sub(page * PAGE_BYTES).min(PAGE_BYTES);
            bytes[usize::try_from(kept).map_err(io::Error::other)?..].fill(0);
            over.pages.insert(page, bytes);
        }
        over.bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        for part in parts(offset, data.len()) {
            let (page, within, part) = part?;
            let mut bytes = match over.pages.remove(&page) {
                Some(bytes) => bytes,
                None => self.stored(page)?,
            };
            bytes[within..within + part.len()].copy_from_slice(&data[part]);
            over.pages.insert(page, bytes);
        }
        Ok(())
    }
}
