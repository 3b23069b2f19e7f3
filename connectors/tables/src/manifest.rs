//! The record of a published table in a commit: its partitions, their files, and the row groups of these.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use tidewater_contract::sink::SinkError;

/// Distinguishes a file from another one of the same name and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InodeStamp {
    inode: u64,
    modified_ns: i64,
}

impl InodeStamp {
    /// The stamp of a file.
    pub fn of(found: &fs::Metadata) -> Self {
        let seconds = found.mtime().saturating_mul(1_000_000_000);
        Self {
            inode: found.ino(),
            modified_ns: seconds.saturating_add(found.mtime_nsec()),
        }
    }
}

/// A row group of a published Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedGroup {
    /// Rows in it.
    pub rows: u64,
    /// The beginning of the first row's key.
    pub first: Vec<u8>,
    /// The beginning of the last row's key.
    pub last: Vec<u8>,
}

/// The Parquet copy of a text file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowFile {
    /// Its size.
    pub bytes: u64,
    /// XXH3 of its bytes.
    pub checksum: u64,
    /// Distinguishes it from another file of this name and size.
    #[serde(default)]
    pub stamp: Option<InodeStamp>,
}

/// One data file of a published partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its name in the partition's directory.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// XXH3 of its bytes.
    pub checksum: u64,
    /// Distinguishes it from another file of this name and size. Older versions did not record it.
    #[serde(default)]
    pub stamp: Option<InodeStamp>,
    /// The row groups of the file that is read back: this file or its shadow.
    pub groups: Vec<PublishedGroup>,
    /// The shadow of a text file.
    pub shadow: Option<ShadowFile>,
}

/// The published files of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPartition {
    /// Its files, by name.
    pub files: Vec<PublishedFile>,
}

impl PublishedPartition {
    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// The record of the last commit.
pub trait PublishedRecord {
    /// A partition of a table; `None` if it does not exist. `path` is relative to the table's directory, such as
    /// `a=1/b=2`, and empty for a table without partitions. Called only for partitions that change.
    ///
    /// # Errors
    /// When the record cannot be read.
    fn partition(&self, table: &str, path: &str) -> Result<Option<PublishedPartition>, SinkError>;

    /// The paths of all partitions of a table. Called when a table is replaced.
    ///
    /// # Errors
    /// When the record cannot be read.
    fn partitions(&self, table: &str) -> Result<Vec<String>, SinkError>;
}
