//! The whole sink: the pushed rows are published, however they were pushed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod canonical;
mod maintain;
mod publishing;
mod staging;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    StagedTable, Staging, TableRuns, TableShard, WriteOptions, parse_encoding, publish,
    write_tables,
};
use tidewater_contract::sink::{SinkError, TableSpec, WrittenTable};

/// Rows pushed to one shard.
type Pushes = Vec<(RecordBatch, i64)>;

/// The content of the files below a directory, by their relative paths.
type Content = BTreeMap<PathBuf, Vec<u8>>;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn spec(path: PathBuf, like: &RecordBatch, partition_by: &[usize], format: &str) -> TableSpec {
    TableSpec {
        name: "sales".into(),
        path,
        schema: like.schema(),
        partition_by: partition_by.to_vec(),
        order_by: Vec::new(),
        encoding: parse_encoding(format, &BTreeMap::new()).unwrap(),
    }
}

/// Stages one table.
#[expect(
    clippy::needless_pass_by_value,
    reason = "options are made at the call"
)]
fn stage(
    spec: &TableSpec,
    shards: &[Pushes],
    budget_bytes: usize,
    options: WriteOptions,
) -> Result<(Staging, Vec<StagedTable>), SinkError> {
    let spec = Arc::new(spec.clone());
    let staging = Staging::open([spec.path.as_path()])?;
    let mut runs = Vec::new();
    for pushes in shards {
        let mut shard = TableShard::new(Arc::clone(&spec), &staging, budget_bytes)?;
        for (batch, diff) in pushes {
            shard.push(batch, *diff)?;
        }
        runs.extend(shard.finish()?);
    }
    let staged = write_tables(
        &staging,
        vec![TableRuns {
            spec,
            runs,
            owner: None,
        }],
        &options,
    )?;
    Ok((staging, staged))
}

/// Stages and publishes one table.
fn run(
    spec: &TableSpec,
    shards: &[Pushes],
    budget_bytes: usize,
    options: WriteOptions,
) -> Result<WrittenTable, SinkError> {
    let (staging, staged) = stage(spec, shards, budget_bytes, options)?;
    Ok(publish(staging, staged)?.remove(0))
}

/// Stages and publishes one table in the simplest way.
fn run_plainly(spec: &TableSpec, pushes: Pushes) -> Result<WrittenTable, SinkError> {
    run(
        spec,
        &[pushes],
        usize::MAX,
        WriteOptions {
            preview_rows: 1_000_000,
            ..WriteOptions::default()
        },
    )
}

fn content(directory: &Path) -> Content {
    let mut content = Content::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), PathBuf::from(entry.file_name())))
            .unwrap();
        if path.is_dir() {
            content.extend(
                self::content(&path)
                    .into_iter()
                    .map(|(below, bytes)| (name.join(below), bytes)),
            );
        } else {
            content.insert(name, fs::read(&path).unwrap());
        }
    }
    content
}

/// The names of the files below a directory, relative to it.
fn names(directory: &Path) -> Vec<String> {
    content(directory)
        .into_keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// Each row as text.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let row = |row| {
        columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect::<Vec<_>>()
            .join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The rows of all Parquet files below a directory, in the order of their paths.
fn read_parquet(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for path in content(directory).keys() {
        let file = fs::File::open(directory.join(path)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
        {
            all.extend(rows(&batch.unwrap()));
        }
    }
    all
}

/// A small generator of numbers (splitmix64), which repeats them for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
