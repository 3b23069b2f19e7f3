//! Dates, times and timestamps from the bytes of a field, exactly or not at all.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::format::{Item, Parsed};
use chrono::{DateTime, LocalResult, NaiveDateTime, NaiveTime, Offset, TimeZone};

use super::number::{OUT_OF_RANGE, Why};

const NOT_DATE: Why = "it is not a date such as 2024-03-10";
const NOT_TIME: Why = "it is not a time such as 07:23:12";
const NOT_TIMESTAMP: Why =
    "it is not a timestamp such as 2024-03-10 07:23:12; for another form set timestamp_format";
const NOT_IN_FORMAT: Why = "it does not follow the source's format";
const TOO_FINE: Why = "it has more digits after the second than the column keeps";
const HAS_ZONE: Why = "it has a zone offset, the column has none; declare TIMESTAMP WITH TIME ZONE";
const NO_SUCH_LOCAL: Why = "the clock of the column's time zone skips this time";
const TWICE_LOCAL: Why =
    "the clock of the column's time zone shows this time twice; write its offset";

const SECONDS_A_DAY: i64 = 86_400;

/// How the timestamps of a column are written, and what they become.
#[derive(Clone, Debug)]
pub(super) struct Timestamps {
    pub unit: TimeUnit,
    /// The column's zone: text without an offset is local to it.
    pub zone: Option<Tz>,
    /// Other than ISO 8601.
    pub format: Option<Vec<Item<'static>>>,
}

/// A reading of clock and calendar.
#[derive(Clone, Copy)]
struct Reading {
    /// Seconds since 1970-01-01 00:00:00 on the same clock.
    seconds: i64,
    nanoseconds: u32,
    /// Seconds by which that clock is ahead of UTC, where the text says.
    offset: Option<i32>,
}

impl Timestamps {
    /// Units since the epoch: of UTC when the column has a zone, of the local clock otherwise.
    pub(super) fn parse(&self, text: &[u8]) -> Result<i64, Why> {
        let reading = match &self.format {
            None => iso(text)?,
            Some(format) => formatted(text, format)?,
        };
        let seconds = match (self.zone, reading.offset) {
            (None, None) => reading.seconds,
            (None, Some(_)) => return Err(HAS_ZONE),
            (Some(_), Some(offset)) => reading.seconds - i64::from(offset),
            (Some(zone), None) => reading.seconds - offset_of(zone, reading)?,
        };
        in_units(seconds, reading.nanoseconds, self.unit)
    }
}

/// Seconds by which `zone` is ahead of UTC when its clock shows `reading`.
fn offset_of(zone: Tz, reading: Reading) -> Result<i64, Why> {
    let local = DateTime::from_timestamp(reading.seconds, 0)
        .ok_or(OUT_OF_RANGE)?
        .naive_utc();
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => Ok(offset.fix().local_minus_utc().into()),
        LocalResult::Ambiguous(_, _) => Err(TWICE_LOCAL),
        LocalResult::None => Err(NO_SUCH_LOCAL),
    }
}

