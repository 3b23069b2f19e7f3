//! Checks published files by size, time of modification and inode. Only a file of the right size whose time or inode
//! differs is read. If its checksum is right, it was only copied or touched.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tidewater_contract::sink::{SinkError, TableSpec};

use super::manifest::{InodeStamp, PublishedFile, PublishedPartition};
use super::published::{FileFault, is_as_published, parquet_path};

/// The result of a check of a table's files.
#[derive(Debug, Default)]
pub struct TableLook {
    /// Files that differ from the published ones, below the table's directory. An empty path is the directory itself.
    pub damaged: Vec<(PathBuf, FileFault)>,
    /// Whether the Parquet copy of a text table is unchanged; true for other tables.
    pub has_copy: bool,
    /// Partitions whose files are unchanged but have new stamps.
    pub restamped: BTreeMap<String, PublishedPartition>,
}

/// Checks a table, and its shadow if it is a text table. A file that was recorded without a stamp passes if its size
/// is right.
///
/// # Errors
/// When a file's metadata or content cannot be read.
pub fn look(
    spec: &TableSpec,
    shadow: Option<&Path>,
    published: BTreeMap<String, PublishedPartition>,
) -> Result<TableLook, SinkError> {
    let mut look = TableLook {
        has_copy: true,
        ..TableLook::default()
    };
    if !spec.path.is_dir() {
        look.damaged.push((PathBuf::new(), FileFault::Missing));
    }
    for (partition, mut content) in published {
        let mut is_restamped = false;
        for file in &mut content.files {
            let below = Path::new(&partition).join(&file.name);
            let seen = seen(
                &spec.path.join(&below),
                file.bytes,
                file.checksum,
                &mut file.stamp,
            )?;
            match seen {
                Seen::Same => {}
                Seen::Restamped => is_restamped = true,
                Seen::Damaged(fault) => look.damaged.push((below.clone(), fault)),
            }
            match seen_copy(shadow, &below, file)? {
                Seen::Same => {}
                Seen::Restamped => is_restamped = true,
                Seen::Damaged(fault) => {
                    look.has_copy = false;
                    look.damaged.push((below, fault));
                }
            }
        }
        if is_restamped {
            look.restamped.insert(partition, content);
        }
    }
    Ok(look)
}

/// The result of a check of a file.
enum Seen {
    Same,
    /// Its content is the same, but not its stamp.
    Restamped,
    Damaged(FileFault),
}

fn seen_copy(
    root: Option<&Path>,
    below: &Path,
    file: &mut PublishedFile,
) -> Result<Seen, SinkError> {
    let (Some(root), Some(copy)) = (root, &mut file.shadow) else {
        return Ok(Seen::Same);
    };
    seen(
        &parquet_path(root, below),
        copy.bytes,
        copy.checksum,
        &mut copy.stamp,
    )
}

fn seen(
    path: &Path,
    bytes: u64,
    checksum: u64,
    stamp: &mut Option<InodeStamp>,
) -> Result<Seen, SinkError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if is_absent(&error) => return Ok(Seen::Damaged(FileFault::Missing)),
        Err(error) => return Err(SinkError::io("look up", path)(error)),
    };
    if !found.is_file() || found.len() != bytes {
        return Ok(Seen::Damaged(FileFault::Changed));
    }
    let now = InodeStamp::of(&found);
    match stamp.replace(now) {
        Some(before) if before == now => Ok(Seen::Same),
        Some(_) if !is_as_published(path, bytes, checksum)? => {
            Ok(Seen::Damaged(FileFault::Changed))
        }
        _ => Ok(Seen::Restamped),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
