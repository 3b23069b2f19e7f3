//! Exact sums of floats, which do not depend on the order of the addends: the sum is rounded once, when it is read.
//!
//! A finite `f64` is `m · 2^e` with a 53-bit integer `m` and `-1074 <= e <= 971`. The sum is stored as integers ("limbs")
//! with the weights `2^(32 k - 1074)`; an addend goes to the limb of its exponent, shifted by less than 32 bits. A limb of
//! 128 bits has room for 2^42 addends. Addition is exact, so it commutes, and a retraction is a subtraction. The idea is
//! the small superaccumulator of R. M. Neal, "Fast exact summation using small and large superaccumulators" (2015).

use serde::{Deserialize, Serialize};

use crate::varint::{put, put_signed, take, take_signed};

const LIMB_BITS: u32 = 32;
/// Exponent of the lowest bit of limb 0: the smallest subnormal.
const LOWEST_EXPONENT: i32 = -1074;

/// The exact sum of a multiset of floats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSum {
    /// The limbs that are not zero, each with its index.
    limbs: Vec<(u8, i128)>,
    nans: i64,
    positive_infinities: i64,
    negative_infinities: i64,
}

impl ExactSum {
    /// Adds `value`, `times` times; a negative number of times retracts it.
    pub fn add(&mut self, value: f64, times: i64) {
        if value.is_nan() {
            self.nans += times;
        } else if value == f64::INFINITY {
            self.positive_infinities += times;
        } else if value == f64::NEG_INFINITY {
            self.negative_infinities += times;
        } else {
            let (limb, shifted) = split(value);
            self.add_limb(limb, shifted * i128::from(times));
        }
    }

    /// Appends the sum's bytes.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        for count in [
            self.nans,
            self.positive_infinities,
            self.negative_infinities,
        ] {
            put_signed(i128::from(count), bytes);
        }
        put(self.limbs.len() as u128, bytes);
        for &(limb, amount) in &self.limbs {
            bytes.push(limb);
            put_signed(amount, bytes);
        }
    }

    /// Removes a sum that [`put`](Self::put) wrote from the front of `bytes`; `None` when there is none.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut count = || take_signed(bytes).and_then(|count| i64::try_from(count).ok());
        let (nans, positive_infinities, negative_infinities) = (count()?, count()?, count()?);
        let mut limbs = Vec::new();
        for _ in 0..take(bytes)? {
            let (&limb, rest) = bytes.split_first()?;
            *bytes = rest;
            limbs.push((limb, take_signed(bytes)?));
        }
        Some(Self {
            limbs,
            nans,
            positive_infinities,
            negative_infinities,
        })
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.nans += other.nans;
        self.positive_infinities += other.positive_infinities;
        self.negative_infinities += other.negative_infinities;
        for &(limb, amount) in &other.limbs {
            self.add_limb(limb, amount);
        }
    }

    fn add_limb(&mut self, limb: u8, amount: i128) {
        if amount == 0 {
            return;
        }
        match self.limbs.binary_search_by_key(&limb, |&(index, _)| index) {
            Err(at) => self.limbs.insert(at, (limb, amount)),
            Ok(at) => {
                self.limbs[at].1 += amount;
                if self.limbs[at].1 == 0 {
                    self.limbs.remove(at);
                }
            }
        }
    }

    /// The sum, rounded once to the nearest `f64`, ties to even.
    pub fn value(&self) -> f64 {
        let both = self.positive_infinities != 0 && self.negative_infinities != 0;
        if self.nans != 0 || both {
            f64::NAN
        } else if self.positive_infinities != 0 {
            f64::INFINITY
        } else if self.negative_infinities != 0 {
            f64::NEG_INFINITY
        } else {
            self.round()
        }
    }

    fn round(&self) -> f64 {
        let (negative, digits) = self.magnitude();
        let magnitude = round_digits(&digits);
        if negative { -magnitude } else { magnitude }
    }

    /// Whether the sum is negative, and its absolute value in base 2^32, lowest digit first.
    fn magnitude(&self) -> (bool, Vec<u32>) {
        let digits = self.digits(1);
        if digits.1 < 0 {
            (true, self.digits(-1).0)
        } else {
            (false, digits.0)
        }
    }

    /// `sign` times the sum in base 2^32, and the carry out of the top digit (negative if the result is).
    fn digits(&self, sign: i128) -> (Vec<u32>, i128) {
        let top = self
            .limbs
            .last()
            .map_or(0, |&(index, _)| usize::from(index) + 5);
        let mut digits = vec![0_u32; top];
        let mut carry = 0_i128;
        let mut limbs = self.limbs.iter().peekable();
        for (index, digit) in digits.iter_mut().enumerate() {
            if let Some((_, amount)) = limbs.next_if(|(limb, _)| usize::from(*limb) == index) {
                carry += sign * amount;
            }
            let bytes = carry.to_le_bytes();
            *digit = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            carry >>= LIMB_BITS;
        }
        (digits, carry)
    }
}

