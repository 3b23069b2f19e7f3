//! What a level of a part says of a key.

use tidewater_operators::state::{EntryUpdate, StateEntry};

/// What a level says of a key; to be applied to what the levels below say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// The entry is there so many times more, or less.
    Add(i64),
    /// Whatever it was, the entry is there so many times now, and this is kept for it.
    Set(i64, &'a [u8]),
}

/// What precedes what is kept, where a level says what is set; nothing does where it says what is added.
const SET: u8 = 1;

impl<'a> Said<'a> {
    /// What an entry of a level above the base says.
    pub fn read(entry: StateEntry<'a>) -> Self {
        match entry.payload.split_first() {
            None => Self::Add(entry.count),
            Some((_, payload)) => Self::Set(entry.count, payload),
        }
    }

    /// What follows, one said after the other.
    pub fn then(self, later: Said<'a>) -> Self {
        match (self, later) {
            (_, Said::Set(count, payload)) => Self::Set(count, payload),
            (Self::Add(count), Said::Add(more)) => Self::Add(count + more),
            (Self::Set(count, _), Said::Add(more)) => Self::Set(count + more, &[]),
        }
    }

    /// How often the entry is said to be there: more, or at all.
    pub fn count(self) -> i64 {
        let (Self::Add(count) | Self::Set(count, _)) = self;
        count
    }

    /// The payload of the entry that says it, in `bytes`.
    pub fn payload(self, bytes: &mut Vec<u8>) -> &[u8] {
        bytes.clear();
        if let Self::Set(_, payload) = self {
            bytes.push(SET);
            bytes.extend_from_slice(payload);
        }
        bytes
    }
}

impl<'a> From<EntryUpdate<'a>> for Said<'a> {
    fn from(update: EntryUpdate<'a>) -> Self {
        match update {
            EntryUpdate::Add(more) => Self::Add(more),
            EntryUpdate::Count(count) => Self::Set(count, &[]),
            EntryUpdate::Put(payload) => Self::Set(1, payload),
            EntryUpdate::Remove => Self::Set(0, &[]),
        }
    }
}
