//! `settle`: applies insertions and retractions of rows that come as an input without a key, such as a log of
//! changes.
//!
//! Each row of the input is an event: it inserts a row, or retracts an equal row. The events of a partition are
//! ordered; those of different partitions are not. A retraction is matched with an insertion of its row that is
//! earlier in its own partition, or anywhere in another one. A retraction without a match is *unmatched*.
//!
//! 1. The resulting rows and the number of unmatched retractions depend only on the events, not on the epochs in
//!    which they arrive. The number of unmatched retractions is the smallest possible.
//! 2. With `i` insertions and `r` retractions of a row in all, and in partition `p` with `i_p` insertions and at most `d_p`
//!    retractions more than insertions at any point, `max(0, r - i, max_p(d_p - (i - i_p)))` are unmatched: by Hall's
//!    theorem, since retractions of two partitions see all insertions together.
//! 3. The state has two counts for each row and partition, and the positions at which `d_p` grew.
//! 4. Events are never retracted. Those of a partition arrive in order, epoch by epoch.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::exchange_rows::RowEncoder;
use crate::key_rows::KeyRows;
use crate::per_key::{KeyedOperator, RowChanges, RowError, StoredRows, per_key};
use crate::row_codec::{KeyedCodec, OrderKey, RowDecoder};
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

/// The specification of a [`settle`] operator.
#[derive(Clone, Debug)]
pub struct SettleSpec {
    /// The schema of the input and the output.
    pub schema: SchemaRef,
    /// The column with the partition of an event, a BIGINT.
    pub partition: usize,
    /// The column with the position of an event in its partition, a BIGINT that is not negative: even for a
    /// retraction, odd for an insertion. All other columns are the row.
    pub position: usize,
}

/// The position of output rows that are there. Unmatched retractions have the position of their event.
pub const THERE: i64 = -1;

/// Positions of entries in the state: the number of insertions, the number of matched retractions, and unmatched
/// retractions.
const INSERTED: i64 = -1;
const MATCHED: i64 = -2;
const UNMATCHED: i64 = -3;

/// Emits the resulting rows at the position [`THERE`] of partition 0, and the unmatched retractions.
///
/// A spec that does not fit the schema is a fault, and nothing is emitted.
pub fn settle<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    spec: &SettleSpec,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    per_key(vec![stream], name, operator(spec), state, faults)
}

fn operator(spec: &SettleSpec) -> Result<KeyedOperator, ArrowError> {
    let places = [spec.partition, spec.position];
    let columns = 0..spec.schema.fields().len();
    let row: Vec<usize> = columns.filter(|column| !places.contains(column)).collect();
    let order = places.map(|column| OrderKey {
        column,
        descending: false,
        nulls_first: true,
    });
    let codec = KeyedCodec::new(&spec.schema, &row, &order)?;
    let decoder = RowDecoder::new(codec.row_codec()?, codec.places(), spec.schema.clone())?;
    Ok(KeyedOperator {
        encoders: vec![RowEncoder::untagged(codec)],
        decoder,
        reach: u64::MAX,
        stored: StoredRows::Summary(summary),
        logic: Box::new(emit),
    })
}

/// Emits the difference between the row's account before and after the epoch.
fn emit(row: &KeyRows<'_>, changes: &mut RowChanges<'_>) -> Result<(), RowError> {
    let (mut before, mut after) = (Account::default(), Account::default());
    for event in row.walk(&[]) {
        let place = EventPlace::decode(event.value).ok_or_else(EventPlace::malformed)?;
        before.add(place, event.before)?;
        after.add(place, event.after)?;
    }
    let (before, after) = (before.outcome(), after.outcome());
    let there = EventPlace {
        partition: 0,
        position: THERE,
    };
    changes.push(&[row.key, &there.encode()], after.there - before.there);
    for place in before.unmatched.difference(&after.unmatched) {
        changes.push(&[row.key, &place.encode()], -1);
    }
    for place in after.unmatched.difference(&before.unmatched) {
        changes.push(&[row.key, &place.encode()], 1);
    }
    Ok(())
}

/// The events of a row as the state stores them.
fn summary(events: &mut dyn Iterator<Item = (&[u8], i64)>) -> BTreeMap<Vec<u8>, i64> {
    let mut account = Account::default();
    for (value, count) in events {
        // An event that cannot be read has failed the epoch.
        if let Some(place) = EventPlace::decode(value) {
            let _ = account.add(place, count);
        }
    }
    let mut entries = BTreeMap::new();
    for (partition, tally) in account.0 {
        let mut entry = |position, count| {
            let place = EventPlace {
                partition,
                position,
            };
            entries.insert(place.encode().to_vec(), count);
        };
        let matched = tally.retracted - tally.deficit();
        entry(INSERTED, tally.inserted);
        entry(MATCHED, matched);
        for position in tally.unmatched {
            entry(UNMATCHED - position, 1);
        }
    }
    entries
}

/// The place of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EventPlace {
    partition: i64,
    position: i64,
}

impl EventPlace {
    /// The bytes of a BIGINT that is not NULL in encoded rows.
    const WIDTH: usize = 9;

