//! `maintain`: what changed since the last commit, in one epoch, then a commit. The first commit takes in everything.
//!
//! 1. What is read: deliveries that came, those that went (from what was kept of them), and for views that are built
//!    anew those that stayed too.
//! 2. Views whose plan is as it was go on from their state, and pay for what changed; others begin with nothing.
//! 3. Nothing is changed, neither state nor tables, unless all of it can be committed ([`commit`]).

pub mod commit;
pub mod deliveries;
mod positions;
mod reports;
pub mod views;
mod windows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidewater_connectors::disk;
use tidewater_connectors::file::sink::{Run, Staging, WriteOptions};
use tidewater_connectors::file::{Depot, Position};
use tidewater_operators::Faults;
use tidewater_operators::hash::hash;

pub use self::commit::CRASH_POINTS;

use self::commit::{Commit, SourcePositions};
use self::deliveries::{KEPT, REBUILT, SourceChanges, intakes};
use self::positions::{positions, rows_in, rows_of};
use self::reports::{reports, unchanged};
use self::views::Views;
use self::windows::finalize;
use super::graph::{Epoch, From, Table};
use super::run::{check_gate, gather, late, quarantine, warnings};
use super::stages::Stages;
use super::{Progress, RunError, RunOptions, RunReport, keep, workers};
use crate::job::Job;
use crate::state::directory::Directory;
use crate::state::{
    DeliveryRecord, POSITIONS, Reading, STATE, StateRecord, Store, StoreError, VIEWS, ViewRecord,
    Writing, pair_key, panic,
};

/// How to maintain a job's tables.
pub struct MaintainOptions<'a> {
    /// Workers, and the report.
    pub run: RunOptions,
    /// The state's directory.
    pub state: PathBuf,
    /// Whether to wait for another process that uses the state.
    pub wait: bool,
    /// Whether to build everything anew, from what was kept.
    pub rebuild: bool,
    /// Files modified since less than this are left for a later run.
    pub settle: Duration,
    /// The time, since 1970.
    pub now: Duration,
    /// Told what is about to be done that the user may not expect.
    pub notice: &'a (dyn Fn(&str) + Sync),
}

/// Brings the tables of `job` up to date with what its sources hold.
///
/// # Errors
/// When anything fails. State and tables are then as they were; if the error came after the commit's record, the next
/// run finishes it.
pub fn maintain(
    job: &Job,
    options: &MaintainOptions<'_>,
    progress: &Progress,
) -> Result<RunReport, RunError> {
    panic::guarded(|| one_epoch(job, options, progress))
}

