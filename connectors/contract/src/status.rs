//! What `status` reports about a source.

use serde_json::Value;

use crate::hold::HoldReason;

/// How far a source was read, and what waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceStatus {
    /// Deliveries that were read: files, or partitions.
    pub deliveries: u64,
    /// Rows that were decoded.
    pub rows: u64,
    /// Rows that were rejected.
    pub rows_rejected: u64,
    /// When the newest delivery was modified, in nanoseconds since 1970, for sources whose deliveries have times.
    pub newest_ns: Option<i64>,
    /// Each delivery, for sources whose deliveries have names.
    pub files: Vec<DeliveryStatus>,
    /// Content that is kept.
    pub kept: Vec<KeptContent>,
    /// What waits to be read.
    pub pending: PendingInput,
    /// Further data for machines: a name and a value.
    pub details: Option<(&'static str, Value)>,
}

/// A delivery that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// Its path.
    pub path: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// When it was modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The hash of its content, in hex.
    pub hash: String,
    /// Rows that were decoded.
    pub rows: u64,
    /// Rows that were rejected.
    pub rows_rejected: u64,
    /// Why it is set aside, if it is.
    pub set_aside: Option<String>,
    /// The rules that it breaks, if it is held.
    pub hold: Option<HoldReason>,
}

/// Content that a state keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptContent {
    /// Its name, the same for the same content.
    pub name: String,
    /// Its size as it was read. `None` if only the stored size counts.
    pub bytes: Option<u64>,
    /// Its size on disk.
    pub stored_bytes: u64,
}

/// What waits for the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingInput {
    /// Deliveries, by size and modification time.
    Deliveries(PendingDeliveries),
    /// Messages after the last commit, or why their number is unknown.
    Messages(Result<u64, String>),
}

impl Default for PendingInput {
    fn default() -> Self {
        Self::Deliveries(PendingDeliveries::default())
    }
}

/// Deliveries that changed since the last commit, judged by size and modification time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingDeliveries {
    /// Paths that were not read.
    pub new: Vec<String>,
    /// Paths whose size or time has changed since they were read.
    pub changed: Vec<String>,
    /// Paths that were read and are gone.
    pub withdrawn: Vec<String>,
}

impl PendingDeliveries {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty() && self.withdrawn.is_empty()
    }
}
