//! What `status` tells of a source.

use serde_json::Value;

/// Where a source stands.
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
    /// Content that is kept of it.
    pub kept: Vec<KeptContent>,
    /// What waits to be read.
    pub pending: PendingInput,
    /// More, for machines: a name, and its value.
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
}

/// Content that a state keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptContent {
    /// Its name, the same for the same content.
    pub name: String,
    /// Its bytes as they were read; `None` where only its stored size counts.
    pub bytes: Option<u64>,
    /// The bytes that it takes.
    pub stored_bytes: u64,
}

/// What waits for the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingInput {
    /// Deliveries, as size and time of change tell them.
    Deliveries(PendingDeliveries),
    /// Messages behind the last commit, or why their number is unknown.
    Messages(Result<u64, String>),
}

impl Default for PendingInput {
    fn default() -> Self {
        Self::Deliveries(PendingDeliveries::default())
    }
}

/// Deliveries that changed since the last commit, as size and time of change tell them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingDeliveries {
    /// Paths that were not read.
    pub new: Vec<String>,
    /// Paths that have another size or time than when they were read.
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
