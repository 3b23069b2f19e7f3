//! The values of options that several commands have.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

/// More workers than this are a mistake.
pub(super) fn worker_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1024)
}

/// A length of time: a number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "'{text}' is not a length of time; write a number and ms, s, m, h or d, such as 30s"
        )
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    let unit_ms = match text[digits.len()..].trim() {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let milliseconds = number.checked_mul(unit_ms).ok_or_else(wrong)?;
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("5 m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text).unwrap(), duration, "{text}");
        }
        for wrong in ["", "s", "-1s", "1.5s", "1w", "1s1", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
