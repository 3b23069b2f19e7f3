//! Finds the row on which an expression failed. Rows do not carry their place through the graph. After a failed run,
//! the row is therefore searched for in the batches that were read last, or by reading the source again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_connectors::connector::ReadBounds;
use tidewater_connectors::error::SourceError;
use tidewater_connectors::format::options::ON_ERROR;
use tidewater_connectors::source::{NextPiece, Reader, RowPlace, RowPlaces, SourceSpec};
use tidewater_operators::{Fault, FaultKind};

use super::RunError;
use super::checked::RowCheck;
use super::ingest::Intake;
use crate::job::{Job, Source};
use crate::plan::row_checks::RowChecks;

/// Readers of a source, opened again to search for a row.
pub type LookAgain<'a> = dyn Fn(&Source, &Arc<SourceSpec>) -> Vec<Arc<dyn Reader>> + 'a;

/// Returns the `error` with which a run ended. If an expression failed on a row of a source, the row's place is
/// added.
pub fn located(
    job: &Job,
    error: RunError,
    intakes: &[Arc<Intake>],
    look_again: &LookAgain<'_>,
) -> RunError {
    let RunError::Fault(fault) = &error else {
        return error;
    };
    if fault.kind != FaultKind::Row {
        return error;
    }
    let mut sources = job.sources.iter();
    let found = sources.find_map(|source| find(job, source, fault, intakes, look_again));
    found.map_or(error, RunError::Fault)
}

/// Opens all files of a source, for a run without a state.
pub fn all_files(source: &Source, spec: &Arc<SourceSpec>) -> Vec<Arc<dyn Reader>> {
    if source.input.has_offsets() {
        return Vec::new();
    }
    let opened = source.input.open(spec, &ReadBounds::default());
    opened.into_iter().collect()
}

fn find(
    job: &Job,
    source: &Source,
    fault: &Fault,
    intakes: &[Arc<Intake>],
    look_again: &LookAgain<'_>,
) -> Option<Fault> {
    let checks = RowChecks::of(job, &source.spec.name).ok()?;
    if checks.is_empty() {
        return None;
    }
    // Readers give the places of rows if rows may be rejected.
    let mut spec = source.spec.clone();
    spec.options
        .insert(ON_ERROR.to_owned(), "quarantine".to_owned());
    let search = Search {
        source,
        fault,
        check: RowCheck::new(checks, source, &spec),
    };
    let own = intakes
        .iter()
        .filter(|intake| *intake.source == *source.spec.name);
    let recent = own.flat_map(|intake| intake.recent());
    let mut recent = recent.into_iter();
    recent
        .find_map(|(batch, places)| search.among(&batch, &places))
        .or_else(|| {
            let mut readers = look_again(source, &Arc::new(spec)).into_iter();
            readers.find_map(|reader| search.reading(&*reader).ok().flatten())
        })
}

/// A search for the row of a source that caused a fault.
struct Search<'a> {
    source: &'a Source,
    fault: &'a Fault,
    check: RowCheck,
}

impl Search<'_> {
    fn reading(&self, reader: &dyn Reader) -> Result<Option<Fault>, SourceError> {
        loop {
            let dealt = match reader.next_piece()? {
                NextPiece::Dealt(dealt) if !dealt.is_correction => dealt,
                NextPiece::Dealt(_) | NextPiece::Wait | NextPiece::Done => return Ok(None),
            };
            for decoded in dealt.piece {
                let decoded = decoded?;
                if let Some(places) = &decoded.places
                    && let Some(found) = self.among(&decoded.batch, places)
                {
                    return Ok(Some(found));
                }
            }
        }
    }

    /// The fault with the place of the first row that caused it.
    fn among(&self, batch: &RecordBatch, places: &RowPlaces) -> Option<Fault> {
        let failed = self.check.failing(batch).ok()?;
        let same = failed
            .into_iter()
            .find(|one| one.reason == self.fault.message)?;
        let RowPlace {
            file,
            line,
            byte_offset,
        } = places.of(same.row);
        let place = if line > 0 {
            format!("{file} line {line}")
        } else {
            format!("{file} offset {byte_offset}")
        };
        Some(Fault {
            operator: format!("view {}", same.view),
            message: format!(
                "source {}, {place}: {}. Nothing was published; OPTIONS ('on_error' 'quarantine') of the source sets such \
                 rows aside",
                self.source.spec.name, same.reason
            ),
            kind: FaultKind::Row,
        })
    }
}
