//! Blocks: a few hundred entries of a part, in the order of their keys, under one key of the store.
//!
//! Adjacent keys mostly differ in a few bytes in the middle, so the bytes that they share at both ends are not
//! repeated. An entry of a distinct pair takes about six bytes this way. As an entry of the store it would take
//! forty.
//!
//! 1. A block covers the keys from its fence up to its end. The fence is its key in the store, and the end is the
//!    next block's fence. The first fence of a part is empty, and the last block has no end. So every key is covered
//!    by exactly one block. If the block found for a key does not cover it, the store is damaged.
//! 2. Entries are in ascending order of their keys, and each key occurs once.
//! 3. The bytes begin with a checksum of the fence and all that follows.

use std::cmp::Ordering;

use tidewater_operators::hash::hash;
use tidewater_operators::state::StateEntry;
use tidewater_operators::varint::{put, put_bytes, put_signed, take, take_bytes, take_signed};

const CHECKSUM_BYTES: usize = 8;

/// A block whose checksum is wrong, or whose bytes are not entries.
#[derive(Debug)]
pub struct Damaged;

/// Builds the bytes of one block.
#[derive(Default)]
pub struct BlockWriter {
    entries: Vec<u8>,
    last: Vec<u8>,
}

impl BlockWriter {
    /// Bytes of the entries so far.
    pub fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// Appends an entry, whose key is greater than the last one's.
    pub fn push(&mut self, entry: StateEntry<'_>) {
        debug_assert!(self.entries.is_empty() || self.last.as_slice() < entry.key);
        let front = shared_front(&self.last, entry.key);
        let (old, new) = (&mut self.last[front..], &entry.key[front..]);
        let back = shared_back(old, new);
        let middle = &new[..new.len() - back];
        match [front, back, middle.len()].map(|length| u8::try_from(length).unwrap_or(u8::MAX)) {
            // Most lengths fit one byte, and are written together.
            lengths @ [..0x80, ..0x80, ..0x80] => self.entries.extend_from_slice(&lengths),
            _ => {
                let length = |length: usize| u128::try_from(length).unwrap_or_default();
                put(length(front), &mut self.entries);
                put(length(back), &mut self.entries);
                put(length(middle.len()), &mut self.entries);
            }
        }
        self.entries.extend_from_slice(middle);
        put_signed(i128::from(entry.count), &mut self.entries);
        put_bytes(entry.payload, &mut self.entries);
        // The shared bytes are in place already.
        if old.len() == new.len() {
            old[..middle.len()].copy_from_slice(middle);
        } else {
            self.last.truncate(front);
            self.last.extend_from_slice(new);
        }
    }

    /// Appends entries that a reader has in encoded form. The key before them must be the same as in the reader's
    /// block. `last` is the key of the last one.
    pub fn append(&mut self, encoded: &[u8], last: &[u8]) {
        if !encoded.is_empty() {
            self.entries.extend_from_slice(encoded);
            self.last.clear();
            self.last.extend_from_slice(last);
        }
    }

    /// Returns the entries and the last one's key, and empties the writer.
    pub fn take(&mut self) -> (Vec<u8>, Vec<u8>) {
        let taken = (self.entries.clone(), self.last.clone());
        self.entries.clear();
        self.last.clear();
        taken
    }

    /// Returns the block's bytes, and empties the writer.
    pub fn finish(&mut self, fence: &[u8], end: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = vec![0; CHECKSUM_BYTES];
        put(u128::from(end.is_some()), &mut bytes);
        if let Some(end) = end {
            put_bytes(end, &mut bytes);
        }
        bytes.extend_from_slice(&self.entries);
        let checksum = checksum(fence, &bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum);
        self.entries.clear();
        self.last.clear();
        bytes
    }
}

/// Length of the common prefix. Compares eight bytes at a time, since keys of a part mostly have long common
/// prefixes.
fn shared_front(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words).take_while(|(a, b)| a == b);
    let words = 8 * words.count();
    let rest = a[words..].iter().zip(&b[words..]);
    words + rest.take_while(|(a, b)| a == b).count()
}

/// Length of the common suffix.
fn shared_back(a: &[u8], b: &[u8]) -> usize {
    let bytes = a.iter().rev().zip(b.iter().rev());
    bytes.take_while(|(a, b)| a == b).count()
}

