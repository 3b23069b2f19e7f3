//! Two multisets of rows, compared without holding either.
//!
//! 1. The first pass adds up, in each of [`BUCKETS`] buckets, two hashes of every row, and counts them: sums do not
//!    depend on the order in which rows come, and equal multisets have equal sums.
//! 2. The second pass, only made when sums differ, holds the rows of buckets that do: [`ROWS_MAX`] at most, or one
//!    bucket.
//! 3. Rows are equal when they are bit by bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use twox_hash::XxHash3_64;

/// A row's bucket is the first bits of its hash.
const BUCKET_BITS: u32 = 12;

/// Buckets that rows are divided into.
const BUCKETS: usize = 1 << BUCKET_BITS;

/// Rows that the second pass looks at.
const ROWS_MAX: u64 = 1_000_000;

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The kept inputs.
    Expected,
    /// The published files.
    Found,
}

/// Rows and hashes of a bucket: those expected less those found.
#[derive(Clone, Copy, Default)]
struct Bucket {
    expected: u64,
    found: u64,
    sums: [u64; 2],
}

impl Bucket {
    fn differs(&self) -> bool {
        self.expected != self.found || self.sums != [0, 0]
    }
}

/// Makes bytes of rows.
pub struct RowConversion {
    schema: SchemaRef,
    converter: RowConverter,
}

/// Rows that are on one side more often than on the other, in order.
pub struct DifferingRows {
    /// The rows.
    pub rows: RecordBatch,
    /// How often each is expected more than found.
    pub counts: Vec<i64>,
}

impl RowConversion {
    pub fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            schema: Arc::clone(schema),
            converter: RowConverter::new(fields.collect())?,
        })
    }
}

fn hashes(row: &[u8]) -> ([u64; 2], usize) {
    let hashes = [0x7469_6465, 0x7761_7465].map(|seed| XxHash3_64::oneshot_with_seed(seed, row));
    let bucket = usize::try_from(hashes[0] >> (u64::BITS - BUCKET_BITS)).unwrap_or(0);
    (hashes, bucket)
}

/// The first pass.
#[derive(Clone)]
pub struct BucketSums {
    buckets: Vec<Bucket>,
}

impl BucketSums {
    pub fn new() -> Self {
        Self {
            buckets: vec![Bucket::default(); BUCKETS],
        }
    }

    /// Adds the rows of a batch.
    pub fn add(
        &mut self,
        encoder: &RowConversion,
        side: Side,
        batch: &RecordBatch,
    ) -> Result<(), ArrowError> {
        for row in &encoder.converter.convert_columns(batch.columns())? {
            let (hashes, bucket) = hashes(row.data());
            let bucket = &mut self.buckets[bucket];
            let add = match side {
                Side::Expected => {
                    bucket.expected += 1;
                    u64::wrapping_add
                }
                Side::Found => {
                    bucket.found += 1;
                    u64::wrapping_sub
                }
            };
            bucket.sums = [
                add(bucket.sums[0], hashes[0]),
                add(bucket.sums[1], hashes[1]),
            ];
        }
        Ok(())
    }

    /// Rows expected and found.
    pub fn rows(&self) -> (u64, u64) {
        let sum = |of: fn(&Bucket) -> u64| self.buckets.iter().map(of).sum();
        (sum(|bucket| bucket.expected), sum(|bucket| bucket.found))
    }

    /// The second pass; `None` when there is nothing to look at.
    pub fn differing(&self) -> Option<BucketRows> {
        let mut wanted = vec![false; BUCKETS];
        let (mut rows, mut is_all) = (0, true);
        for (bucket, wanted) in self
            .buckets
            .iter()
            .zip(&mut wanted)
            .filter(|(b, _)| b.differs())
        {
            let more = bucket.expected + bucket.found;
            if rows > 0 && rows + more > ROWS_MAX {
                is_all = false;
                continue;
            }
            rows += more;
            *wanted = true;
        }
        wanted.contains(&true).then(|| BucketRows {
            wanted,
            is_all,
            counts: BTreeMap::new(),
        })
    }
}

