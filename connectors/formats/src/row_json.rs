//! A decoded row as text, for the quarantine.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// A batch of one row as a JSON object. Values of types that JSON does not have are text.
///
/// # Errors
/// When a value has no text form.
pub fn row_as_json(row: &RecordBatch) -> Result<String, ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(Vec::new());
    if writer.write(row).is_ok() && writer.finish().is_ok() {
        let bytes = writer.into_inner();
        return Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
    }
    let options = FormatOptions::default();
    let mut object = serde_json::Map::new();
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        let value = ArrayFormatter::try_new(column.as_ref(), &options)?
            .value(0)
            .try_to_string()?;
        object.insert(field.name().clone(), value.into());
    }
    Ok(serde_json::Value::Object(object).to_string())
}
