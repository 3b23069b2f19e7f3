//! Reads published rows from a table's files in order to retract them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tidewater_connectors::file::sink::{
    DEFAULT_SHARD_BYTES, PublishedPartition, PublishedTable, Run, Staging, TableShard,
};
use tidewater_operators::fault::{Fault, FaultKind};

use super::views::Views;
use crate::drive::RunError;
use crate::drive::late::VIEW_COLUMN;
use crate::drive::tables::Table;
use crate::state::{PARTITIONS, StateSnapshot, pair_key};

/// The published rows of a table that `select` accepts, as retractions.
///
/// # Errors
/// When the table cannot be read.
pub fn retracted(
    snapshot: &StateSnapshot,
    table: &Table,
    staging: &Staging,
    select: impl Fn(RecordBatch) -> Result<RecordBatch, ArrowError>,
) -> Result<Vec<Run>, RunError> {
    let prefix = pair_key(&table.spec.name, "");
    let partitions: BTreeMap<String, PublishedPartition> = snapshot.records(PARTITIONS, &prefix)?;
    let published = PublishedTable::new(Arc::clone(&table.spec), None)?;
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
            Ok::<_, RunError>(shard.push(&rows, -1)?)
        })?;
    }
    Ok(shard.finish()?)
}

/// Retractions of the late rows of views that are rebuilt, since these rows are now in the tables of the views.
///
/// # Errors
/// As [`retracted`].
pub fn no_longer_late(
    views: &Views,
    snapshot: &StateSnapshot,
    table: &Table,
    staging: &Staging,
) -> Result<Vec<Run>, RunError> {
    let rebuilt = views.rebuilt.retained.keys();
    let rebuilt: BTreeSet<&str> = rebuilt.map(String::as_str).collect();
    if rebuilt.is_empty() || views.late {
        return Ok(Vec::new());
    }
    retracted(snapshot, table, staging, |batch| {
        let of_views = batch.column(VIEW_COLUMN).as_string::<i32>().iter();
        let of_views = of_views.map(|view| Some(view.is_some_and(|view| rebuilt.contains(view))));
        let of_views: BooleanArray = of_views.collect();
        filter_record_batch(&batch, &of_views)
    })
}
