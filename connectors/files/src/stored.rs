//! Opens a text file, decompresses it if necessary, and counts the bytes read from storage.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hasher;

use tidewater_formats::compression::{Compression, HEAD_BYTES};

use crate::storage::{FileBytes, FileStamp, StoredFile};

/// Read-ahead of compressed files.
const BUFFER_BYTES: usize = 256 << 10;

/// The decompressed bytes of a file.
pub(super) struct Stored {
    file: Arc<dyn StoredFile>,
    /// Where reading goes on, of a file that is not compressed.
    at: u64,
    /// The decompressor; `None` for a file that is not compressed.
    decoder: Option<Box<dyn Read + Send>>,
    tally: Arc<Mutex<ReadTally>>,
    /// Whether bytes after the compressed content were ignored.
    has_trailing: Arc<AtomicBool>,
}

/// The bytes read from a file so far, with read-ahead.
#[derive(Debug, Default)]
struct ReadTally {
    bytes: u64,
    /// The hash of a compressed file, if requested.
    hash: Option<Hasher>,
}

impl Stored {
    /// Opens the file at `path`. Its `name` may show its compression. Gzip files with several members and Zstandard
    /// files with several frames, with windows of any length, are read to their end. `hash` says whether the stored
    /// bytes of a compressed file are hashed.
    pub(super) fn open(
        file: Arc<dyn StoredFile>,
        name: &str,
        compression: Compression,
        hash: bool,
    ) -> io::Result<Self> {
        let mut head = Vec::new();
        file.read_range(0, HEAD_BYTES, &mut head)?;
        let codec = compression.resolve(name, &head)?;
        let tally = Arc::new(Mutex::new(ReadTally {
            bytes: 0,
            hash: (hash && codec.is_some()).then(Hasher::new),
        }));
        let mut stored = Self {
            file,
            at: 0,
            decoder: None,
            tally,
            has_trailing: Arc::default(),
        };
        let Some(codec) = codec else {
            return Ok(stored);
        };
        let counted = CountedFile {
            file: Arc::clone(&stored.file),
            tally: Arc::clone(&stored.tally),
        };
        let mut buffered = FileBytes::new(Arc::new(counted), 0, BUFFER_BYTES);
        // A file of zero bytes is an empty file, not a truncated stream.
        stored.decoder = Some(if buffered.fill_buf()?.is_empty() {
            Box::new(buffered)
        } else {
            codec.open(Box::new(buffered), &stored.has_trailing)?
        });
        Ok(stored)
    }

    /// Appends up to `limit` bytes to `buffer`. Returns `false` at the end of the content. Bytes that were read
    /// before an error are in the buffer.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        let taken = match &mut self.decoder {
            None => {
                let taken = self.file.read_range(self.at, limit, buffer)?;
                self.at += count(taken);
                self.tally().bytes += count(taken);
                taken
            }
            Some(decoder) => {
                buffer.reserve_exact(limit);
                decoder.by_ref().take(count(limit)).read_to_end(buffer)?
            }
        };
        Ok(taken == limit)
    }

    /// The number of stored bytes read so far, with read-ahead.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.tally().bytes
    }

    /// Whether the file is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.decoder.is_some()
    }

    /// The hash of the stored bytes read so far, for a compressed file that is hashed.
    pub(super) fn hash(&self) -> Option<String> {
        let tally = self.tally();
        tally
            .hash
            .as_ref()
            .map(|hash| hash.finalize().to_hex().to_string())
    }

    /// A warning for the user, after everything was read.
    pub(super) fn warning(&self) -> Option<&'static str> {
        let has_trailing = self.has_trailing.load(Ordering::Relaxed);
        has_trailing.then_some(
            "bytes that are not gzip follow its content; they were passed over, as gunzip does",
        )
    }

    /// The file's current stamp.
    pub(super) fn stamp(&self) -> io::Result<FileStamp> {
        self.file.stamp()
    }

    /// The open file. Direct reads from it are not counted.
    pub(super) fn file(&self) -> &dyn StoredFile {
        &*self.file
    }

    /// Where reading goes on, of a file that is not compressed.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Continues at a byte of a file that is not compressed, and counts from there.
    pub(super) fn seek(&mut self, byte: u64) {
        self.at = byte;
        self.tally().bytes = 0;
    }

    /// Whether an error means damaged content rather than a failing device.
    pub(super) fn is_damage(&self, error: &io::Error) -> bool {
        self.is_compressed() && error.raw_os_error().is_none()
    }

    fn tally(&self) -> MutexGuard<'_, ReadTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is read sequentially, with its bytes counted and possibly hashed.
#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn StoredFile>,
    tally: Arc<Mutex<ReadTally>>,
}

impl StoredFile for CountedFile {
    fn stamp(&self) -> io::Result<FileStamp> {
        self.file.stamp()
    }

    fn read_range(&self, at: u64, limit: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let begin = buffer.len();
        let taken = self.file.read_range(at, limit, buffer)?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.bytes += count(taken);
        if let Some(hash) = &mut tally.hash {
            hash.update(buffer.get(begin..).unwrap_or_default());
        }
        Ok(taken)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