fn checksum(fence: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    (hash(body) ^ hash(fence).rotate_left(1)).to_le_bytes()
}

/// Reads a block, entry by entry.
#[derive(Default)]
pub struct BlockReader {
    end: Option<Vec<u8>>,
    bytes: Vec<u8>,
    /// Where in `bytes` the current entry begins, and where the next one begins.
    at: usize,
    next: usize,
    key: Vec<u8>,
    /// How many bytes the key shares with the previous key, at both ends, and the bytes of the previous key between
    /// them.
    front: usize,
    back: usize,
    replaced: Vec<u8>,
    remembers: bool,
    count: i64,
    payload: (usize, usize),
    at_entry: bool,
}

impl BlockReader {
    /// A reader that remembers the [previous](Self::previous) key.
    pub fn remembering() -> Self {
        Self {
            remembers: true,
            ..Self::default()
        }
    }

    /// Opens the block at `fence`, before its first entry.
    ///
    /// # Errors
    /// When the checksum is wrong.
    pub fn open(&mut self, fence: &[u8], bytes: &[u8]) -> Result<(), Damaged> {
        let (sum, mut body) = bytes.split_first_chunk().ok_or(Damaged)?;
        if *sum != checksum(fence, body) {
            return Err(Damaged);
        }
        let has_end = take(&mut body).ok_or(Damaged)? != 0;
        let end = if has_end {
            Some(take_bytes(&mut body).ok_or(Damaged)?.to_vec())
        } else {
            None
        };
        self.open_entries(body);
        self.end = end;
        Ok(())
    }

    /// Opens encoded entries without a block's header, before the first one.
    pub fn open_entries(&mut self, entries: &[u8]) {
        self.end = None;
        self.bytes.clear();
        self.bytes.extend_from_slice(entries);
        self.rewind();
    }

    /// Moves back to before the first entry.
    pub fn rewind(&mut self) {
        (self.at, self.next) = (0, 0);
        self.key.clear();
        self.at_entry = false;
    }

    /// The fence of the next block; `None` for the last block.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether the block covers `key`, given that its fence is not greater.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Moves to the next entry; `false` if there is none.
    ///
    /// # Errors
    /// When the bytes are not an entry.
    pub fn step(&mut self) -> Result<bool, Damaged> {
        self.at = self.next;
        self.at_entry = self.next < self.bytes.len();
        if self.at_entry {
            self.read().ok_or(Damaged)?;
        }
        Ok(self.at_entry)
    }

    /// Moves forward to the first entry whose key is not less than `target`; `false` if there is none. The current
    /// key must be less than `target`.
    ///
    /// Most keys need no comparison. The previous key is less than `target`, so the number of bytes that a key shares
    /// with the previous one mostly decides.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn seek(&mut self, target: &[u8]) -> Result<bool, Damaged> {
        debug_assert!(self.entry().is_none_or(|entry| entry.key < target));
        let mut shared = shared_front(&self.key, target);
        while self.step()? {
            match self.front.cmp(&shared) {
                // The key has the same byte as the previous key where that one was less than the target.
                Ordering::Greater => continue,
                // The key exceeds the previous key in a byte that the previous key shares with the target.
                Ordering::Less => return Ok(true),
                Ordering::Equal => {}
            }
            shared += shared_front(&self.key[shared..], &target[shared..]);
            if self.key.get(shared) >= target.get(shared) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read(&mut self) -> Option<()> {
        let whole = self.bytes.as_slice();
        let mut rest = &whole[self.next..];
        let front = usize::try_from(take(&mut rest)?).ok()?;
        let back = usize::try_from(take(&mut rest)?).ok()?;
        let middle = take_bytes(&mut rest)?;
        let to = self.key.len().checked_sub(back)?;
        let replaced = self.key.get_mut(front..to)?;
        if self.remembers {
            self.replaced.clear();
            self.replaced.extend_from_slice(replaced);
        }
        if middle.len() == replaced.len() {
            // Mostly a few bytes, too few to be worth a call of `memcpy`.
            replaced
                .iter_mut()
                .zip(middle)
                .for_each(|(old, new)| *old = *new);
        } else {
            self.key.splice(front..to, middle.iter().copied());
        }
        (self.front, self.back) = (front, back);
        self.count = i64::try_from(take_signed(&mut rest)?).ok()?;
        let payload = take_bytes(&mut rest)?;
        self.next = whole.len() - rest.len();
        self.payload = (self.next - payload.len(), self.next);
        Some(())
    }

    /// The key before the current entry's. Only for a reader that [remembers](Self::remembering) it.
    pub fn previous(&self) -> Vec<u8> {
        if self.at_entry {
            let back = self.key.len() - self.back;
            [&self.key[..self.front], &self.replaced, &self.key[back..]].concat()
        } else {
            self.key.clone()
        }
    }

    /// Where the current entry begins in the encoded bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The encoded entries from `from` up to the current one, exclusive.
    pub fn encoded(&self, from: usize) -> &[u8] {
        &self.bytes[from..self.at]
    }

    /// The encoded entries after the current one.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.next..]
    }

