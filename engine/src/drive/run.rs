//! `run`: everything that the sources hold, in one epoch; then the tables are published, all or none.
//!
//! 1. Rows read = rows that entered the dataflow + rows of the quarantine table, or nothing is published.
//! 2. Nothing is published when a source, an operator, a sink or the data gate fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidewater_connectors::file::sink::{
    DEFAULT_SHARD_BYTES, Run, StagedTable, Staging, TableRuns, TableShard, WriteOptions, publish,
    quarantine_spec, write_tables,
};
use tidewater_connectors::file::{list, open};
use tidewater_connectors::format::options::Gate;
use tidewater_connectors::sink::TableSpec;
use tidewater_operators::Faults;
use tidewater_operators::source::source;
use tidewater_operators::state::Ledger;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::generic::Operator;
use timely::worker::Worker;

use super::ingest::{Intake, Share};
use super::{Progress, RunError, RunReport, TableReport, views, workers};
use crate::job::Job;
use crate::plan::Node;
use crate::render::{Changes, render};

/// How long an idle worker sleeps before it looks for faults of others.
const PARK: Duration = Duration::from_millis(10);

/// How to run a job.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Worker threads.
    pub workers: usize,
    /// Rows of each table's preview in the report.
    pub preview_rows: usize,
}

/// What the workers share.
struct Shared {
    views: Vec<(String, Node)>,
    intakes: Vec<Arc<Intake>>,
    /// The tables, and the relation that each publishes; the quarantine, which none does, comes last.
    tables: Vec<(Arc<TableSpec>, Option<String>)>,
    staging: Staging,
    rows_taken: AtomicU64,
    progress: Progress,
    faults: Faults,
}

/// Runs `job` over everything its sources hold, and publishes its tables.
///
/// # Errors
/// When anything fails. The tables are then as they were.
pub fn run(job: &Job, options: &RunOptions, progress: &Progress) -> Result<RunReport, RunError> {
    let mut clock = Stages::start(progress);
    clock.enter("plan");
    let shared = Arc::new(prepare(job, progress)?);

    clock.enter("compute");
    let for_workers = Arc::clone(&shared);
    let guards = workers::start(options.workers, &shared.faults, move |worker| {
        work(worker, &for_workers)
    })?;
    let shards = workers::join(guards, &shared.faults)?;
    let shared = Arc::try_unwrap(shared).map_err(|_| RunError::Workers("one still runs".into()))?;
    let warnings = shared
        .intakes
        .iter()
        .flat_map(|intake| intake.reader.warnings())
        .collect();
    check_gates(job, &shared.intakes)?;

    clock.enter("write");
    let mut runs: Vec<Vec<Run>> = shared.tables.iter().map(|_| Vec::new()).collect();
    for shard in shards {
        for (table, more) in runs.iter_mut().zip(shard) {
            table.extend(more);
        }
    }
    let tables = shared.tables.iter().zip(runs);
    let tables = tables
        .map(|((spec, _), runs)| TableRuns {
            spec: Arc::clone(spec),
            runs,
        })
        .collect();
    let write = WriteOptions {
        threads: options.workers,
        preview_rows: options.preview_rows,
        ..WriteOptions::default()
    };
    let staged = write_tables(&shared.staging, tables, write)?;
    let rows_read = shared
        .intakes
        .iter()
        .map(|intake| intake.rows_read.load(Ordering::Relaxed))
        .sum();
    let rows_quarantined = balance(
        rows_read,
        shared.rows_taken.load(Ordering::Relaxed),
        &staged,
    )?;

    clock.enter("publish");
    let quarantine_path = staged
        .last()
        .filter(|table| table.written.rows > 0)
        .map(|table| table.spec.path.clone());
    let specs: Vec<Arc<TableSpec>> = staged.iter().map(|table| Arc::clone(&table.spec)).collect();
    let written = publish(shared.staging, staged)?;
    let tables = specs.iter().zip(written).take(specs.len() - 1);
    let tables = tables.map(|(spec, written)| TableReport {
        name: spec.name.to_string(),
        path: spec.path.clone(),
        rows: written.rows,
        rows_inserted: written.rows,
        rows_deleted: 0,
        files_written: written.files,
        preview: written.preview,
    });
    let tables = tables.collect();
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        epoch: 0,
        rows_read,
        rows_quarantined,
        tables,
        seconds_total,
        stages,
        warnings,
        quarantine_path,
    })
}

