//! A column of few texts: each of them once, and a number a row, from 1.

use super::{Column, append_length, bits, take_bytes, take_length};
use crate::format::csv::field::Value;

pub(super) const KIND: u8 = 2;

/// More texts are many.
const TEXTS_MAX: usize = 4096;

/// Slots of the table of texts, so that it is never more than half full.
const SLOTS: usize = 2 * TEXTS_MAX;

/// Takes in fields as long as few are different.
pub(super) struct Packer<'a> {
    codes: Vec<u64>,
    texts: Vec<Text<'a>>,
    texts_max: usize,
    /// By hash, the number of a text and one; 0 is a free slot.
    slots: Vec<u16>,
}

impl<'a> Packer<'a> {
    /// For a column of so many fields.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            codes: Vec::with_capacity(rows),
            texts: Vec::new(),
            texts_max: TEXTS_MAX.min(rows / 2),
            slots: vec![0; SLOTS],
        }
    }

    #[inline]
    pub(super) fn push(&mut self, field: &Value<'a>) -> bool {
        let text = Text::of(field);
        let mut at = text.hash() % SLOTS;
        while let Some(slot) = self.slots.get_mut(at) {
            let number = usize::from(*slot);
            match number.checked_sub(1).and_then(|at| self.texts.get(at)) {
                Some(known) if !known.is(&text) => at = (at + 1) % SLOTS,
                Some(_) => {
                    self.codes.push(number as u64);
                    return true;
                }
                None if self.texts.len() == self.texts_max => return false,
                None => {
                    self.texts.push(text);
                    *slot = u16::try_from(self.texts.len()).unwrap_or(0);
                }
            }
        }
        false
    }

    pub(super) fn finish(self, packed: &mut Vec<u8>) {
        packed.push(KIND);
        append_length(packed, self.texts.len());
        for text in &self.texts {
            append_length(packed, text.text.len());
            packed.extend_from_slice(text.text);
        }
        bits::append(packed, &self.codes);
    }
}

pub(super) fn unpack(rest: &mut &[u8], rows: usize) -> Option<Unpacked> {
    let count = take_length(rest)?;
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = take_length(rest)?;
        texts.push(take_bytes(rest, length)?.to_vec());
    }
    let codes = bits::take(rest, rows)?.into_iter();
    Some(Unpacked { texts, codes })
}

/// A column of them that is unpacked.
pub(super) struct Unpacked {
    texts: Vec<Vec<u8>>,
    codes: std::vec::IntoIter<u64>,
}

impl Column for Unpacked {
    fn append(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let number = usize::try_from(self.codes.next()?).ok()?;
        text.extend_from_slice(self.texts.get(number.checked_sub(1)?)?);
        Some(())
    }
}

/// A text by its first 16 bytes, which are all of most.
#[derive(Clone, Copy)]
struct Text<'a> {
    text: &'a [u8],
    first: u128,
}

/// Bytes of which a word is made.
const FIRST: usize = size_of::<u128>();

/// What is of a text of so many bytes.
const MASKS: [u128; FIRST + 1] = masks();

const fn masks() -> [u128; FIRST + 1] {
    let mut masks = [0; FIRST + 1];
    let mut length = 1;
    while length <= FIRST {
        masks[length] = masks[length - 1] << 8 | 0xff;
        length += 1;
    }
    masks
}

impl<'a> Text<'a> {
    #[inline]
    fn of(field: &Value<'a>) -> Self {
        let text = field.text;
        let first = match field.room.first_chunk() {
            Some(first) => u128::from_le_bytes(*first) & MASKS[text.len().min(FIRST)],
            None => last(text),
        };
        Self { text, first }
    }

    #[inline]
    fn hash(&self) -> usize {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let half = |shift| u64::try_from((self.first >> shift) & u128::from(u64::MAX)).unwrap_or(0);
        let (low, high) = (half(0), half(64));
        let length = self.text.len() as u64;
        let mixed = (low ^ high.rotate_left(29) ^ length).wrapping_mul(FACTOR);
        (mixed >> 40) as usize
    }

    #[inline]
    fn is(&self, other: &Text<'_>) -> bool {
        self.first == other.first
            && self.text.len() == other.text.len()
            && (self.text.len() <= FIRST || self.text == other.text)
    }
}

/// As much of a text that ends where memory may.
#[cold]
fn last(text: &[u8]) -> u128 {
    let mut word = [0; FIRST];
    word.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u128::from_le_bytes(word)
}
