//! Parses numbers from text, exactly or not at all.

use std::str::FromStr;

use arrow::datatypes::i256;
use memchr::{memchr, memchr2};

use super::value::{BadValue, FieldText, OUT_OF_RANGE};

const NOT_WHOLE: BadValue = "it is not a whole number";
pub(super) const NOT_NUMBER: BadValue = "it is not a number";
const TOO_FINE: BadValue = "it has more digits after the point than the column keeps";

/// The most digits that a whole number can have.
const WHOLE_DIGITS: u8 = 38;

/// A whole number of up to 18 digits; `None` for anything else, which is left to [`integer`].
#[inline]
pub(crate) fn narrow(value: FieldText<'_>) -> Option<i64> {
    if let (Some(bytes), 1..=8) = (value.room.first_chunk(), value.text.len())
        && let Some(number) = eight(u64::from_le_bytes(*bytes), value.text.len())
    {
        return Some(number.into());
    }
    let (negative, digits) = sign(value.text);
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    let number = i64::try_from(short(digits).ok()?).ok()?;
    Some(if negative { -number } else { number })
}

/// The number in the first `length` bytes (1 to 8) of a word. Digits are combined to pairs, then to fours, then to
/// one number.
#[inline]
fn eight(word: u64, length: usize) -> Option<u32> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    const SIX: u64 = u64::from_ne_bytes([6; 8]);
    let bits = u32::try_from(8 * length).ok()?;
    // The digits move to the end of the word, and zeros go before them.
    let word = word.checked_shl(64 - bits)? | ZEROS.checked_shr(bits).unwrap_or(0);
    // The upper half of a digit is 3, and stays 3 when 6 is added.
    if word & HIGH != ZEROS || word.wrapping_add(SIX) & HIGH != ZEROS {
        return None;
    }
    let digits = word ^ ZEROS;
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    u32::try_from(all).ok()
}

/// A whole number: digits with an optional sign, or a decimal or number with an exponent whose fraction is zero.
pub(crate) fn integer(text: &[u8]) -> Result<i128, BadValue> {
    let (negative, digits) = sign(text);
    if (1..=19).contains(&digits.len())
        && let Ok(magnitude) = short(digits)
    {
        let magnitude = i128::from(magnitude);
        return Ok(if negative { -magnitude } else { magnitude });
    }
    let numeral = Numeral::of(text).ok_or(NOT_WHOLE)?;
    let whole = numeral.unscaled(WHOLE_DIGITS, 0).map_err(|why| match why {
        TOO_FINE => NOT_WHOLE,
        why => why,
    })?;
    whole.to_i128().ok_or(OUT_OF_RANGE)
}

/// Up to 19 digits, which a `u64` always holds.
fn short(digits: &[u8]) -> Result<u64, BadValue> {
    let mut number = 0_u64;
    let mut wrong = false;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        wrong |= digit > 9;
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    if wrong { Err(NOT_WHOLE) } else { Ok(number) }
}

/// A floating-point number, correctly rounded. The texts for infinity and NaN are accepted, but digits never become
/// infinity. All NaNs become `nan`.
pub(crate) fn float<T: FromStr + Into<f64> + Copy>(text: &[u8], nan: T) -> Result<T, BadValue> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_NUMBER)?;
    let number: T = text.trim_ascii().parse().map_err(|_| NOT_NUMBER)?;
    let wide: f64 = number.into();
    if wide.is_nan() {
        return Ok(nan);
    }
    if wide.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(OUT_OF_RANGE);
    }
    Ok(number)
}

/// A decimal number in units of 10^-`scale`, with up to `precision` digits. It is never rounded.
#[inline]
pub(crate) fn decimal128(text: &[u8], precision: u8, scale: i8) -> Result<i128, BadValue> {
    if let Some(number) = short_decimal(text, precision, scale) {
        return Ok(number.into());
    }
    let number = decimal256(text, precision, scale)?;
    number.to_i128().ok_or(OUT_OF_RANGE)
}

