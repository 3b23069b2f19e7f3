//! Benchmarks of the single stages of a run.
//!
//! `cargo bench -p tidewater-benches` times them; `STAGES_ROWS` sets the size (default 1,000,000). `cargo test` runs
//! each once over a few rows. MB/s refer to the CSV text of the rows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use tidewater_engine::file::{Delivery, FileSource, open};
use tidewater_engine::source::{Format, SourceSpec};
use tidewater_operators::aggregate::{Aggregation, Call, Function};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FEW_ROWS: u64 = 2000;

fn main() {
    divan::main();
}

/// The input rows of all stages, as text and decoded.
struct Rows {
    directory: TempDir,
    spec: SourceSpec,
    bytes: u64,
    count: u64,
    batches: Vec<RecordBatch>,
}

static ROWS: LazyLock<Rows> = LazyLock::new(|| {
    let count = if std::env::args().any(|argument| argument == "--bench") {
        std::env::var("STAGES_ROWS").map_or(1_000_000, |rows| {
            rows.parse().expect("STAGES_ROWS is a number")
        })
    } else {
        FEW_ROWS
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    let bytes = write_csv(&path, count);
    let spec = SourceSpec {
        name: "rows".into(),
        location: path.display().to_string(),
        format: Format::Csv,
        schema: schema(),
        projection: (0..schema().fields().len()).collect(),
        options: BTreeMap::new(),
        ordinals: false,
        dictionaries: true,
        source: None,
    };
    let batches = decode(&spec);
    Rows {
        directory,
        spec,
        bytes,
        count,
        batches,
    }
});

/// Counts bytes and rows for a benchmark.
fn counted<'a, 'b>(bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
    bencher
        .counter(BytesCount::new(ROWS.bytes))
        .counter(ItemsCount::new(ROWS.count))
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("card", DataType::Utf8),
        field("category", DataType::Utf8),
        field("region", DataType::Utf8),
        field("amount", DataType::Int64),
    ]))
}

/// Rows of a fixed pattern: 9,000 cards, 8 categories, 8 regions, and ascending days.
fn write_csv(path: &Path, rows: u64) -> u64 {
    let mut text = String::from("id,at,card,category,region,amount\n");
    for row in 0..rows {
        let (mixed, day) = (
            row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20,
            row * 28 / rows + 1,
        );
        let (card, category, region) = (mixed % 9000 + 1000, mixed / 9000 % 8, mixed / 72_000 % 8);
        let (hour, amount) = (mixed / 576_000 % 24, mixed / 1_000 % 5000 * 100);
        let _ = writeln!(
            text,
            "TXN{row:010},2024-02-{day:02} {hour:02}:30:00,****-****-****-{card},category {category},region {region},{amount}"
        );
    }
    std::fs::write(path, &text).unwrap();
    u64::try_from(text.len()).unwrap()
}

fn decode(spec: &SourceSpec) -> Vec<RecordBatch> {
    let source = FileSource::local();
    let files = source.list(&spec.location).unwrap();
    let deliveries = files.into_iter().map(Delivery::from).collect();
    let reader = open(&source, spec, deliveries, None).unwrap();
    let mut batches = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        batches.extend(piece.piece.map(|decoded| decoded.unwrap().batch));
    }
    batches
}

#[divan::bench]
fn decode_csv(bencher: Bencher<'_, '_>) {
    counted(bencher).bench(|| decode(&ROWS.spec));
}

/// `calls` by the columns `group`.
fn aggregation(group: &[usize], calls: Vec<Call>) -> Aggregation {
    let mut output: Vec<Field> = group
        .iter()
        .map(|column| schema().field(*column).clone())
        .collect();
    let values = calls
        .iter()
        .map(|_| Field::new("value", DataType::Int64, true));
    output.extend(values);
    Aggregation {
        name: "bench".into(),
        group: group.to_vec(),
        calls,
        input: schema(),
        output: Arc::new(Schema::new(output)),
    }
}

fn call(function: Function, argument: Option<usize>, distinct: bool) -> Call {
    Call {
        function,
        argument,
        filter: None,
        distinct,
    }
}

fn sums() -> Vec<Call> {
    vec![
        call(Function::Count, None, false),
        call(Function::Sum, Some(5), false),
    ]
}

fn distinct() -> Vec<Call> {
    vec![call(Function::Count, Some(2), true)]
}

fn extremes() -> Vec<Call> {
    vec![
        call(Function::Min, Some(5), false),
        call(Function::Max, Some(5), false),
    ]
}

/// Partial aggregation of rows, before they leave their worker.
mod preaggregate {
    use tidewater_operators::Sign;
    use tidewater_operators::aggregate::{Call, PartialAggregate};
    use tidewater_operators::interner::Interner;

    use super::{Bencher, ROWS, aggregation, counted};

    fn run(bencher: Bencher<'_, '_>, calls: fn() -> Vec<Call>) {
        let aggregation = aggregation(&[3, 4], calls());
        counted(bencher).bench(|| {
            let mut partial =
                PartialAggregate::new(aggregation.clone(), Interner::default()).unwrap();
            for batch in &ROWS.batches {
                if partial.is_due() {
                    partial.flush(2);
                }
                partial.update(batch, Sign::Plus).unwrap();
            }
            partial.flush(2)
        });
    }

    #[divan::bench]
    fn sum(bencher: Bencher<'_, '_>) {
        run(bencher, super::sums);
    }

