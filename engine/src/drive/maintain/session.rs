//! A state that is open: its lock, its store, what is kept of the inputs, and the consumers of its streams. An epoch is
//! one commit, or nothing when nothing changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_connectors::disk;
use tidewater_connectors::file::sink::{Run, Staging, WriteOptions};
use tidewater_connectors::file::{Depot, Position};
use tidewater_connectors::kafka::KeepTrying;
use tidewater_operators::Faults;
use tidewater_operators::hash::hash;

use super::MaintainOptions;
use super::commit::{self, Commit, SourcePositions};
use super::deliveries::{KEPT, REBUILT, Read, SourceChanges, intakes};
use super::outflow::Outflow;
use super::positions::{positions, rows_in, rows_of};
use super::reports::{reports, unchanged};
use super::views::Views;
use super::windows::finalize;
use crate::drive::graph::{Epoch, From, Table};
use crate::drive::inflow::{Inflow, Inflows, Share};
use crate::drive::ingest::{Cut, Intake};
use crate::drive::run::{check_gate, gather, late, quarantine, warnings};
use crate::drive::stages::Stages;
use crate::drive::{Progress, RunError, RunReport, keep, workers};
use crate::job::Job;
use crate::state::directory::Directory;
use crate::state::{
    DeliveryRecord, POSITIONS, Reading, STATE, StateRecord, Store, StoreError, VIEWS, ViewRecord,
    Writing, pair_key, panic,
};

/// A state that is open.
pub struct Session<'a> {
    job: Job,
    options: &'a MaintainOptions<'a>,
    progress: &'a Progress,
    directory: Directory,
    store: Store,
    depot: Arc<Depot>,
    inflows: Inflows,
    outflow: Option<Outflow>,
    keep_trying: Box<KeepTrying<'a>>,
    /// As of the last commit.
    state: StateRecord,
    /// Whether everything is still to be built anew.
    rebuild: bool,
}

/// What an epoch reads.
struct Inputs {
    /// Of files, source by source: of what is added, of what is removed, of what stays; of streams the first and the last.
    intakes: Vec<[Option<Arc<Intake>>; 3]>,
    /// What is taken in of each stream.
    shares: BTreeMap<String, Share>,
}

impl<'a> Session<'a> {
    /// Opens the state, finishes what a run that was cut short left half done, and connects to the brokers of what is in
    /// Kafka, for as long as `keep_trying` says.
    ///
    /// # Errors
    /// When the state is in use or damaged, or brokers cannot be reached.
    pub fn open(
        job: &Job,
        options: &'a MaintainOptions<'a>,
        progress: &'a Progress,
        mut keep_trying: Box<KeepTrying<'a>>,
    ) -> Result<Self, RunError> {
        let mut directory = Directory::open(&options.state, options.wait, options.rebuild)?;
        let store = open_store(&mut directory, options)?;
        let depot = Depot::open(directory.join("inputs")).map_err(StoreError::Source)?;
        commit::recover(&store, &depot)?;
        let reading = store.read()?;
        let mut state = state_of(job, &directory, &reading)?;
        if state.born_ms == 0 && job.sinks.iter().any(|sink| sink.topic.is_some()) {
            state.born_ms = u64::try_from((options.now)().as_millis()).unwrap_or(u64::MAX);
        }
        let job = job.in_state(&directory.path);
        let outflow = Outflow::open(&job, &state, directory.join("changes"), &mut *keep_trying)?;
        let mut inflows = Inflows::new();
        for source in job
            .sources
            .iter()
            .filter(|source| source.spec.kafka.is_some())
        {
            let name = &source.spec.name;
            let group = format!("tidewater-{}-{name}", state.id);
            let streams = directory.join("streams");
            let inflow = Inflow::resume(source, &group, &reading, &streams)?;
            inflows.insert(name.clone(), inflow);
        }
        drop(reading);
        Ok(Self {
            job,
            options,
            progress,
            directory,
            store,
            depot: Arc::new(depot),
            inflows,
            outflow,
            keep_trying,
            state,
            rebuild: options.rebuild,
        })
    }

    /// The streams.
    pub fn inflows(&self) -> &Inflows {
        &self.inflows
    }

    /// Whether some source is in files.
    pub fn reads_files(&self) -> bool {
        self.inflows.len() < self.job.sources.len()
    }

