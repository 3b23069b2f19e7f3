//! Reads everything that a job's sources hold, with all workers, and assigns the rows to steps.
//!
//! 1. Rows read = rows gathered + bad rows + rows outside the bounds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tidewater_connectors::connector::ReadBounds;
use tidewater_connectors::source::{
    Dealt, Decoded, NextPiece, Reader, Rejected, RowChange, SetAsideDelivery, SourceSpec,
};

use super::column::micros;
use super::options::ReplayOptions;
use super::runs::{DealtTo, FIRST, Gather, spill_failed};
use super::step::Step;
use crate::drive::checked::RowCheck;
use crate::drive::gate::check_gate;
use crate::drive::hold::{HoldRules, JudgedIn};
use crate::drive::progress::Counters;
use crate::drive::{Progress, RunError};
use crate::job::{Job, Source};
use crate::plan::primary_key::incoming_schema;

/// Counts of a source's rows.
#[derive(Default)]
pub struct Counts {
    /// Rows decoded or bad.
    pub read: u64,
    /// Bad rows.
    pub bad: u64,
    /// Rows outside the bounds.
    pub outside: u64,
    /// Rows without a time, if the source has event time.
    pub untimed: u64,
    /// The first bad row of each delivery.
    pub first_bad: BTreeMap<usize, Rejected>,
    /// Files that are set aside.
    pub set_aside: Vec<SetAsideDelivery>,
    /// The least and the greatest time.
    pub span: Option<(i64, i64)>,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl Counts {
    /// Counts rows of a delivery as read, or as retracted.
    fn add(&mut self, delivery: usize, change: RowChange, read: u64, bad: Vec<Rejected>) {
        let rows = u64::try_from(bad.len()).unwrap_or(u64::MAX);
        match change {
            RowChange::Insert => {
                self.read += read;
                self.bad += rows;
                let earliest = self.first_bad.remove(&delivery).into_iter().chain(bad);
                let earliest = earliest.min_by_key(|row| (row.line, row.byte_offset));
                self.first_bad
                    .extend(earliest.map(|earliest| (delivery, earliest)));
            }
            RowChange::Retract => {
                self.read -= read;
                self.bad -= rows;
                self.first_bad.remove(&delivery);
            }
        }
    }

    /// The first bad row, by file and line.
    pub fn first_bad(&self) -> Option<&Rejected> {
        let first = self.first_bad.values();
        first.min_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)))
    }
}

fn add(counter: &mut u64, change: RowChange, rows: usize) {
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    match change {
        RowChange::Insert => *counter += rows,
        RowChange::Retract => *counter -= rows,
    }
}

/// Reads all sources, whose columns of event time are `columns`.
///
/// # Errors
/// When a source cannot be read or has more bad rows than it allows, or rows cannot be written to disk.
pub fn read(
    job: &Job,
    columns: &[Option<usize>],
    options: &ReplayOptions,
    progress: &Progress,
) -> Result<(Gather, Vec<Counts>), RunError> {
    let schemas = job.sources.iter().map(incoming_schema).collect();
    let gather = Mutex::new(Gather::new(
        schemas,
        options.memory_bytes,
        options.temporary.clone(),
    ));
    let mut sources = Vec::new();
    for (index, (source, column)) in job.sources.iter().zip(columns).enumerate() {
        let reading = SourceReplay::open(job, index, source, *column, &gather, options, progress)?;
        progress
            .bytes_total
            .fetch_add(reading.reader.bytes_total(), Ordering::Relaxed);
        sources.push(reading);
    }
    let mut counts = Vec::new();
    for source in sources {
        counts.push(source.read()?);
    }
    let gather = gather.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((gather, counts))
}

/// A source that is being read.
struct SourceReplay<'a> {
    index: usize,
    source: &'a Source,
    /// Whether its rows are assigned to steps by offset.
    by_offset: bool,
    reader: Arc<dyn Reader>,
    /// The index of the time among the decoded columns, and whether it is decoded only for the steps.
    time: Option<(usize, bool)>,
    gather: &'a Mutex<Gather>,
    counts: Mutex<Counts>,
    options: &'a ReplayOptions,
    progress: &'a Progress,
}

impl<'a> SourceReplay<'a> {
    fn open(
        job: &Job,
        index: usize,
        source: &'a Source,
        column: Option<usize>,
        gather: &'a Mutex<Gather>,
        options: &'a ReplayOptions,
        progress: &'a Progress,
    ) -> Result<Self, RunError> {
        let mut projection = source.spec.projection.clone();
        let time = column.map(|column| match projection.binary_search(&column) {
            Ok(at) => (at, false),
            Err(at) => {
                projection.insert(at, column);
                (at, true)
            }
        });
        let by_offset = source.input.has_offsets() && matches!(options.step, Step::Messages(_));
        let spec = SourceSpec {
            projection,
            ordinals: source.spec.ordinals || by_offset,
            // Rows of many batches are combined by step.
            dictionaries: false,
            ..source.spec.clone()
        };
        let bounds = ReadBounds {
            from: options.messages_from,
            to: options.messages_to,
            reader: "replay",
        };
        let reader = source.input.open(&spec, &bounds);
        let reader = reader.map_err(RunError::of_source(source))?;
        let reader = RowCheck::over(job, source, &spec, reader)?;
        let reader = match HoldRules::of(job, source, &spec, JudgedIn::NO_STATE)? {
            Some(rules) => rules.judge(reader).0,
            None => reader,
        };
        Ok(Self {
            index,
            source,
            by_offset,
            reader,
            time,
            gather,
            counts: Mutex::default(),
            options,
            progress,
        })
    }

