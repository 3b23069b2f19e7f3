#![allow(clippy::unwrap_used)]

use chrono::{Datelike, NaiveDate};

use super::super::clock::{HAS_TIME, NOT_DATE, NOT_TIMESTAMP};
use super::*;
use crate::scalar::TimeFormat;

const NOT_IN_FORMAT: BadValue = "it does not follow the source's format";

/// Formats, divided by `|`.
fn formats(written: Option<&str>) -> TimeFormats {
    let parse = |format| TimeFormat::parse(format).unwrap();
    written.map_or_else(TimeFormats::default, |written| {
        written.split('|').map(parse).collect::<Vec<_>>().into()
    })
}

fn stamps(unit: TimeUnit, zone: Option<&str>, format: Option<&str>) -> TimestampParser {
    let rules = TimeRules {
        timestamps: formats(format),
        ..TimeRules::default()
    };
    TimestampParser::new(unit, zone, &rules).unwrap()
}

fn date(text: &[u8], format: Option<&str>) -> Result<i32, BadValue> {
    let rules = TimeRules {
        dates: formats(format),
        ..TimeRules::default()
    };
    DateParser::new(&rules).parse(text)
}

#[test]
fn every_day_of_ten_thousand_years() {
    let first = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
    for day in first.iter_days().take_while(|day| day.year() <= 9999) {
        let text = format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
        assert_eq!(
            date(text.as_bytes(), None),
            Ok(i32::try_from((day - epoch).num_days()).unwrap()),
            "{text}"
        );
    }
}

#[test]
fn whole_seconds_agree_with_all_forms() {
    let mut state = 11_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap() % below
    };
    let mut both = 0;
    for _ in 0..300_000 {
        let mut text = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            next(10_000),
            next(14),
            next(33),
            next(25),
            next(61),
            next(61)
        )
        .into_bytes();
        for _ in 0..next(3) {
            let near = b"09:/-.T t\xb9\x00Z+";
            text[next(19)] = near[next(near.len())];
        }
        let full = iso::clock(&text).ok();
        // A text of 19 bytes may also be a time without seconds but with an offset.
        let full = full.filter(|clock| matches!(clock.zone, ClockZone::Unknown));
        let full = full.map(|clock| clock.seconds);
        let quick = iso::whole_seconds(&text);
        both += usize::from(quick.is_some());
        assert_eq!(quick, full, "{text:?}");
    }
    assert!(both > 50_000, "{both}");
}

