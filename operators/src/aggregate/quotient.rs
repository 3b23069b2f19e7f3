//! Quotients of exact sums, rounded once.

use arrow::datatypes::i256;

/// The quotient rounded to an integer, half away from zero. `divisor` is not zero.
#[must_use]
pub fn divide_rounded(dividend: i256, divisor: i256) -> i256 {
    let (quotient, rest) = (
        dividend.wrapping_div(divisor),
        dividend.wrapping_rem(divisor),
    );
    // Whether the rest is at least half of the divisor. `rest >= divisor - rest` cannot overflow, unlike twice the
    // rest.
    let (rest, size) = (rest.wrapping_abs(), divisor.wrapping_abs());
    if rest == i256::ZERO || rest < size.wrapping_sub(rest) {
        return quotient;
    }
    if dividend.is_negative() == divisor.is_negative() {
        quotient.wrapping_add(i256::ONE)
    } else {
        quotient.wrapping_sub(i256::ONE)
    }
}

/// The average of integers as the nearest double, ties to even. `count` is greater than zero.
#[must_use]
pub fn integer_average(sum: i128, count: u64) -> f64 {
    let (size, count) = (sum.unsigned_abs(), u128::from(count.max(1)));
    if size == 0 {
        return 0.0;
    }
    // With all leading zeros shifted out, the quotient has at least 64 bits, more than a double's 53.
    let shift = size.leading_zeros();
    let shifted = size << shift;
    let inexact = shifted % count != 0;
    let quotient = (shifted / count) | u128::from(inexact);
    // The lowest bit is far below half of a double's last bit. It distinguishes a tie from a value above the tie.
    #[allow(clippy::cast_precision_loss, reason = "this is the one rounding")]
    let rounded = quotient as f64;
    let value = rounded * 2_f64.powi(-i32::try_from(shift).unwrap_or_default());
    if sum < 0 { -value } else { value }
}

/// The average of decimals, rounded half away from zero, as an integer in units of its last digit. It has `digits`
/// more decimal places than the values, or fewer if negative. `count` is greater than zero. `None` if it exceeds 128
/// bits.
#[must_use]
pub fn decimal_average(sum: i256, count: u64, digits: i16) -> Option<i128> {
    let unit = i256::from_i128(10).checked_pow(digits.unsigned_abs().into())?;
    let count = i256::from_i128(count.max(1).into());
    let average = if digits < 0 {
        divide_rounded(sum, count.checked_mul(unit)?)
    } else {
        divide_rounded(sum.checked_mul(unit)?, count)
    };
    average.to_i128()
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_away_from_zero() {
        let divide = |dividend: i128, divisor: i128| {
            divide_rounded(i256::from_i128(dividend), i256::from_i128(divisor)).as_i128()
        };
        for (dividend, divisor, expected) in [
            (2, 3, 1),
            (1, 3, 0),
            (1, 2, 1),
            (-1, 2, -1),
            (1, -2, -1),
            (-1, -2, 1),
            (3, 2, 2),
            (5, 2, 3),
            (-5, 2, -3),
            (7, -3, -2),
            (0, 7, 0),
            (i128::MAX, 1, i128::MAX),
            (i128::MIN, i128::MAX, -1),
        ] {
            assert_eq!(
                divide(dividend, divisor),
                expected,
                "{dividend} / {divisor}"
            );
        }
    }

    #[test]
    fn averages_are_the_nearest_doubles() {
        const ODD: i128 = 9_007_199_254_740_993;
        for (sum, count, expected) in [
            (0, 3, 0.0),
            (10, 4, 2.5),
            (-10, 4, -2.5),
            (1, 3, 1.0 / 3.0),
            (2, 3, 2.0 / 3.0),
            // Three times 2^53 + 1: a tie between 2^53 and 2^53 + 2, and the even mantissa is that of 2^53.
            (3 * ODD, 3, 9_007_199_254_740_992.0),
            (3 * ODD + 1, 3, 9_007_199_254_740_994.0),
            (3 * ODD - 1, 3, 9_007_199_254_740_992.0),
            (i128::from(i64::MAX) * 7, 7, 9_223_372_036_854_775_807.0),
            (i128::from(i64::MIN) * 7, 7, -9_223_372_036_854_775_808.0),
            (
                i128::from(u64::MAX) * i128::from(u32::MAX),
                u32::MAX.into(),
                18_446_744_073_709_551_615.0,
            ),
        ] {
            assert_eq!(integer_average(sum, count), expected, "{sum} / {count}");
        }
    }
}
