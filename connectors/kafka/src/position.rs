//! How far a topic was read. The position is part of the commit and alone decides where reading continues. Offsets
//! committed to a consumer group are for tools that show lag.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a source was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: BTreeMap<i32, PartitionPosition>,
    /// The kept messages, oldest segment first.
    pub segments: Vec<Segment>,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The offset at which reading began.
    pub first: i64,
    /// The offset that is read next.
    pub next: i64,
    /// Messages that were read and not rejected. There may be more offsets than messages: control records, compacted
    /// messages and aborted transactions have offsets too.
    pub rows: u64,
    /// Messages that were rejected.
    pub rejected: u64,
}

/// A file of the log, as far as commits refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number, which names it.
    pub number: u64,
    /// Its length. Bytes after it were never committed.
    pub bytes: u64,
}
