//! The messages that were read, as they were received. A changed job and `verify` read them again, long after the
//! topic has deleted them.
//!
//! ```text
//! directory ─ 00000000000000000000.log ─┬─ frame: header, zstd of Messages
//!             00000000000000000001.log  └─ frame …
//! ```
//!
//! 1. A segment is as long as the last commit says. Bytes after that length, and later segments, were never
//!    committed. They are cut off before anything is written.
//! 2. The segments that [`sync`](MessageLog::sync) returns are durable, so a commit may refer to them. Nothing is
//!    sure to be durable before.
//! 3. A frame holds messages of one partition. Frames are in the order in which they were appended. If several
//!    threads append, this is not the order of offsets.
//! 4. Frames that are read are checked before any message is decoded: their lengths and their checksums.
//! 5. One process at a time writes to a log.

mod frame;
mod read;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::frame::FrameEncoder;
use super::{Messages, Segment};
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::error::SourceError;

pub use self::read::LogReader;

/// A segment that is this long is full, and a new one begins.
const SEGMENT_BYTES: u64 = 64 << 20;

const EXTENSION: &str = "log";

/// The log of one source, open for appending.
pub struct MessageLog {
    directory: PathBuf,
    segment_bytes: u64,
    state: Mutex<LogState>,
    /// Idle encoders.
    encoders: Mutex<Vec<FrameEncoder>>,
}

struct LogState {
    /// Segments, oldest first. Frames are appended to the last one, or to a new one after it.
    segments: Vec<Segment>,
    /// The last segment's file, once something was written to it.
    open: Option<DiskFile>,
    /// Earlier segments that were written to and are not synced.
    full: Vec<DiskFile>,
    /// Whether `open` is not synced.
    is_written: bool,
    /// Whether a segment was created whose name is not synced.
    is_named: bool,
}

impl MessageLog {
    /// Opens the log in `directory`. The directory is created durably if it does not exist; its parent must be
    /// durable already. The log then holds `segments`, those of the last commit: they are cut to their committed
    /// length, and other segments are removed.
    ///
    /// # Errors
    /// When a segment is missing or too short, or the system refuses.
    pub fn open(directory: &Path, segments: &[Segment]) -> Result<Self, SourceError> {
        Self::with_segment_bytes(directory, segments, SEGMENT_BYTES)
    }

    fn with_segment_bytes(
        directory: &Path,
        segments: &[Segment],
        segment_bytes: u64,
    ) -> Result<Self, SourceError> {
        if !directory.exists() {
            disk::create_dir_all(directory)
                .map_err(|error| SourceError::io("create", directory, error))?;
            let parent = directory.parent().filter(|parent| *parent != Path::new(""));
            sync(parent.unwrap_or(Path::new(".")))?;
        }
        Ok(Self {
            state: Mutex::new(LogState::as_committed(directory, segments)?),
            directory: directory.to_owned(),
            segment_bytes,
            encoders: Mutex::default(),
        })
    }

    /// Appends messages. The calling thread compresses them; writes are serialized.
    ///
    /// # Errors
    /// When the system refuses. Nothing is appended then.
    pub fn append(&self, messages: &Messages) -> Result<(), SourceError> {
        if messages.is_empty() {
            return Ok(());
        }
        let encoders = || self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = encoders().pop();
        let refused = |error| SourceError::io("compress messages for", &self.directory, error);
        let mut encoder = waiting
            .map_or_else(FrameEncoder::new, Ok)
            .map_err(refused)?;
        let frame = encoder.frame(messages).map_err(refused)?;
        let appended = self.lock().append(self, frame);
        encoders().push(encoder);
        appended
    }

    /// Makes appended messages durable. Returns the segments that a commit may refer to from now on.
    ///
    /// # Errors
    /// When the system refuses. A commit must not refer to anything appended since the last call then.
    pub fn sync(&self) -> Result<Vec<Segment>, SourceError> {
        let mut state = self.lock();
        let LogState {
            open,
            full,
            is_written,
            is_named,
            ..
        } = &mut *state;
        let written = open.iter().filter(|_| *is_written);
        for file in full.iter().chain(written) {
            file.sync()
                .map_err(|error| SourceError::io("sync", file.path(), error))?;
        }
        if *is_named {
            sync(&self.directory)?;
        }
        full.clear();
        (*is_written, *is_named) = (false, false);
        disk::crash_point("keep: after messages are durable");
        Ok(state.segments.clone())
    }

