//! The depot: what was taken in, kept so that it can be taken back exactly, and read again by a job that changed.
//!
//! A directory of files that never change, named by the BLAKE3 hash of their content. Text, decompressed, is kept as
//! [frames](frame); Parquet files, compressed inside, as they are. It is all of a delivery and not the
//! decoded columns: a changed job may read other columns, and a quarantined row comes out again byte for byte.
//!
//! 1. A name that is a hash is there when all of its content is: it is written under a temporary name and renamed.
//! 2. It is durable after [`sync`](Depot::sync) and not before: the caller syncs what its commit refers to.
//! 3. What is read again is checked: lengths, and the checksum of each frame (the hash, of a Parquet file).
//! 4. One process at a time writes to a depot, and removes from it only while nothing is being kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use blake3::Hasher;

use self::frame::{Encoder, Frames};
use super::delivery::KeptPart;
use super::storage::{FileStamp, LocalStorage, Storage, StoredFile, hash_prefix, read_through};
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::error::SourceError;

mod frame;
#[cfg(fuzzing)]
pub mod fuzz;

/// Extensions of what is kept: frames of text, and files as they are.
const TEXT: &str = "text";
const WHOLE: &str = "parquet";
const TEMPORARY: &str = "tmp";

/// The depot that something kept is read from.
pub(super) fn given(
    depot: Option<&Arc<Depot>>,
    name: &Arc<str>,
) -> Result<Arc<Depot>, SourceError> {
    let missing = || SourceError::file(name, "is to be read from a depot, and none is given");
    depot.cloned().ok_or_else(missing)
}

/// With more files than this, the whole file system is synced at once: 5000 small files took 1 to 15 s one by one, and
/// 0.05 s so. With fewer, one by one, so as not to wait for what others write.
#[cfg(target_os = "linux")]
const ONE_BY_ONE_MAX: usize = 64;

/// Files of more bytes are brought to the disk as soon as they have their names, while the run still computes: a first run
/// waited 0.2 s for the disk at its end.
const EARLY_BYTES_MIN: u64 = 16 << 20;

/// Kept deliveries.
pub struct Depot {
    directory: PathBuf,
    /// Temporary names given so far.
    temporaries: AtomicU64,
    /// Encoders that are not at work; making one costs more than compressing a small file.
    encoders: Mutex<Vec<Encoder>>,
    /// What brings large files to the disk, once there are any.
    early: Mutex<Option<Early>>,
    /// Files of so many bytes are brought to the disk early.
    early_bytes_min: u64,
}

/// Brings files to the disk beside everything else, one after the other.
struct Early {
    paths: Sender<PathBuf>,
    syncing: JoinHandle<Result<(), SourceError>>,
}

impl Early {
    fn begin() -> Option<Self> {
        let (paths, waiting) = channel();
        let sync = |path: PathBuf| match disk::sync(&path) {
            // What was removed meanwhile is not what is committed.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SourceError::io("sync", &path, error))
            }
            _ => Ok(()),
        };
        let syncing = thread::Builder::new().spawn(move || waiting.into_iter().try_for_each(sync));
        let syncing = syncing.ok()?;
        Some(Self { paths, syncing })
    }
}