fn one_epoch(
    job: &Job,
    options: &MaintainOptions<'_>,
    progress: &Progress,
) -> Result<RunReport, RunError> {
    let mut clock = Stages::start(progress);
    clock.enter("open");
    let mut directory = Directory::open(&options.state, options.wait, options.rebuild)?;
    let store = open_store(&mut directory, options)?;
    let depot = Depot::open(directory.join("inputs")).map_err(StoreError::Source)?;
    commit::recover(&store, &depot)?;
    let depot = Arc::new(depot);

    clock.enter("compare");
    let reading = Arc::new(store.read()?);
    let state = state_of(job, &directory, &reading)?;
    let views = Views::compare(job, &reading, options.rebuild)?;
    let settled = options.now.saturating_sub(options.settle).as_nanos();
    let settled_ns = if options.settle.is_zero() {
        i64::MAX
    } else {
        i64::try_from(settled).unwrap_or(i64::MAX)
    };
    let changes = job
        .sources
        .iter()
        .map(|source| SourceChanges::compare(source, &state, &reading, settled_ns));
    let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
    for note in changes
        .iter_mut()
        .flat_map(|changes| changes.notes.drain(..))
    {
        (options.notice)(&note);
    }
    announce(&views, &state, options.rebuild, options.notice);

    let tables = tables(job, &views);
    let is_nothing = changes.iter().all(SourceChanges::is_nothing)
        && views.rebuilt.keeps.is_empty()
        && !views.quarantine
        && views.gone.views.is_empty()
        && views.gone.tables.is_empty();
    if is_nothing {
        note_positions(job, &store, &reading, &changes)?;
        return unchanged(state.epoch, &tables, &reading, clock);
    }
    let parts = intakes(job, &views, &changes, &depot)?;
    let paths = commit::paths(&directory, &tables);
    commit::remove_orphans(&directory, state.epoch)?;
    let staging = Staging::for_state(
        paths.iter().map(PathBuf::as_path),
        &state.id,
        state.epoch + 1,
    )?;
    let epoch = Epoch {
        graphs: vec![views.kept.clone(), views.rebuilt.clone()],
        sources: job
            .sources
            .iter()
            .map(|source| source.spec.name.clone())
            .collect(),
        intakes: parts.iter().flatten().flatten().cloned().collect(),
        tables,
        staging,
        state: Some(Arc::clone(&reading)),
        kept: Mutex::default(),
        rows_taken: AtomicI64::new(0),
        rows_quarantined: Arc::default(),
        rows_late: Arc::default(),
        progress: progress.clone(),
        faults: Faults::default(),
    };
    for intake in &epoch.intakes {
        progress
            .bytes_total
            .fetch_add(intake.bytes_total(), Ordering::Relaxed);
    }

    clock.enter("compute");
    let writing = store.write()?;
    drop_parts(&writing, &views, &reading)?;
    let (epoch, runs, parts_of_views) = compute(epoch, &writing, options.run.workers)?;
    finalize(job, &views, &writing, &reading)?;
    let mut warnings = warnings(&epoch.intakes);
    let positions: Vec<SourcePositions> = job
        .sources
        .iter()
        .zip(changes)
        .zip(&parts)
        .map(|((source, changes), parts)| positions(&source.spec.name, changes, parts))
        .collect();
    for (source, positions) in job.sources.iter().zip(&positions) {
        check_gate(source, rows_of(&positions.positions))?;
    }

    clock.enter("write");
    let commit = Commit {
        directory: &directory,
        depot: &depot,
        reading: &reading,
        state,
        views: &views,
        parts: parts_of_views,
        positions,
        now_s: options.now.as_secs(),
    };
    let write = WriteOptions {
        threads: options.run.workers,
        preview_rows: options.run.preview_rows,
        ..WriteOptions::default()
    };
    let staged = commit.stage(&epoch, runs, write)?;
    commit.balance(&epoch, &staged)?;
    let rows_read = rows_in(&commit.positions);

    clock.enter("commit");
    let deliveries = commit.positions.iter();
    let deliveries: Vec<DeliveryRecord> = deliveries
        .flat_map(|source| source.records.clone())
        .collect();
    let reports = reports(&commit, &epoch.tables, &staged)?;
    let (tables, quarantined, quarantine_path) = reports;
    let rows_late = epoch.rows_late.load(Ordering::Relaxed);
    let seconds = clock.elapsed();
    let number = commit.finish(writing, epoch, &staged, seconds)?;
    warnings.sort();
    let (seconds_total, stages) = clock.finish();
    Ok(RunReport {
        epoch: number,
        deliveries: Some(deliveries),
        rows_read,
        rows_quarantined: quarantined,
        rows_late,
        tables,
        seconds_total,
        stages,
        warnings,
        quarantine_path,
    })
}

/// The store; a new one where it is damaged and everything is built anew anyway.
fn open_store(directory: &mut Directory, options: &MaintainOptions<'_>) -> Result<Store, RunError> {
    let opened: Result<Store, StoreError> = panic::guarded(|| {
        let store = Store::open(directory)?;
        let reading = store.read()?;
        reading.check_sizes()?;
        if options.rebuild {
            reading.check_records()?;
        }
        Ok(store)
    });
    match opened {
        Err(error) if options.rebuild => {
            (options.notice)(&format!(
                "{error}. Its record of what was taken in is lost: everything is read again"
            ));
            let path = directory.join("state.redb");
            disk::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            directory.is_made = false;
            Ok(Store::open(directory)?)
        }
        other => Ok(other?),
    }
}

/// The state's record; a new one before the first commit.
pub fn state_of(
    job: &Job,
    directory: &Directory,
    reading: &Reading,
) -> Result<StateRecord, RunError> {
    let name = PathBuf::from(&job.name);
    let name = name
        .file_stem()
        .map_or_else(|| job.name.clone(), |stem| stem.to_string_lossy().into());
    match reading.record::<StateRecord>(STATE, "")? {
        Some(state) if state.job == name => Ok(state),
        Some(state) => Err(RunError::State(StoreError::OtherJob {
            path: directory.path.clone(),
            owner: state.job,
            job: name,
        })),
        None => Ok(StateRecord {
            id: format!(
                "{:016x}",
                hash(directory.path.as_os_str().as_encoded_bytes())
            ),
            job: name,
            ..StateRecord::default()
        }),
    }
}

