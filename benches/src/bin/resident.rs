//! Measures how long one late row takes in a resident graph, from feeding it to the changes of all tables.
//!
//! `resident JOB --input DIR [--late N] [--workers N]` feeds the files of a directory to the job's resident graph,
//! one file an epoch, then N rows (2,000 by default), one an epoch. These are like rows of past days, with new ids.
//! It prints a JSON object: percentiles of those N times in milliseconds, and the cost of loading.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use tidewater_engine::file::{Delivery, FileSource, open};
use tidewater_engine::source::SourceSpec;
use tidewater_engine::{Job, Resident};

// The same allocator as in the `tidewater` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SOURCE: &str = "transactions";

/// The command line.
struct Options {
    job: String,
    input: String,
    late: usize,
    workers: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            job: arguments.next().expect("the job's file"),
            input: String::new(),
            late: 2000,
            workers: 2,
        };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().expect("a value after each flag");
            match flag.as_str() {
                "--input" => options.input = value,
                "--late" => options.late = value.parse().expect("--late takes a number"),
                "--workers" => options.workers = value.parse().expect("--workers takes a number"),
                _ => panic_unknown(&flag),
            }
        }
        options
    }
}

fn panic_unknown(flag: &str) {
    eprintln!("unknown option {flag}");
    std::process::exit(2);
}

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    let sql = std::fs::read_to_string(&options.job).expect("the job can be read");
    let input = options.input.clone();
    let job = Job::parse(&options.job, &sql, &|name| {
        (name == "input").then(|| input.clone())
    })
    .expect("the job is valid");
    let mut spec = job
        .source(SOURCE)
        .expect("the job reads transactions")
        .spec
        .clone();
    spec.projection = (0..spec.schema.fields().len()).collect();

    let began = Instant::now();
    let mut resident = Resident::start(&job, options.workers).expect("the graph starts");
    let (history, samples) = load(&mut resident, &spec, &options.input);
    let loaded = began.elapsed();

    let mut milliseconds: Vec<f64> = (0..options.late)
        .map(|at| {
            let row = late_row(&samples, at);
            let began = Instant::now();
            let changes = resident
                .epoch(vec![(SOURCE.to_owned(), row, 1)])
                .expect("the row is inserted");
            let taken = began.elapsed().as_secs_f64() * 1e3;
            let changed = changes.values().flatten().count();
            assert!(changed > 0, "an approved row changes tables");
            taken
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    println!(
        "{{\"history\": {history}, \"rows\": {}, \"workers\": {}, \"load_seconds\": {:.3}, \"p50_ms\": {:.4}, \
         \"p99_ms\": {:.4}, \"max_ms\": {:.4}}}",
        milliseconds.len(),
        options.workers,
        loaded.as_secs_f64(),
        percentile(&milliseconds, 50),
        percentile(&milliseconds, 99),
        percentile(&milliseconds, 100),
    );
}

/// Feeds all files, one an epoch. Returns the number of rows, and approved rows of each file as samples for late
/// rows.
fn load(resident: &mut Resident, spec: &SourceSpec, location: &str) -> (usize, Vec<RecordBatch>) {
    let (mut rows, mut samples) = (0, Vec::new());
    for file in FileSource::local()
        .list(location)
        .expect("the input is there")
    {
        let batches = decode(spec, Delivery::from(file));
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        samples.extend(batches.first().map(approved));
        let deliveries = batches
            .into_iter()
            .map(|batch| (SOURCE.to_owned(), batch, 1));
        resident
            .epoch(deliveries.collect())
            .expect("the rows are inserted");
    }
    (rows, samples)
}

fn decode(spec: &SourceSpec, delivery: Delivery) -> Vec<RecordBatch> {
    let reader = open(&FileSource::local(), spec, vec![delivery], None);
    let reader = reader.expect("the file can be opened");
    let mut batches = Vec::new();
    while let Some(dealt) = reader.next_piece().expect("the file can be read") {
        batches.extend(
            dealt
                .piece
                .map(|decoded| decoded.expect("the file is valid").batch),
        );
    }
    batches
}

/// Up to a hundred approved rows of a batch.
fn approved(batch: &RecordBatch) -> RecordBatch {
    let status = batch.column_by_name("approval_status").unwrap();
    let status = arrow::compute::cast(status, &arrow::datatypes::DataType::Utf8).unwrap();
    let status = status.as_any().downcast_ref::<StringArray>().unwrap();
    let kept: arrow::array::UInt32Array = (0_u32..)
        .zip(status)
        .filter(|(_, value)| *value == Some("approved"))
        .map(|(at, _)| Some(at))
        .take(100)
        .collect();
    arrow::compute::take_record_batch(batch, &kept).unwrap()
}

/// A row of another day each time, with a unique id.
fn late_row(samples: &[RecordBatch], at: usize) -> RecordBatch {
    let day = &samples[at.wrapping_mul(37) % samples.len()];
    let row = day.slice(at / samples.len() % day.num_rows(), 1);
    let schema = row.schema();
    let id: ArrayRef = Arc::new(StringArray::from(vec![format!("LATE{at:09}")]));
    let columns = schema.fields().iter().zip(row.columns());
    let columns = columns.map(|(field, column)| match field.name().as_str() {
        "transaction_id" => arrow::compute::cast(&id, field.data_type()).unwrap(),
        _ => Arc::clone(column),
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// The value below which `percent` percent of the sorted values are.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}
