//! A state that is open: its lock, its store, what is kept of the inputs, and the consumers of its streams. An epoch is
//! one commit, or nothing when nothing changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_connectors::disk;
use tidewater_connectors::file::sink::{Run, Staging, WriteOptions};
use tidewater_connectors::file::{Depot, Position};
use tidewater_connectors::kafka::KafkaSource;
use tidewater_connectors::kafka::KeepTrying;
use tidewater_operators::Faults;
use tidewater_operators::hash::hash;

use super::MaintainOptions;
use super::commit::{self, Commit, Committed, SourcePositions};
use super::deliveries::{SourceChanges, SourcesRead, intakes};
use super::fill::StateFill;
use super::outflow::Outflow;
use super::positions::{positions, rows_of};
use super::reports::{reports, unchanged};
use super::views::Views;
use super::windows::finalize;
use crate::drive::graph::{Epoch, Graph};
use crate::drive::inflow::{Inflow, Inflows, Share};
use crate::drive::ingest::{Cut, Intake};
use crate::drive::run::{check_gate, finished, warnings};
use crate::drive::stages::Stages;
use crate::drive::tables::{PerTable, Table};
use crate::drive::{Progress, RunError, RunReport, keep, workers};
use crate::job::Job;
use crate::state::directory::Directory;
use crate::state::{
    POSITIONS, Reading, STATE, StateRecord, Store, StoreError, VIEWS, ViewRecord, Writing,
    pair_key, panic,
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

/// What an epoch has to do.
struct Work {
    /// The last commit.
    reading: Arc<Reading>,
    views: Views,
    /// What changed of the files of each source.
    changes: Vec<SourceChanges>,
    tables: PerTable<Table>,
}

/// What the graphs of an epoch came to.
struct Computed {
    epoch: Epoch,
    /// The sorted runs of each table.
    runs: PerTable<Vec<Run>>,
    /// Names of the parts of each view whose state is kept.
    parts: BTreeMap<String, Vec<String>>,
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
        let depot = Depot::open(directory.layout.inputs()).map_err(StoreError::Source)?;
        commit::recover(&store, &depot)?;
        let reading = store.read()?;
        let mut state = state_of(job, &directory, &reading)?;
        if state.born_ms == 0 && job.sinks.iter().any(|sink| sink.topic().is_some()) {
            state.born_ms = u64::try_from((options.now)().as_millis()).unwrap_or(u64::MAX);
        }
        let layout = &directory.layout;
        let outflow = Outflow::open(job, &state, layout.clone(), &mut *keep_trying)?;
        let mut inflows = Inflows::new();
        for source in job
            .sources
            .iter()
            .filter(|source| KafkaSource::of(&source.spec).is_some())
        {
            let name = &source.spec.name;
            let group = format!("tidewater-{}-{name}", state.id);
            let inflow = Inflow::resume(source, &group, &reading, layout.messages(name))?;
            inflows.insert(name.clone(), inflow);
        }
        drop(reading);
        Ok(Self {
            job: job.clone(),
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
        let work = self.compare()?;
        if !self.has_work(&work) {
            note_positions(&self.job, &self.store, &work)?;
            return unchanged(self.state.epoch, &work.tables, &work.reading, clock);
        }
        let inputs = self.inputs(&work, cut)?;
        let epoch = self.prepare(&work, &inputs)?;

        clock.enter("compute");
        let fill = StateFill::begin(&self.store, &self.state)?;
        let computed = self.compute(epoch, &work, fill.transaction())?;
        let mut warnings = warnings(&computed.epoch.intakes);
        let positions = self.positions(&work, &inputs)?;

        clock.enter("write");
        let commit = Commit {
            directory: &self.directory,
            depot: &self.depot,
            reading: &work.reading,
            state: self.state.clone(),
            views: &work.views,
            parts: computed.parts,
            positions,
            now_s: (self.options.now)().as_secs(),
        };
        let (epoch, runs) = (computed.epoch, computed.runs);
        let stage = || commit.stage(&epoch, runs, self.write_options());
        let (staged, record) = match fill {
            StateFill::First(fill) => {
                let staged = fill.commit_during(&self.state, stage)?;
                (staged, self.store.write()?)
            }
            StateFill::WithRecord(transaction) => (stage()?, transaction),
        };
        commit.balance(&epoch, &staged)?;

        clock.enter("commit");
        let reports = reports(&commit, &epoch.tables, &staged)?;
        let deliveries = commit.deliveries();
        let rows_read = deliveries.iter().map(|delivery| delivery.rows_in).sum();
        let rows_late = epoch.counts.late.load(Ordering::Relaxed);
        let committed = commit.finish(record, epoch, &staged, clock.elapsed())?;
        self.committed(committed)?;
        warnings.sort();
        let (seconds_total, stages) = clock.finish();
        Ok(RunReport {
            epoch: self.state.epoch,
            deliveries: Some(deliveries),
            rows_read,
            rows_quarantined: reports.quarantine.rows,
            rows_late,
            quarantine_path: reports.quarantine_path(),
            tables: reports.published(),
            seconds_total,
            stages,
            warnings,
        })
    }

    /// Goes on from what was committed: publishes it to Kafka, and tells the brokers how far streams are read.
    fn committed(&mut self, committed: Committed) -> Result<(), RunError> {
        self.state = committed.state;
        self.rebuild = false;
        if let Some(outflow) = &mut self.outflow {
            outflow.publish(self.state.epoch, &mut *self.keep_trying)?;
        }
        for (name, position) in committed.streams {
            if let Some(inflow) = self.inflows.get_mut(&name) {
                inflow.committed(position);
            }
        }
        Ok(())
    }

    fn write_options(&self) -> WriteOptions {
        WriteOptions {
            threads: self.options.run.workers,
            preview_rows: self.options.run.preview_rows,
            ..WriteOptions::default()
        }
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

    /// Compares the job and its sources with the last commit.
    fn compare(&mut self) -> Result<Work, RunError> {
        if self.state.epoch > 0 {
            self.store.filled(&mut self.directory)?;
        }
        let reading = Arc::new(self.store.read()?);
        let copies = self.directory.layout.table_copies();
        let views = Views::compare(&self.job, &reading, &copies, self.rebuild)?;
        let changes = self.compare_files(&reading)?;
        announce(&views, &self.state, self.rebuild, self.options.notice);
        let tables = PerTable::with_copies(&self.job, &copies, |view| views.graph(view));
        Ok(Work {
            reading,
            views,
            changes,
            tables,
        })
    }

    /// What changed of the files of each source.
    fn compare_files(&self, reading: &Reading) -> Result<Vec<SourceChanges>, RunError> {
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
            .map(|source| match KafkaSource::of(&source.spec) {
                None => SourceChanges::compare(source, &self.state, reading, settled_ns),
                Some(_) => Ok(SourceChanges::default()),
            });
        let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
        let notes = changes.iter_mut();
        for note in notes.flat_map(|changes| changes.notes.drain(..)) {
            (self.options.notice)(&note);
        }
        Ok(changes)
    }

    fn has_work(&self, Work { views, changes, .. }: &Work) -> bool {
        !changes.iter().all(SourceChanges::is_nothing)
            || !views.rebuilt.keeps.is_empty()
            || views.quarantine
            || !views.gone.views.is_empty()
            || !views.gone.tables.is_empty()
            || self.inflows.values().any(|inflow| inflow.stream.lag() > 0)
    }

    fn inputs(&self, work: &Work, cut: Option<&Arc<Cut>>) -> Result<Inputs, RunError> {
        let Work { views, changes, .. } = work;
        let read = SourcesRead::of(&self.job, views);
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

    fn prepare(&self, work: &Work, inputs: &Inputs) -> Result<Epoch, RunError> {
        let next = self.state.epoch + 1;
        let paths = commit::paths(&self.directory.layout, &work.tables);
        commit::remove_orphans(&self.directory.layout, next)?;
        let staging = Staging::for_state(paths.iter().map(PathBuf::as_path), &self.state.id, next)?;
        let intakes: Vec<Arc<Intake>> =
            inputs.intakes.iter().flatten().flatten().cloned().collect();
        for intake in &intakes {
            self.progress
                .bytes_total
                .fetch_add(intake.bytes_total(), Ordering::Relaxed);
        }
        let sources = self.job.sources.iter();
        Ok(Epoch {
            resumed: work.views.kept.clone(),
            rebuilt: work.views.rebuilt.clone(),
            sources: sources.map(|source| source.spec.name.clone()).collect(),
            intakes,
            tables: work.tables.clone(),
            staging,
            state: Some(Arc::clone(&work.reading)),
            counts: Arc::default(),
            progress: self.progress.clone(),
            faults: Faults::default(),
        })
    }

    /// Runs the graphs, and writes what their state becomes.
    fn compute(
        &self,
        epoch: Epoch,
        work: &Work,
        transaction: &Writing,
    ) -> Result<Computed, RunError> {
        drop_parts(transaction, &work.views, &work.reading)?;
        let computed = compute(epoch, transaction, self.options.run.workers)?;
        finalize(&self.job, &work.views, transaction, &work.reading)?;
        Ok(computed)
    }

    /// Where each source stands once the epoch is committed.
    ///
    /// # Errors
    /// When a source let through too many bad rows, or what was read of a stream cannot be made durable.
    fn positions(&self, work: &Work, inputs: &Inputs) -> Result<Vec<SourcePositions>, RunError> {
        let sources = self.job.sources.iter();
        let sources = sources.zip(&work.changes).zip(&inputs.intakes);
        let positions = sources.map(|((source, changes), intakes)| {
            let name = &source.spec.name;
            let mut positions = positions(name, changes.clone(), intakes);
            if let (Some(inflow), Some(share)) = (self.inflows.get(name), inputs.shares.get(name)) {
                let (stream, records) = inflow.after(share)?;
                positions.stream = Some(stream);
                positions.records = records;
            }
            check_gate(source, rows_of(&positions))?;
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
            let path = directory.layout.store();
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
            path: directory.layout.root().to_path_buf(),
            owner: state.job,
            job: name,
        })),
        None => Ok(StateRecord {
            id: format!(
                "{:016x}",
                hash(directory.layout.root().as_os_str().as_encoded_bytes())
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

/// Remembers files that were touched, so that they need not be read again to be told unchanged.
fn note_positions(job: &Job, store: &Store, work: &Work) -> Result<(), RunError> {
    let writing = store.write()?;
    let mut moved = false;
    for (source, changes) in job.sources.iter().zip(&work.changes) {
        let name = &source.spec.name;
        let known: BTreeMap<String, Position> =
            work.reading.records(POSITIONS, &pair_key(name, ""))?;
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

/// Runs the graphs of an epoch, and writes what their state becomes.
fn compute(epoch: Epoch, writing: &Writing, workers: usize) -> Result<Computed, RunError> {
    let (outlets, mut keepers) = keep::channels(workers.max(1));
    let outlets = Mutex::new(outlets);
    let epoch = Arc::new(epoch);
    let for_workers = Arc::clone(&epoch);
    let guards = workers::start(workers, &epoch.faults, move |worker| {
        let outlets = outlets.lock().unwrap_or_else(PoisonError::into_inner).pop();
        for_workers.work(worker, outlets)
    })?;
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = None;
    for _ in Graph::ALL {
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
    let (epoch, runs) = finished(epoch, shards)?;
    Ok(Computed { epoch, runs, parts })
}
