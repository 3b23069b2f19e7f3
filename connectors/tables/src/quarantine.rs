//! The quarantine, a table like the others: the rows that could not be decoded or cast.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use tidewater_contract::sink::{Encoding, SortKey, TableSpec};
use tidewater_contract::source::Rejected;

/// The name of the quarantine among the tables and in the output directory.
pub const QUARANTINE_TABLE: &str = "_quarantine";

const FILE: usize = 1;
const LINE: usize = 2;
const BYTE_OFFSET: usize = 3;

/// The prefix of the quarantine's directory beside the tables of a job without a state.
const BESIDE: &str = "_quarantine-";
/// The extension of its files, which `out/**/*.parquet` does not match.
const ENDING: &str = "quarantine";

/// The quarantine table in a directory, ordered by file and line.
pub fn quarantine_spec(path: PathBuf, partition_by: Vec<usize>, encoding: Encoding) -> TableSpec {
    let key = |column| SortKey {
        column,
        descending: false,
        nulls_first: true,
    };
    TableSpec {
        name: QUARANTINE_TABLE.into(),
        path,
        schema: quarantine_schema(),
        partition_by,
        order_by: [FILE, LINE, BYTE_OFFSET].map(key).to_vec(),
        encoding,
    }
}

/// The directory of the quarantine if a job without a state declares none: beside the first table, and named after
/// that table's directory. No other job publishes there, so no other job uses this quarantine.
pub fn quarantine_beside(table: &Path) -> PathBuf {
    let name = table.file_name().unwrap_or_default().to_string_lossy();
    table.with_file_name(format!("{BESIDE}{name}"))
}

/// The extension of a table's files, if it differs from that of their format.
pub(super) fn own_ending(spec: &TableSpec) -> Option<&'static str> {
    let directory = spec.path.file_name().unwrap_or_default().to_string_lossy();
    let is_beside = *spec.name == *QUARANTINE_TABLE && directory.starts_with(BESIDE);
    is_beside.then_some(ENDING)
}

/// Rejected rows as rows of the quarantine table. Lines and offsets are signed, since Athena and Spark have no
/// unsigned numbers.
///
/// # Errors
/// When the rows have more than two gigabytes of text.
pub fn rejected_to_batch(rejected: &[Rejected]) -> Result<RecordBatch, ArrowError> {
    let text = |value: fn(&Rejected) -> Option<&str>| -> ArrayRef {
        Arc::new(rejected.iter().map(value).collect::<StringArray>())
    };
    let number = |value: fn(&Rejected) -> Option<u64>| -> ArrayRef {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let numbers = rejected.iter().map(|row| value(row).map(signed));
        Arc::new(numbers.collect::<Int64Array>())
    };
    let columns = vec![
        text(|row| Some(&row.source)),
        text(|row| Some(&row.file)),
        number(|row| Some(row.line).filter(|line| *line > 0)),
        number(|row| Some(row.byte_offset)),
        text(|row| row.column.as_deref()),
        text(|row| Some(&row.reason)),
        text(|row| Some(&row.raw)),
    ];
    RecordBatch::try_new(quarantine_schema(), columns)
}

/// The columns of the quarantine.
pub fn quarantine_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let number = |name| Field::new(name, DataType::Int64, true);
    let source = [
        text("source"),
        text("file"),
        number("line"),
        number("byte_offset"),
    ];
    let fault = [text("column"), text("reason"), text("raw")];
    Arc::new(Schema::new(
        source.into_iter().chain(fault).collect::<Vec<_>>(),
    ))
}
