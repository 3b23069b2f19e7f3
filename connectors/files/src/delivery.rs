//! Deliveries of a source that are read: from where they lie, or from kept content.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::list::ListedFile;

/// Content that is kept of a delivery, or of an addition to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeptPart {
    /// BLAKE3 of its (decompressed) bytes, in hex: its name in the content store.
    pub hash: String,
    /// Its (decompressed) bytes.
    pub bytes: u64,
    /// The bytes that it takes in the content store.
    pub stored_bytes: u64,
    /// Its line ends; 0 for a format that has no lines.
    pub lines: u64,
}

/// A delivery to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its path as listed, by which errors and rejected rows name it.
    pub name: Arc<str>,
    /// Where it is read from.
    pub from: Content,
    /// Bytes to read, for progress.
    pub bytes: u64,
}

/// Where a delivery is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file, whole. It is kept when there is a depot.
    File(PathBuf),
    /// What was added to a text file since its old part was taken in. It is kept when there is a depot.
    Tail {
        /// Path of the file.
        path: PathBuf,
        /// Bytes of the old part: whole rows.
        after: u64,
        /// Line on which the addition begins, from 1.
        first_line: u64,
        /// BLAKE3 of the old part, in hex. Checked when there is a depot.
        hash: String,
    },
    /// What was kept of a delivery: all its parts, in order.
    Kept(Vec<KeptPart>),
    /// A text file that was kept as it was stored. Its text is kept when it is read.
    KeptStored(KeptPart),
}

impl From<ListedFile> for Delivery {
    fn from(file: ListedFile) -> Self {
        Self {
            name: file.name(),
            bytes: file.stamp.bytes,
            from: Content::File(file.path),
        }
    }
}
