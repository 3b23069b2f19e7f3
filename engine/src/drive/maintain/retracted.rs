//! Reads published rows from a table's files, to retract them or to add an epoch's changes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use tidewater_connectors::file::sink::{
    DEFAULT_SHARD_BYTES, PublishedPartition, PublishedTable, Run, Staging, TableShard, rows_of,
};
use tidewater_operators::fault::{Fault, FaultKind};

use super::shadow::shadow;
use super::views::Views;
use crate::drive::RunError;
use crate::drive::late::VIEW_COLUMN;
use crate::drive::tables::Table;
use crate::state::directory::StateLayout;
use crate::state::{PARTITIONS, StateSnapshot, pair_key};

/// The published rows of a table that `select` accepts, as retractions.
///
/// # Errors
/// When the table cannot be read.
pub fn retracted(
    snapshot: &StateSnapshot,
    layout: &StateLayout,
    table: &Table,
    staging: &Staging,
    select: impl Fn(RecordBatch) -> Result<RecordBatch, ArrowError>,
) -> Result<Vec<Run>, RunError> {
    published(snapshot, layout, table, staging, -1, select)
}

/// The published rows of a table that `select` accepts, each `diff` times.
fn published(
    snapshot: &StateSnapshot,
    layout: &StateLayout,
    table: &Table,
    staging: &Staging,
    diff: i64,
    select: impl Fn(RecordBatch) -> Result<RecordBatch, ArrowError>,
) -> Result<Vec<Run>, RunError> {
    let prefix = pair_key(&table.spec.name, "");
    let partitions: BTreeMap<String, PublishedPartition> = snapshot.records(PARTITIONS, &prefix)?;
    let published = PublishedTable::new(Arc::clone(&table.spec), shadow(layout, &table.spec))?;
    let mut shard = TableShard::new(Arc::clone(&table.spec), staging, DEFAULT_SHARD_BYTES)?;
    for file in published.files(&partitions)? {
        published.read(&file.path, |batch| {
            let rows = select(batch).map_err(|error| {
                RunError::Fault(Fault {
                    operator: table.spec.name.to_string(),
                    kind: FaultKind::Failed,
                    message: error.to_string(),
                })
            })?;
            Ok::<_, RunError>(shard.push(&rows, diff)?)
        })?;
    }
    Ok(shard.finish()?)
}

/// The published results of the assertions.
///
/// # Errors
/// When the table cannot be read.
pub fn published_rows(
    snapshot: &StateSnapshot,
    layout: &StateLayout,
    table: &Table,
) -> Result<RecordBatch, RunError> {
    let prefix = pair_key(&table.spec.name, "");
    let partitions: BTreeMap<String, PublishedPartition> = snapshot.records(PARTITIONS, &prefix)?;
    let published = PublishedTable::new(Arc::clone(&table.spec), shadow(layout, &table.spec))?;
    let mut batches = Vec::new();
    for file in published.files(&partitions)? {
        published.read(&file.path, |batch| {
            batches.push(batch);
            Ok::<_, RunError>(())
        })?;
    }
    let schema = batches
        .first()
        .map_or_else(|| Arc::clone(&table.spec.schema), RecordBatch::schema);
    concat_batches(&schema, &batches).map_err(RunError::Quality)
}

/// The rows of a table after its changes in `runs`.
///
/// # Errors
/// When the table cannot be read, or a row is retracted that is not there.
pub fn rows_after(
    snapshot: &StateSnapshot,
    layout: &StateLayout,
    table: &Table,
    mut runs: Vec<Run>,
    staging: &Staging,
) -> Result<RecordBatch, RunError> {
    runs.extend(published(snapshot, layout, table, staging, 1, Ok)?);
    Ok(rows_of(&table.spec, runs)?)
}

/// Retractions of the late rows of views that are rebuilt, since these rows are now in the tables of the views.
///
/// # Errors
/// As [`retracted`].
pub fn no_longer_late(
    views: &Views,
    snapshot: &StateSnapshot,
    layout: &StateLayout,
    table: &Table,
    staging: &Staging,
) -> Result<Vec<Run>, RunError> {
    let rebuilt = views.rebuilt.retained.keys();
    let rebuilt: BTreeSet<&str> = rebuilt.map(String::as_str).collect();
    if rebuilt.is_empty() || views.late {
        return Ok(Vec::new());
    }
    retracted(snapshot, layout, table, staging, |batch| {
        let of_views = batch.column(VIEW_COLUMN).as_string::<i32>().iter();
        let of_views = of_views.map(|view| Some(view.is_some_and(|view| rebuilt.contains(view))));
        let of_views: BooleanArray = of_views.collect();
        filter_record_batch(&batch, &of_views)
    })
}