/// Like [`decimal128`], with up to 76 digits.
pub(crate) fn decimal256(text: &[u8], precision: u8, scale: i8) -> Result<i256, BadValue> {
    let numeral = Numeral::of(text).ok_or(NOT_NUMBER)?;
    numeral.unscaled(precision, scale)
}

/// A decimal of few digits without an exponent; `None` for anything else.
#[inline]
fn short_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i64> {
    const DIGITS_MAX: usize = 17;
    let (negative, text) = sign(text);
    if !(1..=DIGITS_MAX + 1).contains(&text.len()) {
        return None;
    }
    let mut number = 0_i64;
    let mut point = None;
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            number = number * 10 + i64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let behind = point.map_or(0, |point| text.len() - 1 - point);
    let digits = text.len() - usize::from(point.is_some());
    let missing = usize::try_from(scale).ok()?.checked_sub(behind)?;
    if digits == 0 || digits + missing > DIGITS_MAX.min(usize::from(precision)) {
        return None;
    }
    let number = number * 10_i64.pow(u32::try_from(missing).ok()?);
    Some(if negative { -number } else { number })
}

/// A number as it is written: a sign, digits, and optionally a fraction and an exponent.
struct Numeral<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Numeral<'a> {
    /// `None` if it is not a number.
    fn of(text: &'a [u8]) -> Option<Self> {
        let (negative, text) = sign(text.trim_ascii());
        let (mantissa, exponent) = match memchr2(b'e', b'E', text) {
            Some(at) => (text.get(..at)?, exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let (whole, fraction) = match memchr(b'.', mantissa) {
            Some(point) => (mantissa.get(..point)?, mantissa.get(point + 1..)?),
            None => (mantissa, &[][..]),
        };
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        let are_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        (has_digits && are_digits).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// The number in units of 10^-`scale`.
    fn unscaled(&self, precision: u8, scale: i8) -> Result<i256, BadValue> {
        let digits = self.whole.len() + self.fraction.len();
        let all = || self.whole.iter().chain(self.fraction);
        let leading = all().take_while(|digit| **digit == b'0').count();
        if leading == digits {
            return Ok(i256::ZERO);
        }
        let trailing = all().rev().take_while(|digit| **digit == b'0').count();
        let significant = digits - leading - trailing;
        let zeros = self
            .exponent
            .saturating_add(i64::from(scale))
            .saturating_sub(places(self.fraction.len()))
            .saturating_add(places(trailing));
        let zeros = usize::try_from(zeros).map_err(|_| TOO_FINE)?;
        if significant.saturating_add(zeros) > usize::from(precision) {
            return Err(OUT_OF_RANGE);
        }
        let digits = all().skip(leading).take(significant);
        let magnitude = unsigned(digits.chain(std::iter::repeat_n(&b'0', zeros)));
        Ok(if self.negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        })
    }
}

/// An exponent. It saturates, since larger ones make no difference.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Some(if negative { -magnitude } else { magnitude })
}

fn places(digits: usize) -> i64 {
    i64::try_from(digits).unwrap_or(i64::MAX)
}

