//! Late rows: those of windows that are final. They go to a table of their own, as what they are and why, in the order
//! in which they came: what is taken back of a final window is one more row of it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidewater_connectors::file::sink::quarantine_spec;
use tidewater_connectors::sink::TableSpec;
use tidewater_operators::{Delta, Sign};

/// The name of the table of late rows, among the tables and in the output directory.
pub const LATE_TABLE: &str = "_late";

/// The table of late rows of a job whose output directory is `output`.
pub fn late_spec(output: &Path) -> TableSpec {
    TableSpec {
        name: LATE_TABLE.into(),
        path: output.join(LATE_TABLE),
        schema: schema(),
        order_by: Vec::new(),
        ..quarantine_spec(output)
    }
}

fn schema() -> SchemaRef {
    let names = ["view", "window", "change", "reason", "row"];
    let fields = names.map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Late rows of `view` as rows of the table; `column` says when their windows are, and `open` is the first open one.
///
/// # Errors
/// When values cannot be shown.
pub fn late_rows(
    view: &str,
    delta: &Delta,
    column: usize,
    open: &ArrayRef,
) -> Result<RecordBatch, ArrowError> {
    let rows = delta.batch.num_rows();
    let options = FormatOptions::default();
    let open = ArrayFormatter::try_new(open, &options)?
        .value(0)
        .try_to_string()?;
    let windows = ArrayFormatter::try_new(delta.batch.column(column), &options)?;
    let windows = (0..rows).map(|row| windows.value(row).try_to_string());
    let windows: Vec<String> = windows.collect::<Result<_, _>>()?;
    let change = match delta.sign {
        Sign::Plus => "taken in",
        Sign::Minus => "taken back",
    };
    let reason = format!("windows before {open} are final");
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(&delta.batch)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&text);
    let columns: [ArrayRef; 5] = [
        Arc::new(StringArray::from(vec![view; rows])),
        Arc::new(StringArray::from(windows)),
        Arc::new(StringArray::from(vec![change; rows])),
        Arc::new(StringArray::from(vec![reason.as_str(); rows])),
        Arc::new(StringArray::from(text.lines().collect::<Vec<_>>())),
    ];
    RecordBatch::try_new(schema(), columns.to_vec())
}
