//! Verifies the tables of a state, several at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use tidewater_engine::file::sink::{Fault, FoundFile, PublishedTable, rejected_to_batch};
use tidewater_engine::job::CreateView;
use tidewater_engine::sink::{Encoding, TableSpec};
use tidewater_engine::{Inspection, Job, LATE_TABLE, Open};

use crate::compare::{BucketSums, RowConversion, Side};
use crate::datafusion_job::{DataFusionJob, failed};
use crate::inputs::KeptInput;
use crate::report::{self, Verdict};
use tidewater_cli::args::{StateArgs, VerifyArgs};
use tidewater_cli::command_line::quoted;
use tidewater_cli::display::count;
use tidewater_cli::failure::Failure;
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
    Relation(String, Open),
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

/// State that the threads share.
struct Verification<'a> {
    job: &'a Job,
    views: &'a BTreeMap<String, CreateView>,
    inspection: &'a Inspection,
    inputs: Vec<Arc<KeptInput>>,
    tables: Vec<VerifiedTable>,
    /// Number of tables that were begun.
    begun: AtomicUsize,
    done: Mutex<BTreeMap<usize, Result<Verdict, Failure>>>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let (job, views) = job::load_with_views(&args.state.job)?;
    let inspection = Inspection::open(&job, &args.state.state, args.state.wait)?;
    check_state(&job, &inspection, &args.state)?;
    let tables = tables(&job, &inspection, &args.tables)?;
    let workers = cores::or_all(args.workers);
    let threads = workers.min(tables.len());
    let work = Verification {
        inputs: inputs(&job, &inspection, workers / threads.max(1))?,
        job: &job,
        views: &views,
        inspection: &inspection,
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
    let title = format!("verifying {} at epoch {}", job.name, inspection.state.epoch);
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
    let epoch = inspection.state.epoch;
    if args.state.json {
        output::print(&format!("{}\n", report::to_json(&verdicts, epoch, seconds)))?;
    } else {
        output::print(&report::to_text(&verdicts, epoch, seconds, args.quiet))?;
    }
    let wrong = verdicts
        .iter()
        .filter(|verdict| !verdict.is_right())
        .count();
    if wrong == 0 {
        return Ok(());
    }
    let foreign = verdicts.iter().any(|verdict| verdict.has_foreign_files);
    Err(Failure::failed(format!(
        "{wrong} of {} {} not what the kept inputs give; {}",
        count(total, "table"),
        if wrong == 1 { "is" } else { "are" },
        advice(args, foreign)
    )))
}

/// Advice about tables that differ.
fn advice(args: &VerifyArgs, foreign: bool) -> String {
    let rebuild = format!(
        "`{} --rebuild` rebuilds all tables from the kept inputs",
        run_command(&args.state)
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
fn run_command(args: &StateArgs) -> String {
    let mut words = vec![
        "tidewater run".to_owned(),
        quoted(&args.job.job.to_string_lossy()),
    ];
    for (name, value) in &args.job.settings {
        words.push(format!("--set {}", quoted(&format!("{name}={value}"))));
    }
    words.push(format!("--state {}", quoted(&args.state.to_string_lossy())));
    words.join(" ")
}

/// Refuses a state that a run would first have to change.
fn check_state(job: &Job, inspection: &Inspection, args: &StateArgs) -> Result<(), Failure> {
    let run = format!("`{}`", run_command(args));
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
    let outdated = inspection.outdated(job)?;
    if outdated.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the job, or a variable of it, is another one than at epoch {}: {}. Give the job as it was run, or run it \
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
            None => Open::All,
        };
        let rows = match (sink, open) {
            (None, _) if *spec.name == *LATE_TABLE => ExpectedRows::Undetermined(
                "it depends on the order in which rows arrived".to_owned(),
            ),
            (None, _) => ExpectedRows::Rejected,
            (Some(_), Open::Unknown { of }) => ExpectedRows::Undetermined(format!(
                "it reads {of}, some of whose windows are final"
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

    /// Verifies tables until none is left.
    fn until_done(&self) {
        let oracle = DataFusionJob::new(self.job, self.views, &self.inputs);
        let oracle = oracle.map_err(|error| format!("DataFusion does not plan this job: {error}"));
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

    fn verify(&self, oracle: &DataFusionJob, table: &VerifiedTable) -> Result<Verdict, Failure> {
        let published = PublishedTable::new(Arc::clone(&table.spec), table.shadow.clone())?;
        let files = published.files(&self.inspection.partitions(&table.spec.name)?)?;
        let mut verdict = Verdict::new(Arc::clone(&table.spec), published.schema());
        verdict.faults = faults(&table.spec, &files);
        verdict.has_foreign_files = files.iter().any(|file| file.fault == Some(Fault::Foreign));
        if let ExpectedRows::Undetermined(why) = &table.rows {
            verdict.unknown = Some(why.clone());
            return Ok(verdict);
        }
        let encoder = RowConversion::new(published.schema())?;
        let mut expected = BucketSums::new();
        self.expected(oracle, table, |batch| {
            let stored = table.rows.determined(published.to_stored(&batch)?)?;
            Ok(expected.add(&encoder, Side::Expected, &stored)?)
        })?;
        let paths = readable(table, files);
        let (sums, paths) = found(&published, table, &encoder, &expected, paths, &mut verdict);
        (verdict.rows_expected, verdict.rows_found) = sums.rows();
        let Some(mut rows) = sums.differing() else {
            return Ok(verdict);
        };
        self.expected(oracle, table, |batch| {
            let stored = table.rows.determined(published.to_stored(&batch)?)?;
            Ok(rows.add(&encoder, Side::Expected, &stored)?)
        })?;
        for path in &paths {
            published.read(path, |batch| {
                Ok::<_, Failure>(rows.add(&encoder, Side::Found, &table.rows.determined(batch)?)?)
            })?;
        }
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
        Ok(verdict)
    }

    /// The rows that the table should have.
    fn expected(
        &self,
        oracle: &DataFusionJob,
        table: &VerifiedTable,
        mut take: impl FnMut(RecordBatch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let ExpectedRows::Relation(relation, _) = &table.rows {
            let columns = table.spec.schema.fields().iter();
            return oracle.rows(relation, columns.map(|field| field.name().clone()), take);
        }
        for input in &self.inputs {
            input.rejected(|rejected| take(rejected_to_batch(rejected)?))?;
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
        None | Some(Fault::Changed) => true,
        Some(Fault::Missing) => false,
        Some(Fault::Foreign) => {
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

/// Adds up the published rows, and returns the files that hold them. A file that cannot be read is left out.
fn found(
    published: &PublishedTable,
    table: &VerifiedTable,
    encoder: &RowConversion,
    expected: &BucketSums,
    mut paths: Vec<PathBuf>,
    verdict: &mut Verdict,
) -> (BucketSums, Vec<PathBuf>) {
    loop {
        let mut sums = expected.clone();
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
