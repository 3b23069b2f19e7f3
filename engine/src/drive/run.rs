//! `run` reads everything that the sources hold in one epoch, then publishes all tables or none. It keeps nothing.
//!
//! 1. Nothing is published unless rows read = rows that entered the dataflow + rows of the quarantine table
//!    ([`balance`]).
//! 2. Nothing is published when a source, an operator, a sink or the data gate fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidewater_connectors::connector::ReadBounds;
use tidewater_connectors::file::sink::{
    Run, StagedTable, Staging, TableRuns, WriteOptions, publish, rows_of, write_tables,
};
use tidewater_operators::{Faults, Sign};

use super::assertions::{judge, refuse_failures};
use super::balance::{self, counted};
use super::checked::RowCheck;
use super::gate::{check_gate, check_messages};
use super::graph::{Epoch, EpochGraphs, GraphPlan};
use super::graph_set::GraphSet;
use super::held_reports::HeldOfSource;
use super::hold::{HoldRules, JudgedIn};
use super::ingest::{Intake, RowRouting};
use super::locate::{all_files, located};
use super::ownership::Claimant;
use super::report::{Publication, TableReport, set_aside};
use super::row_counts::signed;
use super::stages::Stages;
use super::tables::PerTable;
use super::{Progress, RunError, RunOutcome, RunReport, workers};
use crate::job::Job;
use crate::plan::assemble::published_views;

/// How to run a job.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Worker threads.
    pub workers: usize,
    /// Rows of each table's preview in the report.
    pub preview_rows: usize,
    /// Whether tables of other jobs or states are taken over.
    pub take_over: bool,
}

/// Runs `job` over everything that its sources hold, and publishes its tables.
///
/// # Errors
/// When anything fails. The tables are unchanged then.
pub fn run(job: &Job, options: &RunOptions, progress: &Progress) -> Result<RunReport, RunError> {
    run_once(job, options, progress).map_err(|error| progress.told(error))
}

fn run_once(job: &Job, options: &RunOptions, progress: &Progress) -> Result<RunReport, RunError> {
    let mut clock = Stages::start(progress);
    clock.enter("plan");
    let name = job.short_name();
    let claimant = Claimant {
        job: &name,
        state: None,
        take_over: options.take_over,
    };
    let epoch = prepare(job, &claimant, progress)?;

    clock.enter("compute");
    let intakes = epoch.intakes.clone();
    let computed = compute(epoch, options.workers);
    let (epoch, runs) = computed.map_err(|error| located(job, error, &intakes, &all_files))?;
    drop(intakes);
    let warnings = warnings(&epoch.intakes);
    let set_aside = set_aside(&epoch.intakes);
    let held = held(&epoch.intakes);
    for ((source, intake), held) in job.sources.iter().zip(&epoch.intakes).zip(&held) {
        check_gate(source, without_held(counted(intake), held))?;
        check_messages(source, counted(intake), intake)?;
    }

    let assertions = judge(job, &epoch.tables, &[], &|at, table| {
        let runs = runs.sinks.get(at).cloned().unwrap_or_default();
        Ok(rows_of(&table.spec, runs)?)
    })?;
    let assertions = refuse_failures(job, assertions, &held, &all_files)?;

    clock.enter("write");
    let write = WriteOptions {
        threads: options.workers,
        preview_rows: options.preview_rows,
        stop: progress.stop.clone(),
        ..WriteOptions::default()
    };
    let staged = stage(&epoch, runs, &claimant, &write)?;
    let rows_read = epoch.intakes.iter().map(|intake| counted(intake).0).sum();
    let rows_quarantined = staged.quarantine.written.rows;
    balance::check(&epoch, signed(rows_quarantined))?;

    clock.enter("publish");
    claimant.claim(epoch.tables.iter())?;
    progress.begin_commit()?;
    let reports = staged.as_ref().map(report);
    let staged = epoch.tables.as_ref().zip(staged).into_values().into_iter();
    let published = staged.filter(|(table, _)| table.is_published);
    let published = published.map(|(_, staged)| staged).collect();
    publish(epoch.staging, published)?;
    let quarantine_path = reports.quarantine_path();
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        outcome: RunOutcome::Committed,
        epoch: 0,
        deliveries: None,
        rows_read,
        rows_rejected: rows_quarantined,
        rows_quarantined,
        set_aside,
        rows_late: BTreeMap::new(),
        tables: reports.published(job),
        assertions,
        seconds_total,
        stages,
        warnings,
        quarantine_path,
    })
}

/// The deliveries of each source that are held.
fn held(intakes: &[Arc<Intake>]) -> Vec<HeldOfSource> {
    let held = intakes.iter().map(|intake| HeldOfSource {
        source: intake.source.to_string(),
        held: intake.held(),
        is_all: intake.set_aside().len() == intake.counts.len(),
    });
    held.collect()
}