impl Depot {
    /// The depot in `directory`, which is made, durably, when it is not there; what it lies in must be durable already.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let directory = directory.into();
        let is_new = !directory.exists();
        disk::create_dir_all(&directory)
            .map_err(|error| SourceError::io("create", &directory, error))?;
        if is_new {
            let parent = directory.parent().filter(|parent| *parent != Path::new(""));
            let parent = parent.unwrap_or(Path::new("."));
            disk::sync(parent).map_err(|error| SourceError::io("sync", parent, error))?;
        }
        Ok(Self {
            directory,
            temporaries: AtomicU64::new(0),
            encoders: Mutex::default(),
            early: Mutex::default(),
            early_bytes_min: EARLY_BYTES_MIN,
        })
    }

    /// Brings files of so many bytes to the disk as soon as they have their names.
    #[cfg(test)]
    fn syncing_early_from(self, bytes: u64) -> Self {
        Self {
            early_bytes_min: bytes,
            ..self
        }
    }

    /// Begins to bring a file to the disk. [`sync`](Self::sync) waits for it, and tells what went wrong, which the system
    /// tells once.
    fn sync_early(&self, path: PathBuf) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.is_none() {
            *early = Early::begin();
        }
        if let Some(early) = &*early {
            // It ended if a file could not be synced.
            let _ = early.paths.send(path);
        }
    }

    fn finish_early(&self) -> Result<(), SourceError> {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Early { paths, syncing }) = early.take() else {
            return Ok(());
        };
        drop(paths);
        syncing.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Makes what is kept under these hashes durable, names included.
    ///
    /// # Errors
    /// When one is not there, or the system refuses.
    pub fn sync<'a>(&self, hashes: impl IntoIterator<Item = &'a str>) -> Result<(), SourceError> {
        self.finish_early()?;
        let mut paths = Vec::new();
        for hash in hashes {
            let text = self.path(hash, TEXT);
            let whole = self.path(hash, WHOLE);
            // Equal content may be kept both as text and as it is.
            let kept_whole = whole.exists();
            if text.exists() || !kept_whole {
                paths.push(text);
            }
            if kept_whole {
                paths.push(whole);
            }
        }
        #[cfg(target_os = "linux")]
        if paths.len() > ONE_BY_ONE_MAX && paths.iter().all(|path| path.exists()) {
            return disk::sync_file_system(&self.directory)
                .map_err(|error| SourceError::io("sync", &self.directory, error));
        }
        paths.push(self.directory.clone());
        paths.iter().try_for_each(|path| {
            disk::sync(path).map_err(|error| SourceError::io("sync", path, error))
        })
    }

    /// Removes what is kept under other hashes than these, and what is left of keeping that did not end. Gives how
    /// many files went. Nothing may be being kept meanwhile.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_unreferenced(&self, hashes: &BTreeSet<String>) -> Result<u64, SourceError> {
        let refused = |error| SourceError::io("list", &self.directory, error);
        let mut removed = 0;
        for entry in fs::read_dir(&self.directory).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            let ours = path.extension().is_some_and(|extension| {
                extension == TEXT || extension == WHOLE || extension == TEMPORARY
            });
            let referenced = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| hashes.contains(stem));
            if ours && !referenced {
                disk::remove_file(&path)
                    .map_err(|error| SourceError::io("remove", &path, error))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn path(&self, hash: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{hash}.{extension}"))
    }

    /// A new file without a name of its own yet.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Unnamed, SourceError> {
        loop {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("{number}.{TEMPORARY}"));
            match DiskFile::create_new(&path) {
                Ok(file) => {
                    return Ok(Unnamed {
                        depot: Arc::clone(self),
                        file,
                        bytes: 0,
                        named: false,
                    });
                }
                // Left by a process that was cut short.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SourceError::io("write", &path, error)),
            }
        }
    }

    /// The frames of a text, which tell when they are damaged.
    pub(super) fn frames(&self, text: &[u8]) -> io::Result<Vec<u8>> {
        let waiting = || self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting().pop();
        let mut encoder = found.map_or_else(Encoder::new, Ok)?;
        let frames = encoder.frames(text);
        waiting().push(encoder);
        frames
    }

    /// Keeps the file at `path` of a storage as it is.
    pub(super) fn copy(
        self: &Arc<Self>,
        storage: &dyn Storage,
        path: &Path,
    ) -> Result<KeptWhole, SourceError> {
        let refused = |error| SourceError::io("read", path, error);
        let file = storage.open(path);
        let file = file.map_err(|error| SourceError::io("open", path, error))?;
        let before = file.stamp().map_err(refused)?;
        let mut kept = self.begin()?;
        let mut hasher = Hasher::new();
        let keep = |chunk: &[u8]| {
            hasher.update(chunk);
            kept.write(chunk)
        };
        let bytes = read_through(&*file, u64::MAX, keep, refused)?;
        let after = file.stamp().map_err(refused)?;
        let hash = hasher.finalize().to_hex().to_string();
        kept.name_whole(&hash)?;
        let path = self.path(&hash, WHOLE);
        Ok(KeptWhole {
            file: LocalStorage
                .open(&path)
                .map_err(|error| SourceError::io("open", &path, error))?,
            settled: settled(&before, &after, bytes),
            part: KeptPart {
                hash,
                bytes,
                stored_bytes: bytes,
                lines: 0,
            },
        })
    }

    /// A file that was kept as it is, checked.
    pub(super) fn whole(
        &self,
        name: &Arc<str>,
        part: &KeptPart,
    ) -> Result<Arc<dyn StoredFile>, SourceError> {
        let path = self.path(&part.hash, WHOLE);
        let file = LocalStorage.open(&path);
        let file = file.map_err(|error| not_opened(name, &path, error))?;
        // A byte more than there may be shows what is too long.
        let hasher = hash_prefix(&*file, &path, part.bytes + 1)?;
        if hasher.finalize().to_hex().as_str() == part.hash {
            Ok(file)
        } else {
            Err(damaged(
                name,
                &path,
                "is damaged: its content has another hash",
            ))
        }
    }
}

/// Whether a file of which `bytes` were read stayed as it was meanwhile, as size and time tell. Its version may change
/// for less, such as a link that a backup makes.
pub(super) fn settled(before: &FileStamp, after: &FileStamp, bytes: u64) -> bool {
    before.bytes == bytes && before.looks_like(after)
}

/// A file that was kept as it is.
pub(super) struct KeptWhole {
    pub part: KeptPart,
    /// What was kept.
    pub file: Arc<dyn StoredFile>,
    /// Whether the file stayed as it was meanwhile.
    pub settled: bool,
}

/// A file of the depot that is being written. Dropped before it is named, it goes.
pub(super) struct Unnamed {
    depot: Arc<Depot>,
    file: DiskFile,
    bytes: u64,
    named: bool,
}