#[test]
fn timestamps() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let seoul = Some("Asia/Seoul");
    let york = Some("America/New_York");
    let cases: &[(
        TimeUnit,
        Option<&str>,
        Option<&str>,
        &str,
        Result<i64, BadValue>,
    )] = &[
        (Second, None, None, "2024-03-10 07:23:12", Ok(1_710_055_392)),
        (Second, None, None, "2024-03-10T07:23:12", Ok(1_710_055_392)),
        (
            Millisecond,
            None,
            None,
            "2024-03-10 07:23:12.5",
            Ok(1_710_055_392_500),
        ),
        (
            Microsecond,
            None,
            None,
            "2024-03-10 07:23:12.000001",
            Ok(1_710_055_392_000_001),
        ),
        (
            Nanosecond,
            None,
            None,
            "2024-03-10T07:23:12.123456789",
            Ok(1_710_055_392_123_456_789),
        ),
        (Millisecond, None, None, "1969-12-31 23:59:59.999", Ok(-1)),
        (
            Second,
            None,
            None,
            "2024-03-10 07:23:12.000",
            Ok(1_710_055_392),
        ),
        (
            Millisecond,
            None,
            None,
            "2024-03-10 07:23:12.0001",
            Err(TOO_FINE),
        ),
        (
            Nanosecond,
            None,
            None,
            "2500-01-01 00:00:00",
            Err(OUT_OF_RANGE),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 07:23:12.",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 07:23:12.0000000000",
            Err(NOT_TIMESTAMP),
        ),
        (Second, None, None, "2024-03-10", Ok(1_710_028_800)),
        (Second, None, None, "2024-03-10 07:23", Ok(1_710_055_380)),
        (Second, None, None, " 2024-03-10T07:23 ", Ok(1_710_055_380)),
        (Second, None, None, "2024-03-10 07:23:", Err(NOT_TIMESTAMP)),
        (Second, None, None, "2024-03-10 07", Err(NOT_TIMESTAMP)),
        (
            Second,
            None,
            None,
            "2024-03-10 07:23 PM",
            Err(NOT_TIMESTAMP),
        ),
        (Second, None, None, "2024-03-10 1:00:00", Err(NOT_TIMESTAMP)),
        (Second, None, None, "２０２４-02-03", Err(NOT_TIMESTAMP)),
        (Second, None, None, "2024-03-10 07:23+09", Err(HAS_OFFSET)),
        (
            Second,
            seoul,
            None,
            "2024-03-10 07:23+09",
            Ok(1_710_055_380 - 9 * 3600),
        ),
        (
            Nanosecond,
            None,
            None,
            "1677-09-21T00:12:43.145224192",
            Ok(i64::MIN),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10_07:23:12",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-02-30 07:23:12",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2023-02-29 07:23:12",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 24:00:00",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 23:60:00",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 23:59:60",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-00-10 23:59:00",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024/03/10 23:59:00",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            None,
            None,
            "2024-03-10 07:23:1x",
            Err(NOT_TIMESTAMP),
        ),
        (Second, None, None, "", Err(NOT_TIMESTAMP)),
        (Second, None, None, "2024-03-10 07:23:12Z", Err(HAS_OFFSET)),
        (
            Second,
            seoul,
            None,
            "2024-03-10 07:23:12",
            Ok(1_710_055_392 - 9 * 3600),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10 07:23:12Z",
            Ok(1_710_055_392),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10 07:23:12 -03:30",
            Ok(1_710_055_392 + 12_600),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10T07:23:12.0+0900",
            Ok(1_710_055_392 - 9 * 3600),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10T07:23:12+09",
            Ok(1_710_055_392 - 9 * 3600),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10T07:23:12+25:00",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            seoul,
            None,
            "2024-03-10T07:23:12 KST",
            Err(NOT_TIMESTAMP),
        ),
        (
            Second,
            Some("+02:00"),
            None,
            "2024-03-10 07:23:12",
            Ok(1_710_055_392 - 7200),
        ),
        (
            Second,
            york,
            None,
            "2024-03-10 02:30:00",
            Err(NO_SUCH_LOCAL),
        ),
        (Second, york, None, "2024-11-03 01:30:00", Err(TWICE_LOCAL)),
        (
            Second,
            york,
            None,
            "2024-11-03 01:30:00-05:00",
            Ok(1_730_615_400),
        ),
        (
            Second,
            None,
            Some("%d.%m.%Y %H:%M"),
            "10.03.2024 07:23",
            Ok(1_710_055_380),
        ),
        (Second, None, Some("%Y%m%d"), "20240310", Ok(1_710_028_800)),
        (Second, None, Some("%s"), "1710055392", Ok(1_710_055_392)),
        (
            Second,
            None,
            Some("%Y%m%d"),
            "2024-03-10 07:23:12",
            Err(NOT_IN_FORMAT),
        ),
        (Second, seoul, Some("%s"), "1710055392", Ok(1_710_055_392)),
        (
            Second,
            None,
            Some("%Y-%m-%d %H"),
            "2024-03-10 07",
            Ok(1_710_054_000),
        ),
        (
            Second,
            None,
            Some("%Y-%m-%d %H:%M:%S"),
            "2024-03-10 23:59:60",
            Err("it is a leap second, which no column can hold"),
        ),
        (
            Second,
            None,
            Some("%d.%m.%Y|iso|%Y%m%d"),
            "2024-03-10",
            Ok(1_710_028_800),
        ),
        (
            Second,
            None,
            Some("%d.%m.%Y|iso|%Y%m%d"),
            "20240310",
            Ok(1_710_028_800),
        ),
        (
            Second,
            None,
            Some("%d.%m.%Y|iso"),
            "03/10/2024",
            Err("it follows none of the source's formats"),
        ),
        (
            Microsecond,
            None,
            Some("epoch_seconds"),
            "1710055392.25",
            Ok(1_710_055_392_250_000),
        ),
        (Second, seoul, Some("epoch_milliseconds"), "-1000", Ok(-1)),
        (Second, None, Some("epoch_microseconds"), "1", Err(TOO_FINE)),
        (
            Nanosecond,
            None,
            Some("epoch_nanoseconds"),
            "1.7e18",
            Ok(1_700_000_000_000_000_000),
        ),
        (
            Second,
            None,
            Some("epoch_seconds"),
            "2024-03-10",
            Err("it is not a number of units since 1970"),
        ),
        (
            Second,
            seoul,
            Some("%Y-%m-%dT%H:%M:%S%z"),
            "2024-03-10T07:23:12+0100",
            Ok(1_710_055_392 - 3600),
        ),
        (
            Second,
            None,
            Some("%Y-%m-%dT%H:%M:%S%z"),
            "2024-03-10T07:23:12+0100",
            Err(HAS_OFFSET),
        ),
    ];
    for (unit, zone, format, text, expected) in cases {
        assert_eq!(
            stamps(*unit, *zone, *format).parse(text.as_bytes()),
            *expected,
            "{text} {zone:?} {format:?}"
        );
    }
}

