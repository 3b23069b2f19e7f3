//! The content store: the exact content of deliveries, so that it can be retracted, and read again by a changed job.
//!
//! A directory of immutable files, named by the BLAKE3 hash of their content. Text is decompressed and stored as
//! [frames](frame). Parquet files, which are compressed inside, are stored as they are. The whole delivery is stored,
//! not decoded columns: a changed job may read other columns, and a quarantined row is returned byte for byte.
//!
//! 1. A file has its hash as name only when it is complete: it is written under a temporary name and then renamed.
//! 2. A file is durable only after [`sync`](ContentStore::sync). The caller syncs the files that its commit refers to.
//! 3. Content that is read again is checked: its lengths, and the checksum of each frame or the hash of a Parquet
//!    file.
//! 4. Only one process at a time writes to a content store. It removes files only while none is being written.

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

use self::frame::{ContentEncoder, Frames};
use super::delivery::KeptPart;
use super::storage::{FileStamp, LocalStorage, Storage, StoredFile, hash_prefix, read_through};
use tidewater_contract::disk::{self, DiskFile};
use tidewater_contract::error::SourceError;

mod frame;
#[cfg(fuzzing)]
pub mod fuzz;

/// The extensions of stored files: frames of text, and files as they are.
const TEXT: &str = "text";
const WHOLE: &str = "parquet";
const TEMPORARY: &str = "tmp";

/// The content store, which must be given to read stored content.
pub(super) fn given(
    store: Option<&Arc<ContentStore>>,
    name: &Arc<str>,
) -> Result<Arc<ContentStore>, SourceError> {
    let missing = || {
        SourceError::file(
            name,
            "is to be read from the content store, and none is given",
        )
    };
    store.cloned().ok_or_else(missing)
}

/// With more files than this, the whole file system is synced at once: syncing 5000 small files one by one took 1 to
/// 15 s, and 0.05 s at once. Fewer files are synced one by one, so as not to wait for data of other programs.
#[cfg(target_os = "linux")]
const ONE_BY_ONE_MAX: usize = 64;

/// Larger files are synced as soon as they have their names, while the run still computes. Otherwise a first run
/// waited 0.2 s for the disk at its end.
const EARLY_BYTES_MIN: u64 = 16 << 20;

/// The content store.
pub struct ContentStore {
    directory: PathBuf,
    /// The number of temporary names used so far.
    temporaries: AtomicU64,
    /// Idle encoders, since creating one costs more than compressing a small file.
    encoders: Mutex<Vec<ContentEncoder>>,
    /// The thread that syncs large files early, once there are any.
    early: Mutex<Option<Early>>,
    /// Files of at least this size are synced early.
    early_bytes_min: u64,
}

/// Syncs files in the background, one after the other.
struct Early {
    paths: Sender<PathBuf>,
    syncing: JoinHandle<Result<(), SourceError>>,
}

