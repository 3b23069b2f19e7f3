//! Rows as bytes, as they cross workers and are stored in arrangements.
//!
//! The bytes are in arrow-row's format, so comparing the bytes compares the rows. Owned rows are short-lived: they exist
//! between the encoding of a delta and the building of a batch. A batch packs its rows in a [`RowContainer`], without an
//! allocation per row.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use timely::container::PushInto;

/// Rows of up to this many bytes are stored in the [`EncodedRow`] itself, which always takes 24 bytes.
const INLINE: usize = 22;

/// An owned byte string, ordered by its bytes. Cheap to clone.
#[derive(Clone)]
pub struct EncodedRow(RowStorage);

#[derive(Clone)]
enum RowStorage {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Arc<[u8]>),
}

impl EncodedRow {
    /// The row without bytes, which is less than all others.
    pub const EMPTY: Self = Self(RowStorage::Short {
        len: 0,
        bytes: [0; INLINE],
    });

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            RowStorage::Short { len, bytes } => &bytes[..usize::from(*len)],
            RowStorage::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for EncodedRow {
    fn from(row: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..row.len()), u8::try_from(row.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(row);
                Self(RowStorage::Short { len, bytes })
            }
            _ => Self(RowStorage::Long(row.into())),
        }
    }
}

impl fmt::Debug for EncodedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedRow").field(&self.as_bytes()).finish()
    }
}

impl PartialEq for EncodedRow {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EncodedRow {}

impl PartialOrd for EncodedRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EncodedRow {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for EncodedRow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// The building of a batch compares a written row with the next one.
impl<'r> PartialEq<&'r EncodedRow> for &[u8] {
    fn eq(&self, other: &&'r EncodedRow) -> bool {
        *self == other.as_bytes()
    }
}

impl Serialize for EncodedRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for EncodedRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(EncodedRowVisitor)
    }
}

struct EncodedRowVisitor;

impl<'de> Visitor<'de> for EncodedRowVisitor {
    type Value = EncodedRow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a row")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<EncodedRow, E> {
        Ok(EncodedRow::from(bytes))
    }

    /// For formats without byte strings, such as JSON.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<EncodedRow, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(EncodedRow::from(bytes.as_slice()))
    }
}

/// Rows packed one after another: the keys, or the values, of an arrangement's batch.
pub struct RowContainer {
    /// The end of each row in `bytes`.
    ends: OffsetList,
    bytes: Vec<u8>,
}

impl RowContainer {
    fn append(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }
}

impl PushInto<EncodedRow> for RowContainer {
    fn push_into(&mut self, row: EncodedRow) {
        self.append(row.as_bytes());
    }
}

impl BatchContainer for RowContainer {
    type Owned = EncodedRow;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(row: &[u8]) -> EncodedRow {
        EncodedRow::from(row)
    }

    fn push_ref(&mut self, row: &[u8]) {
        self.append(row);
    }

    fn push_own(&mut self, row: &EncodedRow) {
        self.append(row.as_bytes());
    }

    fn clear(&mut self) {
        BatchContainer::clear(&mut self.ends);
        self.bytes.clear();
    }

    fn with_capacity(size: usize) -> Self {
        Self {
            ends: OffsetList::with_capacity(size),
            bytes: Vec::new(),
        }
    }

    fn merge_capacity(one: &Self, other: &Self) -> Self {
        Self {
            ends: OffsetList::with_capacity(one.ends.len() + other.ends.len()),
            bytes: Vec::with_capacity(one.bytes.len() + other.bytes.len()),
        }
    }

    fn reborrow<'b, 'a: 'b>(row: &'a [u8]) -> &'b [u8] {
        row
    }

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        let start = if index == 0 {
            0
        } else {
            self.ends.index(index - 1)
        };
        &self.bytes[start..self.ends.index(index)]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn samples() -> Vec<Vec<u8>> {
        let lengths = [0, 1, 2, INLINE - 1, INLINE, INLINE + 1, 300];
        lengths
            .into_iter()
            .flat_map(|length| [0, 1, 255].map(|byte| vec![byte; length]))
            .collect()
    }

    #[test]
    fn rows_are_ordered_like_their_bytes() {
        assert_eq!(size_of::<EncodedRow>(), 24);
        for one in samples() {
            assert_eq!(EncodedRow::from(one.as_slice()).as_bytes(), one);
            for other in samples() {
                let rows = (
                    EncodedRow::from(one.as_slice()),
                    EncodedRow::from(other.as_slice()),
                );
                assert_eq!(rows.0.cmp(&rows.1), one.cmp(&other), "{one:?} {other:?}");
                assert_eq!(one.as_slice() == &rows.1, one == other);
            }
        }
    }

    #[test]
    fn rows_deserialize_from_bytes_and_from_sequences() {
        use serde::de::value::{BytesDeserializer, Error, SeqDeserializer};
        for sample in samples() {
            let bytes = BytesDeserializer::<Error>::new(&sample);
            assert_eq!(EncodedRow::deserialize(bytes).unwrap().as_bytes(), sample);
            let sequence = SeqDeserializer::<_, Error>::new(sample.iter().copied());
            assert_eq!(
                Visitor::visit_seq(EncodedRowVisitor, sequence)
                    .unwrap()
                    .as_bytes(),
                sample
            );
        }
    }

    #[test]
    fn containers_return_the_rows_that_were_pushed() {
        let mut container = RowContainer::with_capacity(1);
        for sample in samples() {
            container.push_ref(&sample);
        }
        assert_eq!(container.len(), samples().len());
        for (index, sample) in samples().iter().enumerate() {
            assert_eq!(container.index(index), sample.as_slice());
        }
        container.clear();
        assert!(container.is_empty());
        container.push_own(&EncodedRow::from(&b"again"[..]));
        assert_eq!(container.index(0), b"again");
    }
}