/// The read and the rejected rows of a source. Rows of the quarantine for held deliveries are no bad rows.
fn without_held((read, rejected): (u64, u64), held: &HeldOfSource) -> (u64, u64) {
    let held = held.held.len() as u64;
    (read.saturating_sub(held), rejected.saturating_sub(held))
}

/// Runs the graphs of an epoch to the end. Returns the sorted runs of each table.
fn compute(epoch: Epoch, workers: usize) -> Result<(Epoch, PerTable<Vec<Run>>), RunError> {
    let epoch = Arc::new(epoch);
    let for_workers = Arc::clone(&epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        for_workers.work(worker, None)
    })?;
    let shards = workers::join(guards, &epoch.faults)?;
    finished(epoch, shards)
}

/// The epoch after its workers have ended, and the runs of all workers together.
///
/// # Errors
/// When a worker failed, or has not ended.
pub fn finished(
    epoch: Arc<Epoch>,
    shards: Vec<Option<PerTable<Vec<Run>>>>,
) -> Result<(Epoch, PerTable<Vec<Run>>), RunError> {
    let mut runs: PerTable<Vec<Run>> = epoch.tables.as_ref().map(|_| Vec::new());
    for shard in shards {
        let shard = shard.ok_or_else(|| RunError::Workers("one ended without its rows".into()))?;
        runs = runs
            .zip(shard)
            .map(|(runs, more)| runs.into_iter().chain(more).collect());
    }
    let epoch = Arc::try_unwrap(epoch).map_err(|_| RunError::Workers("one still runs".into()))?;
    Ok((epoch, runs))
}

/// Writes all tables beside their places.
fn stage(
    epoch: &Epoch,
    runs: PerTable<Vec<Run>>,
    claimant: &Claimant<'_>,
    options: &WriteOptions,
) -> Result<PerTable<StagedTable>, RunError> {
    let tables = epoch.tables.as_ref().zip(runs);
    let tables = tables.map(|(table, runs)| TableRuns {
        spec: Arc::clone(&table.spec),
        runs,
        owner: claimant.mark(table, None),
    });
    let places = tables.as_ref().map(|_| ());
    let staged = write_tables(&epoch.staging, tables.into_values(), options)?;
    places
        .with_values(staged)
        .ok_or_else(|| RunError::Workers("a table was not written".into()))
}

fn report(table: &StagedTable) -> TableReport {
    TableReport {
        name: table.spec.name.to_string(),
        path: table.spec.path.clone(),
        rows: table.written.rows,
        rows_inserted: table.written.rows,
        rows_deleted: 0,
        files_written: table.written.files,
        published: Publication::Whole,
        preview: table.written.preview.clone(),
    }
}

/// Does everything that can fail before a row is read.
fn prepare(job: &Job, claimant: &Claimant<'_>, progress: &Progress) -> Result<Epoch, RunError> {
    let tables = PerTable::without_state(job)?;
    claimant.claim(tables.iter())?;
    let views = published_views(job)?;
    let mut intakes = Vec::new();
    for source in &job.sources {
        let reader = source.input.open(&source.spec, &ReadBounds::default());
        let reader = reader.map_err(RunError::of_source(source))?;
        let reader = RowCheck::over(job, source, &source.spec, reader)?;
        let rules = HoldRules::of(job, source, &source.spec, JudgedIn::NO_STATE)?;
        let reader = match rules {
            Some(rules) => rules.judge(reader).0,
            None => reader,
        };
        let routing = RowRouting {
            sign: Sign::Plus,
            graphs: GraphSet::REBUILT,
            quarantines: true,
        };
        let intake = Intake::new(&source.spec.name, routing, reader, None);
        progress
            .bytes_total
            .fetch_add(intake.bytes_total(), Ordering::Relaxed);
        intakes.push(Arc::new(intake));
    }
    let staging = Staging::open(tables.iter().map(|table| table.spec.path.as_path()))?;
    progress.stages_in(&staging);
    let sources = job.sources.iter().map(|source| source.spec.name.clone());
    Ok(Epoch {
        graphs: EpochGraphs {
            resumed: GraphPlan::default(),
            rebuilt: GraphPlan {
                views,
                ..GraphPlan::default()
            },
            sources: sources.collect(),
            state: None,
        },
        intakes,
        tables,
        staging,
        counts: Arc::default(),
        progress: progress.clone(),
        faults: Faults::default(),
    })
}

/// Messages for the user, after everything was read.
pub fn warnings(intakes: &[Arc<Intake>]) -> Vec<String> {
    let inserting = intakes
        .iter()
        .filter(|intake| intake.routing.sign == Sign::Plus);
    inserting.flat_map(|intake| intake.warnings()).collect()
}
