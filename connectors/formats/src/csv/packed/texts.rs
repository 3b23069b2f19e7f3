//! A column of few distinct texts: each text once, and a code for each row.

use super::{Column, append_length, bits, take_bytes, take_length};
use crate::csv::dictionary::Dictionary;
use crate::csv::index::position;
use crate::scalar::FieldText;

pub(super) const KIND: u8 = 2;

/// Most distinct texts.
const TEXTS_MAX: usize = 4096;

/// Packs fields as long as few are distinct and all are UTF-8.
pub(super) struct Packer {
    texts: Dictionary,
    count: u32,
    count_max: u32,
    codes: Vec<u64>,
}

impl Packer {
    /// A packer for a column of `rows` fields.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            texts: Dictionary::default(),
            count: 0,
            count_max: position(TEXTS_MAX.min(rows / 2)),
            codes: Vec::with_capacity(rows),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, field: &FieldText<'_>) -> bool {
        let code = self.texts.find(*field).or_else(|| self.add(*field));
        self.codes.extend(code.map(u64::from));
        code.is_some()
    }

    fn add(&mut self, field: FieldText<'_>) -> Option<u32> {
        if self.count == self.count_max {
            return None;
        }
        self.count += 1;
        self.texts.add(field).ok()
    }

    pub(super) fn finish(self, packed: &mut Vec<u8>) {
        packed.push(KIND);
        packed.extend_from_slice(&self.count.to_le_bytes());
        for text in (0..self.count).map(|code| self.texts.text(code)) {
            append_length(packed, text.len());
            packed.extend_from_slice(text);
        }
        let greatest = self.count.saturating_sub(1).into();
        bits::append_between(packed, &self.codes, 0, greatest);
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

/// Unpacks such a column.
pub(super) struct Unpacked {
    texts: Vec<Vec<u8>>,
    codes: std::vec::IntoIter<u64>,
}

impl Column for Unpacked {
    fn append(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let code = usize::try_from(self.codes.next()?).ok()?;
        text.extend_from_slice(self.texts.get(code)?);
        Some(())
    }
}
