//! Numbers from the bytes of a field, exactly or not at all.

use arrow::datatypes::i256;

use super::field::Value;

/// Why a field is not of its column's type, worded to follow "cannot be read as …:".
pub(super) type Why = &'static str;

const NOT_WHOLE: Why = "it is not a whole number";
const NOT_NUMBER: Why = "it is not a number";
/// The number is sound but the type has no room for it.
pub(super) const OUT_OF_RANGE: Why = "it is out of range";
const TOO_FINE: Why = "it has more digits after the point than the column keeps";

/// A whole number of up to 18 digits; `None` for anything else, of which [`integer`] decides.
#[inline]
pub(super) fn narrow(value: Value<'_>) -> Option<i64> {
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

/// The number of `length` digits, 1 to 8, that a word begins with: pairs of digits, then fours, then all at once.
#[inline]
fn eight(word: u64, length: usize) -> Option<u32> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    const SIX: u64 = u64::from_ne_bytes([6; 8]);
    let bits = u32::try_from(8 * length).ok()?;
    // The digits move to the word's end, and zeros come before them.
    let word = word.checked_shl(64 - bits)? | ZEROS.checked_shr(bits).unwrap_or(0);
    // Of a digit the upper half is 3, and stays so when 6 is added.
    if word & HIGH != ZEROS || word.wrapping_add(SIX) & HIGH != ZEROS {
        return None;
    }
    let digits = word ^ ZEROS;
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    u32::try_from(all).ok()
}

/// A whole number: digits, perhaps with a sign before them.
pub(super) fn integer(text: &[u8]) -> Result<i128, Why> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return Err(NOT_WHOLE);
    }
    let magnitude = if digits.len() <= 19 {
        i128::from(short(digits)?)
    } else {
        long(digits)?
    };
    Ok(if negative { -magnitude } else { magnitude })
}

/// Up to 19 digits, which a `u64` always holds.
fn short(digits: &[u8]) -> Result<u64, Why> {
    let mut number = 0_u64;
    let mut wrong = false;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        wrong |= digit > 9;
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    if wrong { Err(NOT_WHOLE) } else { Ok(number) }
}

fn long(digits: &[u8]) -> Result<i128, Why> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(NOT_WHOLE);
    }
    digits
        .iter()
        .try_fold(0_i128, |number, byte| {
            number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))
        })
        .ok_or(OUT_OF_RANGE)
}

/// A floating-point number as Rust reads it: rounded correctly, `inf` and `NaN` included.
pub(super) fn float<T: std::str::FromStr>(text: &[u8]) -> Result<T, Why> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_NUMBER)?;
    text.parse().map_err(|_| NOT_NUMBER)
}

