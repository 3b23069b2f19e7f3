//! Rows as bytes: what crosses workers, and what arrangements hold.
//!
//! The bytes are arrow-row's, so comparing them compares the rows. Owned rows are short-lived — between the encoding
//! of a delta and the building of a batch — and batches pack them one after another in a [`RowContainer`], without
//! an allocation per row.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use timely::container::PushInto;

/// Rows of up to this many bytes live in the [`Row`] itself, which takes 24 bytes either way.
const INLINE: usize = 22;

/// An owned byte string, ordered by its bytes. Cheap to clone.
#[derive(Clone)]
pub struct Row(Bytes);

#[derive(Clone)]
enum Bytes {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Arc<[u8]>),
}

impl Row {
    /// The row without bytes, which comes before all others.
    pub const EMPTY: Self = Self(Bytes::Short {
        len: 0,
        bytes: [0; INLINE],
    });

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Row {
    fn from(row: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..row.len()), u8::try_from(row.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(row);
                Self(Bytes::Short { len, bytes })
            }
            _ => Self(Bytes::Long(row.into())),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Row").field(&self.as_bytes()).finish()
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// What building a batch compares: a row read back with a row about to be written.
impl<'r> PartialEq<&'r Row> for &[u8] {
    fn eq(&self, other: &&'r Row) -> bool {
        *self == other.as_bytes()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a row")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Row, E> {
        Ok(Row::from(bytes))
    }

    /// For formats without byte strings, JSON among them.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Row, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(Row::from(bytes.as_slice()))
    }
}

/// Rows packed one after another: the keys, or the values, of an arrangement's batch.
pub struct RowContainer {
    /// Where each row ends in `bytes`.
    ends: OffsetList,
    bytes: Vec<u8>,
}

impl RowContainer {
    fn append(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }
}

impl PushInto<Row> for RowContainer {
    fn push_into(&mut self, row: Row) {
        self.append(row.as_bytes());
    }
}

impl BatchContainer for RowContainer {
    type Owned = Row;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(row: &[u8]) -> Row {
        Row::from(row)
    }

    fn push_ref(&mut self, row: &[u8]) {
        self.append(row);
    }

    fn push_own(&mut self, row: &Row) {
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
    fn rows_keep_and_order_as_their_bytes() {
        assert_eq!(size_of::<Row>(), 24);
        for one in samples() {
            assert_eq!(Row::from(one.as_slice()).as_bytes(), one);
            for other in samples() {
                let rows = (Row::from(one.as_slice()), Row::from(other.as_slice()));
                assert_eq!(rows.0.cmp(&rows.1), one.cmp(&other), "{one:?} {other:?}");
                assert_eq!(one.as_slice() == &rows.1, one == other);
            }
        }
    }

    #[test]
    fn rows_are_read_back_from_bytes_and_from_sequences() {
        use serde::de::value::{BytesDeserializer, Error, SeqDeserializer};
        for sample in samples() {
            let bytes = BytesDeserializer::<Error>::new(&sample);
            assert_eq!(Row::deserialize(bytes).unwrap().as_bytes(), sample);
            let sequence = SeqDeserializer::<_, Error>::new(sample.iter().copied());
            assert_eq!(
                Visitor::visit_seq(RowVisitor, sequence).unwrap().as_bytes(),
                sample
            );
        }
    }

    #[test]
    fn containers_give_back_what_was_pushed() {
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
        container.push_own(&Row::from(&b"again"[..]));
        assert_eq!(container.index(0), b"again");
    }
}
