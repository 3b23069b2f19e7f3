//! Names of Hive partition directories: `column=value`, as Hive and Spark write and read them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::layout::Layout;
use tidewater_contract::sink::SinkError;

/// The name for NULL.
pub(super) const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";
/// The longest name of a directory, in file systems and on object stores.
const NAME_BYTES_MAX: usize = 255;

const FORMAT: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// The directory of a partition below the table's. `values` has one row of each partition column, outermost first.
pub(super) fn partition_path(layout: &Layout, values: &[ArrayRef]) -> Result<PathBuf, SinkError> {
    let mut path = PathBuf::new();
    for (&index, value) in layout.spec.partition_by.iter().zip(values) {
        let column = layout.stored.field(index).name();
        let name = format!("{}={}", escape(column), value_name(layout, column, value)?);
        if name.len() > NAME_BYTES_MAX {
            return Err(too_long(layout, column, value)?);
        }
        path.push(name);
    }
    Ok(path)
}

fn too_long(layout: &Layout, column: &str, value: &dyn Array) -> Result<SinkError, SinkError> {
    let text = value_text(layout, value)?;
    Ok(SinkError::PartitionTooLong {
        table: layout.spec.name.clone(),
        column: column.to_owned(),
        bytes: text.len(),
        begins: text.chars().take(40).flat_map(char::escape_debug).collect(),
    })
}

fn value_text(layout: &Layout, value: &dyn Array) -> Result<String, SinkError> {
    let text = ArrayFormatter::try_new(value, &FORMAT).and_then(|f| f.value(0).try_to_string());
    text.map_err(|source| layout.sort_error(source))
}

fn value_name(layout: &Layout, column: &str, value: &dyn Array) -> Result<String, SinkError> {
    if value.is_null(0) {
        return Ok(NULL_NAME.to_owned());
    }
    let text = value_text(layout, value)?;
    if text.is_empty() || text == NULL_NAME {
        let table = layout.spec.name.clone();
        return Err(SinkError::PartitionValue {
            table,
            column: column.to_owned(),
            value: text,
        });
    }
    Ok(escape(&text))
}

/// Percent-encodes the characters that Hive and Spark encode: control characters, and those with a meaning in paths
/// or patterns. All others, such as Korean ones, are unchanged.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(c) {
            let code = format!("%{:02X}", u32::from(c));
            escaped.push_str(&code);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The text of an [escaped](escape) one.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Adds the partition columns to those of the file.
pub(super) fn with_partition_columns(
    layout: &Layout,
    values: &[ArrayRef],
    batch: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<Option<ArrayRef>> = vec![None; layout.stored.fields().len()];
    for (&index, column) in layout.file_columns.iter().zip(batch.columns()) {
        columns[index] = Some(Arc::clone(column));
    }
    let same_row = UInt32Array::from(vec![0; batch.num_rows()]);
    for (&index, value) in layout.spec.partition_by.iter().zip(values) {
        columns[index] = Some(take(value, &same_row, None)?);
    }
    RecordBatch::try_new(
        Arc::clone(&layout.stored),
        columns.into_iter().flatten().collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Int32Array, StringArray};
    use arrow::array::{TimestampMicrosecondArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use tidewater_contract::sink::{Encoding, TableSpec};

    fn name(column: &str, value: ArrayRef) -> Result<String, SinkError> {
        let fields = vec![
            Field::new(column, value.data_type().clone(), true),
            Field::new("x", DataType::Int64, true),
        ];
        let spec = TableSpec {
            name: "t".into(),
            path: "t".into(),
            schema: Arc::new(Schema::new(fields)),
            partition_by: vec![0],
            order_by: vec![],
            encoding: Encoding::JsonLines,
        };
        let layout = Layout::new(Arc::new(spec)).unwrap();
        Ok(partition_path(&layout, &[value])?
            .to_str()
            .unwrap()
            .to_owned())
    }

    #[test]
    fn names_as_hive_and_spark_write_them() {
        let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
        let cases: Vec<(&str, ArrayRef, &str)> = vec![
            ("region", text("서울"), "region=서울"),
            ("a b", text("x y"), "a b=x y"),
            ("k=v", text("a=b"), "k%3Dv=a%3Db"),
            ("p", text("a/b\\c"), "p=a%2Fb%5Cc"),
            ("p", text("../.."), "p=..%2F.."),
            ("p", text("100%"), "p=100%25"),
            ("p", text("'\"#*?:{[]^"), "p=%27%22%23%2A%3F%3A%7B%5B%5D%5E"),
            ("p", text("tab\tnl\n\u{7f}\u{1}"), "p=tab%09nl%0A%7F%01"),
            (
                "p",
                Arc::new(StringArray::from(vec![None::<&str>])),
                "p=__HIVE_DEFAULT_PARTITION__",
            ),
            (
                "d",
                Arc::new(Date32Array::from(vec![19_792])),
                "d=2024-03-10",
            ),
            (
                "d",
                Arc::new(Date32Array::from(vec![None])),
                "d=__HIVE_DEFAULT_PARTITION__",
            ),
            ("n", Arc::new(Int32Array::from(vec![-7])), "n=-7"),
            (
                "n",
                Arc::new(UInt64Array::from(vec![u64::MAX])),
                "n=18446744073709551615",
            ),
            ("b", Arc::new(BooleanArray::from(vec![true])), "b=true"),
            (
                "t",
                Arc::new(TimestampMicrosecondArray::from(vec![1_710_055_392_000_000])),
                "t=2024-03-10 07%3A23%3A12",
            ),
            (
                "m",
                Arc::new(
                    Decimal128Array::from(vec![-105])
                        .with_precision_and_scale(5, 2)
                        .unwrap(),
                ),
                "m=-1.05",
            ),
        ];
        for (column, value, expected) in cases {
            assert_eq!(name(column, value).unwrap(), expected);
        }
    }

    #[test]
    fn values_that_are_too_long_for_a_folder_are_refused() {
        let fits = "x".repeat(NAME_BYTES_MAX - "region=".len());
        let name = |text: String| name("region", Arc::new(StringArray::from(vec![text])));
        assert_eq!(name(fits.clone()).unwrap(), format!("region={fits}"));
        for long in [format!("{fits}x"), "한".repeat(100), "%".repeat(100)] {
            let error = name(long.clone()).unwrap_err().to_string();
            let bytes = format!("a text of {} bytes", long.len());
            assert!(
                error.contains(&bytes) && error.contains("left(region"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_that_readers_would_take_for_null_are_refused() {
        for value in ["", NULL_NAME] {
            let error = name("region", Arc::new(StringArray::from(vec![value])))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("region") && error.contains("NULLIF"),
                "{error}"
            );
        }
    }
}
