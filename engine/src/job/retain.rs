//! `OPTIONS ('retain' '90 days')` of a `COPY`: how long the windows of a view stay open, in event time.
//!
//! Event times may be wrong, so `'retain_ahead'` limits how far ahead of the clock a window may be and still close
//! others.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};

use super::options::option_finds;
use super::site::Site;
use crate::diagnostic::Diagnostic;

/// How long the windows of a view stay open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retain {
    /// The view's column with the time of a window: a DATE or TIMESTAMP that it groups by.
    pub column: usize,
    /// Windows that are older than the newest one by more than this are closed, in microseconds.
    pub length_us: i64,
    /// A window that is further ahead of the clock than this does not count as the newest, in microseconds.
    pub ahead_us: i64,
}

/// Local times are up to 14 hours ahead of UTC.
const AHEAD_US: i64 = 86_400_000_000;

/// Removes `retain`, `retain_by` and `retain_ahead` from the options.
///
/// # Errors
/// When the length is invalid, or the column of the windows is missing or ambiguous.
pub(super) fn retain(
    options: &mut BTreeMap<String, String>,
    schema: &SchemaRef,
    site: &Site<'_>,
) -> Result<Option<Retain>, Diagnostic> {
    let by = options.remove("retain_by");
    let ahead = options.remove("retain_ahead");
    let Some(length) = options.remove("retain") else {
        let alone = [("retain_by", &by), ("retain_ahead", &ahead)];
        return match alone.into_iter().find(|(_, value)| value.is_some()) {
            None => Ok(None),
            Some((option, _)) => Err(site
                .diagnostic(
                    &option_finds(option),
                    format!("'{option}' without 'retain'"),
                )
                .with_hint(format!("add 'retain' '90 days', or leave '{option}' out"))),
        };
    };
    let length_of = |option: &str, text: &str| {
        length_us(text).ok_or_else(|| {
            let message = format!("'{text}' is no length of time");
            let hint =
                format!("write a number of minutes, hours, days or weeks: '{option}' '90 days'");
            site.diagnostic(&option_finds(option), message)
                .with_hint(hint)
        })
    };
    let length_us = length_of("retain", &length)?;
    let ahead_us = match ahead {
        Some(ahead) => length_of("retain_ahead", &ahead)?,
        None => AHEAD_US,
    };
    let is_time =
        |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _));
    let times: Vec<usize> = (0..schema.fields().len())
        .filter(|&at| is_time(schema.field(at).data_type()))
        .filter(|&at| by.as_ref().is_none_or(|by| by == schema.field(at).name()))
        .collect();
    match (times.as_slice(), by) {
        (&[column], _) => Ok(Some(Retain {
            column,
            length_us,
            ahead_us,
        })),
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
