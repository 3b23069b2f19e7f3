//! The report of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::assertions::AssertionReport;
use super::ingest::Intake;
use super::tables::PerTable;
use crate::job::Job;
use crate::state::DeliveryRecord;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It published what changed.
    Committed,
    /// There was nothing to do.
    NothingNew,
    /// It found that everything that waits could be published, and published nothing.
    Audited,
}

/// The report of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// The epoch that was committed.
    pub epoch: u64,
    /// The changed deliveries; `None` for a run without a state.
    pub deliveries: Option<Vec<DeliveryRecord>>,
    /// Rows read from all sources, including quarantined ones.
    pub rows_read: u64,
    /// Rows that this run put into the quarantine.
    pub rows_rejected: u64,
    /// The number of rows of the quarantine.
    pub rows_quarantined: u64,
    /// Files that this run set aside. Each is one row of the quarantine.
    pub set_aside: Vec<SetAsideFile>,
    /// Rows of closed windows, by view. They are in the table of late rows.
    pub rows_late: BTreeMap<String, u64>,
    /// The published tables, in the order of the job.
    pub tables: Vec<TableReport>,
    /// The results of the job's assertions, in the order of the job.
    pub assertions: Vec<AssertionReport>,
    /// Wall-clock seconds of the whole run.
    pub seconds_total: f64,
    /// Wall-clock seconds of each stage, in their order.
    pub stages: Vec<(&'static str, f64)>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The quarantine table's directory, if rows went to it.
    pub quarantine_path: Option<PathBuf>,
}

/// A file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideFile {
    /// The source.
    pub source: String,
    /// Its path.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// The bad files that were set aside while they were read.
pub fn set_aside(intakes: &[Arc<Intake>]) -> Vec<SetAsideFile> {
    let files = intakes.iter().flat_map(|intake| {
        let files = intake.set_aside().into_iter();
        let bad = files.filter(|file| file.hold.is_none());
        bad.map(|file| SetAsideFile {
            source: intake.source.to_string(),
            path: file.name,
            reason: file.reason,
        })
    });
    files.collect()
}

impl RunReport {
    /// Rows of closed windows.
    pub fn rows_late(&self) -> u64 {
        self.rows_late.values().sum()
    }

    /// The combined report of this commit and a second one, which opened windows of some views again.
    #[must_use]
    pub fn followed_by(mut self, second: Self, reopened: &BTreeSet<String>) -> Self {
        self.rows_late.retain(|view, _| !reopened.contains(view));
        self.rows_late.extend(second.rows_late);
        if let (Some(first), Some(second)) = (&mut self.deliveries, second.deliveries) {
            first.extend(second);
        }
        let pairs = self.tables.into_iter().zip(second.tables);
        self.tables = pairs
            .map(|(first, second)| first.followed_by(second))
            .collect();
        self.stages.extend(second.stages);
        self.warnings.extend(second.warnings);
        self.set_aside.extend(second.set_aside);
        Self {
            assertions: second.assertions,
            epoch: second.epoch,
            rows_read: self.rows_read + second.rows_read,
            rows_rejected: self.rows_rejected + second.rows_rejected,
            rows_quarantined: second.rows_quarantined,
            quarantine_path: second.quarantine_path,
            seconds_total: self.seconds_total + second.seconds_total,
            ..self
        }
    }
}

/// A run's changes to one table.
#[derive(Clone, Debug)]
pub struct TableReport {
    /// The table's name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Rows it holds.
    pub rows: u64,
    /// Rows that this run added.
    pub rows_inserted: u64,
    /// Rows that this run deleted.
    pub rows_deleted: u64,
    /// Data files that this run wrote.
    pub files_written: u64,
    /// How the table was published.
    pub published: Publication,
    /// The table's first rows.
    pub preview: RecordBatch,
}

impl TableReport {
    /// The combined report of this commit and the one after it.
    fn followed_by(self, second: Self) -> Self {
        match second.published {
            Publication::Unchanged => self,
            Publication::Whole => second,
            Publication::Amended => Self {
                rows_inserted: self.rows_inserted + second.rows_inserted,
                rows_deleted: self.rows_deleted + second.rows_deleted,
                files_written: self.files_written + second.files_written,
                published: match self.published {
                    Publication::Whole => Publication::Whole,
                    Publication::Amended | Publication::Unchanged => Publication::Amended,
                },
                ..second
            },
        }
    }
}

impl PerTable<TableReport> {
    /// The quarantine's directory, if it has rows.
    pub fn quarantine_path(&self) -> Option<PathBuf> {
        let quarantine = &self.quarantine;
        (quarantine.rows > 0).then(|| quarantine.path.clone())
    }

    /// The tables that a report lists. The quarantine and assertions have fields of their own.
    pub fn published(self, job: &Job) -> Vec<TableReport> {
        let sinks = self.sinks.into_iter().zip(&job.sinks);
        let sinks = sinks.filter(|(_, sink)| sink.is_published());
        let sinks = sinks.map(|(report, _)| report);
        sinks.chain(self.late).collect()
    }
}

/// How a run published a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The whole table was written.
    Whole,
    /// Some of its partitions were written.
    Amended,
    /// Nothing was written.
    Unchanged,
}
