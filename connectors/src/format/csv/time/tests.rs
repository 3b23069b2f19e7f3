#![allow(clippy::unwrap_used)]

use chrono::format::StrftimeItems;
use chrono::{Datelike, NaiveDate};

use super::*;

fn stamps(unit: TimeUnit, zone: Option<&str>, format: Option<&str>) -> Timestamps {
    Timestamps {
        unit,
        zone: zone.map(|zone| zone.parse().unwrap()),
        format: format.map(|format| StrftimeItems::new(format).parse_to_owned().unwrap()),
    }
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
        let full = iso_in_full(&text).map(|reading| reading.seconds).ok();
        let quick = whole_seconds(&text);
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
    let cases: &[(TimeUnit, Option<&str>, Option<&str>, &str, Result<i64, Why>)] = &[
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
        (Second, None, None, "2024-03-10", Err(NOT_TIMESTAMP)),
        (Second, None, None, "2024-03-10 07:23", Err(NOT_TIMESTAMP)),
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
        (Second, None, None, "2024-03-10 07:23:12Z", Err(HAS_ZONE)),
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
            Err(HAS_ZONE),
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
fn dates_and_times() {
    for wrong in [
        "",
        "2024-3-10",
        "2024-03-10 ",
        "24-03-10",
        "2024-13-01",
        "2024-04-31",
        "2100-02-29",
        "10.03.2024",
    ] {
        assert_eq!(date(wrong.as_bytes(), None), Err(NOT_DATE), "{wrong}");
    }
    let format = StrftimeItems::new("%d.%m.%Y").parse_to_owned().unwrap();
    assert_eq!(date(b"02.01.1970", Some(&format)), Ok(1));
    assert_eq!(date(b"1970-01-02", Some(&format)), Err(NOT_IN_FORMAT));
    assert_eq!(time(b"00:00:01.5", TimeUnit::Microsecond), Ok(1_500_000));
    assert_eq!(
        time(b"23:59:59", TimeUnit::Nanosecond),
        Ok(86_399_000_000_000)
    );
    assert_eq!(
        time(b"00:00:00.0000001", TimeUnit::Microsecond),
        Err(TOO_FINE)
    );
    for wrong in [
        "",
        "24:00:00",
        "1:00:00",
        "00:00",
        "00:00:00Z",
        "00:00:00.",
        "00-00-00",
    ] {
        assert_eq!(
            time(wrong.as_bytes(), TimeUnit::Nanosecond),
            Err(NOT_TIME),
            "{wrong}"
        );
    }
}
