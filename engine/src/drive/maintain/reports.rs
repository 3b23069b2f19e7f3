//! What a run did to each table, for its report.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_connectors::file::sink::StagedChange;

use super::commit::Commit;
use crate::drive::graph::Table;
use crate::drive::report::{Published, TableReport};
use crate::drive::stages::Stages;
use crate::drive::{RunError, RunReport};
use crate::state::{Reading, TABLES, TableRecord};

/// What a run did to each table; the rows of the quarantine, and where they are when there are any.
pub fn reports(
    commit: &Commit<'_>,
    tables: &[Table],
    staged: &[StagedChange],
) -> Result<(Vec<TableReport>, u64, Option<PathBuf>), RunError> {
    let mut reports = Vec::new();
    for table in tables {
        let name = table.spec.name.to_string();
        let known: Option<TableRecord> = commit.reading.record(TABLES, &name)?;
        let replaced = commit.is_replaced(table);
        let before = known.map_or(0, |known| known.rows);
        let found = staged
            .iter()
            .find(|staged| staged.spec.name == table.spec.name);
        reports.push(match found {
            None => unchanged_table(table, before),
            Some(staged) => TableReport {
                name,
                path: table.spec.path.clone(),
                rows: (before + staged.rows_inserted).saturating_sub(staged.rows_deleted),
                rows_inserted: staged.rows_inserted,
                rows_deleted: staged.rows_deleted,
                files_written: staged.files_written,
                published: match () {
                    () if replaced => Published::Anew,
                    () if staged.rows_inserted + staged.rows_deleted > 0 => Published::Amended,
                    () => Published::Unchanged,
                },
                preview: staged.preview.clone(),
            },
        });
    }
    let quarantine = reports.pop();
    let rows = quarantine.as_ref().map_or(0, |table| table.rows);
    let path = quarantine.filter(|table| table.rows > 0);
    Ok((reports, rows, path.map(|table| table.path)))
}

fn unchanged_table(table: &Table, rows: u64) -> TableReport {
    TableReport {
        name: table.spec.name.to_string(),
        path: table.spec.path.clone(),
        rows,
        rows_inserted: 0,
        rows_deleted: 0,
        files_written: 0,
        published: Published::Unchanged,
        preview: RecordBatch::new_empty(Arc::clone(&table.spec.schema)),
    }
}

/// The report of a run that found nothing to do.
pub fn unchanged(
    epoch: u64,
    tables: &[Table],
    reading: &Reading,
    clock: Stages<'_>,
) -> Result<RunReport, RunError> {
    let mut reports = Vec::new();
    for table in tables {
        let known: Option<TableRecord> = reading.record(TABLES, &table.spec.name)?;
        reports.push(unchanged_table(table, known.map_or(0, |known| known.rows)));
    }
    let quarantine = reports.pop().filter(|table| table.rows > 0);
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        epoch,
        deliveries: Some(Vec::new()),
        rows_read: 0,
        rows_quarantined: quarantine.as_ref().map_or(0, |table| table.rows),
        rows_late: 0,
        tables: reports,
        seconds_total,
        stages,
        warnings: Vec::new(),
        quarantine_path: quarantine.map(|table| table.path),
    })
}
