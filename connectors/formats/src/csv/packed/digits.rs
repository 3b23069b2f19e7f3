//! A column whose fields differ only in their digits: times, numbered ids, masked numbers.

use std::array;
use std::ops::Deref;

use super::{Column, append_length, bits, take_bytes, take_length};
use crate::scalar::FieldText;

pub(super) const KIND: u8 = 1;

/// Numbers of this many digits are less than 2^63.
const DIGITS_MAX: usize = 18;

/// Length of the longest field.
const BYTES_MAX: usize = 32;

/// Words of the longest field.
const WORDS: usize = BYTES_MAX / 8;

/// Packs fields as long as they fit one mould.
pub(super) struct Packer {
    /// The mould, known from the first field on.
    mould: Option<Mould>,
    numbers: Vec<u64>,
}

impl Packer {
    /// A packer for a column of `rows` fields.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            mould: None,
            numbers: Vec::with_capacity(rows),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, field: &FieldText<'_>) -> bool {
        if self.mould.is_none() {
            self.mould = Mould::of(field.text);
        }
        let number = self.mould.as_ref().and_then(|mould| mould.number(field));
        self.numbers.extend(number);
        number.is_some()
    }

    pub(super) fn finish(self, packed: &mut Vec<u8>) {
        let text = self.mould.map(|mould| mould.text).unwrap_or_default();
        packed.push(KIND);
        append_length(packed, text.len());
        packed.extend_from_slice(&text);
        bits::append(packed, &self.numbers);
    }
}

pub(super) fn unpack(rest: &mut &[u8], rows: usize) -> Option<Unpacked> {
    let length = take_length(rest)?;
    let mould = Mould::of(take_bytes(rest, length)?)?;
    let numbers = bits::take(rest, rows)?.into_iter();
    Some(Unpacked { mould, numbers })
}

/// The common text of a column's fields.
struct Mould {
    /// A field with its digits replaced by zeros.
    text: Vec<u8>,
    /// The positions of the digits.
    digits: Vec<u8>,
    /// The text in words of eight bytes, each with the mask of the bytes that are not digits.
    words: [(u64, u64); WORDS],
}

impl Mould {
    fn of(text: &[u8]) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let digits = (0..).zip(text).filter(|(_, byte)| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.map(|(at, _)| at).collect();
        if !(1..=DIGITS_MAX).contains(&digits.len()) {
            return None;
        }
        let blank = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
        let text: Vec<u8> = text.iter().map(blank).collect();
        let others: Vec<u8> = text
            .iter()
            .map(|byte| if *byte == b'0' { 0 } else { 0xff })
            .collect();
        let (texts, others) = (words(&text), words(&others));
        let words = array::from_fn(|at| (texts[at], others[at]));
        Some(Self {
            text,
            digits,
            words,
        })
    }

    /// The digits of a field as a number; `None` if it does not fit the mould.
    #[inline]
    fn number(&self, field: &FieldText<'_>) -> Option<u64> {
        const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
        const SIX: u64 = u64::from_ne_bytes([6; 8]);
        if field.text.len() != self.text.len() {
            return None;
        }
        let words = match field.room.first_chunk::<BYTES_MAX>() {
            Some(room) => array::from_fn(|at| word(room, at)),
            None => words(field.text),
        };
        let mut bytes = [0; BYTES_MAX];
        let mut wrong = 0;
        let mut left = self.text.len();
        for ((word, (blank, others)), to) in words
            .iter()
            .zip(&self.words)
            .zip(bytes.as_chunks_mut::<8>().0)
        {
            // Masks the bytes after the field.
            let mask = match left {
                8.. => u64::MAX,
                _ => (1 << (8 * left)) - 1,
            };
            left = left.saturating_sub(8);
            let differ = (word ^ blank) & mask;
            // A digit XOR `0` is 0 to 9, so its upper four bits are zero, also after 6 is added.
            wrong |= differ & others | (differ | differ.wrapping_add(SIX)) & HIGH;
            *to = differ.to_le_bytes();
        }
        if wrong != 0 {
            return None;
        }
        let digits = self
            .digits
            .iter()
            .map(|at| bytes[usize::from(*at) % BYTES_MAX]);
        Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit)))
    }
}

/// At most [`BYTES_MAX`] bytes as words, padded with zeros.
fn words(bytes: &[u8]) -> [u64; WORDS] {
    let mut padded = [0; BYTES_MAX];
    padded
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    array::from_fn(|at| word(&padded, at))
}

fn word(bytes: &[u8; BYTES_MAX], at: usize) -> u64 {
    bytes
        .as_chunks::<8>()
        .0
        .get(at)
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// Unpacks such a column.
pub(super) struct Unpacked {
    mould: Mould,
    numbers: std::vec::IntoIter<u64>,
}

impl Column for Unpacked {
    fn append(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let number = self.numbers.next()?;
        let digits = decimal(number, self.mould.digits.len());
        let begin = text.len();
        text.extend_from_slice(&self.mould.text);
        let field = text.get_mut(begin..)?;
        for (at, digit) in self.mould.digits.iter().zip(&*digits) {
            *field.get_mut(usize::from(*at))? = *digit;
        }
        (digits.len() == self.mould.digits.len()).then_some(())
    }
}

/// The digits of a number, with leading zeros up to `least` digits.
pub(super) fn decimal(mut number: u64, least: usize) -> Decimal {
    let mut decimal = Decimal {
        digits: [b'0'; DECIMAL],
        begin: DECIMAL,
    };
    for digit in decimal.digits.iter_mut().rev() {
        *digit += (number % 10).to_le_bytes()[0];
        decimal.begin -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    decimal.begin = decimal.begin.min(DECIMAL.saturating_sub(least));
    decimal
}

/// Digits of the greatest number.
const DECIMAL: usize = 20;

/// A number as digits.
pub(super) struct Decimal {
    digits: [u8; DECIMAL],
    begin: usize,
}

impl Deref for Decimal {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.digits.get(self.begin..).unwrap_or_default()
    }
}
