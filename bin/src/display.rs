//! Formats numbers, times and values for display.

use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::DateTime;
use indicatif::HumanCount;

use crate::table::Align;

/// The format of values.
pub const VALUES: FormatOptions<'static> = FormatOptions::new()
    .with_null("NULL")
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// `1 row`, `2,000 rows`, `3 deliveries`.
pub fn count(number: u64, noun: &str) -> String {
    let number_text = HumanCount(number);
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("{number_text} {noun}"),
        (_, Some(stem)) => format!("{number_text} {stem}ies"),
        _ => format!("{number_text} {noun}s"),
    }
}

/// Seconds since 1970 as a time in UTC.
pub fn utc(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(
        || format!("{seconds} s after 1970"),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Seconds since 1970 in ISO 8601, for programs.
pub fn iso(seconds: u64) -> String {
    utc(seconds).replace(" UTC", "Z").replace(' ', "T")
}

/// Nanoseconds since 1970 as a time in UTC, to the second.
pub fn utc_ns(nanoseconds: i64) -> String {
    utc(u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0))
}

/// The alignment of a column's values.
pub fn align(field: &Field) -> Align {
    if field.data_type().is_numeric() {
        Align::Right
    } else {
        Align::Left
    }
}

/// The values of a batch as text, row by row.
///
/// # Errors
/// When a value cannot be written as text.
pub fn rows(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &VALUES))
        .collect::<Result<_, _>>()?;
    let row = |row| {
        columns
            .iter()
            .map(|column| column.value(row).try_to_string())
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_nouns() {
        assert_eq!(count(1, "delivery"), "1 delivery");
        assert_eq!(count(2000, "delivery"), "2,000 deliveries");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(utc(1_710_055_392), "2024-03-10 07:23:12 UTC");
        assert_eq!(iso(1_710_055_392), "2024-03-10T07:23:12Z");
    }
}
