//! The local file system as a storage.
//!
//! Links are followed. In a directory, broken links, pipes, sockets and devices are skipped with a warning: reading a
//! pipe could wait for ever.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use tidewater_contract::error::SourceError;

use super::{EntryKind, FileStamp, Storage, StorageEntry, StoredFile};

/// Files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct LocalStorage;

/// The local file system.
#[cfg(test)]
pub(crate) fn local() -> Arc<dyn Storage> {
    Arc::new(LocalStorage)
}

impl Storage for LocalStorage {
    fn list(
        &self,
        directory: &Path,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Vec<StorageEntry>, SourceError> {
        let listed = or_here(directory);
        let refused = |error| SourceError::io("list", listed, error);
        let entries = match fs::read_dir(listed) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(refused(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(refused)?.file_name();
            if !wanted(&name) {
                continue;
            }
            let path = directory.join(name);
            match look_up(&path)? {
                Some(entry) if entry.is_dir() || entry.is_file() => {
                    let kind = kind(&entry);
                    found.push(StorageEntry { path, kind });
                }
                Some(_) => tracing::warn!("{} is no regular file: skipped", path.display()),
                None => {}
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn head(&self, path: &Path) -> Result<Option<EntryKind>, SourceError> {
        Ok(look_up(or_here(path))?.map(|entry| kind(&entry)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        Ok(Arc::new(LocalFile(File::open(path)?)))
    }

    #[expect(clippy::disallowed_methods, reason = "for messages alone")]
    fn root(&self) -> Option<String> {
        let directory = std::env::current_dir().ok()?;
        Some(directory.display().to_string())
    }
}

/// What a path leads to; `None` if it does not exist.
fn look_up(path: &Path) -> Result<Option<Metadata>, SourceError> {
    let error = match fs::metadata(path) {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    match path.symlink_metadata() {
        Ok(link) if link.is_symlink() => {
            tracing::warn!(
                "{} is a link that leads nowhere ({error}): passed over",
                path.display()
            );
            Ok(None)
        }
        _ if is_absent(&error) => Ok(None),
        _ => Err(SourceError::io("list", path, error)),
    }
}

fn kind(found: &Metadata) -> EntryKind {
    if found.is_dir() {
        EntryKind::Directory {
            identity: Some(format!("{}:{}", found.dev(), found.ino())),
        }
    } else {
        EntryKind::File(stamp(found))
    }
}

/// An open file of this machine.
#[derive(Debug)]
struct LocalFile(File);

impl StoredFile for LocalFile {
    fn stamp(&self) -> io::Result<FileStamp> {
        Ok(stamp(&self.0.metadata()?))
    }

    fn read_range(&self, at: u64, limit: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let begin = buffer.len();
        let end = begin + limit;
        buffer.reserve_exact(limit);
        while buffer.len() < end {
            let from = at + super::count(buffer.len() - begin);
            // Reads into memory that need not be zeroed first.
            match rustix::io::pread(&self.0, spare_capacity(buffer), from) {
                Ok(0) => break,
                // The buffer may have more capacity than `limit`.
                Ok(_) => buffer.truncate(end),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buffer.len() - begin)
    }
}

/// The version consists of the inode and its time of change, which no program can set. It excludes the device, whose
/// number differs between mounts on network file systems, so that all files would have to be read again.
fn stamp(found: &Metadata) -> FileStamp {
    FileStamp {
        bytes: found.len(),
        modified_ns: nanoseconds(found.mtime(), found.mtime_nsec()),
        version: Some(format!(
            "{}-{}",
            found.ino(),
            nanoseconds(found.ctime(), found.ctime_nsec())
        )),
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// The path, or the working directory if it is empty.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// Whether the error means that a path does not exist.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
