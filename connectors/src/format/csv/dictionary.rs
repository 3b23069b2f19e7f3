//! The values of text columns that have few, each with a code.
//!
//! Most columns of text have few values, and a row that says which costs less than a row that copies it: here, where
//! a value is tested for UTF-8 once, and in all that groups or compares it later.
//!
//! 1. A code stands for the same text in all blocks that are decoded with a dictionary, and is below the length of
//!    its [`values`](Dictionary::values).
//! 2. Its values are UTF-8.
//! 3. A dictionary that gave up never serves again.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use twox_hash::XxHash3_64;

use super::field::Value;

/// A column of more values is plain text.
const VALUES_MAX: usize = 1 << 16;
/// And one of longer ones.
const BYTES_MAX: usize = 4 << 20;
/// Columns of no more values than this are not asked whether codes are worth it.
const VALUES_FEW: usize = 1 << 10;
/// Slots that are looked at for a value: more collisions than that are somebody's intent.
const PROBES_MAX: usize = 256;
/// Texts up to this length are found by their bytes alone.
const SHORT_BYTES: usize = 24;
/// The code of an empty slot.
const EMPTY: u32 = u32::MAX;

/// Sets of dictionaries, one for each column, each used by one block at a time.
#[derive(Debug, Default)]
pub(super) struct Pool {
    sets: Mutex<Vec<(ThreadId, Vec<Dictionary>)>>,
}

impl Pool {
    /// A set of dictionaries for `columns`: the one that this thread used last if there is one, so that whoever works
    /// with its rows meets the same values again.
    pub(super) fn take(&self, columns: usize) -> Vec<Dictionary> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let own = thread::current().id();
        let own = sets.iter().position(|(thread, _)| *thread == own);
        let set = match own {
            Some(own) => Some(sets.swap_remove(own)),
            None => sets.pop(),
        };
        set.map_or_else(|| vec![Dictionary::default(); columns], |(_, set)| set)
    }

    /// Gives a set back.
    pub(super) fn put(&self, set: Vec<Dictionary>) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.push((thread::current().id(), set));
    }
}

/// The values of a column.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    /// Open addressing, at least half of it empty; the length is a power of two.
    slots: Vec<Slot>,
    /// The texts of all values.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<i32>,
    /// The values as an array, if none was added since.
    array: Option<ArrayRef>,
    /// Rows of the blocks that were decoded with it.
    rows: usize,
    has_given_up: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    code: u32,
}

/// What a text is found by: its bytes, or of a longer one its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    words: [u64; 3],
    length: u32,
}

/// Why a text has no code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not UTF-8.
    NotUtf8,
    /// The dictionary takes no more.
    Full,
}

impl Key {
    #[inline]
    fn of(value: Value<'_>) -> Self {
        let length = value.text.len();
        let words = match (value.room.first_chunk(), MASKS.get(length)) {
            (Some(bytes), Some(masks)) => {
                let words = words(bytes);
                [
                    words[0] & masks[0],
                    words[1] & masks[1],
                    words[2] & masks[2],
                ]
            }
            _ => Self::apart(value.text),
        };
        Self {
            words,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }
    }

    /// The words of a text that is long, or the last one in its block.
    #[cold]
    fn apart(text: &[u8]) -> [u64; 3] {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(short) => {
                short.copy_from_slice(text);
                words(&bytes)
            }
            None => [XxHash3_64::oneshot(text), 0, 0],
        }
    }

    /// A slot of 2^(64 - `shift`). Sums of products by odd numbers, of which the upper bits are good: multiply-shift.
    #[inline]
    fn slot(&self, shift: u32) -> usize {
        let [a, b, c] = self.words;
        let sum = a
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(b.wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
            .wrapping_add(c.wrapping_mul(0x1656_67b1_9e37_79f9))
            .wrapping_add(u64::from(self.length).wrapping_mul(0x27d4_eb2f_1656_67c5));
        usize::try_from(sum >> shift).unwrap_or(usize::MAX)
    }

    #[inline]
    fn is_whole(&self) -> bool {
        index(self.length) <= SHORT_BYTES
    }
}

/// Of the words of a text of each length, the bytes that are the text's.
const MASKS: [[u64; 3]; SHORT_BYTES + 1] = {
    let mut masks = [[0; 3]; SHORT_BYTES + 1];
    let mut length = 1;
    while length <= SHORT_BYTES {
        masks[length] = masks[length - 1];
        let byte = length - 1;
        masks[length][byte / 8] |= 0xff << (byte % 8 * 8);
        length += 1;
    }
    masks
};

#[inline]
fn words(bytes: &[u8; SHORT_BYTES]) -> [u64; 3] {
    let (words, _) = bytes.as_chunks::<8>();
    match words {
        [a, b, c] => [*a, *b, *c].map(u64::from_le_bytes),
        _ => [0; 3],
    }
}

