//! Numbers from their text, exactly: integers and decimals never pass through a float.

use std::str::FromStr;

use arrow::datatypes::{DataType, i256};

/// An integer. `1.0` and `1e3` are refused: a column that sees them holds no integers.
///
/// # Errors
/// A sentence, when the number is not written as an integer or does not fit.
pub(super) fn integer<N: FromStr + Default>(text: &str, target: &DataType) -> Result<N, String> {
    match text.parse() {
        Ok(number) => Ok(number),
        // Unsigned types know no sign, but minus zero is zero.
        Err(_) if text == "-0" => Ok(N::default()),
        Err(_) if text.contains(['.', 'e', 'E']) => Err(format!(
            "{text} is not written as an integer: declare the column as a DOUBLE or DECIMAL"
        )),
        Err(_) => Err(format!("{text} does not fit {target}")),
    }
}

/// The nearest float.
///
/// # Errors
/// A sentence, when the number is beyond the type's finite range.
pub(super) fn float<N: FromStr + Copy + Into<f64>>(
    text: &str,
    target: &DataType,
) -> Result<N, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number: &N| (*number).into().is_finite());
    number.ok_or_else(|| format!("{text} does not fit {target}"))
}

/// A decimal's unscaled value: the number times 10^`scale`.
///
/// # Errors
/// A sentence, when the number has more decimal places or digits than the type.
pub(super) fn decimal<N: FromUnscaled>(text: &str, precision: u8, scale: i8) -> Result<N, String> {
    let digits = unscaled_digits(text, precision, scale)?;
    N::from_digits(&digits)
        .ok_or_else(|| format!("{text} does not fit DECIMAL({precision}, {scale})"))
}

/// The integers that hold unscaled decimals.
pub(super) trait FromUnscaled: Sized {
    fn from_digits(digits: &str) -> Option<Self>;
}

impl FromUnscaled for i128 {
    fn from_digits(digits: &str) -> Option<Self> {
        digits.parse().ok()
    }
}

impl FromUnscaled for i256 {
    fn from_digits(digits: &str) -> Option<Self> {
        Self::from_string(digits)
    }
}

/// `text` is a JSON number; the result an integer, of at most `precision` digits.
fn unscaled_digits(text: &str, precision: u8, scale: i8) -> Result<String, String> {
    let too_large = || format!("{text} does not fit DECIMAL({precision}, {scale})");
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, magnitude) = match mantissa.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", mantissa),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits = format!("{whole}{fraction}");
    let trimmed = digits.trim_end_matches('0');
    let significant = trimmed.trim_start_matches('0');
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    // The value is `significant` times 10^(exponent - places of the fraction + trailing zeros cut off).
    let places = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let zeros = exponent
        .parse::<i64>()
        .ok()
        .and_then(|exponent| exponent.checked_sub(places(fraction.len())))
        .and_then(|power| power.checked_add(places(digits.len() - trimmed.len())))
        .and_then(|power| power.checked_add(i64::from(scale)));
    let Some(zeros) = zeros else {
        return Err(too_large());
    };
    let Ok(zeros) = usize::try_from(zeros) else {
        return Err(format!(
            "{text} has more decimal places than DECIMAL({precision}, {scale})"
        ));
    };
    if significant.len().saturating_add(zeros) > usize::from(precision) {
        return Err(too_large());
    }
    Ok(format!("{sign}{significant}{}", "0".repeat(zeros)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn integers_are_exact_or_refused() {
        for (text, expected) in [
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9223372036854775808", None),
            ("1.0", None),
            ("1e3", None),
            ("-0", Some(0)),
        ] {
            assert_eq!(
                integer::<i64>(text, &DataType::Int64).ok(),
                expected,
                "{text}"
            );
        }
        assert_eq!(integer::<u8>("-0", &DataType::UInt8), Ok(0));
        assert!(integer::<u8>("-1", &DataType::UInt8).is_err());
        assert!(integer::<u8>("256", &DataType::UInt8).is_err());
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(float::<f64>("1e-400", &DataType::Float64), Ok(0.0));
        assert_eq!(float::<f64>("0.1", &DataType::Float64), Ok(0.1));
        assert!(float::<f64>("1e400", &DataType::Float64).is_err());
        assert!(float::<f32>("1e39", &DataType::Float32).is_err());
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, precision, scale, expected) in [
            ("12.34", 10, 2, Ok(1234)),
            ("-12.34", 10, 2, Ok(-1234)),
            ("12.3", 10, 2, Ok(1230)),
            ("12", 10, 2, Ok(1200)),
            ("12.3400", 10, 2, Ok(1234)),
            ("0.01", 10, 2, Ok(1)),
            ("1.234e1", 10, 2, Ok(1234)),
            ("1234e-2", 10, 2, Ok(1234)),
            ("1200", 4, -2, Ok(12)),
            ("-0.00", 10, 2, Ok(0)),
            ("0e999999999999999999999", 10, 2, Ok(0)),
            ("0.1e1", 1, 0, Ok(1)),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Ok(10_i128.pow(38) - 1),
            ),
            (
                "0.30000000000000000000000000000000000001",
                38,
                38,
                Ok(3 * 10_i128.pow(37) + 1),
            ),
            ("12.345", 10, 2, Err("decimal places")),
            ("1210", 4, -2, Err("decimal places")),
            ("1e-3", 10, 2, Err("decimal places")),
            ("123456789", 10, 2, Err("does not fit")),
            (
                "100000000000000000000000000000000000000",
                38,
                0,
                Err("does not fit"),
            ),
            ("1e999999999", 38, 0, Err("does not fit")),
            ("1e999999999999999999999", 38, 0, Err("does not fit")),
            ("1e9223372036854775807", 38, 2, Err("does not fit")),
        ] {
            match (decimal::<i128>(text, precision, scale), expected) {
                (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
            }
        }
        let nines = "9".repeat(76);
        let wide = decimal::<i256>(&nines, 76, 0).unwrap();
        assert_eq!(wide.to_string(), nines);
    }
}
