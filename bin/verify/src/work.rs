//! Verifies the tables of a state, several at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use tidewater_engine::file::sink::{FileFault, FoundFile, PublishedTable, rejected_to_batch};
use tidewater_engine::sink::{Encoding, TableSpec};
use tidewater_engine::{Inspection, Job, LATE_TABLE, OpenRows, UnmatchedPlaces};

use crate::compare::{BucketSums, RowConversion, Side};
use crate::datafusion_job::{DataFusionJob, failed};
use crate::inputs::KeptInput;
use crate::report::{self, Verdict};
use tidewater_cli::args::VerifyArgs;
use tidewater_cli::command_line::quoted;
use tidewater_cli::display::count;
use tidewater_cli::failure::Failure;
use tidewater_cli::job::LoadedState;
use tidewater_cli::progress::{self, ProgressMode, Sample, Unit};
use tidewater_cli::{cores, job, output};

/// Most differing rows of each side that are paired.
const PAIRED_MAX: usize = 1000;

/// A table to verify.
struct VerifiedTable {
    spec: Arc<TableSpec>,
    shadow: Option<PathBuf>,
    rows: ExpectedRows,
}

/// The rows that a table should have.
enum ExpectedRows {
    /// The rows of a view or source whose windows are open.
    Relation(String, OpenRows),
    /// The rejected rows.
    Rejected,
    /// The stored inputs do not determine the rows, for this reason. Only the table's files are verified.
    Undetermined(String),
}

impl ExpectedRows {
    /// The rows of a batch that the stored inputs determine: rows of open windows.
    fn determined(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match self {
            Self::Relation(_, open) => open.rows(batch),
            _ => Ok(batch),
        }
    }
}

/// The most times that a table is verified again because it changed meanwhile.
const ATTEMPTS: usize = 20;

/// How often, and for how long each time, to wait for a run that is publishing tables.
const TRIES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(25);

/// One commit of the state.
struct Snapshot {
    inspection: Inspection,
    inputs: Vec<Arc<KeptInput>>,
}

/// State that the threads share.
struct Verification<'a> {
    state: &'a LoadedState,
    /// Threads that decode an input.
    decoders: usize,
    snapshot: Snapshot,
    tables: Vec<VerifiedTable>,
    /// Number of tables that were begun.
    begun: AtomicUsize,
    done: Mutex<BTreeMap<usize, Result<Verdict, Failure>>>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let (state_args, wanted) = args.state.with_words(args.tables.clone());
    let state = job::load_state(&state_args)?;
    let job = &state.job.job;
    let inspection = inspect(&state)?;
    check_state(&state, &inspection)?;
    let tables = tables(job, &inspection, &wanted)?;
    let workers = cores::or_all(args.workers);
    let threads = workers.min(tables.len());
    let decoders = workers / threads.max(1);
    let work = Verification {
        decoders,
        snapshot: Snapshot {
            inputs: inputs(job, &inspection, decoders)?,
            inspection,
        },
        state: &state,
        tables,
        begun: AtomicUsize::new(0),
        done: Mutex::default(),
    };
    let total = u64::try_from(work.tables.len()).unwrap_or(u64::MAX);
    let sample = || Sample {
        stage: "verify",
        done: u64::try_from(work.lock().len()).unwrap_or(0),
        total,
        unit: Unit::Tables,
        ..Sample::default()
    };
    let epoch = work.snapshot.inspection.state.epoch;
    let title = format!("verifying {} at epoch {epoch}", job.name);
    progress::watch(
        ProgressMode::choose(args.quiet, false),
        &title,
        sample,
        || {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| work.until_done());
                }
            });
        },
    );
    let verdicts = std::mem::take(&mut *work.lock());
    let verdicts = verdicts.into_values().collect::<Result<Vec<_>, _>>()?;
    let seconds = started.elapsed().as_secs_f64();
    if args.state.json {
        output::print(&format!("{}\n", report::to_json(&verdicts, epoch, seconds)))?;
    } else {
        output::print(&report::to_text(&verdicts, epoch, seconds, args.quiet))?;
    }
    conclude(&verdicts, &state)
}

