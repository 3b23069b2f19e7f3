//! Opening a text file as the bytes it stands for, compressed or not, and counting what was taken from storage.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hasher;

use tidewater_formats::compression::{Compression, HEAD_BYTES};

/// Read-ahead of compressed files.
const BUFFER_BYTES: usize = 256 << 10;

/// The decompressed bytes of a file.
pub(super) struct Stored {
    file: Arc<File>,
    /// Decompresses; `None` for a file that is not compressed.
    decoder: Option<Box<dyn Read + Send>>,
    tally: Arc<Mutex<Tally>>,
    /// Whether bytes behind the compressed content were passed over.
    has_trailing: Arc<AtomicBool>,
}

/// What was taken from a file so far, read-ahead included.
#[derive(Default)]
struct Tally {
    bytes: u64,
    /// Of a compressed file, when it is asked for.
    hash: Option<Hasher>,
}

impl Stored {
    /// Opens the file; gzip of several members and Zstandard of several frames, with windows of any length, are read to
    /// their end. `hash` says whether the stored bytes of a compressed file are hashed.
    pub(super) fn open(path: &Path, compression: Compression, hash: bool) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        let mut head = [0; HEAD_BYTES];
        let length = read_head(&file, &mut head)?;
        let head = head.get(..length).unwrap_or_default();
        let codec = compression.resolve(&path.to_string_lossy(), head)?;
        let tally = Arc::new(Mutex::new(Tally {
            bytes: 0,
            hash: (hash && codec.is_some()).then(Hasher::new),
        }));
        let mut stored = Self {
            file,
            decoder: None,
            tally,
            has_trailing: Arc::default(),
        };
        let Some(codec) = codec else {
            return Ok(stored);
        };
        let counted = Counted {
            file: Arc::clone(&stored.file),
            tally: Arc::clone(&stored.tally),
        };
        let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
        // No bytes at all are an empty file, not a stream cut short.
        stored.decoder = Some(if buffered.fill_buf()?.is_empty() {
            Box::new(buffered)
        } else {
            codec.open(Box::new(buffered), &stored.has_trailing)?
        });
        Ok(stored)
    }

    /// Appends up to `limit` bytes to `buffer`; `false` at the end of the content. What was read before an error
    /// is in the buffer.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        buffer.reserve_exact(limit);
        let take = u64::try_from(limit).unwrap_or(u64::MAX);
        let taken = match &mut self.decoder {
            None => {
                let taken = (&*self.file).take(take).read_to_end(buffer)?;
                self.tally().bytes += u64::try_from(taken).unwrap_or(0);
                taken
            }
            Some(decoder) => decoder.by_ref().take(take).read_to_end(buffer)?,
        };
        Ok(taken == limit)
    }

    /// Stored bytes taken so far, read-ahead included.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.tally().bytes
    }

    /// Whether the file is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.decoder.is_some()
    }

    /// Of a compressed file whose stored bytes are hashed, the hash of those taken so far.
    pub(super) fn hash(&self) -> Option<String> {
        let tally = self.tally();
        tally
            .hash
            .as_ref()
            .map(|hash| hash.finalize().to_hex().to_string())
    }

    /// What the user should hear of, once all is read.
    pub(super) fn warning(&self) -> Option<&'static str> {
        let has_trailing = self.has_trailing.load(Ordering::Relaxed);
        has_trailing.then_some(
            "bytes that are not gzip follow its content; they were passed over, as gunzip does",
        )
    }

    /// Size and times of the file as they are now.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The open file; what is read from it by position alone does not count.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Goes on at a byte of a file that is not compressed, and counts from there.
    pub(super) fn seek(&mut self, byte: u64) -> io::Result<()> {
        (&*self.file).seek(SeekFrom::Start(byte))?;
        self.tally().bytes = 0;
        Ok(())
    }

    /// Whether an error tells of damaged content, rather than of a failing device.
    pub(super) fn is_damage(&self, error: &io::Error) -> bool {
        self.is_compressed() && error.raw_os_error().is_none()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the first bytes of a file, without moving in it.
fn read_head(file: &File, head: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = u64::try_from(filled).unwrap_or(u64::MAX);
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(taken) => filled += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Counted {
    file: Arc<File>,
    tally: Arc<Mutex<Tally>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = (&*self.file).read(buffer)?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.bytes += u64::try_from(taken).unwrap_or(0);
        if let Some(hash) = &mut tally.hash {
            hash.update(buffer.get(..taken).unwrap_or_default());
        }
        Ok(taken)
    }
}
