//! Stages of a run on one core: CSV decode, and pre-aggregation with and without distinct pairs.
//!
//! `cargo bench -p tidewater-benches`; `STAGES_ROWS` sets the size (default 1,000,000).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidewater_benches::measure;
use tidewater_connectors::file::{Delivery, list, open};
use tidewater_connectors::source::{Format, SourceSpec};
use tidewater_operators::aggregate::{Aggregation, Call, Function, Partial};
use tidewater_operators::interner::Interner;

const ROUNDS: usize = 7;

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

/// Rows of a fixed pattern: 9,000 cards, 8 categories, 8 regions, a day after the other.
fn write_csv(path: &std::path::Path, rows: u64) -> u64 {
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

fn deliveries(location: &str) -> Vec<Delivery> {
    let files = list(location).unwrap();
    files.into_iter().map(Delivery::from).collect()
}

fn decode(spec: &SourceSpec) -> Vec<RecordBatch> {
    let reader = open(spec, deliveries(&spec.location), None).unwrap();
    let mut batches = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        batches.extend(piece.piece.map(|decoded| decoded.unwrap().batch));
    }
    batches
}

fn aggregation(calls: Vec<Call>) -> Aggregation {
    let mut output = vec![
        Field::new("category", DataType::Utf8, true),
        Field::new("region", DataType::Utf8, true),
    ];
    output.extend(
        calls
            .iter()
            .map(|_| Field::new("value", DataType::Int64, true)),
    );
    Aggregation {
        name: "bench".into(),
        group: vec![3, 4],
        calls,
        input: schema(),
        output: Arc::new(Schema::new(output)),
    }
}

fn preaggregate(aggregation: &Aggregation, batches: &[RecordBatch]) {
    let mut partial = Partial::new(aggregation.clone(), Interner::default()).unwrap();
    for batch in batches {
        if partial.is_due() {
            partial.flush(2).unwrap();
        }
        partial.update(batch, 1).unwrap();
    }
    partial.flush(2).unwrap();
}

fn main() {
    let rows = std::env::var("STAGES_ROWS").map_or(1_000_000, |rows| {
        rows.parse().expect("STAGES_ROWS is a number")
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    let bytes = write_csv(&path, rows);
    let spec = SourceSpec {
        name: "rows".into(),
        location: path.display().to_string(),
        format: Format::Csv,
        schema: schema(),
        projection: (0..schema().fields().len()).collect(),
        options: BTreeMap::new(),
        ordinals: false,
        kafka: None,
    };
    measure("decode CSV", ROUNDS, bytes, rows, || decode(&spec));
    let batches = decode(&spec);
    let call = |function, argument, distinct| Call {
        function,
        argument,
        filter: None,
        distinct,
    };
    let linear = vec![
        call(Function::Count, None, false),
        call(Function::Sum, Some(5), false),
    ];
    measure("pre-aggregate count, sum", ROUNDS, bytes, rows, || {
        preaggregate(&aggregation(linear.clone()), &batches);
    });
    let distinct = vec![call(Function::Count, Some(2), true)];
    measure("pre-aggregate count distinct", ROUNDS, bytes, rows, || {
        preaggregate(&aggregation(distinct.clone()), &batches);
    });
    let extremes = vec![
        call(Function::Min, Some(5), false),
        call(Function::Max, Some(5), false),
    ];
    measure("pre-aggregate min, max", ROUNDS, bytes, rows, || {
        preaggregate(&aggregation(extremes.clone()), &batches);
    });
}
