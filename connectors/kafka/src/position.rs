//! How far a topic was taken in. It is part of the commit, and nothing else is trusted: offsets that are committed to a
//! consumer group are for tools that show lag.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a source was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: BTreeMap<i32, PartitionPosition>,
    /// What is kept of it, oldest first.
    pub segments: Vec<Segment>,
}

/// How far a partition was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The offset at which reading began.
    pub first: i64,
    /// The offset that is read next.
    pub next: i64,
    /// Messages that were taken in, rejected ones aside. Offsets count more: those of control records, of messages that
    /// were compacted away, and of aborted transactions.
    pub rows: u64,
    /// Messages that were rejected.
    pub rejected: u64,
}

/// A file of the log, as far as commits refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number, which names it.
    pub number: u64,
    /// Its bytes. What follows them was never committed.
    pub bytes: u64,
}
