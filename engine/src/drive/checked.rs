//! Rejects rows of a source on which an expression of a view fails (`'on_error' 'quarantine'`). They are rejected as
//! they are read, so they are in no table, and they are removed with their delivery.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::format::options::{Gate, OnError};
use tidewater_connectors::format::row_json::row_as_json;
use tidewater_connectors::source::{
    Dealt, Decoded, Piece, Reader, Rejected, RowPlace, RowPlaces, SourceSpec,
};

use super::RunError;
use super::piece_reader::through;
use crate::job::{Job, Source};
use crate::plan::row_checks::{FailedRow, RowChecks};

/// The check of a source that rejects rows on which an expression fails.
#[derive(Clone, Debug)]
pub struct RowCheck {
    source: Arc<str>,
    checks: Arc<RowChecks>,
    /// The columns of a batch that the job reads.
    columns: Vec<usize>,
}

impl RowCheck {
    /// The check of rows that are read by `spec`; `None` if a failing expression ends the run, or none can fail.
    ///
    /// # Errors
    /// When a view has no dataflow, or an option is invalid.
    pub fn of(job: &Job, source: &Source, spec: &SourceSpec) -> Result<Option<Self>, RunError> {
        if Gate::parse(&source.spec.options)?.on_error != OnError::Quarantine {
            return Ok(None);
        }
        let checks = RowChecks::of(job, &source.spec.name)?;
        Ok((!checks.is_empty()).then(|| Self::new(checks, source, spec)))
    }

    /// The check of a source's rows.
    pub(super) fn new(checks: RowChecks, source: &Source, spec: &SourceSpec) -> Self {
        let read = source.spec.projection.iter();
        let columns = read.filter_map(|column| spec.projection.binary_search(column).ok());
        Self {
            source: source.spec.name.as_str().into(),
            checks: Arc::new(checks),
            columns: columns.collect(),
        }
    }

    /// Adds the check of a source to a reader that reads by `spec`, if the source asks for it.
    ///
    /// # Errors
    /// When a view has no dataflow, or an option is invalid.
    pub fn over(
        job: &Job,
        source: &Source,
        spec: &SourceSpec,
        reader: Arc<dyn Reader>,
    ) -> Result<Arc<dyn Reader>, RunError> {
        Ok(match Self::of(job, source, spec)? {
            Some(check) => check.before(reader),
            None => reader,
        })
    }

    /// The reader with its rows checked.
    pub fn before(self, reader: Arc<dyn Reader>) -> Arc<dyn Reader> {
        through(reader, move |dealt| {
            let check = self.clone();
            let decoded = dealt.piece;
            let piece: Box<dyn Piece> = Box::new(
                decoded.map(move |decoded| decoded.and_then(|decoded| check.apply(decoded))),
            );
            Dealt { piece, ..dealt }
        })
    }

    /// Moves rows on which an expression fails to the rejected rows.
    fn apply(&self, mut decoded: Decoded) -> Result<Decoded, SourceError> {
        let failed = self.failing(&decoded.batch)?;
        if failed.is_empty() {
            return Ok(decoded);
        }
        for one in &failed {
            let rejected = self.reject(one, &decoded.batch, decoded.places.as_ref());
            decoded
                .rejected
                .push(rejected.map_err(|error| self.broken(&error))?);
        }
        let mut is_good = vec![true; decoded.batch.num_rows()];
        failed.iter().for_each(|one| is_good[one.row] = false);
        let keep = BooleanArray::from(is_good.clone());
        let good = filter_record_batch(&decoded.batch, &keep);
        decoded.batch = good.map_err(|error| self.broken(&error))?;
        if let Some(ordinals) = &mut decoded.ordinals {
            let mut is_good = is_good.iter();
            ordinals.retain(|_| is_good.next().copied().unwrap_or(true));
        }
        decoded.places = None;
        Ok(decoded)
    }

    /// The rows of a batch on which an expression fails.
    pub(super) fn failing(&self, batch: &RecordBatch) -> Result<Vec<FailedRow>, SourceError> {
        let read = batch.project(&self.columns);
        let read = read.map_err(|error| self.broken(&error))?;
        Ok(self.checks.failing(&read))
    }

    pub(super) fn reject(
        &self,
        failed: &FailedRow,
        batch: &RecordBatch,
        places: Option<&RowPlaces>,
    ) -> Result<Rejected, arrow::error::ArrowError> {
        let row = batch.project(&self.columns)?.slice(failed.row, 1);
        let place = places.map(|places| places.of(failed.row));
        let RowPlace {
            file,
            line,
            byte_offset,
        } = place.unwrap_or_else(|| RowPlace {
            file: "".into(),
            line: 0,
            byte_offset: 0,
        });
        Ok(Rejected {
            source: Arc::clone(&self.source),
            file,
            line,
            byte_offset,
            column: None,
            reason: format!("view {}: {}", failed.view, failed.reason),
            raw: row_as_json(&row)?,
        })
    }

    fn broken(&self, error: &arrow::error::ArrowError) -> SourceError {
        SourceError::file(&self.source, error.to_string())
    }
}
