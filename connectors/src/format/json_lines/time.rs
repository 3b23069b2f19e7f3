//! Dates and timestamps from text, without losing a digit.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::format::{Item, Parsed};
use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A wall clock, and its distance from UTC where the text says so.
type Clock = (NaiveDateTime, Option<FixedOffset>);

/// How a timestamp column reads its text.
pub(super) struct TimestampRule {
    unit: TimeUnit,
    zone: Option<Tz>,
    /// chrono's `strftime` items; without them the text is like RFC 3339.
    format: Option<Vec<Item<'static>>>,
}

impl TimestampRule {
    /// # Errors
    /// A sentence, when the zone is unknown.
    pub(super) fn new(
        unit: TimeUnit,
        zone: Option<&str>,
        format: Option<Vec<Item<'static>>>,
    ) -> Result<Self, String> {
        let zone = zone
            .map(|zone| {
                zone.parse()
                    .map_err(|_| format!("unknown time zone '{zone}'"))
            })
            .transpose()?;
        Ok(Self { unit, zone, format })
    }

    /// Units since the epoch. Text without an offset is local time of the column's zone (UTC if it has none);
    /// text with one is that instant.
    ///
    /// # Errors
    /// A sentence, when the text is no timestamp, names no single instant, or does not fit the unit exactly.
    pub(super) fn parse(&self, text: &str) -> Result<i64, String> {
        let clock = match &self.format {
            Some(items) => formatted(text, items).ok_or_else(|| format!("'{text}' does not match timestamp_format")),
            None => rfc3339_like(text).ok_or_else(|| {
                format!("'{text}' is not a timestamp like 2024-03-10T07:23:12.5 (optionally with Z or +09:00)")
            }),
        };
        let utc = self.to_utc(clock?, text)?.and_utc();
        let nanos = utc.timestamp_subsec_nanos();
        let units_per_second = match self.unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => NANOS_PER_SECOND,
        };
        let nanos_per_unit = NANOS_PER_SECOND / units_per_second;
        if nanos % nanos_per_unit != 0 {
            return Err(format!(
                "'{text}' has more decimals than the column's unit ({}) holds",
                self.unit
            ));
        }
        let whole = i128::from(utc.timestamp()) * i128::from(units_per_second);
        i64::try_from(whole + i128::from(nanos / nanos_per_unit)).map_err(|_| {
            format!(
                "'{text}' is out of range for a timestamp in unit {}",
                self.unit
            )
        })
    }

    fn to_utc(&self, (local, offset): Clock, text: &str) -> Result<NaiveDateTime, String> {
        let out_of_range = || format!("'{text}' is out of range");
        match (offset, &self.zone) {
            (Some(offset), _) => local.checked_sub_offset(offset).ok_or_else(out_of_range),
            (None, None) => Ok(local),
            (None, Some(zone)) => match zone.from_local_datetime(&local) {
                MappedLocalTime::Single(instant) => Ok(instant.naive_utc()),
                MappedLocalTime::Ambiguous(..) => {
                    Err(format!("'{text}' occurs twice in {zone}: write its offset"))
                }
                MappedLocalTime::None => Err(format!("'{text}' does not exist in {zone}")),
            },
        }
    }
}

