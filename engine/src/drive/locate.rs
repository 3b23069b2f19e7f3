//! Finds the row on which an expression failed: in the batches that were read last, or by reading the source again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tidewater_connectors::connector::ReadBounds;
use tidewater_connectors::source::{Reader, RowPlaces, SourceSpec};
use tidewater_operators::{Fault, FaultKind};

use super::RunError;
use super::ingest::Intake;
use super::search::{LookAgain, Search, read_again, spelled};
use crate::job::{Job, Source};
use crate::plan::row_checks::RowChecks;

/// Returns the `error` with which a run ended. If an expression failed on a row of a source, the row's place is
/// added; otherwise, the view is named.
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
    RunError::Fault(found.unwrap_or_else(|| of_view(fault)))
}

/// A fault on a row that a view computed from others. An operator's name begins with that of its view.
fn of_view(fault: &Fault) -> Fault {
    let view = fault.operator.split_once(": ");
    Fault {
        operator: view.map_or_else(
            || fault.operator.clone(),
            |(view, _)| format!("view {view}"),
        ),
        message: format!("{}. Nothing was published", fault.message),
        kind: fault.kind,
    }
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
    let search = Search::new(checks, source)?;
    let same = |batch: &RecordBatch, places: &RowPlaces| cause(&search, fault, batch, places);
    let own = intakes
        .iter()
        .filter(|intake| *intake.source == *source.spec.name);
    let recent = own.flat_map(|intake| intake.recent());
    let mut recent = recent.into_iter();
    if let Some(found) = recent.find_map(|(batch, places)| same(&batch, &places)) {
        return Some(found);
    }
    let mut readers = look_again(source, &search.spec).into_iter();
    // A reader that fails is left.
    readers
        .find_map(|reader| read_again(&*reader, &mut |batch, places| same(batch, places)).ok()?)
}

/// The fault with the place of the first row that caused it.
fn cause(search: &Search, fault: &Fault, batch: &RecordBatch, places: &RowPlaces) -> Option<Fault> {
    let failed = search.check.failing(batch).ok()?;
    let same = failed.into_iter().find(|one| one.reason == fault.message)?;
    let place = spelled(&places.of(same.row));
    Some(Fault {
        operator: format!("view {}", same.view),
        message: format!(
            "source {}, {place}: {}. Nothing was published; OPTIONS ('on_error' 'quarantine') of the source sets such \
             rows aside",
            search.spec.name, same.reason
        ),
        kind: FaultKind::Row,
    })
}
