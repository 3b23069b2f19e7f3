//! Files in memory, for tests. Like object stores, this storage has no directories of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidewater_contract::error::SourceError;

use super::{EntryKind, FileStamp, Storage, StorageEntry, StoredFile};

/// Files in memory. Each content that is put gets a new version.
#[derive(Debug, Default)]
pub(crate) struct MemoryStorage(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    files: BTreeMap<PathBuf, Object>,
    versions: u64,
}

#[derive(Clone, Debug)]
struct Object {
    stamp: FileStamp,
    content: Arc<[u8]>,
}

impl MemoryStorage {
    pub(crate) fn put(&self, path: impl Into<PathBuf>, content: &[u8], modified_ns: i64) {
        let mut objects = self.0.lock().unwrap();
        objects.versions += 1;
        let stamp = FileStamp {
            bytes: super::count(content.len()),
            modified_ns,
            version: Some(objects.versions.to_string()),
        };
        let content = content.into();
        objects.files.insert(path.into(), Object { stamp, content });
    }

    pub(crate) fn remove(&self, path: &Path) {
        self.0.lock().unwrap().files.remove(path);
    }
}

impl Storage for MemoryStorage {
    fn list(
        &self,
        directory: &Path,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Vec<StorageEntry>, SourceError> {
        let mut found = BTreeMap::new();
        for (path, object) in &self.0.lock().unwrap().files {
            let Ok(below) = path.strip_prefix(directory) else {
                continue;
            };
            let mut parts = below.components();
            let Some(name) = parts.next().filter(|name| wanted(name.as_os_str())) else {
                continue;
            };
            let kind = if parts.next().is_some() {
                EntryKind::Directory { identity: None }
            } else {
                EntryKind::File(object.stamp.clone())
            };
            found.insert(directory.join(name), kind);
        }
        let found = found.into_iter();
        Ok(found
            .map(|(path, kind)| StorageEntry { path, kind })
            .collect())
    }

    fn head(&self, path: &Path) -> Result<Option<EntryKind>, SourceError> {
        if let Some(object) = self.0.lock().unwrap().files.get(path) {
            return Ok(Some(EntryKind::File(object.stamp.clone())));
        }
        let is_directory = !self.list(path, &|_| true)?.is_empty();
        Ok(is_directory.then_some(EntryKind::Directory { identity: None }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        let found = self.0.lock().unwrap().files.get(path).cloned();
        let object = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(object))
    }

    fn root(&self) -> Option<String> {
        Some("memory".to_owned())
    }
}

impl StoredFile for Object {
    fn stamp(&self) -> io::Result<FileStamp> {
        Ok(self.stamp.clone())
    }

    fn read_range(&self, at: u64, limit: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let from = usize::try_from(at).map_or(self.content.len(), |at| at.min(self.content.len()));
        let rest = &self.content[from..];
        let range = &rest[..limit.min(rest.len())];
        buffer.extend_from_slice(range);
        Ok(range.len())
    }
}
