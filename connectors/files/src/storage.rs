//! Where files lie, in the shape of an object store: names are listed, a path is looked up, bytes are read by ranges.
//! Listing, globs, comparison, the content store and all readers go through [`Storage`]; the local file system is one
//! implementation.
//!
//! 1. A path that was listed can be opened, unless the file was removed meanwhile.
//! 2. An open file stays the one that was opened, whatever is done to its path.
//! 3. Two contents of a path have different [`FileStamp`]s, as far as the storage can tell.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hasher;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tidewater_contract::error::SourceError;

mod local;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

pub use local::LocalStorage;

/// The local file system, as readers are given it.
#[cfg(test)]
pub(crate) fn local() -> Arc<dyn Storage> {
    Arc::new(LocalStorage)
}

/// How much of a file is read at a time where all of it is passed through.
const CHUNK_BYTES: usize = 1 << 20;

/// Files, by path.
pub trait Storage: Debug + Send + Sync {
    /// What lies directly in a directory, of the names that are `wanted`, in order of path; nothing where there is no
    /// such directory. Names that are not wanted cost no look-up.
    ///
    /// # Errors
    /// When the system refuses to list.
    fn list(
        &self,
        directory: &Path,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Vec<StorageEntry>, SourceError>;

    /// What a path leads to, if it leads anywhere.
    ///
    /// # Errors
    /// When the system refuses to tell.
    fn head(&self, path: &Path) -> Result<Option<EntryKind>, SourceError>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// When it is not there, or may not be read.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>>;

    /// Where relative paths begin, for messages.
    fn root(&self) -> Option<String>;
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEntry {
    /// Its path: the directory's, and its name.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File(FileStamp),
    /// A directory.
    Directory {
        /// Tells it from others where a path may lead back into a directory that it lies in.
        identity: Option<String>,
    },
}

/// What tells one content of a path from another without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileStamp {
    /// The file's size.
    pub bytes: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Differs when the content does, and perhaps when it does not: an inode and its time of change, an `ETag`. `None`
    /// where the storage has no such thing.
    pub version: Option<String>,
}

impl FileStamp {
    /// Whether size and time are the same.
    pub fn looks_like(&self, other: &Self) -> bool {
        (self.bytes, self.modified_ns) == (other.bytes, other.modified_ns)
    }
}

/// A file that is open.
pub trait StoredFile: Debug + Send + Sync {
    /// Its stamp as it is now.
    ///
    /// # Errors
    /// When the system refuses to tell.
    fn stamp(&self) -> io::Result<FileStamp>;

    /// Appends up to `limit` bytes from `at` on to `buffer`, and gives how many: fewer at the end of the file alone. What
    /// was read before an error is in the buffer.
    ///
    /// # Errors
    /// When the system refuses to read.
    fn read_range(&self, at: u64, limit: usize, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

/// Passes all of a file, or its first `limit` bytes, to `take`, piece by piece.
pub(super) fn read_through(
    file: &dyn StoredFile,
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), SourceError>,
    refused: impl FnOnce(io::Error) -> SourceError,
) -> Result<u64, SourceError> {
    let mut chunk = Vec::new();
    let mut at = 0;
    while at < limit {
        let wanted = usize::try_from(limit - at).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
        chunk.clear();
        match file.read_range(at, wanted, &mut chunk) {
            Ok(0) => break,
            Ok(read) => at += count(read),
            Err(error) => return Err(refused(error)),
        }
        take(&chunk)?;
    }
    Ok(at)
}

/// The hash, not finished, of the first `bytes` of a file, or of all of it when it is shorter.
pub(super) fn hash_prefix(
    file: &dyn StoredFile,
    path: &Path,
    bytes: u64,
) -> Result<Hasher, SourceError> {
    let mut hasher = Hasher::new();
    let hash = |chunk: &[u8]| {
        hasher.update(chunk);
        Ok(())
    };
    read_through(file, bytes, hash, |error| {
        SourceError::io("read", path, error)
    })?;
    Ok(hasher)
}

/// The bytes of an open file, one after the other.
pub(super) struct FileBytes {
    file: Arc<dyn StoredFile>,
    at: u64,
    /// What is read ahead, and how much of it is passed on.
    ahead: Vec<u8>,
    passed: usize,
    ahead_bytes: usize,
}

impl FileBytes {
    /// From `at` on, read ahead by so many bytes.
    pub(super) fn new(file: Arc<dyn StoredFile>, at: u64, ahead_bytes: usize) -> Self {
        Self {
            file,
            at,
            ahead: Vec::new(),
            passed: 0,
            ahead_bytes,
        }
    }
}

impl Read for FileBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for FileBytes {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.passed >= self.ahead.len() {
            self.ahead.clear();
            self.passed = 0;
            let read = self
                .file
                .read_range(self.at, self.ahead_bytes, &mut self.ahead)?;
            self.at += count(read);
        }
        Ok(self.ahead.get(self.passed..).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.passed += bytes;
    }
}

/// An open Parquet file, for its decoder.
pub(super) struct ParquetBytes {
    file: Arc<dyn StoredFile>,
    bytes: u64,
}

impl ParquetBytes {
    /// How much of a page's header is read at a time.
    const HEADER_BYTES: usize = 8 << 10;

    pub(super) fn new(file: Arc<dyn StoredFile>, bytes: u64) -> Self {
        Self { file, bytes }
    }
}

impl Length for ParquetBytes {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for ParquetBytes {
    type T = FileBytes;

    fn get_read(&self, start: u64) -> Result<FileBytes, ParquetError> {
        Ok(FileBytes::new(
            Arc::clone(&self.file),
            start,
            Self::HEADER_BYTES,
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = Vec::with_capacity(length);
        let read = self.file.read_range(start, length, &mut bytes)?;
        if read < length {
            return Err(ParquetError::EOF(format!(
                "expected to read {length} bytes at {start}, there are {read}"
            )));
        }
        Ok(bytes.into())
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
