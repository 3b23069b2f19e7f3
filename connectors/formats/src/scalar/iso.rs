//! Dates and times as ISO 8601 writes them, from bytes.

use super::clock::{Clock, ClockZone, NOT_TIMESTAMP};
use super::value::BadValue;

pub(super) const SECONDS_A_DAY: i64 = 86_400;

/// Reads exactly `2024-03-10 07:23:12`, eight bytes at a time; `None` for anything else.
#[inline]
pub(super) fn whole_seconds(text: &[u8]) -> Option<i64> {
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

/// For each position of `text`, the two-digit number that begins there. `None` unless `text` has a digit wherever
/// `form` has a zero and equals `form` everywhere else.
#[inline]
fn pairs(text: [u8; 8], form: [u8; 8]) -> Option<[u8; 8]> {
    const SEVEN: u64 = u64::from_ne_bytes([0x7f; 8]);
    // Added to a digit's value, or to a difference that must be zero, this leaves the upper bit 0. It sets the bit
    // for anything else.
    let most = form.map(|byte| if byte == b'0' { 0x7f - 9 } else { 0x7f });
    let differ = u64::from_le_bytes(text) ^ u64::from_le_bytes(form);
    let wrong = ((differ & SEVEN) + u64::from_le_bytes(most)) | differ;
    let pairs = differ.wrapping_mul(10).wrapping_add(differ >> 8);
    (wrong & !SEVEN == 0).then_some(pairs.to_le_bytes())
}

/// A date, optionally with a time after a space or `T`: hours and minutes, then optional seconds with up to nine
/// digits of a fraction, then an optional zone offset.
pub(super) fn clock(text: &[u8]) -> Result<Clock, BadValue> {
    read_clock(text).ok_or(NOT_TIMESTAMP)
}

fn read_clock(text: &[u8]) -> Option<Clock> {
    let (day, rest) = text.split_first_chunk::<10>()?;
    let midnight = i64::from(day_number(*day)?) * SECONDS_A_DAY;
    let Some((separator, rest)) = rest.split_first() else {
        return Some(Clock {
            seconds: midnight,
            nanoseconds: 0,
            zone: ClockZone::Unknown,
        });
    };
    if !matches!(separator, b' ' | b'T' | b't') {
        return None;
    }
    let (second, nanoseconds, rest) = time_of_day(rest)?;
    Some(Clock {
        seconds: midnight + i64::from(second),
        nanoseconds,
        zone: zone_offset(rest)?,
    })
}

/// Reads `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`. Returns the seconds and nanoseconds since midnight, and the
/// bytes after it.
pub(super) fn time_of_day(text: &[u8]) -> Option<(i32, u32, &[u8])> {
    let (&[h0, h1, colon, m0, m1], rest) = text.split_first_chunk::<5>()?;
    let (hour, minute) = (two_digits(h0, h1)?, two_digits(m0, m1)?);
    if colon != b':' || hour >= 24 || minute >= 60 {
        return None;
    }
    let minutes = (hour * 60 + minute) * 60;
    let [b':', s0, s1, rest @ ..] = rest else {
        return (rest.first() != Some(&b':')).then_some((minutes, 0, rest));
    };
    let second = two_digits(*s0, *s1).filter(|second| *second < 60)?;
    let (nanoseconds, rest) = fraction(rest)?;
    Some((minutes + second, nanoseconds, rest))
}

/// Days from 1970-01-01 to `YYYY-MM-DD` in the proleptic Gregorian calendar.
#[inline]
pub(super) fn day_number([y0, y1, y2, y3, dash0, m0, m1, dash1, d0, d1]: [u8; 10]) -> Option<i32> {
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
    // The years begin in March, and the first begins before every year of four digits.
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

#[inline]
fn two_digits(tens: u8, units: u8) -> Option<i32> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens <= 9 && units <= 9).then(|| i32::from(tens) * 10 + i32::from(units))
}

/// Nanoseconds of a fraction such as `.25`, or 0 without one, and the bytes after it.
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

/// `Z`, `+09:00`, `+0900` or `+09`, optionally after a space, or nothing.
fn zone_offset(text: &[u8]) -> Option<ClockZone> {
    if text.is_empty() {
        return Some(ClockZone::Unknown);
    }
    let (sign, hours, minutes) = match text.strip_prefix(b" ").unwrap_or(text) {
        b"Z" | b"z" => return Some(ClockZone::Ahead(0)),
        [sign, h0, h1] => (sign, two_digits(*h0, *h1)?, 0),
        [sign, h0, h1, m0, m1] | [sign, h0, h1, b':', m0, m1] => {
            (sign, two_digits(*h0, *h1)?, two_digits(*m0, *m1)?)
        }
        _ => return None,
    };
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        _ if hours >= 24 || minutes >= 60 => None,
        b'+' => Some(ClockZone::Ahead(seconds)),
        b'-' => Some(ClockZone::Ahead(-seconds)),
        _ => None,
    }
}