    fn encode(self) -> [u8; 2 * Self::WIDTH] {
        let mut bytes = [1; 2 * Self::WIDTH];
        bytes[1..Self::WIDTH].copy_from_slice(&ordered(self.partition).to_be_bytes());
        bytes[Self::WIDTH + 1..].copy_from_slice(&ordered(self.position).to_be_bytes());
        bytes
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (partition, position) = value.split_at_checked(Self::WIDTH)?;
        let number = |bytes: &[u8]| {
            let bytes = bytes.strip_prefix(&[1])?.try_into().ok()?;
            Some(ordered(i64::from_be_bytes(bytes)))
        };
        Some(Self {
            partition: number(partition)?,
            position: number(position)?,
        })
    }

    fn malformed() -> RowError {
        let message = "an event has no partition or position: a defect of the engine";
        ArrowError::ComputeError(message.to_owned()).into()
    }
}

/// Converts between a number and one whose bytes compare in its order.
fn ordered(number: i64) -> i64 {
    number ^ i64::MIN
}

/// The events of a row, by partition.
#[derive(Default)]
struct Account(BTreeMap<i64, EventTally>);

/// The events of a row in a partition.
#[derive(Default)]
struct EventTally {
    inserted: i64,
    retracted: i64,
    /// The retractions at which the excess of retractions over insertions reached a new maximum.
    unmatched: Vec<i64>,
}

/// The result of events.
struct SettledRow {
    /// The count of the row.
    there: i64,
    unmatched: BTreeSet<EventPlace>,
}

impl EventTally {
    /// The greatest excess of retractions over insertions.
    fn deficit(&self) -> i64 {
        i64::try_from(self.unmatched.len()).unwrap_or(i64::MAX)
    }
}

impl Account {
    /// Adds an event, or a stored summary of some. They arrive in the order of their places.
    fn add(&mut self, place: EventPlace, count: i64) -> Result<(), RowError> {
        if count < 0 {
            return Err(RowError::NegativeCount);
        }
        if count == 0 {
            return Ok(());
        }
        let tally = self.0.entry(place.partition).or_default();
        match place.position {
            INSERTED => tally.inserted += count,
            MATCHED => tally.retracted += count,
            stored if stored <= UNMATCHED => {
                tally.retracted += 1;
                tally.unmatched.push(UNMATCHED - stored);
            }
            inserts if inserts % 2 == 1 => tally.inserted += count,
            retracts => {
                tally.retracted += 1;
                if tally.retracted - tally.inserted > tally.deficit() {
                    tally.unmatched.push(retracts);
                }
            }
        }
        Ok(())
    }

    fn outcome(self) -> SettledRow {
        let tallies = self.0.values();
        let inserted: i64 = tallies.clone().map(|tally| tally.inserted).sum();
        let retracted: i64 = tallies.clone().map(|tally| tally.retracted).sum();
        let alone = tallies.map(|tally| tally.deficit() - (inserted - tally.inserted));
        let unmatched = alone.fold(0.max(retracted - inserted), i64::max);
        let places = self.0.into_iter().flat_map(|(partition, tally)| {
            let places = tally.unmatched.into_iter();
            places.map(move |position| EventPlace {
                partition,
                position,
            })
        });
        let places: BTreeSet<EventPlace> = places.collect();
        let first = usize::try_from(unmatched).unwrap_or(0);
        SettledRow {
            there: inserted - retracted + unmatched,
            unmatched: places.into_iter().take(first).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::compute::SortOptions;
    use arrow::datatypes::DataType;

    use super::*;
    use crate::row_codec::RowCodec;

    /// Draws numbers below a bound.
    fn draws(seed: u64) -> impl FnMut(u64) -> i64 {
        let mut state = seed;
        move |bound| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            i64::try_from((state >> 33) % bound).unwrap()
        }
    }

    fn outcome(entries: &BTreeMap<Vec<u8>, i64>) -> (i64, BTreeSet<EventPlace>) {
        let mut account = Account::default();
        for (value, count) in entries {
            account
                .add(EventPlace::decode(value).unwrap(), *count)
                .unwrap();
        }
        let outcome = account.outcome();
        (outcome.there, outcome.unmatched)
    }

    #[test]
    fn a_summary_stands_for_its_events() {
        for seed in 0..500 {
            let mut draw = draws(seed);
            let (mut all, mut stored) = (BTreeMap::new(), BTreeMap::new());
            for offset in 0..30 {
                let place = EventPlace {
                    partition: draw(3),
                    position: 2 * offset + draw(2),
                };
                all.insert(place.encode().to_vec(), 1);
                stored.insert(place.encode().to_vec(), 1);
                if draw(4) == 0 {
                    let mut entries = stored
                        .iter()
                        .map(|(value, count)| (value.as_slice(), *count));
                    stored = summary(&mut entries);
                }
                assert_eq!(outcome(&stored), outcome(&all), "seed {seed}, {offset}");
            }
        }
    }

    #[test]
    fn places_are_encoded_as_rows_are() {
        let columns = [0, 1, -1, 7, i64::MAX, i64::MIN].map(|number| {
            let place = EventPlace {
                partition: number,
                position: number,
            };
            let column: ArrayRef = Arc::new(Int64Array::from(vec![number]));
            (place, [Arc::clone(&column), column])
        });
        let number = || (DataType::Int64, SortOptions::default());
        let codec = RowCodec::new(vec![number(), number()]).unwrap();
        for (place, columns) in columns {
            let encoded = codec.encode(&columns).unwrap();
            assert_eq!(encoded.get(0), place.encode());
            assert_eq!(EventPlace::decode(encoded.get(0)), Some(place));
        }
        assert_eq!(EventPlace::decode(&[0; 18]), None);
        assert_eq!(EventPlace::decode(&[1; 17]), None);
    }
}
