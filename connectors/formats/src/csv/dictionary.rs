//! Dictionaries of text columns with few distinct values.
//!
//! Most text columns have few distinct values. A code for each row then costs less than a copy of the text. Each
//! value is tested for UTF-8 once, and grouping and comparison by code are cheaper later.
//!
//! 1. A code means the same text in all blocks that are decoded with a dictionary. It is less than the length of the
//!    dictionary's [`values`](Dictionary::values).
//! 2. All values are UTF-8.
//! 3. A dictionary that was given up is never used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use twox_hash::XxHash3_64;

use crate::scalar::FieldText;

/// A column with more values is plain text.
const VALUES_MAX: usize = 1 << 16;
/// A column with more bytes of values is plain text too.
const BYTES_MAX: usize = 4 << 20;
/// Columns with at most this many values always have codes.
const VALUES_FEW: usize = 1 << 10;
/// Most slots that are probed for a value. More collisions than that are deliberate.
const PROBES_MAX: usize = 256;
/// Texts up to this length are compared by the slot's words alone.
const SHORT_BYTES: usize = 24;
/// Slots of the smallest table that is not empty.
const SLOTS_MIN: usize = 256;
/// Smaller tables are kept at most a quarter full.
const SLOTS_FEW: usize = 1 << 12;

/// Sets of dictionaries, with one dictionary for each column. A set is used by one block at a time.
#[derive(Debug, Default)]
pub(super) struct Pool {
    sets: Mutex<Vec<(ThreadId, Vec<Dictionary>)>>,
}

impl Pool {
    /// A set of dictionaries for `columns`. Preferably the one that this thread used last, so that the thread's later
    /// operators see the same values again.
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

    /// Returns a set to the pool.
    pub(super) fn put(&self, set: Vec<Dictionary>) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.push((thread::current().id(), set));
    }
}

/// The distinct values of a column.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    /// A table with open addressing, at least half empty. Its length is a power of two.
    slots: Vec<Slot>,
    /// The number of a hash's bits that are not part of the slot's index.
    shift: u32,
    /// The texts of all values.
    bytes: Vec<u8>,
    /// The end of each text in `bytes`.
    ends: Vec<i32>,
    /// The values as an array, if none was added since.
    array: Option<ArrayRef>,
    /// Rows of the blocks that were decoded with the dictionary.
    rows: usize,
    has_given_up: bool,
}

/// A value with its search key: the text's bytes, or for a longer text its hash. Takes half a cache line.
#[derive(Clone, Copy, Debug)]
struct Slot {
    a: u64,
    b: u64,
    c: u64,
    length: u32,
    code: u32,
}

/// An empty slot. No text has this length.
const NONE: Slot = Slot {
    a: 0,
    b: 0,
    c: 0,
    length: u32::MAX,
    code: u32::MAX,
};

/// Why a text has no code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The text is not UTF-8.
    NotUtf8,
    /// The dictionary is full.
    Full,
}

impl Slot {
    /// The slot of a text, without a code.
    #[inline]
    fn of(value: FieldText<'_>) -> Self {
        let length = value.text.len();
        let [a, b, c] = match (value.room.first_chunk(), MASKS.get(length)) {
            (Some(bytes), Some([x, y, z])) => {
                let [a, b, c] = words(bytes);
                [a & x, b & y, c & z]
            }
            _ => apart(value.text),
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX - 1);
        let code = u32::MAX;
        Self {
            a,
            b,
            c,
            length,
            code,
        }
    }

    #[inline]
    fn is_of(&self, other: &Self) -> bool {
        let differ = (self.a ^ other.a) | (self.b ^ other.b) | (self.c ^ other.c);
        differ | u64::from(self.length ^ other.length) == 0
    }

    /// A sum of products with odd constants, whose upper bits are well distributed (multiply-shift).
    #[inline]
    fn hash(&self) -> u64 {
        self.a
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(self.b.wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
            .wrapping_add(self.c.wrapping_mul(0x1656_67b1_9e37_79f9))
            .wrapping_add(u64::from(self.length).wrapping_mul(0x27d4_eb2f_1656_67c5))
    }

    fn is_empty(&self) -> bool {
        self.length == NONE.length
    }
}

/// The words of a text that is long, or too close to the end of its block to load 24 bytes.
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

/// For each length of a text, the mask of its bytes in the three words.
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
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
    [word(0), word(1), word(2)]
}

