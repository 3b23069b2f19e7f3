//! Decides which directories may be replaced by a table.
//!
//! A directory looks like a table if every entry, at any depth, is one of
//! - a data file: `part-*.parquet`, `part-*.csv`, `part-*.jsonl`, `part-*.quarantine`;
//! - a partition directory: a real directory named `column=value` that looks like a table itself;
//! - the mark of its owner (see the module `owner`);
//! - a marker or checksum of Spark, Hadoop or a desktop ([`MARKERS`], `.*.crc`).
//!
//! An empty directory looks like a table. Other hidden files do not count, since a home directory may have nothing
//! else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::owner::is_mark;
use super::staged_name::final_name;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// Files that are not part of a table's content and may be replaced with it.
const MARKERS: [&str; 4] = ["_SUCCESS", "_metadata", "_common_metadata", ".DS_Store"];
const EXTENSIONS: [&str; 4] = ["parquet", "csv", "jsonl", "quarantine"];

/// The absolute path of `path` with links resolved. A missing parent is created.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, SinkError> {
    match fs::canonicalize(path) {
        Ok(resolved) => return Ok(resolved),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(SinkError::io("look up", path)(error)),
    }
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(invalid(
            path,
            "it is a link to something that does not exist",
        ));
    }
    let Some(name) = path.file_name() else {
        return Err(invalid(path, "it does not end in a name"));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    disk::create_dir_all(parent).map_err(SinkError::io("create the directory", parent))?;
    Ok(fs::canonicalize(parent)
        .map_err(SinkError::io("look up", parent))?
        .join(name))
}

/// The parent of a resolved table directory.
pub(super) fn parent(resolved: &Path) -> Result<&Path, SinkError> {
    resolved
        .parent()
        .ok_or_else(|| invalid(resolved, "it is the root of the file system"))
}

/// Fails unless `path` is absent or a directory that looks like a table.
pub(super) fn check(path: &Path) -> Result<(), SinkError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(invalid(path, "it is a file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SinkError::io("look up", path)(error)),
    }
    parent(path)?;
    match foreign_entry(path)? {
        Some(entry) => Err(SinkError::ForeignContent {
            path: path.to_path_buf(),
            entry,
        }),
        None => Ok(()),
    }
}

/// Whether a directory has nothing but a table.
///
/// # Errors
/// When it cannot be listed.
pub fn is_only_table(directory: &Path) -> Result<bool, SinkError> {
    Ok(foreign_entry(directory)?.is_none())
}

/// The first entry by name that is not part of a table.
fn foreign_entry(directory: &Path) -> Result<Option<PathBuf>, SinkError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(SinkError::io("list the directory", directory))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(SinkError::io("look up", &path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && is_mark(&name) {
            continue;
        }
        if kind.is_dir() && name.contains('=') {
            if let Some(foreign) = foreign_entry(&path)? {
                return Ok(Some(foreign));
            }
        } else if !(kind.is_file() && is_ours(&name)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn is_ours(name: &str) -> bool {
    let is_data = final_name(name)
        .strip_prefix("part-")
        .and_then(|rest| rest.rsplit_once('.'));
    is_data.is_some_and(|(_, extension)| EXTENSIONS.contains(&extension)) || is_marker(name)
}

/// Whether a file is a marker that other programs leave beside data files. It is removed when these change.
pub(super) fn is_marker(name: &str) -> bool {
    MARKERS.contains(&name)
        || (name.starts_with('.')
            && Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "crc"))
}

fn invalid(path: &Path, reason: &'static str) -> SinkError {
    SinkError::InvalidTarget {
        path: path.to_path_buf(),
        reason,
    }
}
