//! Opening a text file as the bytes it stands for, compressed or not, and counting what was taken from storage.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hasher;
use flate2::bufread::GzDecoder;

use tidewater_formats::options::Compression;

/// Read-ahead of compressed files.
const BUFFER_BYTES: usize = 256 << 10;

/// Windows of `zstd --long=31`, the longest that there are: 2 GiB.
const WINDOW_LOG_MAX: u32 = 31;

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// Of a frame that decoders pass over, behind its first byte.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = b"\x2a\x4d\x18";

/// Archives and compressions that are not read, by their first bytes.
const OTHERS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a zip archive"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x04\x22\x4d\x18", "compressed by LZ4"),
];

/// The decompressed bytes of a file.
pub(super) struct Stored {
    file: Arc<File>,
    /// Decompresses; `None` for a file that is not compressed.
    decoder: Option<Box<dyn Read + Send>>,
    tally: Arc<Mutex<Tally>>,
}

/// What was taken from a file so far, read-ahead included.
#[derive(Default)]
struct Tally {
    bytes: u64,
    /// Of a compressed file, when it is asked for.
    hash: Option<Hasher>,
    /// Whether bytes behind the last gzip member were passed over.
    trailing: bool,
}

impl Stored {
    /// Opens the file; gzip of several members and Zstandard of several frames, with windows of any length, are read to
    /// their end. `hash` says whether the stored bytes of a compressed file are hashed.
    pub(super) fn open(path: &Path, compression: Compression, hash: bool) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        let compression = resolve(path, &file, compression)?;
        let tally = Arc::new(Mutex::new(Tally {
            bytes: 0,
            trailing: false,
            hash: (hash && compression != Compression::None).then(Hasher::new),
        }));
        let mut stored = Self {
            file,
            decoder: None,
            tally,
        };
        if compression == Compression::None {
            return Ok(stored);
        }
        let counted = Counted {
            file: Arc::clone(&stored.file),
            tally: Arc::clone(&stored.tally),
        };
        let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
        // No bytes at all are an empty file, not a stream cut short.
        let decoder: Box<dyn Read + Send> = if buffered.fill_buf()?.is_empty() {
            Box::new(buffered)
        } else if compression == Compression::Gzip {
            Box::new(GzipMembers {
                member: Some(GzDecoder::new(buffered)),
                tally: Arc::clone(&stored.tally),
            })
        } else {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        };
        stored.decoder = Some(decoder);
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
        let trailing = self.tally().trailing;
        trailing.then_some(
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

/// How a file is compressed: as stated, by its name's extension, or by its first bytes.
fn resolve(path: &Path, file: &File, compression: Compression) -> io::Result<Compression> {
    if compression != Compression::Auto {
        return Ok(compression);
    }
    let mut head = [0; 6];
    let length = read_head(file, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    let by_content = if head.starts_with(GZIP_MAGIC) {
        Compression::Gzip
    } else if head.starts_with(ZSTD_MAGIC) || head.get(1..4) == Some(ZSTD_SKIPPABLE_MAGIC) {
        Compression::Zstd
    } else {
        Compression::None
    };
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let by_name = match extension.as_deref() {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => return by_content_alone(head, by_content),
    };
    if by_name == by_content || head.is_empty() {
        return Ok(by_name);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "its content is not compressed as its name says; write OPTIONS (compression 'none'), or name it as it is",
    ))
}

fn by_content_alone(head: &[u8], by_content: Compression) -> io::Result<Compression> {
    match OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, what)) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is {what}, which is not read; unpack it, or compress it by gzip or zstd"),
        )),
        None => Ok(by_content),
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

/// The members of a gzip file, one after the other. Other bytes behind them, such as the zeros of a tape block, are
/// passed over.
struct GzipMembers<R> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
    tally: Arc<Mutex<Tally>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let taken = member.read(buffer)?;
            if taken > 0 || buffer.is_empty() {
                return Ok(taken);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            let behind = rest.fill_buf()?;
            if behind.first() == GZIP_MAGIC.first() {
                self.member = Some(GzDecoder::new(rest));
            } else if !behind.is_empty() {
                let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.trailing = true;
                drop(tally);
                io::copy(&mut rest, &mut io::sink())?;
            }
        }
        Ok(0)
    }
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
