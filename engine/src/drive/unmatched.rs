//! Quarantine rows for changes that retract a row that was never read, for example because reading began after it.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use tidewater_connectors::connector::PartitionedLog;
use tidewater_connectors::file::sink::rejected_to_batch;
use tidewater_connectors::source::Rejected;
use tidewater_operators::settle::THERE;

use crate::render::UnmatchedChanges;

/// The place columns of changes, and their source.
#[derive(Clone, Debug)]
pub struct UnmatchedPlaces {
    source: Arc<str>,
    log: PartitionedLog,
    partition: usize,
    position: usize,
}

impl UnmatchedPlaces {
    /// The place columns of a source's changes.
    pub fn of(changes: &UnmatchedChanges<'_>) -> Self {
        Self::new(
            &changes.source,
            &changes.log,
            changes.partition,
            changes.position,
        )
    }

    /// The place columns for a source, with its log and the columns of a change's partition and position.
    pub fn new(source: &str, log: &PartitionedLog, partition: usize, position: usize) -> Self {
        Self {
            source: source.into(),
            log: log.clone(),
            partition,
            position,
        }
    }

    /// The quarantine rows for the unmatched changes of a batch. Rows that are there are left out.
    ///
    /// # Errors
    /// When values cannot be shown.
    pub fn quarantined(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let positions = batch.column(self.position).as_primitive::<Int64Type>();
        let unmatched = positions.values().iter().map(|at| Some(*at != THERE));
        let batch = filter_record_batch(batch, &unmatched.collect::<BooleanArray>())?;
        let columns = 0..batch.num_columns();
        let row: Vec<usize> = columns
            .filter(|column| ![self.partition, self.position].contains(column))
            .collect();
        let mut text = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut text);
        writer.write(&batch.project(&row)?)?;
        writer.finish()?;
        let text = String::from_utf8_lossy(&text);
        let partitions = batch.column(self.partition).as_primitive::<Int64Type>();
        let positions = batch.column(self.position).as_primitive::<Int64Type>();
        let places = partitions.values().iter().zip(positions.values());
        let rejected = places
            .zip(text.lines())
            .map(|((partition, position), raw)| Rejected {
                source: Arc::clone(&self.source),
                file: format!("{}/{partition}", self.log.name).into(),
                line: 0,
                byte_offset: (position / 2).cast_unsigned(),
                column: Some("before".into()),
                reason: self.log.unmatched.to_owned(),
                raw: raw.to_owned(),
            });
        rejected_to_batch(&rejected.collect::<Vec<_>>())
    }
}
