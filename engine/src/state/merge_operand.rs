//! Merge operands: the entries of a part's upper levels, which are merged with the entries of the levels below.

use tidewater_operators::state::{EntryUpdate, StateEntry};

/// A change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeOperand<'a> {
    /// Adds to the entry's count.
    Add(i64),
    /// Sets the entry's count and payload.
    Set(i64, &'a [u8]),
}

/// The first byte of the payload of a [`MergeOperand::Set`] above the base. A [`MergeOperand::Add`] has no payload.
const SET: u8 = 1;

impl<'a> MergeOperand<'a> {
    /// The operand in an entry of a level above the base.
    pub fn of_entry(entry: StateEntry<'a>) -> Self {
        match entry.payload.split_first() {
            None => Self::Add(entry.count),
            Some((_, payload)) => Self::Set(entry.count, payload),
        }
    }

    /// This operand followed by a later one.
    pub fn then(self, later: MergeOperand<'a>) -> Self {
        match (self, later) {
            (_, MergeOperand::Set(count, payload)) => Self::Set(count, payload),
            (Self::Add(count), MergeOperand::Add(more)) => Self::Add(count + more),
            (Self::Set(count, _), MergeOperand::Add(more)) => Self::Set(count + more, &[]),
        }
    }

    /// The count that it adds or sets.
    pub fn count(self) -> i64 {
        let (Self::Add(count) | Self::Set(count, _)) = self;
        count
    }

    /// The payload of this operand's entry above the base, written to `bytes`.
    pub fn payload(self, bytes: &mut Vec<u8>) -> &[u8] {
        bytes.clear();
        if let Self::Set(_, payload) = self {
            bytes.push(SET);
            bytes.extend_from_slice(payload);
        }
        bytes
    }
}

impl<'a> From<EntryUpdate<'a>> for MergeOperand<'a> {
    fn from(update: EntryUpdate<'a>) -> Self {
        match update {
            EntryUpdate::Add(more) => Self::Add(more),
            EntryUpdate::Count(count) => Self::Set(count, &[]),
            EntryUpdate::Put(payload) => Self::Set(1, payload),
            EntryUpdate::Remove => Self::Set(0, &[]),
        }
    }
}
