//! `run`: everything that the sources hold, in one epoch; then the tables are published, all or none. Nothing is kept.
//!
//! 1. Rows read = rows that entered the dataflow + rows of the quarantine table, or nothing is published.
//! 2. Nothing is published when a source, an operator, a sink or the data gate fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_connectors::file::sink::{
    Run, StagedTable, Staging, TableRuns, WriteOptions, publish, quarantine_spec, write_tables,
};
use tidewater_connectors::file::{Delivery, list};
use tidewater_connectors::format::options::Gate;
use tidewater_connectors::sink::TableSpec;
use tidewater_operators::{Faults, Sign};

use super::graph::{Epoch, From, Plan, Table};
use super::inflow::Inflow;
use super::ingest::{Incoming, Intake};
use super::key::incoming_schema;
use super::late::late_spec;
use super::report::{Published, TableReport};
use super::stages::Stages;
use super::{Progress, RunError, RunReport, views, workers};
use crate::job::{Job, Source};

/// How to run a job.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Worker threads.
    pub workers: usize,
    /// Rows of each table's preview in the report.
    pub preview_rows: usize,
}

/// Runs `job` over everything its sources hold, and publishes its tables.
///
/// # Errors
/// When anything fails. The tables are then as they were.
pub fn run(job: &Job, options: &RunOptions, progress: &Progress) -> Result<RunReport, RunError> {
    let mut clock = Stages::start(progress);
    clock.enter("plan");
    let epoch = Arc::new(prepare(job, progress)?);

    clock.enter("compute");
    let runs = compute(&epoch, options.workers)?;
    let epoch = Arc::try_unwrap(epoch).map_err(|_| RunError::Workers("one still runs".into()))?;
    let warnings = warnings(&epoch.intakes);
    for (source, intake) in job.sources.iter().zip(&epoch.intakes) {
        check_gate(source, counted(intake))?;
    }

    clock.enter("write");
    let tables = epoch
        .tables
        .iter()
        .zip(runs)
        .map(|(table, runs)| TableRuns {
            spec: Arc::clone(&table.spec),
            runs,
        });
    let write = WriteOptions {
        threads: options.workers,
        preview_rows: options.preview_rows,
        ..WriteOptions::default()
    };
    let staged = write_tables(&epoch.staging, tables.collect(), write)?;
    let rows_read = epoch.intakes.iter().map(|intake| counted(intake).0).sum();
    let rows_quarantined = balance(&epoch, rows_read, &staged)?;

    clock.enter("publish");
    let quarantine_path = staged
        .last()
        .filter(|table| table.written.rows > 0)
        .map(|table| table.spec.path.clone());
    let specs: Vec<Arc<TableSpec>> = staged.iter().map(|table| Arc::clone(&table.spec)).collect();
    let written = publish(epoch.staging, staged)?;
    let tables = specs.iter().zip(written).take(specs.len() - 1);
    let tables = tables.map(|(spec, written)| TableReport {
        name: spec.name.to_string(),
        path: spec.path.clone(),
        rows: written.rows,
        rows_inserted: written.rows,
        rows_deleted: 0,
        files_written: written.files,
        published: Published::Anew,
        preview: written.preview,
    });
    let tables = tables.collect();
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        epoch: 0,
        deliveries: None,
        rows_read,
        rows_quarantined,
        rows_late: 0,
        tables,
        seconds_total,
        stages,
        warnings,
        quarantine_path,
    })
}

/// Runs the graphs of an epoch to their end; the sorted runs of each table.
///
/// # Errors
/// When a source or an operator fails.
pub fn compute(epoch: &Arc<Epoch>, workers: usize) -> Result<Vec<Vec<Run>>, RunError> {
    let for_workers = Arc::clone(epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        for_workers.work(worker)
    })?;
    Ok(gather(epoch, workers::join(guards, &epoch.faults)?))
}

