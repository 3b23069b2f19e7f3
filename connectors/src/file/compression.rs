//! Opening a text file as the bytes it stands for, compressed or not, and counting what was taken from storage.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::format::options::Compression;

/// Read-ahead of compressed files.
const BUFFER_BYTES: usize = 256 << 10;

/// The decompressed bytes of a file.
pub(super) struct Content {
    reader: Reader,
    /// Stored bytes taken so far, read-ahead included.
    stored: Arc<AtomicU64>,
}

enum Reader {
    Plain(File),
    Compressed(Box<dyn Read + Send>),
}

impl Content {
    /// Opens the file; `.gz` of several members and `.zst` of several frames are read to their end.
    pub(super) fn open(path: &Path, compression: Compression) -> io::Result<Self> {
        let file = File::open(path)?;
        let stored = Arc::new(AtomicU64::new(0));
        let compression = resolve(path, compression);
        if compression == Compression::None {
            return Ok(Self {
                reader: Reader::Plain(file),
                stored,
            });
        }
        let counted = Counted {
            file,
            bytes: Arc::clone(&stored),
        };
        let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
        // No bytes at all are an empty file, not a stream cut short.
        let reader: Box<dyn Read + Send> = if buffered.fill_buf()?.is_empty() {
            Box::new(buffered)
        } else if compression == Compression::Gzip {
            Box::new(MultiGzDecoder::new(buffered))
        } else {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?)
        };
        Ok(Self {
            reader: Reader::Compressed(reader),
            stored,
        })
    }

    /// Appends up to `limit` bytes to `buffer`; `false` at the end of the content. What was read before an error
    /// is in the buffer.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        buffer.reserve_exact(limit);
        let take = u64::try_from(limit).unwrap_or(u64::MAX);
        let taken = match &mut self.reader {
            Reader::Plain(file) => {
                let taken = file.by_ref().take(take).read_to_end(buffer)?;
                self.stored
                    .fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
                taken
            }
            Reader::Compressed(reader) => reader.by_ref().take(take).read_to_end(buffer)?,
        };
        Ok(taken == limit)
    }

    /// Stored bytes taken so far, read-ahead included.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Whether an error tells of damaged content, rather than of a failing device.
    pub(super) fn is_damage(&self, error: &io::Error) -> bool {
        matches!(self.reader, Reader::Compressed(_)) && error.raw_os_error().is_none()
    }
}

fn resolve(path: &Path, compression: Compression) -> Compression {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match (compression, extension.as_deref()) {
        (Compression::Auto, Some("gz")) => Compression::Gzip,
        (Compression::Auto, Some("zst")) => Compression::Zstd,
        (Compression::Auto, _) => Compression::None,
        (stated, _) => stated,
    }
}

struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.file.read(buffer)?;
        self.bytes
            .fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
        Ok(taken)
    }
}