/// Fails if a table is wrong.
fn conclude(verdicts: &[Verdict], state: &LoadedState) -> Result<(), Failure> {
    let wrong = verdicts.iter().filter(|verdict| !verdict.is_right());
    let wrong = wrong.count();
    if wrong == 0 {
        return Ok(());
    }
    let foreign = verdicts.iter().any(|verdict| verdict.has_foreign_files);
    Err(Failure::failed(format!(
        "{wrong} of {} {} not what the stored inputs give; {}",
        count(verdicts.len() as u64, "table"),
        if wrong == 1 { "is" } else { "are" },
        advice(state, foreign)
    )))
}

/// The last commit that is fully published.
fn inspect(state: &LoadedState) -> Result<Inspection, Failure> {
    let mut tries = 0;
    loop {
        let inspection = Inspection::open(&state.job.job, &state.path)?;
        let is_moving = inspection.is_half_done()? && inspection.writer().is_some();
        if !is_moving || tries >= TRIES {
            return Ok(inspection);
        }
        std::thread::sleep(PAUSE);
        tries += 1;
    }
}

/// Advice about tables that differ.
fn advice(state: &LoadedState, foreign: bool) -> String {
    let rebuild = format!(
        "`{} --rebuild` rebuilds all tables from the stored inputs",
        run_command(state)
    );
    if foreign {
        format!(
            "remove the files that this job did not publish and verify again; then, if tables still differ, {rebuild}"
        )
    } else {
        rebuild
    }
}

/// The command that runs the job on the state, for a shell.
fn run_command(state: &LoadedState) -> String {
    let declared = &state.job.declared;
    let mut words = vec![
        "tidewater run".to_owned(),
        quoted(&declared.path.to_string_lossy()),
    ];
    for (name, value) in &declared.settings {
        words.push(format!("--set {}", quoted(&format!("{name}={value}"))));
    }
    words.push(format!("--state {}", quoted(&state.path.to_string_lossy())));
    words.join(" ")
}

/// Refuses a state that a run would first have to change.
fn check_state(state: &LoadedState, inspection: &Inspection) -> Result<(), Failure> {
    let run = format!("`{}`", run_command(state));
    if inspection.state.epoch == 0 {
        return Err(Failure::failed(format!(
            "there is no commit to verify yet; {run} makes one"
        )));
    }
    if inspection.is_half_done()? {
        return Err(Failure::failed(format!(
            "the last commit is half finished: {run} finishes it, then verify"
        )));
    }
    let outdated = inspection.outdated(&state.job.job)?;
    if outdated.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the job or one of its variables has changed since epoch {}: {}. Give the job as it was run, or run it \
         as it is with {run}, then verify",
        inspection.state.epoch,
        outdated.join(", ")
    )))
}

/// The requested tables, or all.
fn tables(
    job: &Job,
    inspection: &Inspection,
    wanted: &[String],
) -> Result<Vec<VerifiedTable>, Failure> {
    let mut tables = Vec::new();
    for (spec, shadow) in inspection.specs(job) {
        let sink = job.sinks.iter().find(|sink| sink.name == spec.name);
        let open = match sink {
            Some(sink) => inspection.open_rows(job, &sink.view)?,
            None => OpenRows::All,
        };
        let rows = match (sink, open) {
            (None, _) if *spec.name == *LATE_TABLE => ExpectedRows::Undetermined(
                "it depends on the order in which rows arrived".to_owned(),
            ),
            (None, _) => ExpectedRows::Rejected,
            (Some(_), OpenRows::Unknown { of }) => ExpectedRows::Undetermined(format!(
                "it reads {of}, some of whose windows are closed"
            )),
            (Some(sink), open) => ExpectedRows::Relation(sink.view.clone(), open),
        };
        tables.push(VerifiedTable { spec, shadow, rows });
    }
    let names: Vec<String> = tables
        .iter()
        .map(|table| table.spec.name.to_string())
        .collect();
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        return Err(Failure::usage(format!(
            "the job has no table {unknown}; it has {}.",
            names.join(", ")
        )));
    }
    tables
        .retain(|table| wanted.is_empty() || wanted.iter().any(|name| **name == *table.spec.name));
    Ok(tables)
}

fn inputs(
    job: &Job,
    inspection: &Inspection,
    decoders: usize,
) -> Result<Vec<Arc<KeptInput>>, Failure> {
    let input = |source: &tidewater_engine::job::Source| {
        let kept = inspection.kept(source)?;
        Ok(Arc::new(KeptInput::new(job, source, kept, decoders)?))
    };
    job.sources.iter().map(input).collect()
}