/// Brings the runs of all workers together, table by table.
pub fn gather(epoch: &Epoch, shards: Vec<Vec<Vec<Run>>>) -> Vec<Vec<Run>> {
    let mut runs: Vec<Vec<Run>> = epoch.tables.iter().map(|_| Vec::new()).collect();
    for shard in shards {
        for (table, more) in runs.iter_mut().zip(shard) {
            table.extend(more);
        }
    }
    runs
}

/// Everything that can fail before a row is read.
fn prepare(job: &Job, progress: &Progress) -> Result<Epoch, RunError> {
    if let Some(sink) = job.sinks.iter().find(|sink| sink.topic.is_some()) {
        return Err(RunError::Usage(format!(
            "{} goes to Kafka, which needs a state to know what is there already: run with --state DIR",
            sink.view
        )));
    }
    let views = views(job, job.sinks.iter().map(|sink| sink.view.clone()))?;
    let mut tables: Vec<Table> = job
        .sinks
        .iter()
        .map(|sink| Table {
            spec: Arc::new(sink.table.clone()),
            from: From::Relation(0, sink.view.clone()),
            is_topic: false,
        })
        .collect();
    tables.push(quarantine(job));
    let mut intakes = Vec::new();
    for source in &job.sources {
        if source.spec.kafka.is_some() {
            intakes.push(stream(source)?);
            continue;
        }
        let failed = RunError::of_source(source);
        let files = list(&source.spec.location).map_err(&failed)?;
        let (name, location) = (&source.spec.name, &source.spec.location);
        tracing::info!("source {name}: {} files at {location}", files.len());
        let incoming = files.into_iter().map(|file| Incoming {
            modified_ns: file.modified_ns,
            delivery: Delivery::from(file),
            replaces: None,
        });
        let spec = Arc::new(source.spec.clone());
        let intake = Intake::open(
            spec,
            incoming_schema(source),
            (Sign::Plus, vec![0], true),
            incoming.collect(),
            None,
        );
        let intake = intake.map_err(&failed)?;
        progress
            .bytes_total
            .fetch_add(intake.bytes_total(), Ordering::Relaxed);
        intakes.push(Arc::new(intake));
    }
    let staging = Staging::open(tables.iter().map(|table| table.spec.path.as_path()))?;
    Ok(Epoch {
        graphs: vec![Plan {
            views,
            keeps: BTreeSet::new(),
            retained: BTreeMap::new(),
            resumes: false,
        }],
        sources: job
            .sources
            .iter()
            .map(|source| source.spec.name.clone())
            .collect(),
        intakes,
        tables,
        staging,
        state: None,
        kept: Mutex::default(),
        rows_taken: AtomicI64::new(0),
        rows_quarantined: Arc::default(),
        rows_late: Arc::default(),
        progress: progress.clone(),
        faults: Faults::default(),
    })
}

/// All that a topic holds now.
fn stream(source: &Source) -> Result<Arc<Intake>, RunError> {
    let group = format!("tidewater-{}", source.spec.name);
    let inflow = Inflow::open(source, &group)?;
    Ok(inflow.take(vec![0], None).added)
}

/// The table of rows that could not be decoded or cast.
pub fn quarantine(job: &Job) -> Table {
    Table {
        spec: Arc::new(quarantine_spec(&output(job))),
        from: From::Quarantine,
        is_topic: false,
    }
}

/// The table of late rows, for a job with windows that become final.
pub fn late(job: &Job) -> Option<Table> {
    job.sinks
        .iter()
        .any(|sink| sink.retain.is_some())
        .then(|| Table {
            spec: Arc::new(late_spec(&output(job))),
            from: From::Late,
            is_topic: false,
        })
}

/// Where the tables lie; those that go to Kafka have no say unless there are no others.
fn output(job: &Job) -> PathBuf {
    let is_local = job.sinks.iter().any(|sink| sink.topic.is_none());
    let sinks = job.sinks.iter();
    let sinks = sinks.filter(|sink| sink.topic.is_none() == is_local);
    common_parent(sinks.map(|sink| sink.table.path.as_path()))
}