impl Dictionary {
    /// Whether it has not given up.
    pub(super) fn serves(&self) -> bool {
        !self.has_given_up
    }

    /// The code of a text, which becomes one of the values if it is none.
    #[inline]
    pub(super) fn code(&mut self, value: Value<'_>) -> Result<u32, Refusal> {
        let key = Key::of(value);
        let mut at = key.slot(self.shift());
        // The mask is all ones where there are no slots, and the first look fails.
        let mask = self.slots.len().wrapping_sub(1);
        loop {
            match self.slots.get(at & mask) {
                Some(slot) if slot.key == key && slot.code != EMPTY => {
                    if key.is_whole() || self.text(slot.code) == value.text {
                        return Ok(slot.code);
                    }
                }
                Some(slot) if slot.code != EMPTY => {}
                _ => return self.add(key, value.text),
            }
            at += 1;
        }
    }

    /// The text of a code.
    pub(super) fn text(&self, code: u32) -> &[u8] {
        let code = index(code);
        let end = |at: Option<usize>| at.and_then(|at| self.ends.get(at)).map_or(0, |end| *end);
        let range = [end(code.checked_sub(1)), end(Some(code))];
        let [begin, end] = range.map(|at| usize::try_from(at).unwrap_or_default());
        self.bytes.get(begin..end).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, key: Key, text: &[u8]) -> Result<u32, Refusal> {
        if std::str::from_utf8(text).is_err() {
            return Err(Refusal::NotUtf8);
        }
        let end = self.bytes.len() + text.len();
        if self.ends.len() >= VALUES_MAX || end > BYTES_MAX {
            return Err(Refusal::Full);
        }
        if (self.ends.len() + 1) * 2 > self.slots.len() && !self.grow() {
            return Err(Refusal::Full);
        }
        let code = u32::try_from(self.ends.len()).unwrap_or(EMPTY);
        if !place(&mut self.slots, Slot { key, code }) {
            return Err(Refusal::Full);
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(end).unwrap_or(i32::MAX));
        self.array = None;
        Ok(code)
    }

    /// Makes the slots twice as many; `false` when the values cannot be told apart in time.
    fn grow(&mut self) -> bool {
        const NONE: Slot = Slot {
            key: Key {
                words: [0; 3],
                length: 0,
            },
            code: EMPTY,
        };
        let mut slots = vec![NONE; (self.slots.len() * 2).max(64)];
        let mut old = self.slots.iter().filter(|slot| slot.code != EMPTY);
        let placed = old.all(|slot| place(&mut slots, *slot));
        self.slots = slots;
        placed
    }

    #[inline]
    fn shift(&self) -> u32 {
        shift(self.slots.len())
    }

    /// Whether it is clear within a first block that codes will not be worth it.
    pub(super) fn is_hopeless(&self, rows: usize) -> bool {
        self.ends.len() > 4 * VALUES_FEW && self.ends.len() * 8 > (self.rows + rows) * 7
    }

    /// Whether codes are worth it after a block of `rows`: values come again.
    pub(super) fn is_worth_it(&mut self, rows: usize) -> bool {
        self.rows = self.rows.saturating_add(rows);
        self.ends.len() <= VALUES_FEW || self.ends.len() <= self.rows / 2
    }

    /// Forgets all values, never to serve again.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            has_given_up: true,
            ..Self::default()
        };
    }

    /// The values, by their codes: the same array as long as none is added.
    pub(super) fn values(&mut self) -> Result<ArrayRef, ArrowError> {
        if let Some(array) = &self.array {
            return Ok(Arc::clone(array));
        }
        let ends = std::iter::once(0).chain(self.ends.iter().copied());
        let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(ends));
        let bytes = self.bytes.as_slice().into();
        let array: ArrayRef = Arc::new(StringArray::try_new(offsets, bytes, None)?);
        Ok(Arc::clone(self.array.insert(array)))
    }
}

/// Puts a value into the first empty slot behind its own, if one is near.
fn place(slots: &mut [Slot], slot: Slot) -> bool {
    let (at, mask) = (
        slot.key.slot(shift(slots.len())),
        slots.len().wrapping_sub(1),
    );
    for probe in 0..PROBES_MAX {
        if let Some(to) = slots.get_mut((at + probe) & mask)
            && to.code == EMPTY
        {
            *to = slot;
            return true;
        }
    }
    false
}

/// Of a hash of 64 bits, those that are not a place among so many slots.
#[inline]
fn shift(slots: usize) -> u32 {
    // Without slots any place will do.
    (64 - slots.trailing_zeros()).min(63)
}

#[inline]
fn index(code: u32) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}