impl Verification<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Result<Verdict, Failure>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn oracle(&self, snapshot: &Snapshot) -> Result<DataFusionJob, String> {
        let loaded = &self.state.job;
        let oracle = DataFusionJob::new(&loaded.job, &loaded.views(), &snapshot.inputs);
        oracle.map_err(|error| format!("DataFusion does not plan this job: {error}"))
    }

    /// Verifies tables until none is left.
    fn until_done(&self) {
        let oracle = self.oracle(&self.snapshot);
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let Some(table) = self.tables.get(number) else {
                return;
            };
            let verdict = match &oracle {
                Ok(oracle) => self.verify(oracle, table),
                Err(message) => Err(Failure::failed(message.clone())),
            };
            self.lock().insert(number, verdict);
        }
    }

    /// Verifies a table as of the snapshot, or of a later commit if the table changed meanwhile.
    fn verify(&self, oracle: &DataFusionJob, table: &VerifiedTable) -> Result<Verdict, Failure> {
        if let Some(verdict) = self.attempt(&self.snapshot, oracle, table)? {
            return Ok(verdict);
        }
        let job = &self.state.job.job;
        let name = table.spec.name.to_string();
        for _ in 1..ATTEMPTS {
            let inspection = inspect(self.state)?;
            let tables = tables(job, &inspection, std::slice::from_ref(&name))?;
            let snapshot = Snapshot {
                inputs: inputs(job, &inspection, self.decoders)?,
                inspection,
            };
            let oracle = self.oracle(&snapshot).map_err(Failure::failed)?;
            for table in &tables {
                if let Some(verdict) = self.attempt(&snapshot, &oracle, table)? {
                    return Ok(verdict);
                }
            }
        }
        Err(Failure::failed(format!(
            "{name} was changed {ATTEMPTS} times while it was read: verify it when it is committed less often"
        )))
    }

    /// Verifies a table as of a snapshot; `None` if it changed meanwhile.
    fn attempt(
        &self,
        snapshot: &Snapshot,
        oracle: &DataFusionJob,
        table: &VerifiedTable,
    ) -> Result<Option<Verdict>, Failure> {
        let name = &table.spec.name;
        let published = PublishedTable::new(Arc::clone(&table.spec), table.shadow.clone())?;
        let files = published.files(&snapshot.inspection.partitions(name)?)?;
        let mut verdict = Verdict::new(Arc::clone(&table.spec), published.schema());
        verdict.faults = faults(&table.spec, &files);
        verdict.has_foreign_files = files
            .iter()
            .any(|file| file.fault == Some(FileFault::Foreign));
        if let ExpectedRows::Undetermined(why) = &table.rows {
            verdict.unknown = Some(why.clone());
            let is_same = !snapshot.inspection.has_moved_on(name)?;
            return Ok(is_same.then_some(verdict));
        }
        let encoder = RowConversion::new(published.schema())?;
        // Published files are read first, since they may change; stored content does not.
        let paths = readable(table, files);
        let (mut sums, paths) = found(&published, table, &encoder, paths, &mut verdict);
        if snapshot.inspection.has_moved_on(name)? {
            return Ok(None);
        }
        self.expected(snapshot, oracle, table, |batch| {
            let stored = table.rows.determined(published.to_stored(&batch)?)?;
            Ok(sums.add(&encoder, Side::Expected, &stored)?)
        })?;
        (verdict.rows_expected, verdict.rows_found) = sums.rows();
        let Some(mut rows) = sums.differing() else {
            return Ok(Some(verdict));
        };
        self.expected(snapshot, oracle, table, |batch| {
            let stored = table.rows.determined(published.to_stored(&batch)?)?;
            Ok(rows.add(&encoder, Side::Expected, &stored)?)
        })?;
        let read = paths.iter().try_for_each(|path| {
            published.read(path, |batch| {
                Ok::<_, Failure>(rows.add(&encoder, Side::Found, &table.rows.determined(batch)?)?)
            })
        });
        if snapshot.inspection.has_moved_on(name)? {
            return Ok(None);
        }
        read?;
        (verdict.missing, verdict.surplus) = rows.totals();
        verdict.is_all = rows.is_all;
        let missing = rows.first(&encoder, 1, PAIRED_MAX)?;
        let surplus = rows.first(&encoder, -1, PAIRED_MAX)?;
        verdict.pair(&missing, &surplus)?;
        verdict.orders_rows = match &table.rows {
            ExpectedRows::Relation(relation, _) => oracle
                .orders_rows(relation)
                .map_err(|error| failed(&error))?,
            _ => false,
        };
        Ok(Some(verdict))
    }

    /// The rows that the table should have.
    fn expected(
        &self,
        snapshot: &Snapshot,
        oracle: &DataFusionJob,
        table: &VerifiedTable,
        mut take: impl FnMut(RecordBatch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let ExpectedRows::Relation(relation, _) = &table.rows {
            let columns = table.spec.schema.fields().iter();
            return oracle.rows(
                relation,
                columns.map(|field| field.name().clone()),
                |batch| take(with_table_times(batch)?),
            );
        }
        for input in &snapshot.inputs {
            input.rejected(|rejected| take(rejected_to_batch(rejected)?))?;
        }
        for source in &self.state.job.job.sources {
            let changes = source.input.changes();
            if let Some(changes) = changes.filter(|_| source.primary_key.is_empty()) {
                let width = source.spec.schema.fields().len();
                let places = UnmatchedPlaces::new(
                    &source.spec.name,
                    &changes.log,
                    width + changes.partition,
                    width + changes.position,
                );
                oracle.unmatched(source, |batch| take(places.quarantined(&batch)?))?;
            }
        }
        Ok(())
    }
}

