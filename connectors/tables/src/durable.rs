//! Syncs files to disk, so that they survive a loss of power.

use std::collections::BTreeSet;
use std::fs;
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::owner::MARK;
use super::write::in_threads;
use tidewater_contract::disk;
use tidewater_contract::sink::SinkError;

/// With more files and directories than this, the whole file system is synced at once. To create 732 partitions of
/// one small file each took 1.6 to 3.7 s with a sync for each file and directory, and 0.4 to 1.0 s with one sync for
/// all. Fewer files are synced one by one, so as not to wait for data of other programs.
#[cfg(target_os = "linux")]
const ONE_BY_ONE_MAX: usize = 64;

/// The number of files that are synced at the same time. Each sync waits for the disk, and a journal commits them
/// together.
const AT_ONCE: usize = 4;

/// Makes a directory, all files below it and their names durable.
pub(super) fn sync_all_below(directory: &Path) -> Result<(), SinkError> {
    let mut paths = Vec::new();
    collect(directory, &mut paths)?;
    #[cfg(target_os = "linux")]
    if paths.len() > ONE_BY_ONE_MAX {
        let synced = disk::sync_file_system(directory);
        return synced.map_err(SinkError::io("write to disk the file system of", directory));
    }
    sync_all(paths)
}

/// Makes the names in some directories durable. A directory that no longer exists is skipped.
pub(super) fn sync_directories(directories: &BTreeSet<PathBuf>) -> Result<(), SinkError> {
    #[cfg(target_os = "linux")]
    if directories.len() > ONE_BY_ONE_MAX {
        let mut devices = BTreeSet::new();
        for directory in directories {
            let Ok(metadata) = fs::metadata(directory) else {
                continue;
            };
            if devices.insert(metadata.dev()) {
                let synced = disk::sync_file_system(directory);
                synced.map_err(SinkError::io("write to disk the file system of", directory))?;
            }
        }
        return Ok(());
    }
    let there = directories.iter().filter(|directory| directory.exists());
    sync_all(there.cloned().collect())
}

/// Makes the content of files and the names in directories durable, several at a time.
///
/// # Errors
/// When the file system fails.
pub fn sync_all(paths: Vec<PathBuf>) -> Result<(), SinkError> {
    in_threads(paths, AT_ONCE, |path| sync(&path))?;
    Ok(())
}

/// Makes one file's content, or the names in one directory, durable.
pub(super) fn sync(path: &Path) -> Result<(), SinkError> {
    disk::sync(path).map_err(SinkError::io("write to disk", path))
}

/// All files and directories below `directory`, and itself, innermost first.
fn collect(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<(), SinkError> {
    for entry in fs::read_dir(directory).map_err(SinkError::io("list the directory", directory))? {
        let entry = entry.map_err(SinkError::io("list the directory", directory))?;
        let path = entry.path();
        if entry
            .file_type()
            .map_err(SinkError::io("look up", &path))?
            .is_dir()
        {
            if entry.file_name() == MARK {
                // Of a directory, only the names are synced.
                paths.push(path);
            } else {
                collect(&path, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    paths.push(directory.to_path_buf());
    Ok(())
}
