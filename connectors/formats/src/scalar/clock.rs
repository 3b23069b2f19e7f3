//! A date and time as its text shows it, before the column's type determines the instant.

use super::value::BadValue;

pub(super) const NOT_DATE: BadValue = "it is not a date such as 2024-03-10";
pub(super) const NOT_TIMESTAMP: BadValue =
    "it is not a timestamp such as 2024-03-10 07:23:12; for another form set timestamp_format";
pub(super) const HAS_TIME: BadValue =
    "it has a time of day or an offset, which a date cannot hold; declare TIMESTAMP";

/// A date and time, and its zone if known.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Seconds since 1970-01-01 00:00:00 in the same zone.
    pub seconds: i64,
    pub nanoseconds: u32,
    pub zone: ClockZone,
}

/// The zone of a date and time.
#[derive(Clone, Copy)]
pub(super) enum ClockZone {
    /// The text does not say.
    Unknown,
    /// The text has an offset: this number of seconds ahead of UTC.
    Ahead(i32),
    /// UTC, as for counts since 1970.
    Utc,
}
