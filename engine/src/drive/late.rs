//! Late rows are rows of closed windows. They go to a table of their own, with their window, their content and the
//! reason, in the order of arrival. A retraction in a closed window is one more row of that table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidewater_operators::{Delta, Sign};

use crate::job::late_schema;

/// The column with the view of a row.
pub const VIEW_COLUMN: usize = 0;

/// Late rows of `view` as rows of the table. `column` has the time of their windows, and `open` is the first open
/// window.
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
        Sign::Plus => "inserted",
        Sign::Minus => "retracted",
    };
    let reason = format!("windows before {open} are closed");
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
    RecordBatch::try_new(late_schema(), columns.to_vec())
}