    /// Takes in what came, of streams until `cut` is reached, and commits it. Without anything to do nothing is committed.
    ///
    /// # Errors
    /// When anything fails. State and tables are then as they were; if the error came after the commit's record, the next
    /// run finishes it.
    pub fn epoch(
        &mut self,
        mut clock: Stages<'_>,
        cut: Option<&Arc<Cut>>,
    ) -> Result<RunReport, RunError> {
        clock.enter("compare");
        if self.state.epoch > 0 {
            self.store.filled(&mut self.directory)?;
        }
        let reading = Arc::new(self.store.read()?);
        let state = self.state.clone();
        let views = Views::compare(&self.job, &reading, self.rebuild)?;
        let changes = self.compare(&state, &reading)?;
        announce(&views, &state, self.rebuild, self.options.notice);
        let tables = tables(&self.job, &views);
        if !self.has_work(&views, &changes) {
            note_positions(&self.job, &self.store, &reading, &changes)?;
            return unchanged(state.epoch, &tables, &reading, clock);
        }
        let inputs = self.inputs(&views, &changes, cut)?;
        let epoch = self.prepare(&views, &state, &reading, &inputs, tables)?;

        clock.enter("compute");
        let writing = self.store.write()?;
        if state.epoch == 0 {
            // Those of a first run that was cut short.
            writing.drop_parts()?;
        }
        drop_parts(&writing, &views, &reading)?;
        let (epoch, runs, parts_of_views) = compute(epoch, &writing, self.options.run.workers)?;
        finalize(&self.job, &views, &writing, &reading)?;
        let mut warnings = warnings(&epoch.intakes);
        let positions = self.positions(changes, &inputs)?;
        for (source, positions) in self.job.sources.iter().zip(&positions) {
            check_gate(source, rows_of(positions))?;
        }

        clock.enter("write");
        let commit = Commit {
            directory: &self.directory,
            depot: &self.depot,
            reading: &reading,
            state,
            views: &views,
            parts: parts_of_views,
            positions,
            now_s: (self.options.now)().as_secs(),
        };
        let write = WriteOptions {
            threads: self.options.run.workers,
            preview_rows: self.options.run.preview_rows,
            ..WriteOptions::default()
        };
        let (staged, writing) = commit.stage_and_fill(&self.store, writing, &epoch, runs, write)?;
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
        let committed = commit.finish(writing, epoch, &staged, seconds)?;
        self.state = committed.state;
        if let Some(outflow) = &mut self.outflow {
            outflow.publish(self.state.epoch, &mut *self.keep_trying)?;
        }
        for (name, position) in committed.streams {
            if let Some(inflow) = self.inflows.get_mut(&name) {
                inflow.committed(position);
            }
        }
        self.rebuild = false;
        warnings.sort();
        let (seconds_total, stages) = clock.finish();
        Ok(RunReport {
            epoch: self.state.epoch,
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

    /// Notes that the last epoch is in Kafka, which would forget in time that it holds it.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn close(mut self) -> Result<(), RunError> {
        if self.outflow.is_some() && self.state.published < self.state.epoch {
            let writing = self.store.write()?;
            self.state.published = self.state.epoch;
            writing.put(STATE, "", &self.state)?;
            writing.commit()?;
        }
        Ok(())
    }

    /// What changed of the files of each source.
    fn compare(
        &self,
        state: &StateRecord,
        reading: &Reading,
    ) -> Result<Vec<SourceChanges>, RunError> {
        let settle = self.options.settle;
        let settled = (self.options.now)().saturating_sub(settle).as_nanos();
        let settled_ns = if settle.is_zero() {
            i64::MAX
        } else {
            i64::try_from(settled).unwrap_or(i64::MAX)
        };
        let changes = self
            .job
            .sources
            .iter()
            .map(|source| match source.spec.kafka {
                None => SourceChanges::compare(source, state, reading, settled_ns),
                Some(_) => Ok(SourceChanges::default()),
            });
        let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
        let notes = changes.iter_mut();
        for note in notes.flat_map(|changes| changes.notes.drain(..)) {
            (self.options.notice)(&note);
        }
        Ok(changes)
    }

    fn has_work(&self, views: &Views, changes: &[SourceChanges]) -> bool {
        !changes.iter().all(SourceChanges::is_nothing)
            || !views.rebuilt.keeps.is_empty()
            || views.quarantine
            || !views.gone.views.is_empty()
            || !views.gone.tables.is_empty()
            || self.inflows.values().any(|inflow| inflow.stream.lag() > 0)
    }

    fn inputs(
        &self,
        views: &Views,
        changes: &[SourceChanges],
        cut: Option<&Arc<Cut>>,
    ) -> Result<Inputs, RunError> {
        let read = Read::of(&self.job, views);
        let mut inputs = Inputs {
            intakes: Vec::new(),
            shares: BTreeMap::new(),
        };
        for (source, changes) in self.job.sources.iter().zip(changes) {
            let name = &source.spec.name;
            let Some(inflow) = self.inflows.get(name) else {
                inputs
                    .intakes
                    .push(intakes(source, &read, changes, &self.depot)?);
                continue;
            };
            let share = inflow.take(read.all(name), cut);
            let again = read.again(name);
            let again = again.map(|graphs| inflow.again(graphs, views.quarantine));
            let again = again.transpose()?.flatten().map(Arc::new);
            inputs
                .intakes
                .push([Some(Arc::clone(&share.added)), None, again]);
            inputs.shares.insert(name.clone(), share);
        }
        Ok(inputs)
    }

    fn prepare(
        &self,
        views: &Views,
        state: &StateRecord,
        reading: &Arc<Reading>,
        inputs: &Inputs,
        tables: Vec<Table>,
    ) -> Result<Epoch, RunError> {
        let paths = commit::paths(&self.directory, &tables);
        commit::remove_orphans(&self.directory, state.epoch)?;
        let staging = Staging::for_state(
            paths.iter().map(PathBuf::as_path),
            &state.id,
            state.epoch + 1,
        )?;
        let intakes: Vec<Arc<Intake>> =
            inputs.intakes.iter().flatten().flatten().cloned().collect();
        for intake in &intakes {
            self.progress
                .bytes_total
                .fetch_add(intake.bytes_total(), Ordering::Relaxed);
        }
        let sources = self.job.sources.iter();
        Ok(Epoch {
            graphs: vec![views.kept.clone(), views.rebuilt.clone()],
            sources: sources.map(|source| source.spec.name.clone()).collect(),
            intakes,
            tables,
            staging,
            state: Some(Arc::clone(reading)),
            kept: Mutex::default(),
            rows_taken: AtomicI64::new(0),
            rows_quarantined: Arc::default(),
            rows_late: Arc::default(),
            progress: self.progress.clone(),
            faults: Faults::default(),
        })
    }

    /// Where each source stands once the epoch is committed.
    fn positions(
        &self,
        changes: Vec<SourceChanges>,
        inputs: &Inputs,
    ) -> Result<Vec<SourcePositions>, RunError> {
        let sources = self.job.sources.iter().zip(changes).zip(&inputs.intakes);
        let positions = sources.map(|((source, changes), intakes)| {
            let name = &source.spec.name;
            let mut positions = positions(name, changes, intakes);
            if let (Some(inflow), Some(share)) = (self.inflows.get(name), inputs.shares.get(name)) {
                let (stream, records) = inflow.after(share)?;
                positions.stream = Some(stream);
                positions.records = records;
            }
            Ok(positions)
        });
        positions.collect()
    }
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
    let state: Option<StateRecord> = reading.record(STATE, "")?;
    // One that was never committed is nobody's.
    match state.filter(|state| state.epoch > 0) {
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
        is_topic: sink.topic.is_some(),
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
    let (outlets, mut keepers) = keep::channels(workers.max(1));
    *epoch.kept.lock().unwrap_or_else(PoisonError::into_inner) = outlets;
    let graphs = epoch.graphs.len();
    let epoch = Arc::new(epoch);
    let for_workers = Arc::clone(&epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        for_workers.work(worker)
    })?;
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = None;
    for _ in 0..graphs {
        match keepers.receive(writing) {
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
    drop(keepers);
    let shards = workers::join(guards, &epoch.faults)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let runs = gather(&epoch, shards);
    let epoch = Arc::try_unwrap(epoch).map_err(|_| RunError::Workers("one still runs".into()))?;
    Ok((epoch, runs, parts))
}
