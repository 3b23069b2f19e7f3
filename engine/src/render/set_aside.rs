//! Rows that views set aside, which the driver publishes.

use tidewater_connectors::connector::PartitionedLog;
use tidewater_operators::DeltaStream;

use super::windows::LateRows;

/// The rows that the views of a graph set aside.
#[derive(Default)]
pub struct SetAsideRows<'scope> {
    /// The late rows of views with retained windows.
    pub late: Vec<LateRows<'scope>>,
    /// The unmatched changes of sources.
    pub unmatched: Vec<UnmatchedChanges<'scope>>,
}

/// A stream with changes that retract a row that was never inserted, together with the rows that are there.
pub struct UnmatchedChanges<'scope> {
    /// The source.
    pub source: String,
    /// The log of the changes.
    pub log: PartitionedLog,
    /// The column with the partition.
    pub partition: usize,
    /// The column with the position.
    pub position: usize,
    /// The rows.
    pub rows: DeltaStream<'scope>,
}
