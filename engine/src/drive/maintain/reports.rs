//! Reports a run's changes to each table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_connectors::file::sink::StagedChange;

use super::commit::Commit;
use crate::drive::assertions::AssertionReport;
use crate::drive::report::{Publication, RunOutcome, TableReport};
use crate::drive::stages::Stages;
use crate::drive::tables::{PerTable, Table};
use crate::drive::{RunError, RunReport};
use crate::job::Job;
use crate::state::{StateRecord, StateSnapshot, TABLES, TableRecord};

/// A run's changes to each table.
pub fn reports(
    commit: &Commit<'_>,
    tables: &PerTable<Table>,
    staged: &PerTable<Option<StagedChange>>,
) -> Result<PerTable<TableReport>, RunError> {
    let tables = tables.as_ref().zip(staged.as_ref());
    tables.try_map(|(table, staged)| {
        let before = rows_before(commit.snapshot, table)?;
        let Some(staged) = staged else {
            return Ok(unchanged_table(table, before));
        };
        let (rows_inserted, rows_deleted) = commit.counts(table, staged);
        Ok(TableReport {
            name: table.spec.name.to_string(),
            path: table.spec.path.clone(),
            rows: (before + staged.rows_inserted).saturating_sub(staged.rows_deleted),
            rows_inserted,
            rows_deleted,
            files_written: staged.files_written,
            published: if commit.is_replaced(table) {
                Publication::Whole
            } else if rows_inserted + rows_deleted > 0 {
                Publication::Amended
            } else {
                Publication::Unchanged
            },
            preview: staged.preview.clone(),
        })
    })
}

/// The rows of a table as of the last commit.
fn rows_before(snapshot: &StateSnapshot, table: &Table) -> Result<u64, RunError> {
    let record: Option<TableRecord> = snapshot.record(TABLES, &table.spec.name)?;
    Ok(record.map_or(0, |record| record.rows))
}

fn unchanged_table(table: &Table, rows: u64) -> TableReport {
    TableReport {
        name: table.spec.name.to_string(),
        path: table.spec.path.clone(),
        rows,
        rows_inserted: 0,
        rows_deleted: 0,
        files_written: 0,
        published: Publication::Unchanged,
        preview: RecordBatch::new_empty(Arc::clone(&table.spec.schema)),
    }
}

/// The report of a run that found nothing to do.
pub fn unchanged(
    job: &Job,
    state: &StateRecord,
    tables: &PerTable<Table>,
    snapshot: &StateSnapshot,
    clock: Stages<'_>,
    assertions: Vec<AssertionReport>,
) -> Result<RunReport, RunError> {
    let reports = tables.as_ref().try_map(|table| {
        Ok::<_, RunError>(unchanged_table(table, rows_before(snapshot, table)?))
    })?;
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        outcome: RunOutcome::NothingNew,
        epoch: state.epoch,
        deliveries: Some(Vec::new()),
        rows_read: 0,
        rows_rejected: 0,
        set_aside: Vec::new(),
        rows_quarantined: reports.quarantine.rows,
        rows_late: BTreeMap::new(),
        quarantine_path: reports.quarantine_path(),
        tables: reports.published(job),
        assertions,
        seconds_total,
        stages,
        warnings: Vec::new(),
    })
}
