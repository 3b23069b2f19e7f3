//! Counts of rows, signed: retracted rows count as negative.

use std::sync::atomic::AtomicI64;

/// Rows of an epoch, as its workers count them.
#[derive(Debug, Default)]
pub struct RowCounts {
    /// Rows that entered the dataflow: inserted minus retracted.
    pub entered: AtomicI64,
    /// The number of unmatched changes, minus those that found their row later.
    pub unmatched: AtomicI64,
}

/// A number of rows as a change.
pub fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