    /// Discards what was appended since the commit of `segments`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn rewind(&self, segments: &[Segment]) -> Result<(), SourceError> {
        *self.lock() = LogState::as_committed(&self.directory, segments)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogState {
    /// The log as of the last commit, with everything else cut off.
    fn as_committed(directory: &Path, segments: &[Segment]) -> Result<Self, SourceError> {
        for segment in segments {
            cut(&path(directory, segment.number), segment.bytes)?;
        }
        let list = |error| SourceError::io("list", directory, error);
        for entry in fs::read_dir(directory).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let is_kept = |number: u64| segments.iter().any(|segment| segment.number == number);
            if number(&path).is_some_and(|number| !is_kept(number)) {
                disk::remove_file(&path)
                    .map_err(|error| SourceError::io("remove", &path, error))?;
            }
        }
        Ok(Self {
            segments: segments.to_vec(),
            open: None,
            full: Vec::new(),
            is_written: false,
            is_named: false,
        })
    }

    fn append(&mut self, log: &MessageLog, frame: &[u8]) -> Result<(), SourceError> {
        let fits = |segment: &&Segment| segment.bytes < log.segment_bytes;
        let segment = match self.segments.last().filter(fits) {
            Some(last) => *last,
            None => self.begin(log)?,
        };
        let file = match &mut self.open {
            Some(file) => file,
            closed => {
                let path = path(&log.directory, segment.number);
                let file = DiskFile::open(&path);
                closed.insert(file.map_err(|error| SourceError::io("open", &path, error))?)
            }
        };
        // The segment gives the place to write, not the file, so the remains of a failed write are overwritten.
        file.write_all_at(frame, segment.bytes)
            .map_err(|error| SourceError::io("write", file.path(), error))?;
        self.is_written = true;
        if let Some(last) = self.segments.last_mut() {
            last.bytes += frame.len() as u64;
        }
        disk::crash_point("keep: after messages are appended");
        Ok(())
    }

    /// Begins a new segment.
    fn begin(&mut self, log: &MessageLog) -> Result<Segment, SourceError> {
        let number = self.segments.last().map_or(0, |last| last.number + 1);
        let path = path(&log.directory, number);
        let file =
            DiskFile::create_new(&path).map_err(|error| SourceError::io("create", &path, error))?;
        let before = self.open.replace(file);
        self.full.extend(before.filter(|_| self.is_written));
        (self.is_written, self.is_named) = (false, true);
        let segment = Segment { number, bytes: 0 };
        self.segments.push(segment);
        Ok(segment)
    }
}

/// Truncates a segment to its first `bytes`.
fn cut(path: &Path, bytes: u64) -> Result<(), SourceError> {
    let file = open_kept(path)?;
    let length = length(path, &file)?;
    if length < bytes {
        return Err(damaged(path, length, "is cut short"));
    }
    if length > bytes {
        let cut = DiskFile::open(path).and_then(|file| file.set_len(bytes));
        cut.map_err(|error| SourceError::io("cut", path, error))?;
    }
    Ok(())
}

fn open_kept(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            damaged(path, 0, "is missing")
        } else {
            SourceError::io("open", path, error)
        }
    })
}

fn length(path: &Path, file: &File) -> Result<u64, SourceError> {
    let metadata = file.metadata();
    Ok(metadata
        .map_err(|error| SourceError::io("read", path, error))?
        .len())
}

fn sync(path: &Path) -> Result<(), SourceError> {
    disk::sync(path).map_err(|error| SourceError::io("sync", path, error))
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{EXTENSION}"))
}

/// The number in a segment's name; `None` if the file is not a segment.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

fn damaged(path: &Path, byte_offset: u64, message: &str) -> SourceError {
    SourceError::KeptMessages {
        kept: path.to_string_lossy().into(),
        byte_offset,
        message: message.to_owned(),
    }
}
