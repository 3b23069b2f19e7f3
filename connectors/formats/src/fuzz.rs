//! Properties of private items, for the fuzz targets of `tests/fuzz`.

#![allow(clippy::expect_used)]

use arrow::datatypes::TimeUnit;

use crate::scalar::timestamp::{DateParser, TimestampParser, time_of_day};
use crate::scalar::{FieldText, Offsets, TimeRules, boolean, number};

/// Parses numbers, dates and times from any text. Fast and slow paths agree, and agree with the standard library
/// where it reads the same form. A value that is written and parsed again is the same.
///
/// # Panics
/// When a property does not hold.
pub fn scalars(text: &[u8]) {
    numbers(text);
    let _ = boolean(text);
    if let Ok(nanoseconds) = time_of_day(text, TimeUnit::Nanosecond) {
        assert!(
            (0..86_400_000_000_000).contains(&nanoseconds),
            "a time beyond its day"
        );
    }
    let lenient = TimeRules {
        offsets: Offsets::Convert,
        ..TimeRules::default()
    };
    let strict = TimeRules::default();
    for unit in [
        TimeUnit::Second,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ] {
        let parsed = |rules: &TimeRules| {
            TimestampParser::new(unit, None, rules).map(|parser| parser.parse(text))
        };
        let (strict, lenient) = (parsed(&strict), parsed(&lenient));
        if let (Ok(Ok(strict)), Ok(lenient)) = (strict, lenient) {
            assert_eq!(lenient, Ok(strict), "a text without an offset");
        }
    }
    if let Ok(days) = DateParser::new(&strict).parse(text)
        && let Some(date) = chrono::NaiveDate::from_epoch_days(days)
    {
        let again = DateParser::new(&strict).parse(date.to_string().as_bytes());
        assert_eq!(again, Ok(days), "a date that is read again");
    }
}

fn numbers(text: &[u8]) {
    let mut room = text.to_vec();
    room.extend_from_slice(b"0123456789abcdef");
    let narrow = number::narrow(FieldText {
        text: room.get(..text.len()).unwrap_or_default(),
        room: &room,
    });
    let integer = number::integer(text);
    if let Some(narrow) = narrow {
        assert_eq!(integer, Ok(narrow.into()), "the fast way of integers");
    }
    let plain = std::str::from_utf8(text).ok();
    if let Some(expected) = plain.and_then(|text| text.parse::<i128>().ok())
        && expected.unsigned_abs() < 10_u128.pow(38)
    {
        assert_eq!(integer, Ok(expected), "the standard library's integer");
    }
    if let Ok(float) = number::float(text, f64::NAN)
        && let Some(expected) = plain.and_then(|text| text.trim().parse::<f64>().ok())
    {
        assert_eq!(
            float.to_bits(),
            expected.to_bits(),
            "the standard library's float"
        );
    }
    if let Ok(small) = number::decimal128(text, 20, 4) {
        let wide = number::decimal256(text, 50, 4).map(|wide| wide.to_i128());
        assert_eq!(wide, Ok(Some(small)), "a wider decimal");
        let written = format!("{}e-4", small);
        assert_eq!(
            number::decimal128(written.as_bytes(), 20, 4),
            Ok(small),
            "a decimal that is read again"
        );
    }
}
