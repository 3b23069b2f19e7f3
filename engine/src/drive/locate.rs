//! Finds the row on which an expression failed, and the rows that break a rule. Rows do not carry their place through
//! the graph. After a failed run, a row is therefore searched for in the batches that were read last, or by reading the
//! source again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
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
    let search = Search::new(checks, source)?;
    let same = |batch: &RecordBatch, places: &RowPlaces| search.cause(fault, batch, places);
    let own = intakes
        .iter()
        .filter(|intake| *intake.source == *source.spec.name);
    let recent = own.flat_map(|intake| intake.recent());
    let mut recent = recent.into_iter();
    recent
        .find_map(|(batch, places)| same(&batch, &places))
        .or_else(|| search.read_again(look_again, &mut |batch, places| same(batch, places)))
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRow {
    /// The file and line, or the offset.
    pub place: String,
    /// The columns that the job reads, as JSON.
    pub row: String,
}

/// A choice of rows by the delivery that they came with.
pub struct OfDeliveries<'a> {
    /// The column with the delivery.
    pub column: &'a str,
    /// Its values, as text.
    pub values: BTreeSet<&'a str>,
}

impl OfDeliveries<'_> {
    /// Whether each row of a batch is chosen.
    fn chosen(&self, batch: &RecordBatch) -> Vec<bool> {
        let all = || vec![true; batch.num_rows()];
        let Some(column) = batch.column_by_name(self.column) else {
            return all();
        };
        let options = FormatOptions::new().with_null("NULL");
        let Ok(texts) = ArrayFormatter::try_new(column, &options) else {
            return all();
        };
        let is_chosen = |row| self.values.contains(&*texts.value(row).to_string());
        (0..batch.num_rows()).map(is_chosen).collect()
    }
}

/// The first rows that break a rule, of all deliveries or `only` of some, at most so many. New deliveries are searched
/// before those that stay. There are none if the rule is not about single rows of sources.
pub fn broken_rows(
    job: &Job,
    assertion: &str,
    only: Option<&OfDeliveries<'_>>,
    most: usize,
    look_again: &LookAgain<'_>,
) -> Vec<BrokenRow> {
    let mut found = Vec::new();
    for source in &job.sources {
        let checks = RowChecks::of_rule(job, assertion, &source.spec.name);
        let Some(search) = checks.ok().and_then(|checks| Search::new(checks, source)) else {
            continue;
        };
        let full = search.read_again(look_again, &mut |batch, places| {
            found.extend(search.broken(batch, places, only));
            (found.len() >= most).then_some(())
        });
        if full.is_some() {
            break;
        }
    }
    found.truncate(most);
    found
}

/// The rows of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// All of them.
    pub rows: u64,
    /// Those that break a rule.
    pub broken: u64,
}

/// The rows of each file, and those that break a rule. `None` if the rule is not about single rows of files, or not all
/// can be read.
pub fn count_rows(
    job: &Job,
    assertion: &str,
    look_again: &LookAgain<'_>,
) -> Option<BTreeMap<String, FileCounts>> {
    let mut counts: BTreeMap<String, FileCounts> = BTreeMap::new();
    for source in &job.sources {
        let checks = RowChecks::of_rule(job, assertion, &source.spec.name).ok()?;
        let Some(search) = Search::new(checks, source) else {
            continue;
        };
        if source.input.has_offsets() {
            return None;
        }
        for reader in look_again(source, &search.spec) {
            let mut count = |batch: &RecordBatch, places: &RowPlaces| {
                let of_file = counts.entry(places.file.to_string()).or_default();
                let broken = search.check.failing(batch).unwrap_or_default();
                let broken: BTreeSet<usize> = broken.iter().map(|one| one.row).collect();
                of_file.rows += batch.num_rows() as u64;
                of_file.broken += broken.len() as u64;
                None::<()>
            };
            read(&*reader, &mut count).ok()?;
        }
    }
    Some(counts)
}

/// A search among the rows of a source.
struct Search<'a> {
    source: &'a Source,
    /// How its rows are read, with their places.
    spec: Arc<SourceSpec>,
    check: RowCheck,
}

impl<'a> Search<'a> {
    /// `None` if no row can be found.
    fn new(checks: RowChecks, source: &'a Source) -> Option<Self> {
        if checks.is_empty() {
            return None;
        }
        // Readers give the places of rows if rows may be rejected.
        let mut spec = source.spec.clone();
        spec.options
            .insert(ON_ERROR.to_owned(), "quarantine".to_owned());
        Some(Self {
            source,
            check: RowCheck::new(checks, source, &spec),
            spec: Arc::new(spec),
        })
    }

    /// Reads the source again, until `visit` returns something. A reader that fails is left.
    fn read_again<T>(
        &self,
        look_again: &LookAgain<'_>,
        visit: &mut dyn FnMut(&RecordBatch, &RowPlaces) -> Option<T>,
    ) -> Option<T> {
        let mut readers = look_again(self.source, &self.spec).into_iter();
        readers.find_map(|reader| read(&*reader, visit).ok().flatten())
    }

    /// The fault with the place of the first row that caused it.
    fn cause(&self, fault: &Fault, batch: &RecordBatch, places: &RowPlaces) -> Option<Fault> {
        let failed = self.check.failing(batch).ok()?;
        let same = failed.into_iter().find(|one| one.reason == fault.message)?;
        let place = spelled(&places.of(same.row));
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

    /// The rows of a batch that break the rule.
    fn broken(
        &self,
        batch: &RecordBatch,
        places: &RowPlaces,
        only: Option<&OfDeliveries<'_>>,
    ) -> Vec<BrokenRow> {
        let failing = self.check.failing(batch).unwrap_or_default();
        if failing.is_empty() {
            return Vec::new();
        }
        let chosen = only.map(|only| only.chosen(batch));
        let is_chosen = |row: usize| {
            chosen
                .as_ref()
                .is_none_or(|chosen| chosen.get(row) == Some(&true))
        };
        let failing = failing.iter().filter(|one| is_chosen(one.row));
        let broken = failing.map(|one| {
            let rejected = self.check.reject(one, batch, Some(places));
            BrokenRow {
                place: spelled(&places.of(one.row)),
                row: rejected.map(|rejected| rejected.raw).unwrap_or_default(),
            }
        });
        broken.collect()
    }
}

fn read<T>(
    reader: &dyn Reader,
    visit: &mut dyn FnMut(&RecordBatch, &RowPlaces) -> Option<T>,
) -> Result<Option<T>, SourceError> {
    loop {
        let dealt = match reader.next_piece()? {
            NextPiece::Dealt(dealt) if !dealt.is_correction => dealt,
            NextPiece::Dealt(_) | NextPiece::Wait | NextPiece::Done => return Ok(None),
        };
        for decoded in dealt.piece {
            let decoded = decoded?;
            if let Some(places) = &decoded.places
                && let Some(found) = visit(&decoded.batch, places)
            {
                return Ok(Some(found));
            }
        }
    }
}

fn spelled(place: &RowPlace) -> String {
    let RowPlace {
        file,
        line,
        byte_offset,
    } = place;
    if *line > 0 {
        format!("{file} line {line}")
    } else {
        format!("{file} offset {byte_offset}")
    }
}