/// The number of up to 76 digits.
fn unsigned<'a>(digits: impl Iterator<Item = &'a u8>) -> i256 {
    let mut narrow = 0_i128;
    let mut wide = None;
    for (count, byte) in digits.enumerate() {
        let digit = i128::from(byte - b'0');
        if count < 38 {
            narrow = narrow * 10 + digit;
        } else {
            let so_far = wide.unwrap_or_else(|| i256::from_i128(narrow));
            wide = Some(
                so_far
                    .wrapping_mul(i256::from_i128(10))
                    .wrapping_add(i256::from_i128(digit)),
            );
        }
    }
    wide.unwrap_or_else(|| i256::from_i128(narrow))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let cases: &[(&str, Result<i128, BadValue>)] = &[
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("+12", Ok(12)),
            ("007", Ok(7)),
            ("9223372036854775807", Ok(i64::MAX.into())),
            ("-9223372036854775808", Ok(i64::MIN.into())),
            ("9999999999999999999", Ok(9_999_999_999_999_999_999)),
            ("18446744073709551615", Ok(u64::MAX.into())),
            ("00000000000000000000000000000000000000000000000007", Ok(7)),
            (
                "9999999999999999999999999999999999999999999",
                Err(OUT_OF_RANGE),
            ),
            ("", Err(NOT_WHOLE)),
            ("-", Err(NOT_WHOLE)),
            ("+-1", Err(NOT_WHOLE)),
            ("1.0", Ok(1)),
            ("-123.000", Ok(-123)),
            ("1e3", Ok(1000)),
            ("1.5E+3", Ok(1500)),
            ("1500e-2", Ok(15)),
            (" 1\t", Ok(1)),
            ("9223372036854775807.0", Ok(i64::MAX.into())),
            ("1.5", Err(NOT_WHOLE)),
            ("15e-1", Err(NOT_WHOLE)),
            ("1e400", Err(OUT_OF_RANGE)),
            ("1e", Err(NOT_WHOLE)),
            ("1e1.5", Err(NOT_WHOLE)),
            ("1 2", Err(NOT_WHOLE)),
            ("1_000", Err(NOT_WHOLE)),
            ("１", Err(NOT_WHOLE)),
            ("99999999999999999999x", Err(NOT_WHOLE)),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text.as_bytes()), *expected, "{text}");
            narrow_agrees(text.as_bytes());
        }
    }

    /// Compares with and without more digits after the text in memory.
    fn narrow_agrees(text: &[u8]) {
        let longer = [text, b"12345678"].concat();
        for room in [text, &longer] {
            if let Some(number) = narrow(FieldText { text, room }) {
                assert_eq!(integer(text), Ok(number.into()), "{text:?}");
            } else {
                let is_short = (1..=18).contains(&text.len());
                let is_plain = text.iter().all(u8::is_ascii_digit);
                assert!(!is_short || !is_plain, "{text:?}");
            }
        }
    }

    #[test]
    fn short_integers_agree_with_all() {
        let mut state = 5_u32;
        for length in 0..21 {
            for _ in 0..3000 {
                let digits = (0..length).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let [_, _, any, which] = state.to_le_bytes();
                    if which > 250 { any } else { b'0' + which % 10 }
                });
                narrow_agrees(&digits.collect::<Vec<u8>>());
            }
        }
        for number in 0..200_000 {
            narrow_agrees(format!("{number}").as_bytes());
            narrow_agrees(format!("-{number}").as_bytes());
        }
    }

    #[test]
    fn decimals() {
        let nines = "9".repeat(76);
        let cases: &[(&str, u8, i8, Result<&str, BadValue>)] = &[
            ("12.34", 10, 2, Ok("1234")),
            ("-12.3", 10, 2, Ok("-1230")),
            ("+.5", 10, 2, Ok("50")),
            ("5.", 10, 2, Ok("500")),
            (" 5 ", 10, 2, Ok("500")),
            ("0000000000012", 4, 2, Ok("1200")),
            ("99.99", 4, 2, Ok("9999")),
            ("100", 4, 2, Err(OUT_OF_RANGE)),
            ("0.00", 2, 2, Ok("0")),
            ("-0.00", 10, 2, Ok("0")),
            ("0.001", 10, 2, Err(TOO_FINE)),
            ("1.500", 10, 2, Ok("150")),
            ("12.3400", 10, 2, Ok("1234")),
            ("12.345", 10, 2, Err(TOO_FINE)),
            ("1e2", 10, 2, Ok("10000")),
            ("1.5E+3", 10, 2, Ok("150000")),
            ("1234e-2", 10, 2, Ok("1234")),
            ("1e-3", 10, 2, Err(TOO_FINE)),
            ("1200", 4, -2, Ok("12")),
            ("1210", 4, -2, Err(TOO_FINE)),
            ("0e999999999999999999999", 10, 2, Ok("0")),
            ("0.1e1", 1, 0, Ok("1")),
            ("1e999999999999999999999", 38, 0, Err(OUT_OF_RANGE)),
            ("1e9223372036854775807", 38, 2, Err(OUT_OF_RANGE)),
            ("1e-9223372036854775808", 38, 2, Err(TOO_FINE)),
            (
                "12345678901234567890123456789012345678",
                38,
                0,
                Ok("12345678901234567890123456789012345678"),
            ),
            (
                "0.30000000000000000000000000000000000001",
                38,
                38,
                Ok("30000000000000000000000000000000000001"),
            ),
            (
                "123456789012345678901234567890123456789",
                38,
                0,
                Err(OUT_OF_RANGE),
            ),
            (&nines, 76, 0, Ok(&nines)),
            ("", 10, 2, Err(NOT_NUMBER)),
            (".", 10, 2, Err(NOT_NUMBER)),
            ("-", 10, 2, Err(NOT_NUMBER)),
            ("1e", 10, 2, Err(NOT_NUMBER)),
            ("e1", 10, 2, Err(NOT_NUMBER)),
            ("1.2.3", 10, 2, Err(NOT_NUMBER)),
            ("1,5", 10, 2, Err(NOT_NUMBER)),
            ("NaN", 10, 2, Err(NOT_NUMBER)),
        ];
        for (text, precision, scale, expected) in cases {
            let found = decimal256(text.as_bytes(), *precision, *scale);
            let found = found.map(|number| number.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
            if *precision <= 38 {
                let found = decimal128(text.as_bytes(), *precision, *scale);
                let found = found.map(|number| number.to_string());
                assert_eq!(found, expected.map(str::to_owned), "{text}");
            }
        }
    }

    #[test]
    fn short_decimals_agree_with_all() {
        let mut state = 3_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut short = 0;
        for _ in 0..300_000 {
            let length = next(22);
            let text: Vec<u8> = (0..length)
                .map(|_| b"0123456789.-e +"[usize::try_from(next(150).min(next(15))).unwrap_or(0)])
                .collect();
            let (precision, scale) = (u8::try_from(next(38) + 1).unwrap_or(1), 0);
            let scale = scale + i8::try_from(next(5)).unwrap_or(0);
            if let Some(number) = short_decimal(&text, precision, scale) {
                short += 1;
                let all = decimal256(&text, precision, scale);
                assert_eq!(all, Ok(i256::from_i128(number.into())), "{text:?}");
            }
        }
        assert!(short > 20_000, "{short}");
    }

    #[test]
    fn floats() {
        for (text, expected) in [
            ("0.1", Ok(0.1)),
            (" -1e300", Ok(-1e300)),
            ("1e-400", Ok(0.0)),
            ("inf", Ok(f64::INFINITY)),
            ("-Infinity", Ok(f64::NEG_INFINITY)),
            ("1e400", Err(OUT_OF_RANGE)),
            ("-1e400", Err(OUT_OF_RANGE)),
            ("", Err(NOT_NUMBER)),
            ("1,5", Err(NOT_NUMBER)),
            ("0x10", Err(NOT_NUMBER)),
            ("one", Err(NOT_NUMBER)),
        ] {
            assert_eq!(float::<f64>(text.as_bytes(), f64::NAN), expected, "{text}");
        }
        assert_eq!(float::<f32>(b"1e39", f32::NAN), Err(OUT_OF_RANGE));
        assert_eq!(float::<f64>(b"\xff", f64::NAN), Err(NOT_NUMBER));
        for text in ["nan", "-nan", "NaN", "+NAN"] {
            let number = float::<f64>(text.as_bytes(), f64::NAN).map(f64::to_bits);
            assert_eq!(number, Ok(f64::NAN.to_bits()), "{text}");
        }
    }
}