#[inline]
fn in_units(seconds: i64, nanoseconds: u32, unit: TimeUnit) -> Result<i64, Why> {
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

/// `2024-03-10 07:23:12`, with `T` for the space, up to nine digits of a second's fraction, and a zone offset.
#[inline]
fn iso(text: &[u8]) -> Result<Reading, Why> {
    if let Some(seconds) = whole_seconds(text) {
        return Ok(Reading {
            seconds,
            nanoseconds: 0,
            offset: None,
        });
    }
    iso_in_full(text)
}

/// `2024-03-10 07:23:12` and nothing more, eight bytes at a time; `None` for anything else.
#[inline]
fn whole_seconds(text: &[u8]) -> Option<i64> {
    let text = <&[u8; 19]>::try_from(text).ok()?;
    let [month @ .., d0, d1, separator, _, _, _, _, _, _, _, _] = text;
    let [_, _, _, _, _, _, _, _, _, _, _, clock @ ..] = text;
    let [century, _, year, _, _, month, _, _] = pairs(*month, *b"0000-00-")?;
    let [hour, _, _, minute, _, _, second, _] = pairs(*clock, *b"00:00:00")?;
    let year = i32::from(century) * 100 + i32::from(year);
    let days = days(year, month.into(), two_digits(*d0, *d1)?)?;
    let valid = matches!(separator, b' ' | b'T' | b't') && hour < 24 && minute < 60 && second < 60;
    let second = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    valid.then_some(i64::from(days) * SECONDS_A_DAY + second)
}

/// For each place of `text` the number of two digits that begins there; `None` unless there are digits where `form` has
/// zeros, and between them what it has.
#[inline]
fn pairs(text: [u8; 8], form: [u8; 8]) -> Option<[u8; 8]> {
    const SEVEN: u64 = u64::from_ne_bytes([0x7f; 8]);
    // Added to a digit's value, or to the difference of what must be equal, it leaves the upper bit at 0.
    let most = form.map(|byte| if byte == b'0' { 0x7f - 9 } else { 0x7f });
    let differ = u64::from_le_bytes(text) ^ u64::from_le_bytes(form);
    let wrong = ((differ & SEVEN) + u64::from_le_bytes(most)) | differ;
    let pairs = differ.wrapping_mul(10).wrapping_add(differ >> 8);
    (wrong & !SEVEN == 0).then_some(pairs.to_le_bytes())
}

fn iso_in_full(text: &[u8]) -> Result<Reading, Why> {
    let (head, rest) = text.split_first_chunk::<19>().ok_or(NOT_TIMESTAMP)?;
    let [
        y0,
        y1,
        y2,
        y3,
        d0,
        m0,
        m1,
        d1,
        a0,
        a1,
        separator,
        clock @ ..,
    ] = head;
    let days =
        day_number([*y0, *y1, *y2, *y3, *d0, *m0, *m1, *d1, *a0, *a1]).ok_or(NOT_TIMESTAMP)?;
    if !matches!(separator, b' ' | b'T' | b't') {
        return Err(NOT_TIMESTAMP);
    }
    let second = second_of_day(*clock).ok_or(NOT_TIMESTAMP)?;
    let seconds = i64::from(days) * SECONDS_A_DAY + i64::from(second);
    if rest.is_empty() {
        return Ok(Reading {
            seconds,
            nanoseconds: 0,
            offset: None,
        });
    }
    let (nanoseconds, rest) = fraction(rest).ok_or(NOT_TIMESTAMP)?;
    let offset = zone_offset(rest).ok_or(NOT_TIMESTAMP)?;
    Ok(Reading {
        seconds,
        nanoseconds,
        offset,
    })
}

/// `2024-03-10`, as days since 1970-01-01.
pub(super) fn date(text: &[u8], format: Option<&[Item<'static>]>) -> Result<i32, Why> {
    if let Some(format) = format {
        let date = parsed(text, format)?
            .to_naive_date()
            .map_err(|_| NOT_IN_FORMAT)?;
        let days = date
            .and_time(NaiveTime::MIN)
            .and_utc()
            .timestamp()
            .div_euclid(SECONDS_A_DAY);
        return i32::try_from(days).map_err(|_| OUT_OF_RANGE);
    }
    let text = <[u8; 10]>::try_from(text).map_err(|_| NOT_DATE)?;
    day_number(text).ok_or(NOT_DATE)
}

/// `07:23:12` with up to nine digits of a second's fraction, as units since midnight.
pub(super) fn time(text: &[u8], unit: TimeUnit) -> Result<i64, Why> {
    let (clock, rest) = text.split_first_chunk::<8>().ok_or(NOT_TIME)?;
    let second = second_of_day(*clock).ok_or(NOT_TIME)?;
    match fraction(rest).ok_or(NOT_TIME)? {
        (nanoseconds, []) => in_units(second.into(), nanoseconds, unit),
        _ => Err(NOT_TIME),
    }
}

fn formatted(text: &[u8], format: &[Item<'static>]) -> Result<Reading, Why> {
    let parsed = parsed(text, format)?;
    let offset = parsed.offset();
    let dated_only = parsed.hour_mod_12().is_none()
        && parsed.hour_div_12().is_none()
        && parsed.timestamp().is_none();
    let local: NaiveDateTime = if dated_only {
        parsed
            .to_naive_date()
            .map(|date| date.and_time(NaiveTime::MIN))
    } else {
        parsed.to_naive_datetime_with_offset(offset.unwrap_or(0))
    }
    .map_err(|_| NOT_IN_FORMAT)?;
    let local = local.and_utc();
    Ok(Reading {
        seconds: local.timestamp(),
        nanoseconds: local.timestamp_subsec_nanos(),
        offset,
    })
}

fn parsed(text: &[u8], format: &[Item<'static>]) -> Result<Parsed, Why> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_IN_FORMAT)?;
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, format.iter()).map_err(|_| NOT_IN_FORMAT)?;
    Ok(parsed)
}

/// Days from 1970-01-01 to `YYYY-MM-DD` in the proleptic Gregorian calendar.
#[inline]
fn day_number([y0, y1, y2, y3, dash0, m0, m1, dash1, d0, d1]: [u8; 10]) -> Option<i32> {
    if dash0 != b'-' || dash1 != b'-' {
        return None;
    }
    let year = two_digits(y0, y1)? * 100 + two_digits(y2, y3)?;
    days(year, two_digits(m0, m1)?, two_digits(d0, d1)?)
}

/// Days from 1970-01-01 to a day of a year from 0 to 9999.
#[inline]
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    if !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
        return None;
    }
    // Years that begin in March, from a March before every one that is written with four digits.
    let year = year + 400 - i32::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days - 719_468 - 146_097)
}