/// Says what is about to happen to views of a job that changed.
fn announce(views: &Views, state: &StateRecord, rebuild: bool, notice: &dyn Fn(&str)) {
    if state.epoch == 0 {
        return;
    }
    let list = |names: Vec<&String>| {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.join(", ")
    };
    if !views.rebuilt.keeps.is_empty() {
        let names = list(views.rebuilt.keeps.iter().collect());
        let why = if rebuild {
            "--rebuild"
        } else {
            "the job, or a table's directory, has changed"
        };
        notice(&format!("{why}: built anew from the kept inputs: {names}"));
    }
    if !views.gone.views.is_empty() {
        let names = list(views.gone.views.keys().collect());
        notice(&format!(
            "no longer in the job, their state is dropped: {names}"
        ));
    }
    for (name, table) in &views.gone.tables {
        notice(&format!(
            "table {name} is no longer in the job: its files stay in {} and are no longer maintained",
            table.path.display()
        ));
    }
}

/// The tables of the job, and where their changes come from.
fn tables(job: &Job, views: &Views) -> Vec<Table> {
    let of_sinks = job.sinks.iter().map(|sink| Table {
        spec: Arc::new(sink.table.clone()),
        from: From::Relation(
            if views.is_rebuilt(&sink.view) {
                REBUILT
            } else {
                KEPT
            },
            sink.view.clone(),
        ),
    });
    let own = late(job).into_iter().chain([quarantine(job)]);
    of_sinks.chain(own).collect()
}

/// Remembers files that were touched, so that they need not be read again to be told unchanged.
fn note_positions(
    job: &Job,
    store: &Store,
    reading: &Reading,
    changes: &[SourceChanges],
) -> Result<(), RunError> {
    let writing = store.write()?;
    let mut moved = false;
    for (source, changes) in job.sources.iter().zip(changes) {
        let name = &source.spec.name;
        let known: BTreeMap<String, Position> = reading.records(POSITIONS, &pair_key(name, ""))?;
        for position in &changes.positions {
            if known.get(&position.path) != Some(position) {
                writing.put(POSITIONS, &pair_key(name, &position.path), position)?;
                moved = true;
            }
        }
    }
    if moved {
        writing.commit()?;
    }
    Ok(())
}

/// Forgets the state of views that are built anew, and of those that are gone.
fn drop_parts(writing: &Writing, views: &Views, reading: &Reading) -> Result<(), RunError> {
    let known: BTreeMap<String, ViewRecord> = reading.records(VIEWS, "")?;
    for (name, view) in &known {
        if views.is_rebuilt(name) || views.gone.views.contains_key(name) {
            for part in &view.parts {
                writing.drop_part(part)?;
            }
        }
    }
    Ok(())
}

/// Runs the graphs of an epoch, and writes what their state becomes: the sorted runs of each table, and the parts of each
/// view.
#[allow(clippy::type_complexity)]
fn compute(
    epoch: Epoch,
    writing: &Writing,
    workers: usize,
) -> Result<(Epoch, Vec<Vec<Run>>, BTreeMap<String, Vec<String>>), RunError> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..workers.max(1)).map(|_| keep::channel()).unzip();
    *epoch.kept.lock().unwrap_or_else(PoisonError::into_inner) = senders;
    let graphs = epoch.graphs.len();
    let epoch = Arc::new(epoch);
    let for_workers = Arc::clone(&epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        for_workers.work(worker)
    })?;
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = None;
    for _ in 0..graphs {
        match keep::receive(&receivers, writing) {
            Ok(Some(names)) => names
                .into_iter()
                .for_each(|part| parts.entry(part.view).or_default().push(part.name)),
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // Workers that still send must not wait for anyone.
    drop(receivers);
    let shards = workers::join(guards, &epoch.faults)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let runs = gather(&epoch, shards);
    let epoch = Arc::try_unwrap(epoch).map_err(|_| RunError::Workers("one still runs".into()))?;
    Ok((epoch, runs, parts))
}
