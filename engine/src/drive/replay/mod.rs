//! `replay` runs a bounded history in steps of event time, each an epoch, through the same graph as a run. It returns
//! the changes of every step and their cost. It publishes and keeps nothing.
//!
//! 1. After the last step, the changes of each table add up to the table that a run over the same rows would publish.
//! 2. Steps come in order, each once. Steps without rows are skipped.
//! 3. Rows beyond a memory budget are held on disk until their step. The rows of one step and the operators' state
//!    are in memory.

mod column;
mod options;
mod read;
mod runs;
mod step;

use arrow::array::RecordBatch;
use std::path::PathBuf;

pub use self::options::ReplayOptions;
pub use self::step::{Step, parse_time};

pub use tidewater_connectors::connector::OffsetBound;

use self::read::Counts;
use self::runs::{DealtTo, StepReader, StepRows, spill_failed};
use super::locate::{all_files, located};
use super::resident::{Resident, TableChanges};
use super::stages::{Stages, Stopwatch};
use super::{Progress, RunError};
use crate::job::Job;

/// The rows that were read.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Rows read from all sources, including bad rows and those left out.
    pub rows_read: u64,
    /// Rows that could not be decoded or cast.
    pub rows_bad: u64,
    /// Rows outside the bounds.
    pub rows_outside: u64,
    /// Wall-clock seconds that reading took.
    pub seconds: f64,
    /// How rows were assigned to steps, by source.
    pub notes: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// A step that was replayed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Where the step begins; `None` if no source has event time, so that everything is one step.
    pub start: Option<String>,
    /// Rows that entered the graph.
    pub rows: u64,
    /// Wall-clock seconds from feeding the rows to getting the changes.
    pub seconds: f64,
    /// The changes of each table, in the order of [`Replay::tables`].
    pub changes: Vec<TableChanges>,
}

/// A history that was read, ready to be replayed: an iterator of its steps.
pub struct Replay {
    job: Job,
    history: History,
    sources: Vec<String>,
    tables: Vec<String>,
    step: Step,
    steps: StepReader,
    resident: Resident,
    temporary: PathBuf,
    epoch: u64,
    done: bool,
}

impl Replay {
    /// Reads everything that the sources of `job` hold.
    ///
    /// # Errors
    /// When the options do not fit the job, a source cannot be read or has too many bad rows, or no row is within the
    /// bounds.
    pub fn open(job: &Job, options: &ReplayOptions, progress: &Progress) -> Result<Self, RunError> {
        let columns = match options.step {
            Step::Messages(_) => by_offset(job, &options.by)?,
            _ => column::choose(job, &options.by)?,
        };
        check_bounds(job, options, &columns)?;
        let mut clock = Stages::start(progress);
        clock.enter("plan");
        let resident = Resident::start_incoming(job, options.workers)?;
        clock.enter("read");
        let (gather, counts) = read::read(job, &columns, options, progress)?;
        check_any(options, &counts)?;
        let by_messages = matches!(options.step, Step::Messages(_));
        let history = describe(job, (&columns, by_messages), &counts, clock.elapsed());
        clock.finish();
        Ok(Self {
            job: job.clone(),
            history,
            sources: job.sources.iter().map(|s| s.spec.name.clone()).collect(),
            tables: resident.tables().map(str::to_owned).collect(),
            step: options.step,
            steps: gather.finish(),
            resident,
            temporary: options.temporary.clone(),
            epoch: 0,
            done: false,
        })
    }

    /// The rows that were read.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The names of the tables.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    fn advance(&mut self) -> Result<Option<Replayed>, RunError> {
        let (start, batches): StepRows = loop {
            match self.steps.next().map_err(spill_failed(&self.temporary))? {
                // All rows were retracted.
                Some((_, batches)) if net_rows(&batches) == 0 => {}
                Some(step) => break step,
                // Without rows, there are still tables with a row, such as totals.
                None if self.epoch == 0 => break (None, Vec::new()),
                None => return Ok(None),
            }
        };
        let rows = net_rows(&batches);
        let deliveries = batches.into_iter().map(|(dealt, rows)| {
            let source = self.sources[dealt.source].clone();
            let diff = if dealt.is_retracted { -1 } else { 1 };
            (source, rows, diff)
        });
        let deliveries = deliveries.collect();
        let watch = Stopwatch::start();
        let changes = self.resident.epoch(deliveries);
        let mut changes = changes.map_err(|error| located(&self.job, error, &[], &all_files))?;
        let seconds = watch.seconds();
        let in_order = self
            .tables
            .iter()
            .map(|table| changes.remove(table).unwrap_or_default());
        let replayed = Replayed {
            epoch: self.epoch,
            start: start.map(|start| self.step.label(start)),
            rows,
            seconds,
            changes: in_order.collect(),
        };
        self.epoch += 1;
        Ok(Some(replayed))
    }
}

