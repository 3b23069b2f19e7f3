//! The groups of rows between two flushes, numbered from 0.
//!
//! Rows with equal keys share a group while that saves work. Where nearly every row has a group of its own, numbering
//! the keys saves nothing: the owners of the groups do it again, for all workers. Then every row is a group, and its key
//! is only encoded. DuckDB and `ClickHouse` skip their pre-aggregation likewise.
//!
//! 1. The keys of two groups differ if groups are [codes](Grouping::Codes), and may be equal if they are
//!    [rows](Grouping::Rows). Whoever gets the groups adds up those of one key.
//! 2. The grouping changes only between flushes.
//! 3. Memory is bounded in both groupings.

use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::row::RowConverter;

use super::dense_codes::DenseCodes;
use super::error::AggregateError;
use super::keys::{GroupKeys, group_converter};
use super::repetition::Repetition;
use super::spec::Aggregation;
use super::sum_table::BatchGroups;
use crate::dictionary::{DictionaryFull, PackedRows};
use crate::interner::{Interner, SpaceId, Spaces};
use crate::plain::plain_column;

/// Codes at which a flush is due.
const CODES_MAX: usize = 1 << 18;
/// Rows at which a flush is due, where each is a group. Few, so that they are still in a core's cache.
const ROWS_MAX: usize = 1 << 13;
/// From this many codes on, it is considered whether rows share groups.
const JUDGED_MIN: usize = 1 << 15;

/// The groups of rows since the last flush.
pub struct GroupNumbers {
    /// The columns to group by, and their names.
    columns: Vec<(usize, String)>,
    interner: Interner,
    /// Encodes the columns; `None` without any.
    converter: Option<RowConverter>,
    grouping: Grouping,
    /// Number of rows since the last flush.
    rows: usize,
    /// Number of groups since the last flush.
    count: usize,
    /// Group of each row of the current batch.
    of_rows: Rc<[u32]>,
}

/// Which rows share a group.
enum Grouping {
    /// Rows with equal keys: the keys are one code of the interner.
    Codes {
        /// The groups met.
        numbers: DenseCodes,
        /// What the codes stand for; `None` for the one group of an aggregation without keys.
        space: Option<SpaceId>,
        /// Whether a flush is due as soon as nearly all rows turn out to have a group of their own.
        is_on_trial: bool,
    },
    /// None.
    Rows {
        /// The key of each row.
        keys: PackedRows,
        /// Tells when rows have begun to share groups.
        repetition: Repetition,
    },
}

impl Grouping {
    fn codes(is_on_trial: bool) -> Self {
        Self::Codes {
            numbers: DenseCodes::default(),
            space: None,
            is_on_trial,
        }
    }

    fn rows() -> Self {
        Self::Rows {
            keys: PackedRows::default(),
            repetition: Repetition::default(),
        }
    }
}

impl GroupNumbers {
    /// No groups yet.
    ///
    /// # Errors
    /// When a type cannot be grouped by.
    pub fn new(aggregation: &Aggregation, interner: Interner) -> Result<Self, AggregateError> {
        let columns = aggregation.group.iter();
        let columns = columns.map(|&at| (at, aggregation.input.field(at).name().clone()));
        Ok(Self {
            columns: columns.collect(),
            interner,
            converter: group_converter(aggregation)?,
            grouping: Grouping::codes(true),
            rows: 0,
            count: 0,
            of_rows: Rc::default(),
        })
    }

    /// Finds the group of each row of a batch by its keys.
    ///
    /// # Errors
    /// When columns do not have the declared types, or codes run out.
    pub fn assign(&mut self, batch: &RecordBatch) -> Result<(), AggregateError> {
        self.rows += batch.num_rows();
        match (&mut self.grouping, &self.converter) {
            (_, None) => {
                self.of_rows = std::iter::repeat_n(0, batch.num_rows()).collect();
                self.count = 1;
            }
            (Grouping::Codes { numbers, space, .. }, _) => {
                let columns = self.columns.iter();
                let columns = columns.map(|(at, name)| (name.as_str(), batch.column(*at)));
                if let Some(codes) = self.interner.columns(columns)? {
                    *space = Some(codes.space);
                    self.of_rows = numbers.assign(&codes)?;
                    self.count = numbers.codes().len();
                }
            }
            (Grouping::Rows { keys, .. }, Some(converter)) => {
                let columns = self.columns.iter();
                let columns = columns.map(|(at, _)| plain_column(batch.column(*at)));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                for row in &converter.convert_columns(&columns)? {
                    keys.push(row.data());
                }
                let first = u32::try_from(self.count).map_err(|_| DictionaryFull)?;
                let end = u32::try_from(keys.len()).map_err(|_| DictionaryFull)?;
                self.of_rows = (first..end).collect();
                self.count = keys.len();
            }
        }
        Ok(())
    }