/// The limb and the integer that a finite value adds to it.
fn split(value: f64) -> (u8, i128) {
    let bits = value.to_bits();
    let exponent = u32::from(u16::try_from((bits >> 52) & 0x7ff).unwrap_or_default());
    let fraction = i128::from(bits & ((1 << 52) - 1));
    // A subnormal has the exponent of the smallest normal, without the implicit bit.
    let (mantissa, offset) = if exponent == 0 {
        (fraction, 0)
    } else {
        (fraction | (1 << 52), exponent - 1)
    };
    let signed = if value.is_sign_negative() {
        -mantissa
    } else {
        mantissa
    };
    (
        u8::try_from(offset / LIMB_BITS).unwrap_or(u8::MAX),
        signed << (offset % LIMB_BITS),
    )
}

/// Rounds a non-negative integer in base 2^32, in units of the smallest subnormal, to the nearest `f64`.
fn round_digits(digits: &[u32]) -> f64 {
    let Some(top) = digits.iter().rposition(|&digit| digit != 0) else {
        return 0.0;
    };
    let bit = |position: u32| -> bool {
        let digit = digits
            .get((position / LIMB_BITS) as usize)
            .copied()
            .unwrap_or(0);
        digit >> (position % LIMB_BITS) & 1 == 1
    };
    let highest = u32::try_from(top).unwrap_or(u32::MAX) * LIMB_BITS + digits[top].ilog2();
    // The mantissa has 53 bits; below 2^53 the number is exact.
    let lowest = highest.saturating_sub(52);
    let mut mantissa = (lowest..=highest)
        .rev()
        .fold(0_u64, |bits, at| bits << 1 | u64::from(bit(at)));
    if lowest > 0 && bit(lowest - 1) {
        let sticky = (0..lowest - 1).any(bit);
        if sticky || mantissa & 1 == 1 {
            mantissa += 1;
        }
    }
    scale(mantissa, lowest)
}

/// `mantissa · 2^(shift - 1074)`, exact because the mantissa has at most 53 bits (or is 2^53); too large is infinity.
fn scale(mantissa: u64, shift: u32) -> f64 {
    let (mantissa, shift) = if mantissa == 1 << 53 {
        (1 << 52, shift + 1)
    } else {
        (mantissa, shift)
    };
    if mantissa < 1 << 52 {
        // Subnormal: shift is 0 by construction.
        return f64::from_bits(mantissa);
    }
    let exponent = u64::from(shift) + 1;
    if exponent >= 0x7ff {
        return f64::INFINITY;
    }
    f64::from_bits(exponent << 52 | (mantissa & ((1 << 52) - 1)))
}

const _: () = assert!(LOWEST_EXPONENT == f64::MIN_EXP - f64::MANTISSA_DIGITS.cast_signed());

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        for &value in values {
            sum.add(value, 1);
        }
        sum.value()
    }

    #[test]
    fn single_values_survive() {
        let smallest = f64::from_bits(1);
        for value in [
            0.0,
            1.0,
            -1.5,
            0.1,
            smallest,
            -smallest,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN,
            1e-310,
            123e40,
        ] {
            assert_eq!(sum(&[value]), value, "{value:e}");
        }
    }

    #[test]
    fn order_does_not_matter_and_nothing_is_lost() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]), 1.0);
        assert_eq!(sum(&[1.0, 1e300, -1e300]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[1.0, 2f64.powi(-53)]), 1.0, "a tie goes to even");
        assert_eq!(
            sum(&[1.0, 2f64.powi(-53), f64::from_bits(1)]),
            1.0 + f64::EPSILON,
            "above a tie goes up"
        );
        assert_eq!(
            sum(&[1.0 - f64::EPSILON / 2.0, 2f64.powi(-54)]),
            1.0,
            "rounds up into the next power"
        );
    }

    #[test]
    fn retraction_is_subtraction() {
        let mut sum = ExactSum::default();
        for value in [1e18, 0.1, f64::NAN, f64::INFINITY, -3.5] {
            sum.add(value, 3);
        }
        assert!(sum.value().is_nan());
        for value in [1e18, f64::NAN, f64::INFINITY, -3.5, 0.1] {
            sum.add(value, -3);
        }
        assert_eq!(sum, ExactSum::default());
        assert_eq!(sum.value(), 0.0);
    }

    #[test]
    fn infinities_follow_ieee() {
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(sum(&[f64::NEG_INFINITY, 1.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