impl Dictionary {
    /// Whether the dictionary is in use, and was not given up.
    pub(super) fn serves(&self) -> bool {
        !self.has_given_up
    }

    /// The code of a text that is one of the values.
    #[inline]
    pub(super) fn find(&self, value: FieldText<'_>) -> Option<u32> {
        let key = Slot::of(value);
        let mut at = index(key.hash() >> self.shift);
        // Without slots, the mask is all ones, and the first access fails.
        let mask = self.slots.len().wrapping_sub(1);
        while let Some(slot) = self.slots.get(at & mask) {
            if slot.is_of(&key)
                && (value.text.len() <= SHORT_BYTES || self.text(slot.code) == value.text)
            {
                return Some(slot.code);
            }
            if slot.is_empty() {
                break;
            }
            at += 1;
        }
        None
    }

    /// The text of a code.
    pub(super) fn text(&self, code: u32) -> &[u8] {
        let code = index(code.into());
        let end = |at: Option<usize>| at.and_then(|at| self.ends.get(at)).map_or(0, |end| *end);
        let range = [end(code.checked_sub(1)), end(Some(code))];
        let [begin, end] = range.map(|at| usize::try_from(at).unwrap_or_default());
        self.bytes.get(begin..end).unwrap_or_default()
    }

    /// Adds a text that is [not a value yet](Self::find), and returns its code.
    pub(super) fn add(&mut self, value: FieldText<'_>) -> Result<u32, Refusal> {
        let text = value.text;
        if std::str::from_utf8(text).is_err() {
            return Err(Refusal::NotUtf8);
        }
        let end = self.bytes.len() + text.len();
        if self.ends.len() >= VALUES_MAX || end > BYTES_MAX {
            return Err(Refusal::Full);
        }
        // Small tables are mostly empty, so that most values are found at their first slot.
        let full = self.slots.len() / if self.slots.len() < SLOTS_FEW { 4 } else { 2 };
        if self.ends.len() >= full && !self.grow() {
            return Err(Refusal::Full);
        }
        let code = u32::try_from(self.ends.len()).map_err(|_| Refusal::Full)?;
        if !place(
            &mut self.slots,
            self.shift,
            Slot {
                code,
                ..Slot::of(value)
            },
        ) {
            return Err(Refusal::Full);
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(end).unwrap_or(i32::MAX));
        self.array = None;
        Ok(code)
    }

    /// Doubles the number of slots. `false` if there are too many collisions.
    fn grow(&mut self) -> bool {
        let mut slots = vec![NONE; (self.slots.len() * 2).max(SLOTS_MIN)];
        self.shift = 64 - slots.len().trailing_zeros();
        let mut old = self.slots.iter().filter(|slot| !slot.is_empty());
        let placed = old.all(|slot| place(&mut slots, self.shift, *slot));
        self.slots = slots;
        placed
    }

    /// Whether it is certain within a first block that codes will not be worth it.
    pub(super) fn is_hopeless(&self, rows: usize) -> bool {
        self.ends.len() > 4 * VALUES_FEW && self.ends.len() * 8 > (self.rows + rows) * 7
    }

    /// Whether codes are worth it after a block of `rows`, because values repeat.
    pub(super) fn is_worth_it(&mut self, rows: usize) -> bool {
        self.rows = self.rows.saturating_add(rows);
        self.ends.len() <= VALUES_FEW || self.ends.len() <= self.rows / 2
    }

    /// Drops all values and gives the dictionary up.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            has_given_up: true,
            ..Self::default()
        };
    }

    /// The values by code. The array is the same as long as no value is added.
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

/// Puts a value into the first empty slot at or after its index, if one is close enough.
fn place(slots: &mut [Slot], shift: u32, slot: Slot) -> bool {
    let (at, mask) = (index(slot.hash() >> shift), slots.len().wrapping_sub(1));
    for probe in 0..PROBES_MAX {
        if let Some(to) = slots.get_mut((at + probe) & mask)
            && to.is_empty()
        {
            *to = slot;
            return true;
        }
    }
    false
}

#[inline]
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