    /// The groups of the batch that was assigned last.
    pub fn of_batch(&self) -> BatchGroups<'_> {
        BatchGroups {
            of_rows: &self.of_rows,
            count: self.count,
        }
    }

    /// Whether a flush is due.
    pub fn is_due(&self) -> bool {
        match self.grouping {
            Grouping::Codes { is_on_trial, .. } => {
                let are_alone = self.count > self.rows / 8 * 7;
                self.count >= CODES_MAX || is_on_trial && self.count >= JUDGED_MIN && are_alone
            }
            Grouping::Rows { .. } => self.count >= ROWS_MAX,
        }
    }

    /// Removes the groups, and returns their keys. Decides how the next rows are grouped.
    pub fn flush(&mut self, spaces: &Spaces) -> GroupKeys {
        let (rows, count) = (
            std::mem::take(&mut self.rows),
            std::mem::take(&mut self.count),
        );
        match &mut self.grouping {
            Grouping::Codes {
                numbers,
                space,
                is_on_trial,
            } => {
                let keys = GroupKeys::new(keys_of_codes(numbers, *space, spaces));
                if count >= JUDGED_MIN && count > rows / 2 {
                    self.grouping = Grouping::rows();
                } else {
                    numbers.clear();
                    *is_on_trial = true;
                }
                keys
            }
            Grouping::Rows { keys, repetition } => {
                let keys = GroupKeys::new(std::mem::take(keys));
                repetition.count(keys.hashes());
                if repetition.is_common() {
                    // The next decision follows a whole table of codes, not a trial, since groups may recur late.
                    self.grouping = Grouping::codes(false);
                }
                keys
            }
        }
    }
}

