//! Compares two multisets of rows without holding either in memory.
//!
//! 1. The first pass adds up two hashes of every row in each of [`BUCKETS`] buckets, and counts the rows. Sums do not
//!    depend on the order of rows, and equal multisets have equal sums.
//! 2. The second pass is made only if sums differ. It holds rows of the buckets that differ: at most [`ROWS_MAX`], or
//!    one bucket.
//! 3. Rows are equal if they are equal bit by bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use twox_hash::XxHash3_64;

/// The first bits of a row's hash are its bucket.
const BUCKET_BITS: u32 = 12;

/// Number of buckets.
const BUCKETS: usize = 1 << BUCKET_BITS;

/// Most rows of the second pass.
const ROWS_MAX: u64 = 1_000_000;

/// The side that a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The stored inputs.
    Expected,
    /// The published files.
    Found,
}

/// The number of rows and the sums of hashes in a bucket: expected minus found.
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

/// Encodes rows as bytes.
pub struct RowConversion {
    schema: SchemaRef,
    converter: RowConverter,
}

/// Rows whose counts differ between the sides, in order.
pub struct DifferingRows {
    /// The rows.
    pub rows: RecordBatch,
    /// For each row, its expected count minus its found count.
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

    /// Number of rows expected and found.
    pub fn rows(&self) -> (u64, u64) {
        let sum = |of: fn(&Bucket) -> u64| self.buckets.iter().map(of).sum();
        (sum(|bucket| bucket.expected), sum(|bucket| bucket.found))
    }

    /// The second pass; `None` if no bucket differs.
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
    /// Whether these are all differing buckets.
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

    /// The numbers of missing rows and of surplus rows.
    pub fn totals(&self) -> (u64, u64) {
        let sum = |sign: i64| {
            let counts = self.counts.values().filter(|count| count.signum() == sign);
            counts.map(|count| count.unsigned_abs()).sum()
        };
        (sum(1), sum(-1))
    }

    /// The first missing rows (`sign` 1) or surplus rows (`sign` -1).
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