#[test]
fn offsets_are_converted_where_the_source_says_so() {
    let rules = TimeRules {
        offsets: Offsets::Convert,
        ..TimeRules::default()
    };
    let zoneless = TimestampParser::new(TimeUnit::Second, None, &rules).unwrap();
    assert_eq!(zoneless.parse(b"1970-01-01T09:00:00+09:00"), Ok(0));
    assert_eq!(zoneless.parse(b"1969-12-31t23:59:59z"), Ok(-1));
    assert_eq!(zoneless.parse(b"1970-01-01T00:00:00"), Ok(0));
    assert_eq!(
        zoneless.parse(b"2024-02-03 01:00:00+09:60"),
        Err(NOT_TIMESTAMP)
    );
    assert!(TimestampParser::new(TimeUnit::Second, Some("Mars/Base"), &rules).is_err());
}

#[test]
fn formats_that_say_no_day_are_refused() {
    for wrong in [
        "",
        "%H:%M",
        "%m/%d",
        "%Y-%m",
        "%Y-%m-%d %p",
        "%Q",
        "epoch",
        "%Y-%m-%d %M",
        "plain",
    ] {
        assert!(TimeFormat::parse(wrong).is_err(), "{wrong}");
    }
    for right in [
        "%Y-%m-%d %H",
        "%d.%m.%y",
        "%s",
        "%c",
        "%d %b %Y %I:%M %p",
        "%Y-%j",
        "ISO",
        "%Y-%m-%dT%H:%M:%S%.f%:z",
        "epoch_days",
    ] {
        assert!(TimeFormat::parse(right).is_ok(), "{right}");
    }
}

#[test]
fn dates_and_times() {
    let cases: &[(Option<&str>, &str, Result<i32, BadValue>)] = &[
        (None, "1970-01-02", Ok(1)),
        (None, " 1969-12-31 ", Ok(-1)),
        (None, "2024-02-29", Ok(19_782)),
        (None, "1970-01-02 00:00:00", Ok(1)),
        (None, "1970-01-02T00:00", Ok(1)),
        (None, "1970-01-02 00:00:01", Err(HAS_TIME)),
        (None, "1970-01-02 00:00:00.1", Err(HAS_TIME)),
        (None, "1970-01-02 00:00:00Z", Err(HAS_TIME)),
        (None, "", Err(NOT_DATE)),
        (None, "2024-3-10", Err(NOT_DATE)),
        (None, "+2024-02-29", Err(NOT_DATE)),
        (None, "24-03-10", Err(NOT_DATE)),
        (None, "2024-13-01", Err(NOT_DATE)),
        (None, "2024-04-31", Err(NOT_DATE)),
        (None, "2100-02-29", Err(NOT_DATE)),
        (None, "10.03.2024", Err(NOT_DATE)),
        (Some("%d.%m.%Y"), "02.01.1970", Ok(1)),
        (Some("%d.%m.%Y"), "1970-01-02", Err(NOT_IN_FORMAT)),
        (Some("%d.%m.%Y"), "02.13.1970", Err(NOT_IN_FORMAT)),
        (Some("%Y-%m-%d %H"), "1970-01-02 05", Ok(1)),
        (Some("%d.%m.%Y|iso"), "1970-01-02", Ok(1)),
        (Some("epoch_days"), "19782", Ok(19_782)),
        (
            Some("epoch_days"),
            "1.5",
            Err("it is not a number of units since 1970"),
        ),
        (Some("epoch_milliseconds"), "86400000", Ok(1)),
        (Some("epoch_milliseconds"), "1", Err(HAS_TIME)),
    ];
    for (format, text, expected) in cases {
        assert_eq!(
            date(text.as_bytes(), *format),
            *expected,
            "{text} {format:?}"
        );
    }
    let of_day = |text: &str, unit| time_of_day(text.as_bytes(), unit);
    assert_eq!(of_day("00:00:01.5", TimeUnit::Microsecond), Ok(1_500_000));
    assert_eq!(of_day("00:01", TimeUnit::Second), Ok(60));
    assert_eq!(
        of_day("23:59:59", TimeUnit::Nanosecond),
        Ok(86_399_000_000_000)
    );
    assert_eq!(
        of_day("00:00:00.0000001", TimeUnit::Microsecond),
        Err(TOO_FINE)
    );
    for wrong in [
        "",
        "24:00:00",
        "23:59:60",
        "1:00:00",
        "00",
        "00:00:",
        "00:00:00Z",
        "00:00:00.",
        "00-00-00",
    ] {
        assert_eq!(
            of_day(wrong, TimeUnit::Nanosecond),
            Err(NOT_TIME),
            "{wrong}"
        );
    }
}
