//! Rows that views set aside, for drivers that publish them.

use tidewater_operators::DeltaStream;

use super::windows::LateRows;

/// The rows that the views of a graph set aside.
#[derive(Default)]
pub struct SetAside<'scope> {
    /// Of views with retained windows.
    pub late: Vec<LateRows<'scope>>,
    /// Of sources of changes.
    pub unmatched: Vec<UnmatchedChanges<'scope>>,
}

/// Changes that retract a row that was never inserted, among rows that are there.
pub struct UnmatchedChanges<'scope> {
    /// The source.
    pub source: String,
    /// What is partitioned, such as a topic.
    pub log: String,
    /// The column with the partition.
    pub partition: usize,
    /// The column with the position.
    pub position: usize,
    /// The rows.
    pub rows: DeltaStream<'scope>,
}
