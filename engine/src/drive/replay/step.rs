//! Steps of event time, aligned like `date_bin`: counted from 1970-01-01. Or steps of messages, counted by offset
//! from 0 in each partition.

use std::fmt;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Longer steps are a mistake. This is a thousand years in days.
const NUMBER_MAX: i64 = 366_000;

/// The length of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A number of microseconds.
    Micros(i64),
    /// A number of calendar months.
    Months(i64),
    /// A number of offsets in each partition.
    Messages(i64),
}

impl Step {
    /// Parses a number and a unit: `1 day`, `15 minutes`, `2 weeks`, `1 month`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is not a step; write a whole number and second, minute, hour, day, week, month, quarter, \
                 year or message, such as '1 day', '15 minutes' or '10000 messages'"
            )
        };
        let (number, unit) = text
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(wrong)?;
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim().to_ascii_lowercase();
        let unit = unit.strip_suffix('s').unwrap_or(&unit);
        if unit == "message" && number > 0 {
            return Ok(Self::Messages(number));
        }
        if !(1..=NUMBER_MAX).contains(&number) {
            return Err(wrong());
        }
        Ok(match unit {
            "second" => Self::Micros(number * SECOND),
            "minute" => Self::Micros(number * 60 * SECOND),
            "hour" => Self::Micros(number * 3_600 * SECOND),
            "day" => Self::Micros(number * DAY),
            "week" => Self::Micros(number * 7 * DAY),
            "month" => Self::Months(number),
            "quarter" => Self::Months(number * 3),
            "year" => Self::Months(number * 12),
            _ => return Err(wrong()),
        })
    }

    /// The start of the step that contains a time, both in microseconds since 1970. For messages, both are offsets.
    pub fn start(self, micros: i64) -> i64 {
        match self {
            Self::Micros(length) | Self::Messages(length) => {
                micros.div_euclid(length).saturating_mul(length)
            }
            Self::Months(length) => {
                let date = calendar(micros);
                let month = i64::from(date.year() - 1970) * 12 + i64::from(date.month0());
                let month = month.div_euclid(length) * length;
                let year = i32::try_from(1970 + month.div_euclid(12));
                let month0 = u32::try_from(month.rem_euclid(12));
                let first = year.ok().zip(month0.ok());
                let first =
                    first.and_then(|(year, month0)| NaiveDate::from_ymd_opt(year, month0 + 1, 1));
                first.map_or(micros, |first| {
                    first
                        .and_time(chrono::NaiveTime::MIN)
                        .and_utc()
                        .timestamp_micros()
                })
            }
        }
    }

    /// A step's start as text; only its date if steps begin at midnight.
    pub fn label(self, start: i64) -> String {
        let midnight = match self {
            Self::Micros(length) => length % DAY == 0,
            Self::Months(_) => true,
            Self::Messages(_) => return format!("offset {start}"),
        };
        let time = calendar(start);
        let format = if midnight {
            "%Y-%m-%d"
        } else {
            "%Y-%m-%dT%H:%M:%S"
        };
        time.format(format).to_string()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match *self {
            Self::Months(months) => (months, "month"),
            Self::Messages(messages) => (messages, "message"),
            Self::Micros(length) if length % DAY == 0 => (length / DAY, "day"),
            Self::Micros(length) if length % (3_600 * SECOND) == 0 => {
                (length / (3_600 * SECOND), "hour")
            }
            Self::Micros(length) if length % (60 * SECOND) == 0 => {
                (length / (60 * SECOND), "minute")
            }
            Self::Micros(length) => (length / SECOND, "second"),
        };
        let plural = if number == 1 { "" } else { "s" };
        write!(f, "{number} {unit}{plural}")
    }
}

/// Parses a date or timestamp of ISO 8601, in microseconds since 1970. Without a zone, it is a local time like the
/// columns'.
///
/// # Errors
/// What to write instead.
pub fn parse_time(text: &str) -> Result<i64, String> {
    string_to_datetime(&Utc, text.trim())
        .map(|time| time.timestamp_micros())
        .map_err(|_| {
            format!("'{text}' is not a time; write it as 2024-01-31 or 2024-01-31T12:30:00")
        })
}

/// A time of the calendar. Times beyond its range become its first or last.
pub fn calendar(micros: i64) -> DateTime<Utc> {
    let beyond = if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    DateTime::from_timestamp_micros(micros).unwrap_or(beyond)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn steps_begin_where_date_bin_begins_them() {
        for (step, time, start) in [
            ("1 day", "2024-02-29T23:59:59.999999", "2024-02-29"),
            ("1 day", "1969-12-31T00:00:01", "1969-12-31"),
            ("2 days", "1970-01-02T12:00:00", "1970-01-01"),
            ("1 hour", "2024-01-01T10:59:59", "2024-01-01T10:00:00"),
            ("15 minutes", "2024-01-01T10:59:59", "2024-01-01T10:45:00"),
            ("15 Minutes", "1969-12-31T23:59:59", "1969-12-31T23:45:00"),
            ("1 week", "1970-01-07T23:00:00", "1970-01-01"),
            ("1 week", "1970-01-08", "1970-01-08"),
            ("1 month", "2024-02-29T23:00:00", "2024-02-01"),
            ("1 month", "1969-12-31T23:00:00", "1969-12-01"),
            ("1 quarter", "2024-05-31", "2024-04-01"),
            ("5 months", "1970-05-31", "1970-01-01"),
            ("1 year", "2024-05-31", "2024-01-01"),
            ("30 seconds", "2024-01-01T00:00:59", "2024-01-01T00:00:30"),
        ] {
            let (parsed, time) = (Step::parse(step).unwrap(), parse_time(time).unwrap());
            assert_eq!(parsed.label(parsed.start(time)), start, "{step}");
        }
    }

    #[test]
    fn the_ends_of_time_have_a_step() {
        for step in ["1 day", "1 month", "366000 years"] {
            let step = Step::parse(step).unwrap();
            for time in [i64::MIN, i64::MAX] {
                assert!(!step.label(step.start(time)).is_empty());
            }
        }
    }

    #[test]
    fn what_is_no_step_or_time_says_what_to_write() {
        for wrong in [
            "",
            "day",
            "1",
            "0 days",
            "-1 day",
            "1.5 days",
            "1 fortnight",
            "366001 days",
            "1day",
        ] {
            let error = Step::parse(wrong).unwrap_err();
            assert!(error.contains("'1 day'"), "{wrong}: {error}");
        }
        for wrong in ["", "yesterday", "2024-13-01", "12:00"] {
            assert!(parse_time(wrong).unwrap_err().contains("2024-01-31"));
        }
    }

    #[test]
    fn steps_are_shown_as_they_are_written() {
        for (text, shown) in [
            ("1 day", "1 day"),
            ("1 week", "7 days"),
            ("90 minutes", "90 minutes"),
            ("24 hours", "1 day"),
            ("500000 messages", "500000 messages"),
            ("1 year", "12 months"),
        ] {
            assert_eq!(Step::parse(text).unwrap().to_string(), shown);
        }
    }
}