/// Everything that can fail before a row is read.
fn prepare(job: &Job, progress: &Progress) -> Result<Shared, RunError> {
    let views = views(job, job.sinks.iter().map(|sink| sink.view.clone()))?;
    let mut tables: Vec<_> = job
        .sinks
        .iter()
        .map(|sink| (Arc::new(sink.table.clone()), Some(sink.view.clone())))
        .collect();
    let output = common_parent(tables.iter().map(|(spec, _)| spec.path.as_path()));
    tables.push((Arc::new(quarantine_spec(&output)), None));
    let mut intakes = Vec::new();
    for source in &job.sources {
        let name = source.spec.name.clone();
        let location = &source.spec.location;
        let failed = |error| RunError::Source {
            source_name: source.spec.name.clone(),
            error,
        };
        let files = list(location).map_err(failed)?;
        tracing::info!("source {name}: {} files at {location}", files.len());
        let reader = open(&source.spec, files).map_err(failed)?;
        progress
            .bytes_total
            .fetch_add(reader.bytes_total(), Ordering::Relaxed);
        let (rows_read, rows_rejected) = (AtomicU64::new(0), AtomicU64::new(0));
        intakes.push(Arc::new(Intake {
            name,
            reader,
            rows_read,
            rows_rejected,
        }));
    }
    let staging = Staging::open(tables.iter().map(|(spec, _)| spec.path.as_path()))?;
    let (progress, faults) = (progress.clone(), Faults::default());
    Ok(Shared {
        views,
        intakes,
        tables,
        staging,
        rows_taken: AtomicU64::new(0),
        progress,
        faults,
    })
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

/// A worker's whole life: builds the graph, works until all is done, sorts what it holds of each table.
fn work(worker: &mut Worker, shared: &Arc<Shared>) -> Vec<Vec<Run>> {
    let shards: Vec<Rc<RefCell<Option<TableShard>>>> = shared
        .tables
        .iter()
        .map(|(spec, _)| {
            let shard = TableShard::new(Arc::clone(spec), &shared.staging, DEFAULT_SHARD_BYTES);
            Rc::new(RefCell::new(shared.faults.catch(&spec.name, shard)))
        })
        .collect();
    worker.dataflow::<u64, _, _>(|scope| {
        let mut relations: BTreeMap<String, Changes<'_>> = BTreeMap::new();
        for intake in &shared.intakes {
            let mut share = Share {
                intake: Arc::clone(intake),
                quarantine: shards.last().cloned().unwrap_or_default(),
                progress: shared.progress.clone(),
                faults: shared.faults.clone(),
                piece: None,
            };
            let counted = Arc::clone(shared);
            let stream = source(scope, &format!("{}: decode", intake.name), move || {
                share.step()
            });
            let stream = stream.inspect(move |delta| {
                let rows = u64::try_from(delta.batch.num_rows()).unwrap_or(u64::MAX);
                counted.rows_taken.fetch_add(rows, Ordering::Relaxed);
            });
            relations.insert(intake.name.clone(), stream);
        }
        render(
            scope,
            &shared.views,
            &mut relations,
            &Ledger::forgetful(),
            true,
            &shared.faults,
        );
        for ((spec, relation), shard) in shared.tables.iter().zip(&shards) {
            if let Some(changes) = relation
                .as_ref()
                .and_then(|relation| relations.get(relation))
            {
                egress(
                    changes.clone(),
                    &spec.name,
                    Rc::clone(shard),
                    shared.faults.clone(),
                );
            }
        }
    });
    while worker.has_dataflows() && !shared.faults.raised() {
        worker.step_or_park(Some(PARK));
    }
    if shared.faults.raised() {
        return Vec::new();
    }
    let finished = shared.tables.iter().zip(shards).map(|((spec, _), shard)| {
        let runs = shard.take().map_or(Ok(Vec::new()), TableShard::finish);
        shared.faults.catch(&spec.name, runs).unwrap_or_default()
    });
    finished.collect()
}

/// Puts a relation's changes into the worker's shard of the table.
fn egress(
    changes: Changes<'_>,
    table: &str,
    shard: Rc<RefCell<Option<TableShard>>>,
    faults: Faults,
) {
    let name = format!("{table}: publish");
    changes.sink(Pipeline, &name.clone(), move |(input, _)| {
        input.for_each(|_, deltas| {
            if let Some(shard) = shard.borrow_mut().as_mut() {
                for delta in deltas.drain(..) {
                    faults.catch(&name, shard.push(&delta.batch, delta.sign.diff()));
                }
            }
        });
    });
}

/// Fails when a source let through more bad rows than its options allow.
fn check_gates(job: &Job, intakes: &[Arc<Intake>]) -> Result<(), RunError> {
    for (source, intake) in job.sources.iter().zip(intakes) {
        let gate = Gate::parse(&source.spec.options)?;
        let (read, rejected) = (
            intake.rows_read.load(Ordering::Relaxed),
            intake.rows_rejected.load(Ordering::Relaxed),
        );
        if let Some(most) = gate.max_bad_rows.filter(|&most| rejected > most) {
            return Err(RunError::Gate(format!(
                "source {}: {rejected} of {read} rows are bad, more than max_bad_rows = {most}; nothing was published. \
                 Run without the gate to have them in the quarantine with their reasons",
                intake.name
            )));
        }
        let ratio = ratio(rejected, read);
        if let Some(most) = gate.max_bad_ratio.filter(|&most| ratio > most) {
            return Err(RunError::Gate(format!(
                "source {}: {rejected} of {read} rows are bad ({:.3} %), more than max_bad_ratio = {most}; nothing was \
                 published. Run without the gate to have them in the quarantine with their reasons",
                intake.name,
                ratio * 100.0
            )));
        }
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

/// Invariant 1; gives the number of quarantined rows.
fn balance(rows_read: u64, rows_taken: u64, staged: &[StagedTable]) -> Result<u64, RunError> {
    let rows_quarantined = staged
        .last()
        .map_or(0, |quarantine| quarantine.written.rows);
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

/// Times the stages of a run. Timing is for the report alone: no result depends on the clock.
struct Stages<'a> {
    progress: &'a Progress,
    began: Instant,
    stage: Option<(&'static str, Instant)>,
    seconds: Vec<(&'static str, f64)>,
}

impl<'a> Stages<'a> {
    fn start(progress: &'a Progress) -> Self {
        Self {
            progress,
            began: Instant::now(),
            stage: None,
            seconds: Vec::new(),
        }
    }

    fn enter(&mut self, stage: &'static str) {
        self.leave();
        tracing::info!("{stage}");
        self.progress.enter(stage);
        self.stage = Some((stage, Instant::now()));
    }

    fn leave(&mut self) {
        if let Some((stage, since)) = self.stage.take() {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!("{stage} took {seconds:.3} s");
            self.seconds.push((stage, seconds));
        }
    }

    /// Seconds of all, and of each stage.
    fn finish(mut self) -> (f64, Vec<(&'static str, f64)>) {
        self.leave();
        self.progress.enter("done");
        (self.began.elapsed().as_secs_f64(), self.seconds)
    }
}