/// The keys of all codes as bytes; one empty key without a space.
fn keys_of_codes(numbers: &DenseCodes, space: Option<SpaceId>, spaces: &Spaces) -> PackedRows {
    let mut keys = PackedRows::default();
    let Some(space) = space else {
        keys.push(&[]);
        return keys;
    };
    let mut key = Vec::new();
    for &code in numbers.codes() {
        key.clear();
        spaces.append(space, code, &mut key);
        keys.push(&key);
    }
    keys
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, StringArray, UInt32Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn aggregation(group: Vec<usize>) -> Aggregation {
        let input = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
        ];
        Aggregation {
            name: "aggregate".into(),
            group,
            calls: Vec::new(),
            input: Arc::new(Schema::new(input)),
            output: Arc::new(Schema::empty()),
        }
    }

    /// Rows with these ids; some are NULL. The text is a dictionary, or plain.
    fn batch(ids: impl Iterator<Item = i64>, is_dictionary: bool) -> RecordBatch {
        let ids: Vec<Option<i64>> = ids.map(|id| (id % 1000 != 3).then_some(id)).collect();
        let codes: Vec<Option<u32>> = ids
            .iter()
            .map(|id| {
                id.and_then(|id| u32::try_from(id % 4).ok())
                    .filter(|&code| code < 3)
            })
            .collect();
        let texts = StringArray::from(vec![Some("a"), None, Some("a longer text")]);
        let dictionary = DictionaryArray::new(UInt32Array::from(codes), Arc::new(texts));
        let text: ArrayRef = Arc::new(dictionary);
        let text = if is_dictionary {
            text
        } else {
            plain_column(&text).unwrap()
        };
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(Int64Array::from(ids))), ("text", text)];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    /// Feeds batches as a pre-aggregation does, and checks that each row leads to its key. Returns for each batch
    /// whether its rows share groups.
    fn feed(
        groups: &mut GroupNumbers,
        interner: &Interner,
        batches: Vec<RecordBatch>,
    ) -> Vec<bool> {
        let generation = interner.generation();
        let aggregation = aggregation(groups.columns.iter().map(|(at, _)| *at).collect());
        let converter = group_converter(&aggregation).unwrap().unwrap();
        let (mut found, mut expected, mut share) =
            (Vec::<u32>::new(), Vec::<Vec<u8>>::new(), Vec::new());
        let check =
            |groups: &mut GroupNumbers, found: &mut Vec<u32>, expected: &mut Vec<Vec<u8>>| {
                let keys = groups.flush(&generation.spaces());
                for (group, key) in found.drain(..).zip(expected.drain(..)) {
                    assert_eq!(keys.keys.get(group as usize), key);
                }
            };
        for batch in batches {
            if groups.is_due() {
                check(groups, &mut found, &mut expected);
            }
            groups.assign(&batch).unwrap();
            share.push(matches!(groups.grouping, Grouping::Codes { .. }));
            let of_batch = groups.of_batch();
            assert!(
                of_batch
                    .of_rows
                    .iter()
                    .all(|&group| (group as usize) < of_batch.count)
            );
            assert!(of_batch.count <= CODES_MAX + batch.num_rows());
            found.extend_from_slice(of_batch.of_rows);
            let columns = groups.columns.iter();
            let columns: Vec<_> = columns
                .map(|(at, _)| plain_column(batch.column(*at)).unwrap())
                .collect();
            let rows = converter.convert_columns(&columns).unwrap();
            expected.extend(rows.iter().map(|row| row.data().to_vec()));
        }
        check(groups, &mut found, &mut expected);
        share
    }

    /// Batches of 5,000 rows with these ids.
    fn batches(ids: impl Fn(i64) -> i64, count: i64) -> Vec<RecordBatch> {
        let batch_of = |number: i64| {
            let rows = number * 5000..(number + 1) * 5000;
            batch(rows.map(&ids), number % 2 == 0)
        };
        (0..count).map(batch_of).collect()
    }

    #[test]
    fn rows_share_groups_while_groups_recur() {
        for columns in [vec![0], vec![1, 0]] {
            let interner = Interner::default();
            let mut groups = GroupNumbers::new(&aggregation(columns), interner.clone()).unwrap();
            // Few groups.
            let mut all = batches(|row| row % 100, 1);
            // As many as rows: noticed as soon as a table holds little else.
            all.extend(batches(|row| row, 12));
            // Groups that recur after a while.
            all.extend(batches(|row| row % 9000, 30));
            // As many as rows, which is now noticed when a table is full.
            all.extend(batches(|row| row, 60));
            let share = feed(&mut groups, &interner, all);
            let switches = share
                .windows(2)
                .zip(1..)
                .filter(|(pair, _)| pair[0] != pair[1]);
            let switches: Vec<usize> = switches.map(|(_, at)| at).collect();
            let [to_rows, to_codes, to_rows_again] = switches[..] else {
                panic!("{switches:?}");
            };
            assert!((8..11).contains(&to_rows), "{switches:?}");
            assert!((22..27).contains(&to_codes), "{switches:?}");
            let full = CODES_MAX / 5000;
            assert!(
                (43 + full..46 + full).contains(&to_rows_again),
                "{switches:?}"
            );
        }
    }

    #[test]
    fn few_rows_or_groups_always_share() {
        let interner = Interner::default();
        let mut groups = GroupNumbers::new(&aggregation(vec![0]), interner.clone()).unwrap();
        for _ in 0..20 {
            let share = feed(&mut groups, &interner, batches(|row| row, 6));
            assert!(share.iter().all(|share| *share));
        }
        let share = feed(&mut groups, &interner, batches(|row| row % 20_000, 40));
        assert!(share.iter().all(|share| *share));
    }

    #[test]
    fn without_columns_there_is_one_group() {
        let mut groups = GroupNumbers::new(&aggregation(Vec::new()), Interner::default()).unwrap();
        for batch in batches(|row| row, 10) {
            assert!(!groups.is_due());
            groups.assign(&batch).unwrap();
            let of_batch = groups.of_batch();
            assert_eq!(
                (of_batch.of_rows, of_batch.count),
                (vec![0; 5000].as_slice(), 1)
            );
        }
        let keys = groups.flush(&Spaces::default());
        assert_eq!(keys.keys.iter().collect::<Vec<_>>(), [b""]);
    }
}