fn faults(spec: &TableSpec, files: &[FoundFile]) -> Vec<(PathBuf, String)> {
    let faults = files.iter().filter_map(|file| {
        let fault = file.fault?;
        Some((spec.path.join(&file.path), fault.describe().to_owned()))
    });
    faults.collect()
}

/// The files that a reader of the table sees.
fn readable(table: &VerifiedTable, files: Vec<FoundFile>) -> Vec<PathBuf> {
    let is_text = !matches!(table.spec.encoding, Encoding::Parquet { .. });
    let has_rows = |file: &FoundFile| match file.fault {
        None | Some(FileFault::Changed) => true,
        Some(FileFault::Missing) => false,
        Some(FileFault::Foreign) => {
            !is_text
                && file
                    .path
                    .extension()
                    .is_some_and(|extension| extension == "parquet")
        }
    };
    files
        .into_iter()
        .filter(has_rows)
        .map(|file| file.path)
        .collect()
}

/// Tables hold times of day in microseconds. DataFusion has shorter types too.
fn with_table_times(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_short = |field: &Field| matches!(field.data_type(), DataType::Time32(_));
    if !batch
        .schema_ref()
        .fields()
        .iter()
        .any(|field| is_short(field))
    {
        return Ok(batch);
    }
    let time = DataType::Time64(TimeUnit::Microsecond);
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| {
        if !is_short(field) {
            return Ok((Arc::clone(field), Arc::clone(column)));
        }
        let field = field.as_ref().clone().with_data_type(time.clone());
        Ok((Arc::new(field), arrow::compute::cast(column, &time)?))
    });
    let (fields, columns): (Vec<_>, Vec<_>) = columns
        .collect::<Result<Vec<_>, ArrowError>>()?
        .into_iter()
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Adds up the published rows, and returns the files that hold them. A file that cannot be read is left out.
fn found(
    published: &PublishedTable,
    table: &VerifiedTable,
    encoder: &RowConversion,
    mut paths: Vec<PathBuf>,
    verdict: &mut Verdict,
) -> (BucketSums, Vec<PathBuf>) {
    loop {
        let mut sums = BucketSums::new();
        let mut unreadable = None;
        for (number, path) in paths.iter().enumerate() {
            let read = published.read(path, |batch| {
                Ok::<_, Failure>(sums.add(encoder, Side::Found, &table.rows.determined(batch)?)?)
            });
            if let Err(error) = read {
                unreadable = Some((number, error));
                break;
            }
        }
        // The sums may include some of its rows, so they are computed again.
        match unreadable {
            None => return (sums, paths),
            Some((number, error)) => verdict.cannot_read(&paths.remove(number), error.message()),
        }
    }
}