/// A decimal number in units of 10^-`scale`, of `precision` digits at most: never rounded.
pub(super) fn decimal(text: &[u8], precision: u8, scale: u8) -> Result<i256, Why> {
    let (negative, text) = sign(text);
    let point = memchr::memchr(b'.', text);
    let (whole, fraction) = match point {
        Some(point) => (
            text.get(..point).unwrap_or_default(),
            text.get(point + 1..).unwrap_or_default(),
        ),
        None => (text, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty()
        || !whole.iter().chain(fraction).all(u8::is_ascii_digit)
    {
        return Err(NOT_NUMBER);
    }
    let missing = usize::from(scale)
        .checked_sub(fraction.len())
        .ok_or(TOO_FINE)?;
    let significant = whole
        .iter()
        .chain(fraction)
        .skip_while(|byte| **byte == b'0');
    let digits = significant
        .chain(std::iter::repeat_n(&b'0', missing))
        .map(|byte| byte - b'0');
    let magnitude = unsigned(digits, precision)?;
    Ok(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

/// The number of up to `precision` digits, 76 at most.
fn unsigned(digits: impl Iterator<Item = u8>, precision: u8) -> Result<i256, Why> {
    let mut narrow = 0_i128;
    let mut wide = None;
    for (count, digit) in digits.enumerate() {
        if count >= usize::from(precision) {
            return Err(OUT_OF_RANGE);
        }
        if count < 38 {
            narrow = narrow * 10 + i128::from(digit);
        } else {
            let so_far = wide.unwrap_or_else(|| i256::from_i128(narrow));
            wide = Some(
                so_far
                    .wrapping_mul(i256::from_i128(10))
                    .wrapping_add(i256::from_i128(digit.into())),
            );
        }
    }
    Ok(wide.unwrap_or_else(|| i256::from_i128(narrow)))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// `true` or `false`, as SQL and most programs write them.
pub(super) fn boolean(text: &[u8]) -> Result<bool, Why> {
    const TRUE: [&[u8]; 6] = [b"true", b"t", b"1", b"yes", b"y", b"on"];
    const FALSE: [&[u8]; 6] = [b"false", b"f", b"0", b"no", b"n", b"off"];
    if TRUE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Ok(true)
    } else if FALSE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Ok(false)
    } else {
        Err("it is neither true nor false")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let cases: &[(&str, Result<i128, Why>)] = &[
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
            ("1.0", Err(NOT_WHOLE)),
            ("1e3", Err(NOT_WHOLE)),
            (" 1", Err(NOT_WHOLE)),
            ("1_000", Err(NOT_WHOLE)),
            ("１", Err(NOT_WHOLE)),
            ("99999999999999999999x", Err(NOT_WHOLE)),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text.as_bytes()), *expected, "{text}");
            narrow_agrees(text.as_bytes());
        }
    }

    /// With nothing behind it, and with more digits.
    fn narrow_agrees(text: &[u8]) {
        let longer = [text, b"12345678"].concat();
        for room in [text, &longer] {
            if let Some(number) = narrow(Value { text, room }) {
                assert_eq!(integer(text), Ok(number.into()), "{text:?}");
            } else {
                let short = (1..=18).contains(&text.len());
                assert!(!short || integer(text).is_err(), "{text:?}");
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
        let cases: &[(&str, u8, u8, Result<&str, Why>)] = &[
            ("12.34", 10, 2, Ok("1234")),
            ("-12.3", 10, 2, Ok("-1230")),
            ("+.5", 10, 2, Ok("50")),
            ("5.", 10, 2, Ok("500")),
            ("0000000000012", 4, 2, Ok("1200")),
            ("99.99", 4, 2, Ok("9999")),
            ("100", 4, 2, Err(OUT_OF_RANGE)),
            ("0.00", 2, 2, Ok("0")),
            ("0.001", 10, 2, Err(TOO_FINE)),
            ("1.500", 10, 2, Err(TOO_FINE)),
            (
                "12345678901234567890123456789012345678",
                38,
                0,
                Ok("12345678901234567890123456789012345678"),
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
            ("1e2", 10, 2, Err(NOT_NUMBER)),
            ("1.2.3", 10, 2, Err(NOT_NUMBER)),
            ("1,5", 10, 2, Err(NOT_NUMBER)),
            ("NaN", 10, 2, Err(NOT_NUMBER)),
        ];
        for (text, precision, scale, expected) in cases {
            let found = decimal(text.as_bytes(), *precision, *scale);
            assert_eq!(
                found.map(|number| number.to_string()),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn floats_and_booleans() {
        assert_eq!(float::<f64>(b"0.1"), Ok(0.1));
        assert_eq!(float::<f64>(b"-1e300"), Ok(-1e300));
        assert_eq!(float::<f64>(b"inf"), Ok(f64::INFINITY));
        for wrong in ["", "1,5", " 1", "0x10", "one"] {
            assert_eq!(float::<f32>(wrong.as_bytes()), Err(NOT_NUMBER), "{wrong}");
        }
        assert_eq!(float::<f64>(b"\xff"), Err(NOT_NUMBER));
        for (text, expected) in [
            ("TRUE", Some(true)),
            ("f", Some(false)),
            ("1", Some(true)),
            ("off", Some(false)),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(boolean(text.as_bytes()).ok(), expected, "{text}");
        }
    }
}
