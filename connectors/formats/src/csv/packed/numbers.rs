//! A column of numbers in plain notation: no leading zeros, and the same number of decimal places in all of them.
//! Fields may be empty.

use super::{Column, bits, take_byte, take_word};
use crate::scalar::FieldText;
use crate::scalar::number::narrow;

pub(super) const KIND: u8 = 0;

/// Placeholder for an empty field.
const NONE: u64 = u64::MAX;

/// Zero, offset so that unsigned order equals signed order.
const ZERO: u64 = 1 << 63;

/// Packs fields as long as all are such numbers.
pub(super) struct Packer {
    /// Decimal places; `None` until there is a number.
    decimals: Option<u8>,
    numbers: Vec<u64>,
}

impl Packer {
    /// A packer for a column of `rows` fields.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            decimals: None,
            numbers: Vec::with_capacity(rows),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, field: &FieldText<'_>) -> bool {
        let number = match self.decimals {
            _ if field.text.is_empty() => Some(NONE),
            Some(0) => whole(field),
            decimals => self.with_decimals(decimals, field),
        };
        self.numbers.extend(number);
        number.is_some()
    }

    /// Parses a field with decimal places, or the first field of the column.
    fn with_decimals(&mut self, decimals: Option<u8>, field: &FieldText<'_>) -> Option<u64> {
        let decimals = decimals.or_else(|| decimals_of(field.text))?;
        self.decimals = Some(decimals);
        match decimals {
            0 => whole(field),
            _ => with_decimals(field.text, usize::from(decimals)),
        }
    }

    pub(super) fn finish(mut self, packed: &mut Vec<u8>) {
        // An empty field becomes the number below all others, so that the range stays narrow.
        let least = self.numbers.iter().copied().min().unwrap_or(NONE);
        let empty = least - 1;
        for number in &mut self.numbers {
            *number = if *number == NONE { empty } else { *number };
        }
        packed.extend_from_slice(&[KIND, self.decimals.unwrap_or(0)]);
        packed.extend_from_slice(&empty.to_le_bytes());
        bits::append(packed, &self.numbers);
    }
}

/// The decimal places of a number.
fn decimals_of(text: &[u8]) -> Option<u8> {
    let behind = text.iter().rev().position(|byte| *byte == b'.');
    u8::try_from(behind.unwrap_or(0)).ok()
}

/// An integer, if its text is the field.
#[inline]
fn whole(value: &FieldText<'_>) -> Option<u64> {
    let number = narrow(*value)?;
    let is_canonical = match (value.text.len(), value.text.first()?) {
        (length, b'0') => length == 1,
        (_, b'1'..=b'9') => true,
        (length, sign) => *sign == b'-' && number != 0 && length == digits(number) + 1,
    };
    is_canonical.then(|| number.cast_unsigned() ^ ZERO)
}

/// Number of digits of a number other than 0.
fn digits(number: i64) -> usize {
    number.unsigned_abs().ilog10() as usize + 1
}

/// A number with decimal places, if its text is the field.
fn with_decimals(text: &[u8], decimals: usize) -> Option<u64> {
    let (whole, behind) = text.split_at_checked(text.len().checked_sub(decimals + 1)?)?;
    let digits = behind.strip_prefix(b".")?;
    let unsigned = whole.strip_prefix(b"-").unwrap_or(whole);
    let is_canonical = unsigned == b"0" || !unsigned.is_empty() && unsigned[0] != b'0';
    if !is_canonical || unsigned.len() + digits.len() > 18 {
        return None;
    }
    let mut number = 0_i64;
    for byte in unsigned.iter().chain(digits) {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    if unsigned.len() < whole.len() {
        // Zero has no sign.
        number = (number != 0).then_some(-number)?;
    }
    Some(number.cast_unsigned() ^ ZERO)
}

pub(super) fn unpack(rest: &mut &[u8], rows: usize) -> Option<Unpacked> {
    let decimals = usize::from(take_byte(rest)?);
    Some(Unpacked {
        decimals,
        empty: take_word(rest)?,
        numbers: bits::take(rest, rows)?.into_iter(),
    })
}

/// Unpacks such a column.
pub(super) struct Unpacked {
    decimals: usize,
    empty: u64,
    numbers: std::vec::IntoIter<u64>,
}

impl Column for Unpacked {
    fn append(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let number = self.numbers.next()?;
        if number == self.empty {
            return Some(());
        }
        let number = (number ^ ZERO).cast_signed();
        if number < 0 {
            text.push(b'-');
        }
        let digits = super::digits::decimal(number.unsigned_abs(), self.decimals + 1);
        let (whole, behind) = digits.split_at_checked(digits.len().checked_sub(self.decimals)?)?;
        text.extend_from_slice(whole);
        if self.decimals > 0 {
            text.push(b'.');
            text.extend_from_slice(behind);
        }
        Some(())
    }
}