/// The rows of some buckets.
pub struct BucketRows {
    wanted: Vec<bool>,
    /// Whether these are all buckets that differ.
    pub is_all: bool,
    counts: BTreeMap<OwnedRow, i64>,
}

impl BucketRows {
    /// Adds the rows of a batch that are in these buckets.
    pub fn add(
        &mut self,
        encoder: &RowConversion,
        side: Side,
        batch: &RecordBatch,
    ) -> Result<(), ArrowError> {
        for row in &encoder.converter.convert_columns(batch.columns())? {
            if self.wanted[hashes(row.data()).1] {
                *self.counts.entry(row.owned()).or_default() += match side {
                    Side::Expected => 1,
                    Side::Found => -1,
                };
            }
        }
        Ok(())
    }

    /// How many rows are missing and how many too many.
    pub fn totals(&self) -> (u64, u64) {
        let sum = |sign: i64| {
            let counts = self.counts.values().filter(|count| count.signum() == sign);
            counts.map(|count| count.unsigned_abs()).sum()
        };
        (sum(1), sum(-1))
    }

    /// The first rows that are missing (with `sign` 1) or too many (with -1).
    pub fn first(
        &self,
        encoder: &RowConversion,
        sign: i64,
        most: usize,
    ) -> Result<DifferingRows, ArrowError> {
        let rows = self
            .counts
            .iter()
            .filter(|(_, count)| count.signum() == sign);
        let rows: Vec<(&OwnedRow, &i64)> = rows.take(most).collect();
        let columns = encoder
            .converter
            .convert_rows(rows.iter().map(|(row, _)| row.row()))?;
        Ok(DifferingRows {
            rows: RecordBatch::try_new(Arc::clone(&encoder.schema), columns)?,
            counts: rows.iter().map(|(_, count)| count.abs()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{ArrayRef, Float64Array};

    use super::*;

    fn batch(values: &[f64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap()
    }

    fn compare(expected: &[f64], found: &[f64]) -> Option<(u64, u64)> {
        let (expected, found) = (batch(expected), batch(found));
        let encoder = RowConversion::new(&expected.schema()).unwrap();
        let mut sums = BucketSums::new();
        sums.add(&encoder, Side::Expected, &expected).unwrap();
        sums.add(&encoder, Side::Found, &found).unwrap();
        let mut rows = sums.differing()?;
        rows.add(&encoder, Side::Expected, &expected).unwrap();
        rows.add(&encoder, Side::Found, &found).unwrap();
        assert!(rows.is_all);
        let missing = rows.first(&encoder, 1, 10).unwrap();
        assert_eq!(missing.rows.num_rows(), missing.counts.len());
        Some(rows.totals())
    }

    #[test]
    fn multisets_are_equal_whatever_their_order() {
        assert_eq!(compare(&[1.0, 2.0, 2.0], &[2.0, 1.0, 2.0]), None);
        assert_eq!(compare(&[], &[]), None);
        let many: Vec<f64> = (0..20_000).map(f64::from).collect();
        let back: Vec<f64> = many.iter().rev().copied().collect();
        assert_eq!(compare(&many, &back), None);
    }

    #[test]
    fn counts_and_bits_tell_rows_apart() {
        assert_eq!(compare(&[1.0, 2.0], &[1.0]), Some((1, 0)));
        assert_eq!(compare(&[1.0], &[1.0, 1.0, 1.0]), Some((0, 2)));
        assert_eq!(compare(&[0.0], &[-0.0]), Some((1, 1)));
        let many: Vec<f64> = (0..20_000).map(f64::from).collect();
        let mut other = many.clone();
        other[7777] += 0.5;
        assert_eq!(compare(&many, &other), Some((1, 1)));
    }
}