fn days_of_month(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds from midnight to `HH:MM:SS`.
#[inline]
fn second_of_day([h0, h1, colon0, m0, m1, colon1, s0, s1]: [u8; 8]) -> Option<i32> {
    let (hour, minute, second) = (
        two_digits(h0, h1)?,
        two_digits(m0, m1)?,
        two_digits(s0, s1)?,
    );
    let valid = colon0 == b':' && colon1 == b':' && hour < 24 && minute < 60 && second < 60;
    valid.then_some((hour * 60 + minute) * 60 + second)
}

#[inline]
fn two_digits(tens: u8, units: u8) -> Option<i32> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens <= 9 && units <= 9).then(|| i32::from(tens) * 10 + i32::from(units))
}

/// Nanoseconds of a fraction such as `.25`, none being 0, and what follows it.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', rest @ ..] = text else {
        return Some((0, text));
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (digits, rest) = rest.split_at(digits);
    let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    Some((
        padded.fold(0, |number, byte| number * 10 + u32::from(byte - b'0')),
        rest,
    ))
}

/// Seconds of `Z`, `+09:00`, `+0900` or `+09`, perhaps after a space; inner `None` when there is no text.
fn zone_offset(text: &[u8]) -> Option<Option<i32>> {
    if text.is_empty() {
        return Some(None);
    }
    let (sign, hours, minutes) = match text.strip_prefix(b" ").unwrap_or(text) {
        b"Z" | b"z" => return Some(Some(0)),
        [sign, h0, h1] => (sign, two_digits(*h0, *h1)?, 0),
        [sign, h0, h1, m0, m1] | [sign, h0, h1, b':', m0, m1] => {
            (sign, two_digits(*h0, *h1)?, two_digits(*m0, *m1)?)
        }
        _ => return None,
    };
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        _ if hours >= 24 || minutes >= 60 => None,
        b'+' => Some(Some(seconds)),
        b'-' => Some(Some(-seconds)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