    /// Reads the source, with as many threads as workers.
    fn read(self) -> Result<Counts, RunError> {
        let failed = AtomicBool::new(false);
        let results: Vec<Result<(), RunError>> = std::thread::scope(|scope| {
            let work = || {
                let result = self.work(&failed);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            };
            let threads: Vec<_> = (0..self.options.workers.max(1))
                .map(|_| scope.spawn(work))
                .collect();
            let ends = threads.into_iter().map(|thread| {
                let panicked = |_| RunError::Workers("a reader panicked".to_owned());
                thread.join().map_err(panicked)?
            });
            ends.collect()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        let mut counts = self
            .counts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        counts.set_aside = self.reader.set_aside();
        let held = counts.set_aside.iter().filter(|one| one.hold.is_some());
        let held = held.count() as u64;
        check_gate(self.source, (counts.read - held, counts.bad - held))?;
        counts.warnings = self.reader.warnings();
        Ok(counts)
    }

    fn work(&self, failed: &AtomicBool) -> Result<(), RunError> {
        let of_source = RunError::of_source(self.source);
        loop {
            let dealt = match self.reader.next_piece().map_err(&of_source)? {
                NextPiece::Dealt(dealt) => dealt,
                NextPiece::Wait => {
                    std::thread::yield_now();
                    continue;
                }
                NextPiece::Done => return Ok(()),
            };
            let Dealt {
                delivery,
                change,
                piece,
                ..
            } = dealt;
            for decoded in piece {
                if failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let decoded = decoded.map_err(&of_source)?;
                self.take(delivery, change, decoded)?;
            }
        }
    }

    /// Counts rows, and gathers those within the bounds.
    fn take(&self, delivery: usize, change: RowChange, decoded: Decoded) -> Result<(), RunError> {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let (rows, bad) = (decoded.batch.num_rows(), decoded.rejected.len());
        if change == RowChange::Insert {
            Counters::add(&self.progress.rows_read, count(rows + bad));
            Counters::add(&self.progress.bytes_read, decoded.bytes);
            Counters::add(&self.progress.rows_rejected, count(bad));
        }
        self.counts()
            .add(delivery, change, count(rows + bad), decoded.rejected);
        let steps = match self.options.step {
            Step::Messages(_) if self.by_offset => decoded.ordinals,
            _ => None,
        };
        let mut batch = decoded.batch;
        let times = match self.time {
            None => None,
            Some((at, extra)) => {
                let times = micros(batch.column(at)).map_err(|error| broken(&error))?;
                if extra {
                    batch.remove_column(at);
                }
                Some(times)
            }
        };
        match (times, steps) {
            (Some(times), _) => self.deal(batch, &times, change),
            (None, Some(offsets)) => {
                let offsets = offsets.into_iter();
                let offsets = offsets.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX));
                let steps = offsets.map(|offset| self.options.step.start(offset));
                self.gather(batch, steps, change)
            }
            (None, None) => self.gather(batch, std::iter::repeat_n(FIRST, rows), change),
        }
    }

    fn deal(
        &self,
        batch: RecordBatch,
        times: &Int64Array,
        change: RowChange,
    ) -> Result<(), RunError> {
        let (from, to) = (self.options.from, self.options.to);
        let within =
            |time: i64| from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to);
        let mask: BooleanArray = times
            .iter()
            .map(|time| Some(time.is_none_or(within)))
            .collect();
        {
            let mut counts = self.counts();
            let outside = mask.len() - mask.true_count();
            add(&mut counts.outside, change, outside);
            add(&mut counts.untimed, change, times.null_count());
            let known = counts
                .span
                .into_iter()
                .flat_map(|(least, most)| [least, most]);
            let all = known.chain(times.iter().flatten());
            counts.span = all.fold(None, |span, time| {
                let (least, most) = span.unwrap_or((time, time));
                Some((time.min(least), time.max(most)))
            });
        }
        let batch = if mask.true_count() == mask.len() {
            batch
        } else {
            filter_record_batch(&batch, &mask).map_err(|error| broken(&error))?
        };
        let kept = times.iter().filter(|time| time.is_none_or(within));
        let steps = kept.map(|time| time.map_or(FIRST, |time| self.options.step.start(time)));
        self.gather(batch, steps, change)
    }

    fn gather(
        &self,
        batch: RecordBatch,
        steps: impl Iterator<Item = i64>,
        change: RowChange,
    ) -> Result<(), RunError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut gather = self.gather.lock().unwrap_or_else(PoisonError::into_inner);
        let dealt = DealtTo {
            source: self.index,
            is_retracted: change == RowChange::Retract,
        };
        gather
            .push(dealt, batch, steps)
            .map_err(spill_failed(&self.options.temporary))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error about decoded rows that do not match the declaration.
fn broken(error: &ArrowError) -> RunError {
    RunError::Delivery(error.to_string())
}