impl Unnamed {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.file
            .write_all(bytes)
            .map_err(|error| SourceError::io("write", self.file.path(), error))?;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Names the frames of the text that has this hash.
    pub(super) fn name_text(self, hash: &str) -> Result<(), SourceError> {
        self.name(hash, TEXT)
    }

    fn name_whole(self, hash: &str) -> Result<(), SourceError> {
        self.name(hash, WHOLE)
    }

    /// What is there under the name already has the same content, unless it was damaged: it is replaced. As a commit
    /// may refer to it, the new file is durable before.
    fn name(mut self, hash: &str, extension: &str) -> Result<(), SourceError> {
        let path = self.depot.path(hash, extension);
        if path.exists() {
            self.file
                .sync()
                .map_err(|error| SourceError::io("sync", self.file.path(), error))?;
        }
        disk::crash_point("keep: before a delivery gets its name");
        disk::rename(self.file.path(), &path)
            .map_err(|error| SourceError::io("rename", &path, error))?;
        self.named = true;
        if self.bytes >= self.depot.early_bytes_min {
            self.depot.sync_early(path);
        }
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            // Should it stay, `remove_unreferenced` takes it.
            let _ = disk::remove_file(self.file.path());
        }
    }
}

/// The kept text of a delivery: its parts, one after the other.
pub(super) struct KeptText {
    depot: Arc<Depot>,
    name: Arc<str>,
    waiting: std::vec::IntoIter<KeptPart>,
    open: Option<OpenPart>,
    /// Stored bytes of the parts that are read.
    stored_bytes: u64,
}

struct OpenPart {
    path: PathBuf,
    frames: Frames,
    part: KeptPart,
    /// What is read of the frame's text, and what is not.
    text: Vec<u8>,
    at: usize,
    /// Bytes of text not read yet.
    left: u64,
}

impl KeptText {
    pub(super) fn new(depot: Arc<Depot>, name: Arc<str>, parts: Vec<KeptPart>) -> Self {
        Self {
            depot,
            name,
            waiting: parts.into_iter(),
            open: None,
            stored_bytes: 0,
        }
    }

    /// Stored bytes of what was read so far, as if all of a part were compressed alike.
    pub(super) fn stored_bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| {
            let waiting = u64::try_from(open.text.len() - open.at).unwrap_or(0);
            let read = u128::from(open.part.bytes - open.left - waiting);
            let share =
                u128::from(open.part.stored_bytes) * read / u128::from(open.part.bytes.max(1));
            u64::try_from(share).unwrap_or(0)
        });
        self.stored_bytes + open
    }

    /// Appends up to `limit` bytes to `buffer`; `false` at the end of the text.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<bool, SourceError> {
        let target = buffer.len() + limit;
        buffer.reserve_exact(limit);
        while buffer.len() < target {
            let Some(open) = &mut self.open else {
                let Some(part) = self.waiting.next() else {
                    return Ok(false);
                };
                self.open = Some(self.open(part)?);
                continue;
            };
            if !open.fill(&self.name, buffer, target)? {
                self.stored_bytes += open.part.stored_bytes;
                self.open = None;
            }
        }
        Ok(true)
    }

    fn open(&self, part: KeptPart) -> Result<OpenPart, SourceError> {
        let path = self.depot.path(&part.hash, TEXT);
        let file = File::open(&path).map_err(|error| not_opened(&self.name, &path, error))?;
        Ok(OpenPart {
            path,
            frames: Frames::new(file),
            text: Vec::new(),
            at: 0,
            left: part.bytes,
            part,
        })
    }
}

impl OpenPart {
    /// Reads on, until `buffer` has `target` bytes at most; `false` at the end of the part.
    fn fill(
        &mut self,
        name: &Arc<str>,
        buffer: &mut Vec<u8>,
        target: usize,
    ) -> Result<bool, SourceError> {
        if self.at == self.text.len() {
            self.at = 0;
            self.text = match self.frames.next(self.left) {
                Ok(Some(text)) => text,
                Ok(None) if self.left == 0 => return Ok(false),
                Ok(None) => return Err(damaged(name, &self.path, "is shorter than it was")),
                Err(error) if error.raw_os_error().is_some() => {
                    return Err(SourceError::io("read", &self.path, error));
                }
                Err(error) => {
                    return Err(damaged(
                        name,
                        &self.path,
                        &format!("is damaged: it has {error}"),
                    ));
                }
            };
            self.left -= u64::try_from(self.text.len()).unwrap_or(0);
        }
        let waiting = self.text.get(self.at..).unwrap_or_default();
        let taken = waiting.len().min(target - buffer.len());
        buffer.extend_from_slice(waiting.get(..taken).unwrap_or_default());
        self.at += taken;
        Ok(true)
    }
}

/// The error of kept content that cannot be opened.
fn not_opened(name: &Arc<str>, path: &Path, error: io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        damaged(name, path, "is missing")
    } else {
        SourceError::io("open", path, error)
    }
}

fn damaged(name: &Arc<str>, path: &Path, message: &str) -> SourceError {
    SourceError::Kept {
        file: Arc::clone(name),
        kept: path.to_string_lossy().into(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
