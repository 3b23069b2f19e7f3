//! Deliveries of a source, which are read from their files or from the content store.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::list::ListedFile;

/// The stored content of a delivery, or of an addition to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeptPart {
    /// BLAKE3 of its (decompressed) bytes, in hex: its name in the content store.
    pub hash: String,
    /// Its (decompressed) bytes.
    pub bytes: u64,
    /// Its size in the content store.
    pub stored_bytes: u64,
    /// Its number of line ends; 0 for a format without lines.
    pub lines: u64,
}

/// A delivery to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its path as listed, which errors and rejected rows show.
    pub name: Arc<str>,
    /// Where it is read from.
    pub from: Content,
    /// The number of bytes to read, for progress.
    pub bytes: u64,
}

/// Where a delivery is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A whole file. Its content is stored if there is a content store.
    File(PathBuf),
    /// The bytes that were added to a text file since it was last read. They are stored if there is a content store.
    Tail {
        /// Path of the file.
        path: PathBuf,
        /// The length of the old part, which ends with a whole row.
        after: u64,
        /// The line on which the addition begins, from 1.
        first_line: u64,
        /// BLAKE3 of the old part, in hex. Checked if there is a content store.
        hash: String,
    },
    /// The stored content of a delivery: all its parts, in order.
    Kept(Vec<KeptPart>),
    /// A text file that was copied to the content store as it was. Its text is stored when it is read.
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
