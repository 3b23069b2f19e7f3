//! `latest`: returns for each key the greatest row since the key's last deletion.
//!
//! Rows come from a log. Their offsets give them an order, and they are never retracted. A row that is marked deleted
//! deletes the rows before it. Of the rows after the last deletion, the greatest one counts. If there is none, the
//! deletion itself counts.
//!
//! 1. The row that counts is computed row by row in the order of offsets, from the one that counted before. So the
//!    state has one row for each key.
//! 2. Rows come in order, epoch by epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::exchange_rows::RowEncoder;
use crate::key_rows::KeyRows;
use crate::map::map;
use crate::per_key::{KeyedOperator, RowChanges, RowError, StoredRows, per_key};
use crate::plain::plain;
use crate::row_codec::{KeyedCodec, OrderKey, RowDecoder};
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

/// The specification of a [`latest`] operator.
#[derive(Clone, Debug)]
pub struct LatestSpec {
    /// The schema of the input and the output.
    pub schema: SchemaRef,
    /// The columns of the key.
    pub key: Vec<usize>,
    /// The column with the offset, a BIGINT.
    pub offset: usize,
    /// The column that says whether a row deletes the key, a BOOLEAN.
    pub deleted: usize,
    /// The column that decides. NULL is lowest. Of equal rows, the one with the greater offset counts.
    pub by: usize,
}

/// The bytes of an offset and a mark in encoded rows.
const OFFSET_BYTES: usize = 9;
const MARK_BYTES: usize = 2;

/// Emits the row of each key that counts.
///
/// A spec that does not fit the schema is a fault, and nothing is emitted.
pub fn latest<'scope>(
    stream: DeltaStream<'scope>,
    name: &str,
    spec: &LatestSpec,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    // The offset occurs twice: it orders rows, and it decides between equal rows.
    let (wide, offset) = (widened(&spec.schema, spec.offset), spec.offset);
    let schema = Arc::clone(&wide);
    let rows = map(stream, &format!("{name}: offsets"), faults.clone(), {
        move |batch| {
            let batch = plain(batch)?;
            let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
            columns.push(Arc::clone(&columns[offset]));
            RecordBatch::try_new(Arc::clone(&schema), columns)
        }
    });
    let operator = operator(spec, &wide);
    let found = per_key(vec![rows], name, operator, state, faults.clone());
    let width = spec.schema.fields().len();
    let narrow: Vec<usize> = (0..width).collect();
    map(found, &format!("{name}: rows"), faults, move |batch| {
        batch.project(&narrow)
    })
}

/// The schema with the offset as one more column.
fn widened(schema: &SchemaRef, offset: usize) -> SchemaRef {
    let fields = schema.fields().iter().cloned();
    let again = schema
        .field(offset)
        .as_ref()
        .clone()
        .with_name("offset again");
    let fields = fields.chain([Arc::new(again)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn operator(spec: &LatestSpec, wide: &SchemaRef) -> Result<KeyedOperator, ArrowError> {
    let again = spec.schema.fields().len();
    let order = [spec.offset, spec.deleted, spec.by, again].map(|column| OrderKey {
        column,
        descending: false,
        nulls_first: true,
    });
    let codec = KeyedCodec::new(wide, &spec.key, &order)?;
    let decoder = RowDecoder::new(codec.row_codec()?, codec.places(), Arc::clone(wide))?;
    Ok(KeyedOperator {
        encoders: vec![RowEncoder::untagged(codec)],
        decoder,
        reach: u64::MAX,
        stored: StoredRows::Summary(summary),
        logic: Box::new(emit),
    })
}

/// The row that counts after another row arrived.
fn later<'a>(counts: Option<&'a [u8]>, row: &'a [u8]) -> &'a [u8] {
    let decides = |row: &'a [u8]| row.get(OFFSET_BYTES + MARK_BYTES..);
    match counts {
        Some(counts)
            if !is_deletion(counts) && !is_deletion(row) && decides(counts) > decides(row) =>
        {
            counts
        }
        _ => row,
    }
}

fn is_deletion(row: &[u8]) -> bool {
    row.get(OFFSET_BYTES..OFFSET_BYTES + MARK_BYTES) == Some(&[1, 1])
}

/// Emits the difference between the rows that count before and after the epoch.
fn emit(rows: &KeyRows<'_>, changes: &mut RowChanges<'_>) -> Result<(), RowError> {
    let (mut before, mut after) = (None, None);
    for row in rows.walk(&[]) {
        if row.before < 0 || row.after < row.before {
            return Err(RowError::NegativeCount);
        }
        if row.before > 0 {
            before = Some(later(before, row.value));
        }
        after = Some(later(after, row.value));
    }
    if before == after {
        return Ok(());
    }
    for (row, diff) in [(before, -1), (after, 1)] {
        if let Some(row) = row {
            changes.push(&[rows.key, row], diff);
        }
    }
    Ok(())
}

/// The row that counts.
fn summary(rows: &mut dyn Iterator<Item = (&[u8], i64)>) -> BTreeMap<Vec<u8>, i64> {
    let mut counts: Option<Vec<u8>> = None;
    for (row, _) in rows.filter(|(_, count)| *count > 0) {
        counts = Some(later(counts.as_deref(), row).to_vec());
    }
    counts.into_iter().map(|row| (row, 1)).collect()
}