impl Iterator for Replay {
    type Item = Result<Replayed, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance();
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// The rows of a step, minus retracted ones.
fn net_rows(batches: &[(DealtTo, RecordBatch)]) -> u64 {
    let count = |is_retracted: bool| {
        let of = batches
            .iter()
            .filter(move |(dealt, _)| dealt.is_retracted == is_retracted);
        of.map(|(_, batch)| batch.num_rows()).sum::<usize>()
    };
    u64::try_from(count(false).saturating_sub(count(true))).unwrap_or(u64::MAX)
}

/// Steps of messages need a topic, and no column.
fn by_offset(job: &Job, by: &[String]) -> Result<Vec<Option<usize>>, RunError> {
    if job.sources.iter().all(|source| !source.input.has_offsets()) {
        let message = "--step counts messages, and no source is in Kafka: give a length of time";
        return Err(RunError::Usage(message.to_owned()));
    }
    if by.is_empty() {
        return Ok(vec![None; job.sources.len()]);
    }
    let message = "--by is for steps of time, and --step counts messages: leave one out";
    Err(RunError::Usage(message.to_owned()))
}

/// Checks that bounds apply to something, and that they are in order.
fn check_bounds(
    job: &Job,
    options: &ReplayOptions,
    columns: &[Option<usize>],
) -> Result<(), RunError> {
    let of_messages = options.messages_from.is_some() || options.messages_to.is_some();
    if of_messages && job.sources.iter().all(|source| !source.input.has_offsets()) {
        return Err(RunError::Usage(
            "--from-offset and --from-time bound messages, and no source is in Kafka: give --from"
                .to_owned(),
        ));
    }
    if let (Some(from), Some(to)) = (options.from, options.to)
        && from >= to
    {
        return Err(RunError::Usage(format!(
            "--from {} is not before --to {}: nothing lies between them",
            shown(from),
            shown(to)
        )));
    }
    if is_bounded(options) && columns.iter().all(Option::is_none) {
        return Err(RunError::Usage(
            "--from and --to bound event time, and no source has a TIMESTAMP or DATE column"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks that the bounds do not leave out every row, which would be a mistake.
fn check_any(options: &ReplayOptions, counts: &[Counts]) -> Result<(), RunError> {
    let spans = counts.iter().filter_map(|counts| counts.span);
    let Some((least, most)) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
        return Ok(());
    };
    let gathered = counts.iter().filter(|counts| counts.span.is_some());
    let gathered: u64 = gathered
        .map(|counts| counts.read - counts.bad - counts.outside - counts.untimed)
        .sum();
    if is_bounded(options) && gathered == 0 {
        return Err(RunError::Empty(format!(
            "no row lies between --from and --to: times go from {} to {}",
            shown(least),
            shown(most)
        )));
    }
    Ok(())
}

fn is_bounded(options: &ReplayOptions) -> bool {
    options.from.is_some() || options.to.is_some()
}

fn shown(micros: i64) -> String {
    let time = step::calendar(micros);
    time.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

fn describe(
    job: &Job,
    (columns, by_messages): (&[Option<usize>], bool),
    counts: &[Counts],
    seconds: f64,
) -> History {
    let mut history = History {
        seconds,
        ..History::default()
    };
    for ((source, column), counts) in job.sources.iter().zip(columns).zip(counts) {
        let name = &source.spec.name;
        history.rows_read += counts.read;
        history.rows_bad += counts.bad;
        history.rows_outside += counts.outside;
        let mut note = match column {
            None if by_messages && source.input.has_offsets() => {
                format!("{name}: by offset")
            }
            None => format!("{name}: whole with the first step"),
            Some(column) => format!("{name}: by {}", source.spec.schema.field(*column).name()),
        };
        if counts.outside > 0 {
            let rows = in_words(counts.outside);
            note += &format!(", {rows} outside --from and --to left out");
        }
        if counts.untimed > 0 {
            let rows = in_words(counts.untimed);
            note += &format!(", {rows} without a time with the first step");
        }
        history.notes.push(note);
        if let Some(bad) = counts.first_bad() {
            let (rows, file) = (in_words(counts.bad), &bad.file);
            let line = match bad.line {
                0 => String::new(),
                line => format!(" line {line}"),
            };
            history.warnings.push(format!(
                "source {name}: {rows} left out that cannot be read; the first is {file}{line}: {}",
                bad.reason
            ));
        }
        let set_aside = counts.set_aside.iter();
        let set_aside = set_aside.map(|file| {
            let how = if file.hold.is_some() {
                "held"
            } else {
                "set aside"
            };
            format!("{} is {how}: {}", file.name, file.reason)
        });
        history.warnings.extend(set_aside);
        history.warnings.extend(counts.warnings.iter().cloned());
    }
    history
}

fn in_words(rows: u64) -> String {
    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
}
