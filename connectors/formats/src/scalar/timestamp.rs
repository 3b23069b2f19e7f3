//! Parses dates, times and timestamps from text, exactly or not at all.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, LocalResult, Offset, TimeZone};

use super::clock::{Clock, ClockZone};
use super::iso;
use super::time_format::{Offsets, TimeFormats, TimeRules};
use super::value::{BadValue, OUT_OF_RANGE};

const NOT_TIME: BadValue = "it is not a time such as 07:23:12";
const TOO_FINE: BadValue = "it has more digits after the second than the column keeps";
/// The reason for an instant in a column without a time zone.
pub(crate) const HAS_OFFSET: BadValue = "it has a zone offset, the column has no time zone; declare TIMESTAMP WITH TIME ZONE, or set \
     offsets 'convert' to take it in UTC";
const NO_SUCH_LOCAL: BadValue = "the clock of the column's time zone skips this time";
const TWICE_LOCAL: BadValue =
    "the clock of the column's time zone shows this time twice; write its offset";

/// Reads the timestamps of a column.
#[derive(Clone, Debug)]
pub(crate) struct TimestampParser {
    unit: TimeUnit,
    /// The column's time zone, which applies to text without an offset.
    zone: Option<Tz>,
    formats: TimeFormats,
    begins_with_iso: bool,
    offsets: Offsets,
}

impl TimestampParser {
    /// A parser for a column of `unit` in `zone`.
    ///
    /// # Errors
    /// The zone is unknown.
    pub(crate) fn new(
        unit: TimeUnit,
        zone: Option<&str>,
        rules: &TimeRules,
    ) -> Result<Self, String> {
        let parse = |zone: &str| {
            zone.parse()
                .map_err(|_| format!("its time zone '{zone}' is unknown"))
        };
        Ok(Self {
            unit,
            zone: zone.map(parse).transpose()?,
            begins_with_iso: rules.timestamps.begin_with_iso(),
            formats: rules.timestamps.clone(),
            offsets: rules.offsets,
        })
    }

    /// Units since the epoch, in UTC if the column has a time zone, else in local time.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i64, BadValue> {
        if self.begins_with_iso
            && let Some(seconds) = iso::whole_seconds(text)
        {
            let clock = Clock {
                seconds,
                nanoseconds: 0,
                zone: ClockZone::Unknown,
            };
            return self.units(clock);
        }
        self.units(self.formats.clock(text)?)
    }

    #[inline]
    fn units(&self, clock: Clock) -> Result<i64, BadValue> {
        let seconds = match (self.zone, clock.zone) {
            (None, ClockZone::Unknown) | (_, ClockZone::Utc) => clock.seconds,
            (None, ClockZone::Ahead(_)) if self.offsets == Offsets::Refuse => {
                return Err(HAS_OFFSET);
            }
            (_, ClockZone::Ahead(offset)) => clock.seconds - i64::from(offset),
            (Some(zone), ClockZone::Unknown) => clock.seconds - offset_of(zone, clock)?,
        };
        in_units(seconds, clock.nanoseconds, self.unit)
    }
}

/// Reads the dates of a column.
#[derive(Clone, Debug)]
pub(crate) struct DateParser {
    formats: TimeFormats,
    begins_with_iso: bool,
}

impl DateParser {
    pub(crate) fn new(rules: &TimeRules) -> Self {
        Self {
            begins_with_iso: rules.dates.begin_with_iso(),
            formats: rules.dates.clone(),
        }
    }

    /// Days since 1970-01-01.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8]) -> Result<i32, BadValue> {
        if self.begins_with_iso
            && let Ok(day) = <[u8; 10]>::try_from(text)
            && let Some(days) = iso::day_number(day)
        {
            return Ok(days);
        }
        self.formats.days(text)
    }
}

/// Parses `07:23` or `07:23:12`, with up to nine digits of a fraction, as units since midnight.
pub(crate) fn time_of_day(text: &[u8], unit: TimeUnit) -> Result<i64, BadValue> {
    match iso::time_of_day(text.trim_ascii()) {
        Some((second, nanoseconds, [])) => in_units(second.into(), nanoseconds, unit),
        _ => Err(NOT_TIME),
    }
}

/// Seconds by which `zone` is ahead of UTC at the local time `clock`.
fn offset_of(zone: Tz, clock: Clock) -> Result<i64, BadValue> {
    let local = DateTime::from_timestamp(clock.seconds, 0)
        .ok_or(OUT_OF_RANGE)?
        .naive_utc();
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => Ok(offset.fix().local_minus_utc().into()),
        LocalResult::Ambiguous(_, _) => Err(TWICE_LOCAL),
        LocalResult::None => Err(NO_SUCH_LOCAL),
    }
}

#[inline]
fn in_units(seconds: i64, nanoseconds: u32, unit: TimeUnit) -> Result<i64, BadValue> {
    let (a_second, nanoseconds_each) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    if nanoseconds == 0 {
        return seconds.checked_mul(a_second).ok_or(OUT_OF_RANGE);
    }
    if !nanoseconds.is_multiple_of(nanoseconds_each) {
        return Err(TOO_FINE);
    }
    let units =
        i128::from(seconds) * i128::from(a_second) + i128::from(nanoseconds / nanoseconds_each);
    i64::try_from(units).map_err(|_| OUT_OF_RANGE)
}

#[cfg(test)]
mod tests;
