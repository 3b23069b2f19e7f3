//! `OPTIONS ('retain' '90 days')` of a `COPY`: how long the windows of a view stay open, in event time.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};

use super::options::option_finds;
use super::site::Site;
use crate::diagnostic::Diagnostic;

/// How long the windows of a view stay open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retain {
    /// The view's column that says when a window is: a DATE or TIMESTAMP that it groups by.
    pub column: usize,
    /// Windows that lie further back than this from the newest one are final, in microseconds.
    pub length_us: i64,
}

/// Takes `retain` and `retain_by` out of the options.
///
/// # Errors
/// When the length is invalid, or the column of the windows is missing or ambiguous.
pub(super) fn retain(
    options: &mut BTreeMap<String, String>,
    schema: &SchemaRef,
    site: &Site<'_>,
) -> Result<Option<Retain>, Diagnostic> {
    let by = options.remove("retain_by");
    let Some(length) = options.remove("retain") else {
        return match by {
            None => Ok(None),
            Some(_) => Err(site
                .diagnostic(&option_finds("retain_by"), "'retain_by' without 'retain'")
                .with_hint("add 'retain' '90 days', or leave 'retain_by' out")),
        };
    };
    let Some(length_us) = length_us(&length) else {
        return Err(site
            .diagnostic(
                &option_finds("retain"),
                format!("'{length}' is no length of time"),
            )
            .with_hint("write a number of minutes, hours, days or weeks: 'retain' '90 days'"));
    };
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _));
    let times: Vec<usize> = (0..schema.fields().len())
        .filter(|&at| is_time(schema.field(at).data_type()))
        .filter(|&at| by.as_ref().is_none_or(|by| by == schema.field(at).name()))
        .collect();
    match (times.as_slice(), by) {
        (&[column], _) => Ok(Some(Retain { column, length_us })),
        (_, Some(by)) => Err(site
            .diagnostic(
                &option_finds("retain_by"),
                format!("'{by}' is no DATE or TIMESTAMP column of the view"),
            )
            .with_hint("name the column of its windows")),
        ([], None) => Err(site
            .diagnostic(
                &option_finds("retain"),
                "the view has no DATE or TIMESTAMP column that could tell how old a window is",
            )
            .with_hint("group by a date, or by date_trunc or date_bin of a time, and select it")),
        (_, None) => Err(site
            .diagnostic(
                &option_finds("retain"),
                "the view has several DATE or TIMESTAMP columns",
            )
            .with_hint("say which tells how old a window is: 'retain_by' 'column'")),
    }
}

/// A number and a unit, in microseconds.
fn length_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let seconds = match unit.strip_suffix('s').unwrap_or(&unit) {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    number.checked_mul(seconds)?.checked_mul(1_000_000)
}