    /// The current entry.
    pub fn entry(&self) -> Option<StateEntry<'_>> {
        self.at_entry.then(|| StateEntry {
            key: &self.key,
            count: self.count,
            payload: &self.bytes[self.payload.0..self.payload.1],
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entries() -> Vec<(Vec<u8>, i64, Vec<u8>)> {
        let keys = [
            "",
            "a",
            "aXb",
            "aYb",
            "aYbb",
            "b",
            "b--0001--",
            "b--0002--",
            "c",
        ];
        let count = |at: usize| i64::try_from(at).unwrap() * 1000 - 3;
        let keys = keys.iter().enumerate();
        keys.map(|(at, key)| (key.as_bytes().to_vec(), count(at), vec![7; at % 3]))
            .collect()
    }

    fn block() -> Vec<u8> {
        let mut writer = BlockWriter::default();
        for (key, count, payload) in &entries() {
            let count = *count;
            writer.push(StateEntry {
                key,
                count,
                payload,
            });
        }
        writer.finish(b"fence", Some(b"zzz"))
    }

    #[test]
    fn entries_come_back() {
        let mut reader = BlockReader::default();
        reader.open(b"fence", &block()).unwrap();
        let mut read = Vec::new();
        while reader.step().unwrap() {
            let entry = reader.entry().unwrap();
            read.push((entry.key.to_vec(), entry.count, entry.payload.to_vec()));
        }
        assert_eq!(read, entries());
        assert!(reader.covers(b"zz") && !reader.covers(b"zzz"));
    }

    /// Seeks from every entry to every key between, at and after the entries, and steps from there.
    #[test]
    fn seeks_find_the_first_that_is_not_less() {
        let (entries, block) = (entries(), block());
        let mut targets: Vec<Vec<u8>> = entries.iter().map(|entry| entry.0.clone()).collect();
        targets.extend(
            [
                "a ",
                "aX",
                "aXbb",
                "aY",
                "b--",
                "b--0001--z",
                "b--00015",
                "bz",
                "z",
            ]
            .map(Into::into),
        );
        for from in 0..=entries.len() {
            for target in &targets {
                let mut reader = BlockReader::remembering();
                reader.open(b"fence", &block).unwrap();
                for _ in 0..from {
                    reader.step().unwrap();
                }
                if reader
                    .entry()
                    .is_some_and(|entry| entry.key >= target.as_slice())
                {
                    continue;
                }
                let expected = entries.iter().position(|entry| entry.0 >= *target);
                let found = reader.seek(target).unwrap();
                assert_eq!(found, expected.is_some());
                let key = reader.entry().map(|entry| entry.key.to_vec());
                assert_eq!(key, expected.map(|at| entries[at].0.clone()));
                let before = expected.unwrap_or(entries.len()).checked_sub(1);
                let before = before.map(|at| entries[at].0.clone());
                assert_eq!(reader.previous(), before.unwrap_or_default());
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let (good, mut reader) = (block(), BlockReader::default());
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(reader.open(b"fence", &bad).is_err(), "byte {at}, bit {bit}");
            }
        }
        assert!(reader.open(b"fense", &good).is_err());
        assert!(reader.open(b"fence", &good[..good.len() - 1]).is_err());
        assert!(reader.open(b"fence", &[]).is_err());
    }
}
