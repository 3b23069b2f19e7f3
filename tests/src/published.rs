//! Reads published tables like Hive-aware readers: partition columns come from directory names. Values of text
//! formats are converted to the given types.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::binary::snapshot;
use crate::csv;

/// The format of values in our expected files.
const FORMAT: FormatOptions<'static> = FormatOptions::new()
    .with_null("")
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));

/// The rows of each file of a table, in the order of paths. Columns are those of `schema`, wherever they are stored.
///
/// # Panics
/// When a file cannot be read, or a column is missing or has another type than in `schema`.
#[must_use]
pub fn files(dir: &Path, schema: &SchemaRef) -> Vec<(PathBuf, RecordBatch)> {
    let paths = snapshot(dir).into_keys();
    let paths =
        paths.filter(|path| ["parquet", "csv", "jsonl", "quarantine"].contains(&extension(path)));
    paths
        .map(|path| (path.clone(), file(dir, &path, schema)))
        .collect()
}

/// All rows of a table.
///
/// # Panics
/// As for [`files`].
#[must_use]
pub fn table(dir: &Path, schema: &SchemaRef) -> RecordBatch {
    let batches: Vec<RecordBatch> = files(dir, schema)
        .into_iter()
        .map(|(_, batch)| batch)
        .collect();
    concat_batches(&nullable(schema), &batches).unwrap()
}

/// Rows as text, with NULL as empty text.
///
/// # Panics
/// When a value cannot be written as text.
#[must_use]
pub fn text(batch: &RecordBatch) -> Vec<Vec<String>> {
    text_with(batch, &FORMAT)
}

fn text_with(batch: &RecordBatch, format: &FormatOptions<'_>) -> Vec<Vec<String>> {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, format).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect()
        })
        .collect()
}

/// The rows of each partition of each table below a directory, as sorted text.
///
/// # Panics
/// When a file cannot be read.
#[must_use]
pub fn rows_by_partition(dir: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut partitions = stored_rows(dir);
    partitions.values_mut().for_each(|rows| rows.sort());
    partitions
}

/// The rows of each partition of each table below a directory, as text, in the order in which they are stored. Staged
/// files beside the tables are skipped, since they may be incomplete. The quarantine of a run without a state is named as
/// that of one with a state.
///
/// # Panics
/// When a file cannot be read.
#[must_use]
pub fn stored_rows(dir: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut partitions: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let paths = snapshot(dir).into_keys();
    for path in paths.filter(|path| !path.to_string_lossy().contains("_tidewater-")) {
        let text = || fs::read_to_string(dir.join(&path)).unwrap();
        let rows = match extension(&path) {
            "parquet" | "quarantine" => {
                let format = FORMAT.with_null("NULL");
                let rows = text_with(&contents(&dir.join(&path)), &format);
                rows.iter().map(|row| format!("{row:?}")).collect()
            }
            "csv" => text().lines().skip(1).map(str::to_owned).collect(),
            "jsonl" => text().lines().map(str::to_owned).collect(),
            _ => vec![format!("no table's file: {}", path.display())],
        };
        let mut partition = path.parent().unwrap().to_path_buf();
        if partition.to_string_lossy().starts_with("_quarantine-") {
            partition = PathBuf::from("_quarantine");
        }
        partitions
            .entry(partition)
            .or_default()
            .extend::<Vec<_>>(rows);
    }
    partitions
}

fn extension(path: &Path) -> &str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default()
}

fn file(dir: &Path, path: &Path, schema: &SchemaRef) -> RecordBatch {
    let partitions = partitions(path);
    let stored = match extension(path) {
        "csv" => csv_contents(&dir.join(path), schema),
        "jsonl" => {
            let fields = schema.fields().iter();
            let columns = fields.filter(|field| !partitions.contains_key(field.name()));
            let columns: Vec<_> = columns.map(|field| field.name().clone()).collect();
            json_contents(&dir.join(path), &columns, schema)
        }
        _ => contents(&dir.join(path)),
    };
    let columns = schema.fields().iter().map(|field| {
        match (
            stored.column_by_name(field.name()),
            partitions.get(field.name()),
        ) {
            (Some(column), None) => {
                assert_eq!(
                    column.data_type(),
                    field.data_type(),
                    "{} of {}",
                    field.name(),
                    dir.join(path).display()
                );
                Arc::clone(column)
            }
            (None, Some(value)) => {
                partition_column(value.as_deref(), field.data_type(), stored.num_rows())
            }
            (stored, _) => panic!(
                "{} is in {} of file and path of {}",
                field.name(),
                if stored.is_some() { "both" } else { "neither" },
                path.display()
            ),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    assert_eq!(
        stored.num_columns() + partitions.len(),
        columns.len(),
        "{} has other columns: {}",
        path.display(),
        stored.schema()
    );
    RecordBatch::try_new(nullable(schema), columns).unwrap()
}

fn contents(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn csv_contents(path: &Path, schema: &SchemaRef) -> RecordBatch {
    let mut records = csv::parse(&fs::read_to_string(path).unwrap());
    let header = records.remove(0).into_iter().map(Option::unwrap);
    typed(&header.collect::<Vec<_>>(), &records, schema)
}

fn json_contents(path: &Path, columns: &[String], schema: &SchemaRef) -> RecordBatch {
    let text = fs::read_to_string(path).unwrap();
    let record = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value.as_object().unwrap().len(), columns.len(), "{line}");
        let values = columns.iter().map(|column| match &value[column] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        values.collect()
    };
    let records: Vec<csv::Record> = text.lines().map(record).collect();
    typed(columns, &records, schema)
}

/// Converts columns of text to the types of the table's schema.
///
/// # Panics
/// When a value is not of its column's type.
#[must_use]
pub fn typed(columns: &[String], records: &[csv::Record], schema: &SchemaRef) -> RecordBatch {
    let types = columns
        .iter()
        .map(|column| schema.field_with_name(column).unwrap().clone());
    let types: Vec<Field> = types.map(|field| field.with_nullable(true)).collect();
    let arrays = types.iter().enumerate().map(|(at, field)| {
        let text: StringArray = records.iter().map(|record| record[at].clone()).collect();
        let array = cast(&text, field.data_type()).unwrap();
        assert_eq!(
            array.null_count(),
            text.null_count(),
            "{} of {records:?}",
            field.name()
        );
        array
    });
    RecordBatch::try_new(Arc::new(Schema::new(types.clone())), arrays.collect()).unwrap()
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The partition columns in a file's path and their values; `None` is NULL.
fn partitions(path: &Path) -> BTreeMap<String, Option<String>> {
    let folders = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .map(|folder| folder.as_os_str().to_str().unwrap());
    let pairs = folders.map(|folder| {
        let (column, value) = folder
            .split_once('=')
            .unwrap_or_else(|| panic!("{folder} is no partition"));
        (
            unescape(column),
            (value != "__HIVE_DEFAULT_PARTITION__").then(|| unescape(value)),
        )
    });
    pairs.collect()
}

fn partition_column(value: Option<&str>, data_type: &DataType, rows: usize) -> ArrayRef {
    match value {
        None => new_null_array(data_type, rows),
        Some(value) => cast(&StringArray::from(vec![value; rows]), data_type).unwrap(),
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code =
            code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