impl Early {
    fn begin() -> Option<Self> {
        let (paths, waiting) = channel();
        let sync = |path: PathBuf| match disk::sync(&path) {
            // A file that was removed meanwhile is not part of a commit.
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

impl ContentStore {
    /// Opens the content store in `directory`. Creates the directory durably if it does not exist; its parent must be
    /// durable already.
    ///
    /// # Errors
    /// When the system fails.
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

    /// Sets the size from which files are synced as soon as they have their names.
    #[cfg(test)]
    fn syncing_early_from(self, bytes: u64) -> Self {
        Self {
            early_bytes_min: bytes,
            ..self
        }
    }

    /// Begins to sync a file. [`sync`](Self::sync) waits for it and returns its error, which the system reports only
    /// once.
    fn sync_early(&self, path: PathBuf) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.is_none() {
            *early = Early::begin();
        }
        if let Some(early) = &*early {
            // The thread has ended if a file could not be synced.
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

    /// Makes the files with these hashes durable, with their names.
    ///
    /// # Errors
    /// When a file does not exist, or the system fails.
    pub fn sync<'a>(&self, hashes: impl IntoIterator<Item = &'a str>) -> Result<(), SourceError> {
        self.finish_early()?;
        let mut paths = Vec::new();
        for hash in hashes {
            let text = self.path(hash, TEXT);
            let whole = self.path(hash, WHOLE);
            // The same content may be stored both as text and as it is.
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

    /// Removes all files with other hashes than these, and incomplete files. Returns the number of removed files.
    /// Nothing may be written meanwhile.
    ///
    /// # Errors
    /// When the system fails.
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

    /// A new file that does not have its final name yet.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Unnamed, SourceError> {
        loop {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("{number}.{TEMPORARY}"));
            match DiskFile::create_new(&path) {
                Ok(file) => {
                    return Ok(Unnamed {
                        store: Arc::clone(self),
                        file,
                        bytes: 0,
                        named: false,
                    });
                }
                // A killed process left a file of this name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SourceError::io("write", &path, error)),
            }
        }
    }

    /// The frames of a text, with checksums.
    pub(super) fn frames(&self, text: &[u8]) -> io::Result<Vec<u8>> {
        let waiting = || self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting().pop();
        let mut encoder = found.map_or_else(ContentEncoder::new, Ok)?;
        let frames = encoder.frames(text);
        waiting().push(encoder);
        frames
    }

    /// Stores the file at `path` as it is.
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

    /// Opens a file that was stored as it is, and checks it.
    pub(super) fn whole(
        &self,
        name: &Arc<str>,
        part: &KeptPart,
    ) -> Result<Arc<dyn StoredFile>, SourceError> {
        let path = self.path(&part.hash, WHOLE);
        let file = LocalStorage.open(&path);
        let file = file.map_err(|error| not_opened(name, &path, error))?;
        // One byte more is read to detect a file that is too long.
        let hasher = hash_prefix(&*file, &path, part.bytes + 1)?;
        if hasher.finalize().to_hex().as_str() == part.hash {
            Ok(file)
        } else {
            Err(damaged(
                name,
                &path,
                "is damaged: its content does not have its hash",
            ))
        }
    }
}

/// Whether a file of which `bytes` were read was unchanged meanwhile, by its size and time. Its version is not
/// compared, since harmless operations such as making a link change it.
pub(super) fn settled(before: &FileStamp, after: &FileStamp, bytes: u64) -> bool {
    before.bytes == bytes && before.looks_like(after)
}

/// A file that was stored as it is.
pub(super) struct KeptWhole {
    pub part: KeptPart,
    /// The stored content.
    pub file: Arc<dyn StoredFile>,
    /// Whether the source file was unchanged meanwhile.
    pub settled: bool,
}

/// A file of the content store that is being written. It is removed if it is dropped before it gets its name.
pub(super) struct Unnamed {
    store: Arc<ContentStore>,
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

    /// The number of bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the file its name: these are the frames of the text with this hash.
    pub(super) fn name_text(self, hash: &str) -> Result<(), SourceError> {
        self.name(hash, TEXT)
    }

    fn name_whole(self, hash: &str) -> Result<(), SourceError> {
        self.name(hash, WHOLE)
    }

    /// Renames the file, and replaces an existing file of that name. That one has the same content unless it was
    /// damaged. A commit may refer to it, so the new file is synced before.
    fn name(mut self, hash: &str, extension: &str) -> Result<(), SourceError> {
        let path = self.store.path(hash, extension);
        if path.exists() {
            self.file
                .sync()
                .map_err(|error| SourceError::io("sync", self.file.path(), error))?;
        }
        disk::crash_point("keep: before a delivery gets its name");
        disk::rename(self.file.path(), &path)
            .map_err(|error| SourceError::io("rename", &path, error))?;
        self.named = true;
        if self.bytes >= self.store.early_bytes_min {
            self.store.sync_early(path);
        }
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            // If this fails, `remove_unreferenced` removes the file.
            let _ = disk::remove_file(self.file.path());
        }
    }
}

/// The stored text of a delivery: its parts, one after the other.
pub(super) struct KeptText {
    store: Arc<ContentStore>,
    name: Arc<str>,
    waiting: std::vec::IntoIter<KeptPart>,
    open: Option<OpenPart>,
    /// The stored bytes of the parts that have been read.
    stored_bytes: u64,
}

struct OpenPart {
    path: PathBuf,
    frames: Frames,
    part: KeptPart,
    /// The text of the current frame, and the position up to which it was returned.
    text: Vec<u8>,
    at: usize,
    /// The number of bytes of text that are still to be read.
    left: u64,
}

impl KeptText {
    pub(super) fn new(store: Arc<ContentStore>, name: Arc<str>, parts: Vec<KeptPart>) -> Self {
        Self {
            store,
            name,
            waiting: parts.into_iter(),
            open: None,
            stored_bytes: 0,
        }
    }

    /// The stored bytes of the text that was read so far, estimated as if a part were compressed evenly.
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

    /// Appends up to `limit` bytes to `buffer`. Returns `false` at the end of the text.
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
        let path = self.store.path(&part.hash, TEXT);
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
    /// Reads on until `buffer` has up to `target` bytes. Returns `false` at the end of the part.
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

/// The error for stored content that cannot be opened.
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