    #[divan::bench]
    fn distinct(bencher: Bencher<'_, '_>) {
        run(bencher, super::distinct);
    }

    #[divan::bench]
    fn extremes(bencher: Bencher<'_, '_>) {
        run(bencher, super::extremes);
    }
}

/// A whole aggregation as a dataflow: pre-aggregation, exchange, arrangement, results.
mod dataflow {
    use tidewater_operators::aggregate::{Aggregation, aggregate};
    use tidewater_operators::interner::Interner;
    use tidewater_operators::state::StateHandle;
    use tidewater_operators::{Delta, Faults};
    use timely::dataflow::operators::{Input, Probe};

    use super::{Bencher, ROWS, aggregation, counted};

    fn run(bencher: Bencher<'_, '_>, workers: usize, aggregation: &Aggregation) {
        counted(bencher).bench(|| {
            let aggregation = aggregation.clone();
            let guards = timely::execute(timely::Config::process(workers), move |worker| {
                let faults = Faults::default();
                let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
                    let (input, stream) = scope.new_input::<Vec<Delta>>();
                    let interner = Interner::default();
                    let part = |_: &str| StateHandle::default();
                    let rows = aggregate(stream, &aggregation, &interner, part, &faults).unwrap();
                    (input, rows.probe().0)
                });
                let mine = ROWS
                    .batches
                    .iter()
                    .skip(worker.index())
                    .step_by(worker.peers());
                for batch in mine {
                    input.send(Delta::plus(batch.clone()));
                    worker.step();
                }
                input.advance_to(1);
                input.flush();
                while probe.less_than(&1) {
                    worker.step_or_park(None);
                }
                assert!(!faults.raised());
            });
            guards
                .unwrap()
                .join()
                .into_iter()
                .for_each(|done| done.unwrap());
        });
    }

    /// Groups of one row each, so that every row is sent to the worker that owns its group.
    #[divan::bench]
    fn exchange(bencher: Bencher<'_, '_>) {
        run(bencher, 2, &aggregation(&[0], super::sums()));
    }

    /// Sorts and arranges pairs of group and value, the basis of distinct counts.
    #[divan::bench]
    fn arrange(bencher: Bencher<'_, '_>) {
        run(bencher, 1, &aggregation(&[1, 3, 4], super::distinct()));
    }
}

/// A job that continues from its state: an epoch of rows, each of which looks up its group.
#[divan::bench]
fn hydrate(bencher: Bencher<'_, '_>) {
    use tidewater_engine::state::Store;
    use tidewater_engine::{Job, Resident};

    const JOB: &str = "
        CREATE EXTERNAL TABLE rows (id TEXT, at TIMESTAMP, card TEXT, category TEXT, region TEXT, amount BIGINT)
        STORED AS CSV LOCATION 'rows.csv';
        CREATE MATERIALIZED VIEW by_card AS
        SELECT card, count(*) AS n, sum(amount) AS total, count(DISTINCT at) AS hours FROM rows GROUP BY card;
        COPY by_card TO 'out' STORED AS PARQUET;";
    let job = Job::parse("stages", JOB, &|_| None).expect("the job is valid");
    let deliveries = |batches: &[RecordBatch]| {
        let rows = batches.iter();
        rows.map(|batch| ("rows".to_owned(), batch.clone(), 1))
            .collect::<Vec<_>>()
    };
    let store = Store::in_memory().unwrap();
    let transaction = store.write().unwrap();
    let mut first = Resident::start(&job, 1).unwrap();
    first.epoch(deliveries(&ROWS.batches)).unwrap();
    first.keep(&transaction).unwrap();
    drop(first);
    transaction.commit().unwrap();

    let late = ROWS.batches[0].slice(0, ROWS.batches[0].num_rows().min(1000));
    bencher.counter(ItemsCount::new(late.num_rows())).bench(|| {
        let mut resumed = Resident::resume(&job, 1, store.read().unwrap()).unwrap();
        resumed
            .epoch(deliveries(std::slice::from_ref(&late)))
            .unwrap()
    });
}

/// Writes rows to a table of Snappy-compressed files, sorted and partitioned by region.
#[divan::bench]
fn write_parquet(bencher: Bencher<'_, '_>) {
    use tidewater_engine::file::sink::{
        DEFAULT_SHARD_BYTES, Staging, TableRuns, TableShard, WriteOptions, write_tables,
    };
    use tidewater_engine::sink::{Encoding, TableSpec};

    let spec = Arc::new(TableSpec {
        name: "rows".into(),
        path: ROWS.directory.path().join("table"),
        schema: schema(),
        partition_by: vec![4],
        order_by: Vec::new(),
        encoding: Encoding::Parquet {
            compression: parquet::basic::Compression::SNAPPY,
            row_group_rows: 1 << 20,
        },
    });
    counted(bencher).bench(|| {
        let staging = Staging::open([spec.path.as_path()]).unwrap();
        let mut shard = TableShard::new(Arc::clone(&spec), &staging, DEFAULT_SHARD_BYTES).unwrap();
        for batch in &ROWS.batches {
            shard.push(batch, 1).unwrap();
        }
        let runs = TableRuns {
            spec: Arc::clone(&spec),
            runs: shard.finish().unwrap(),
            owner: None,
        };
        // Staged files are removed when the staging is dropped.
        write_tables(&staging, vec![runs], &WriteOptions::default()).unwrap()
    });
}
