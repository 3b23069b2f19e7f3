//! An interface to file storage that resembles an object store: it lists names, looks up a path, and reads ranges of
//! bytes. Listing, globs, comparison, the content store and all readers use [`Storage`]. The local file system is one
//! implementation.
//!
//! 1. A listed path can be opened, unless the file was removed meanwhile.
//! 2. An open file stays the same file, whatever happens to its path.
//! 3. Different contents of a path have different [`FileStamp`]s, as far as the storage can tell.

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

pub use self::local::LocalStorage;
#[cfg(test)]
pub(crate) use self::local::local;

/// The number of bytes read at a time when a whole file is read.
const CHUNK_BYTES: usize = 1 << 20;

/// Files, by path.
pub trait Storage: Debug + Send + Sync {
    /// The entries of a directory whose names are `wanted`, in order of path; none if the directory does not exist.
    /// Other names are not looked up.
    ///
    /// # Errors
    /// When listing fails.
    fn list(
        &self,
        directory: &Path,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Vec<StorageEntry>, SourceError>;

    /// The kind of a path; `None` if it does not exist.
    ///
    /// # Errors
    /// When the lookup fails.
    fn head(&self, path: &Path) -> Result<Option<EntryKind>, SourceError>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// When it does not exist, or may not be read.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>>;

    /// The directory of relative paths, for messages.
    fn root(&self) -> Option<String>;
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEntry {
    /// Its path: the directory's with its name.
    pub path: PathBuf,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File(FileStamp),
    /// A directory.
    Directory {
        /// Identifies the directory, if a path can lead back into a directory that it is in.
        identity: Option<String>,
    },
}

/// Distinguishes contents of a path without reading them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileStamp {
    /// The file's size.
    pub bytes: u64,
    /// The time of its last modification, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Changes whenever the content changes, and possibly at other times: an inode with its time of change, or an
    /// `ETag`. `None` if the storage has nothing like it.
    pub version: Option<String>,
}

impl FileStamp {
    /// Whether size and time are the same.
    pub fn looks_like(&self, other: &Self) -> bool {
        (self.bytes, self.modified_ns) == (other.bytes, other.modified_ns)
    }
}

/// An open file.
pub trait StoredFile: Debug + Send + Sync {
    /// Its current stamp.
    ///
    /// # Errors
    /// When the lookup fails.
    fn stamp(&self) -> io::Result<FileStamp>;

    /// Appends up to `limit` bytes from `at` on to `buffer`. Returns how many; they are fewer only at the end of the
    /// file. Bytes that were read before an error are in the buffer.
    ///
    /// # Errors
    /// When reading fails.
    fn read_range(&self, at: u64, limit: usize, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

/// Passes a whole file, or its first `limit` bytes, to `take`, piece by piece.
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

/// The unfinished hash of the first `bytes` bytes of a file, or of the whole file if it is shorter.
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

/// Reads the bytes of an open file in order.
pub(super) struct FileBytes {
    file: Arc<dyn StoredFile>,
    at: u64,
    /// Bytes that were read ahead, and how many of them were returned.
    ahead: Vec<u8>,
    passed: usize,
    ahead_bytes: usize,
}

impl FileBytes {
    /// Reads from `at` on, with a read-ahead of this number of bytes.
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
    /// The number of bytes of a page's header that are read at a time.
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