/// Days since the epoch of a date in `format`, without one of a date `YYYY-MM-DD`.
///
/// # Errors
/// A sentence, when the text is no such date.
pub(super) fn parse_date(text: &str, format: Option<&[Item<'static>]>) -> Result<i32, String> {
    let day = match format {
        Some(items) => formatted_date(text, items)
            .ok_or_else(|| format!("'{text}' does not match date_format")),
        None => {
            date(text.as_bytes()).ok_or_else(|| format!("'{text}' is not a date like 2024-03-10"))
        }
    };
    Ok(day?.to_epoch_days())
}

fn formatted_date(text: &str, items: &[Item<'static>]) -> Option<NaiveDate> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    parsed.to_naive_date().ok()
}

fn formatted(text: &str, items: &[Item<'static>]) -> Option<Clock> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    let offset = parsed.to_fixed_offset().ok();
    let seconds_east = offset.map_or(0, |offset| offset.local_minus_utc());
    let clock = match parsed.to_naive_datetime_with_offset(seconds_east) {
        Ok(clock) => clock,
        // A format of a date alone means its midnight.
        Err(_) if parsed.hour_mod_12().is_none() && parsed.minute().is_none() => {
            parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
        }
        Err(_) => return None,
    };
    // chrono writes a leap second as a second of more than 10^9 nanoseconds.
    (clock.and_utc().timestamp_subsec_nanos() < NANOS_PER_SECOND).then_some((clock, offset))
}

/// `YYYY-MM-DD`, or with a time after `T` or a space: `HH:MM[:SS[.fraction]]`, and an offset.
fn rfc3339_like(text: &str) -> Option<Clock> {
    let bytes = text.as_bytes();
    let day = date(bytes.get(..10)?)?;
    let Some((separator, rest)) = bytes[10..].split_first() else {
        return Some((day.and_time(NaiveTime::MIN), None));
    };
    if !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let zone_at = rest
        .iter()
        .position(|b| matches!(b, b'Z' | b'z' | b'+' | b'-'))
        .unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    Some((day.and_time(time(clock)?), offset(zone)?))
}

fn date(bytes: &[u8]) -> Option<NaiveDate> {
    let [year @ .., b'-', m1, m2, b'-', d1, d2] = bytes else {
        return None;
    };
    let year = number(year).filter(|_| year.len() == 4)?;
    NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        number(&[*m1, *m2])?,
        number(&[*d1, *d2])?,
    )
}

fn time(bytes: &[u8]) -> Option<NaiveTime> {
    let [h1, h2, b':', m1, m2, rest @ ..] = bytes else {
        return None;
    };
    let (second, fraction) = match rest {
        [] => (0, &[][..]),
        [b':', s1, s2] => (number(&[*s1, *s2])?, &[][..]),
        [b':', s1, s2, b'.', fraction @ ..] if (1..=9).contains(&fraction.len()) => {
            (number(&[*s1, *s2])?, fraction)
        }
        _ => return None,
    };
    let mut nano_digits = [b'0'; 9];
    nano_digits[..fraction.len()].copy_from_slice(fraction);
    let nanos = number(&nano_digits)?;
    NaiveTime::from_hms_nano_opt(number(&[*h1, *h2])?, number(&[*m1, *m2])?, second, nanos)
}

/// `Z`, `+09:00`, `+0900`, `+09`, or nothing. The outer `None` means that it is none of these.
fn offset(bytes: &[u8]) -> Option<Option<FixedOffset>> {
    let (sign, hours, minutes) = match bytes {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(FixedOffset::east_opt(0)),
        [sign, h1, h2] => (sign, [*h1, *h2], [b'0', b'0']),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let minutes = number(&minutes).filter(|minutes| *minutes < 60)?;
    let seconds = i32::try_from(number(&hours)? * 3600 + minutes * 60).ok()?;
    let east = match sign {
        b'+' => seconds,
        b'-' => -seconds,
        _ => return None,
    };
    FixedOffset::east_opt(east).map(Some)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

    use chrono::format::StrftimeItems;

    use super::*;

    fn items(format: &str) -> Vec<Item<'static>> {
        StrftimeItems::new(format).parse_to_owned().unwrap()
    }

    #[test]
    fn timestamps_without_a_format() {
        let seoul = Some("Asia/Seoul");
        let new_york = Some("America/New_York");
        for (unit, zone, text, expected) in [
            (TimeUnit::Second, None, "1970-01-01 00:01:00", Ok(60)),
            (TimeUnit::Second, None, "1970-01-01T00:01", Ok(60)),
            (TimeUnit::Second, None, "1970-01-02", Ok(86_400)),
            (TimeUnit::Second, None, "1969-12-31t23:59:59z", Ok(-1)),
            (
                TimeUnit::Millisecond,
                None,
                "1969-12-31 23:59:59.999",
                Ok(-1),
            ),
            (
                TimeUnit::Microsecond,
                None,
                "1970-01-01 00:00:00.000001000",
                Ok(1),
            ),
            (
                TimeUnit::Nanosecond,
                None,
                "1970-01-01 00:00:00.123456789",
                Ok(123_456_789),
            ),
            (TimeUnit::Second, None, "1970-01-01T09:00:00+09:00", Ok(0)),
            (TimeUnit::Second, None, "1970-01-01T09:00:00+0900", Ok(0)),
            (TimeUnit::Second, None, "1969-12-31T19:00:00-05", Ok(0)),
            (TimeUnit::Second, seoul, "1970-01-01T09:00:00", Ok(0)),
            (TimeUnit::Second, seoul, "1970-01-01T00:00:00Z", Ok(0)),
            (
                TimeUnit::Second,
                new_york,
                "2024-11-03 01:30:00",
                Err("occurs twice"),
            ),
            (
                TimeUnit::Second,
                new_york,
                "2024-11-03 01:30:00-05:00",
                Ok(1_730_615_400),
            ),
            (
                TimeUnit::Second,
                new_york,
                "2024-03-10 02:30:00",
                Err("does not exist"),
            ),
            (
                TimeUnit::Second,
                None,
                "1970-01-01 00:00:00.5",
                Err("more decimals"),
            ),
            (
                TimeUnit::Microsecond,
                None,
                "1970-01-01 00:00:00.0000001",
                Err("more decimals"),
            ),
            (
                TimeUnit::Nanosecond,
                None,
                "9999-12-31 00:00:00",
                Err("out of range"),
            ),
            (
                TimeUnit::Nanosecond,
                None,
                "1677-09-21T00:12:43.145224192",
                Ok(i64::MIN),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-30 00:00:00",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 24:00:00",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 23:59:60",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 1:00:00",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 01:00:00.",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 01:00:00 ",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 01:00:00+25:00",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 01:00:00+09:60",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "2024-02-03 01:00:00.1234567891",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "24-02-03",
                Err("is not a timestamp"),
            ),
            (
                TimeUnit::Second,
                None,
                "２０２４-02-03",
                Err("is not a timestamp"),
            ),
            (TimeUnit::Second, None, "", Err("is not a timestamp")),
        ] {
            let found = TimestampRule::new(unit, zone, None).unwrap().parse(text);
            check(text, found, expected);
        }
    }

    #[test]
    fn timestamps_with_a_format() {
        for (format, zone, text, expected) in [
            ("%Y/%m/%d %H.%M", None, "1970/01/01 00.01", Ok(60)),
            ("%d.%m.%Y", None, "02.01.1970", Ok(86_400)),
            ("%Y%m%d%H%M%S%z", None, "19700101090000+0900", Ok(0)),
            ("%Y%m%d%H%M%S", Some("Asia/Seoul"), "19700101090000", Ok(0)),
            ("%s", None, "60", Ok(60)),
            ("%Y/%m/%d", None, "1970/01/01 ", Err("does not match")),
            (
                "%Y-%m-%d %H:%M:%S",
                None,
                "2024-02-03 23:59:60",
                Err("does not match"),
            ),
            ("%Y-%m-%d %M", None, "2024-02-03 10", Err("does not match")),
            ("%H:%M", None, "10:10", Err("does not match")),
        ] {
            let found = TimestampRule::new(TimeUnit::Second, zone, Some(items(format)))
                .unwrap()
                .parse(text);
            check(text, found, expected);
        }
        assert!(TimestampRule::new(TimeUnit::Second, Some("Mars/Base"), None).is_err());
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-02", Ok(1)),
            ("1969-12-31", Ok(-1)),
            ("2024-02-29", Ok(19_782)),
            ("2023-02-29", Err("is not a date")),
            ("2024-2-29", Err("is not a date")),
            ("2024-02-29 ", Err("is not a date")),
            ("2024-02-29T00:00:00", Err("is not a date")),
            ("+2024-02-29", Err("is not a date")),
            ("", Err("is not a date")),
        ] {
            check(text, parse_date(text, None), expected);
        }
        for (format, text, expected) in [
            ("%d.%m.%Y", "02.01.1970", Ok(1)),
            ("%Y-%m-%d %H", "1970-01-02 05", Ok(1)),
            ("%d.%m.%Y", "02.13.1970", Err("does not match")),
            ("%d.%m", "02.12", Err("does not match")),
        ] {
            check(text, parse_date(text, Some(&items(format))), expected);
        }
    }

    fn check<T: PartialEq + std::fmt::Debug>(
        text: &str,
        found: Result<T, String>,
        expected: Result<T, &str>,
    ) {
        match (&found, &expected) {
            (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            _ => unreachable!("{text}: {found:?} instead of {expected:?}"),
        }
    }
}
