//! What the text of a point in time shows, before the column says which instant that is.

use super::value::BadValue;

pub(super) const NOT_DATE: BadValue = "it is not a date such as 2024-03-10";
pub(super) const NOT_TIMESTAMP: BadValue =
    "it is not a timestamp such as 2024-03-10 07:23:12; for another form set timestamp_format";
pub(super) const HAS_TIME: BadValue =
    "it has a time of day or an offset, which a date cannot hold; declare TIMESTAMP";

/// What a clock and a calendar show.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Seconds since 1970-01-01 00:00:00 on the same clock.
    pub seconds: i64,
    pub nanoseconds: u32,
    pub zone: ClockZone,
}

/// Where a clock stands.
#[derive(Clone, Copy)]
pub(super) enum ClockZone {
    /// The text does not say.
    Unknown,
    /// So many seconds ahead of UTC, as the text says.
    Ahead(i32),
    /// In UTC, as counts since 1970 are.
    Utc,
}
