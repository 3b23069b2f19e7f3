//! Options of a replay.

use std::path::PathBuf;

use tidewater_connectors::connector::OffsetBound;

use super::step::Step;

/// Options of a replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Worker threads.
    pub workers: usize,
    /// The length of a step.
    pub step: Step,
    /// Columns of event time, as `COLUMN` or `SOURCE.COLUMN`. A source without a named column is loaded completely in
    /// the first step. If empty, each source uses the first TIMESTAMP or DATE that it declares.
    pub by: Vec<String>,
    /// Rows before this time are left out, in microseconds since 1970.
    pub from: Option<i64>,
    /// Rows at this time or later are left out, in microseconds since 1970.
    pub to: Option<i64>,
    /// Messages before this bound are left out, in every topic.
    pub messages_from: Option<OffsetBound>,
    /// Messages at this bound and after it are left out, in every topic.
    pub messages_to: Option<OffsetBound>,
    /// Memory for rows that wait for their step. More rows wait in temporary files.
    pub memory_bytes: usize,
    /// The directory of these files. They have no name and vanish with the process.
    pub temporary: PathBuf,
}