/// The deepest directory that all tables lie in: where the quarantine goes.
fn common_parent<'a>(tables: impl Iterator<Item = &'a Path>) -> PathBuf {
    let parents = tables.map(|table| table.parent().unwrap_or(Path::new("")));
    let common = parents.reduce(|common, parent| {
        common
            .ancestors()
            .find(|ancestor| parent.starts_with(ancestor))
            .unwrap_or(Path::new(""))
    });
    common.unwrap_or(Path::new("")).to_path_buf()
}

/// What the user should hear of, now that all was read.
pub fn warnings(intakes: &[Arc<Intake>]) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for intake in intakes {
        warnings.extend(intake.warnings());
        let taken = intake.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for taken in taken.iter().filter(|taken| !taken.settled) {
            let name = &intake.incoming[taken.delivery].delivery.name;
            warnings.push(if taken.parts.is_empty() {
                unsettled(name)
            } else {
                format!("{name} is still being written: it is left for the next run")
            });
        }
    }
    warnings
}

/// That a file of which nothing is kept changed under its reader.
pub fn unsettled(name: &str) -> String {
    format!(
        "{name} was written to while it was read: what was taken in may be neither its old nor its new content; run again \
         when it is complete"
    )
}

/// Rows read of an intake, and of these the rejected ones.
pub fn counted(intake: &Intake) -> (u64, u64) {
    let counts = intake.counts.iter().map(|count| {
        (
            count.read.load(Ordering::Relaxed),
            count.rejected.load(Ordering::Relaxed),
        )
    });
    counts.fold((0, 0), |(read, rejected), more| {
        (read + more.0, rejected + more.1)
    })
}

/// Rows that were read to be taken back.
fn retracted(epoch: &Epoch) -> u64 {
    let counts = epoch.intakes.iter().flat_map(|intake| &intake.counts);
    counts
        .map(|count| count.retracted.load(Ordering::Relaxed))
        .sum()
}

/// Fails when a source let through more bad rows than its options allow.
///
/// # Errors
/// [`RunError::Gate`].
pub fn check_gate(source: &Source, (read, rejected): (u64, u64)) -> Result<(), RunError> {
    let gate = Gate::parse(&source.spec.options)?;
    let name = &source.spec.name;
    if let Some(most) = gate.max_bad_rows.filter(|&most| rejected > most) {
        return Err(RunError::Gate(format!(
            "source {name}: {rejected} of {read} rows are bad, more than max_bad_rows = {most}; nothing was published. \
             Run without the gate to have them in the quarantine with their reasons"
        )));
    }
    let ratio = ratio(rejected, read);
    if let Some(most) = gate.max_bad_ratio.filter(|&most| ratio > most) {
        return Err(RunError::Gate(format!(
            "source {name}: {rejected} of {read} rows are bad ({:.3} %), more than max_bad_ratio = {most}; nothing was \
             published. Run without the gate to have them in the quarantine with their reasons",
            ratio * 100.0
        )));
    }
    Ok(())
}

/// Counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Invariant 1; gives the number of quarantined rows. What takes a row back was read as well.
fn balance(epoch: &Epoch, rows_read: u64, staged: &[StagedTable]) -> Result<u64, RunError> {
    let rows_quarantined = staged
        .last()
        .map_or(0, |quarantine| quarantine.written.rows);
    let rows_taken = epoch.rows_taken.load(Ordering::Relaxed);
    let rows_taken = rows_taken.saturating_add_unsigned(2 * retracted(epoch));
    let rows_taken = u64::try_from(rows_taken).unwrap_or(0);
    if rows_read == rows_taken + rows_quarantined {
        Ok(rows_quarantined)
    } else {
        Err(RunError::Unbalanced {
            rows_read,
            rows_taken,
            rows_quarantined,
        })
    }
}
