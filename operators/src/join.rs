//! `join`: inner and left equi-joins.
//!
//! Both sides are in one arrangement. A tag before the value distinguishes them, so that the changes of a key's left and
//! right rows in one epoch are processed together.
//!
//! Invariants:
//! 1. Each pair of a left and a right row is emitted at most once an epoch, with the change of its count. The same
//!    holds for each left row beside NULLs. (Both may be the same row if there are no keys and a right row consists
//!    of NULLs.)
//! 2. The cost of a changed left row is the right rows of its key. Only a change of right rows walks the left rows of
//!    the key, and emits a change for each of them.
//! 3. NULL matches nothing, unless the key is null-safe. Right rows whose keys cannot match are not arranged. Such
//!    left rows are arranged for left joins only.

use arrow::array::new_null_array;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::exchange_rows::RowEncoder;
use crate::key_rows::{KeyRow, KeyRows};
use crate::per_key::{KeyedOperator, RowChanges, StoredRows, per_key};
use crate::row::EncodedRow;
use crate::row_codec::{KeyedCodec, RowCodec, RowDecoder};
use crate::state::StateHandle;
use crate::{DeltaStream, Faults};

const RIGHT: &[u8] = &[0];
const LEFT: &[u8] = &[1];

/// The rows that a join emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Matches.
    Inner,
    /// Matches, and left rows without a match beside NULLs.
    Left,
}

/// A column of each input, of the same type, whose values must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinKey {
    /// The left input's column.
    pub left: usize,
    /// The right input's column.
    pub right: usize,
    /// Whether NULL equals NULL (`IS NOT DISTINCT FROM`).
    pub null_safe: bool,
}

/// The specification of a [`join`].
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// The rows that are emitted.
    pub kind: JoinKind,
    /// The left input's schema.
    pub left: SchemaRef,
    /// The right input's schema.
    pub right: SchemaRef,
    /// The keys; none for a cross join.
    pub keys: Vec<JoinKey>,
    /// All left columns, then all right columns, nullable for left joins.
    pub schema: SchemaRef,
}

/// Joins two inputs by equal keys.
///
/// A spec that does not fit the schemas is a fault, and nothing is emitted.
pub fn join<'scope>(
    left: DeltaStream<'scope>,
    right: DeltaStream<'scope>,
    name: &str,
    spec: &JoinSpec,
    state: StateHandle,
    faults: Faults,
) -> DeltaStream<'scope> {
    per_key(vec![left, right], name, operator(spec), state, faults)
}

fn operator(spec: &JoinSpec) -> Result<KeyedOperator, ArrowError> {
    let columns = |column: fn(&JoinKey) -> usize| spec.keys.iter().map(column).collect::<Vec<_>>();
    let strict = |column: fn(&JoinKey) -> usize| {
        let keys = spec.keys.iter().filter(|key| !key.null_safe);
        keys.map(column).collect::<Vec<_>>()
    };
    let left = KeyedCodec::new(&spec.left, &columns(|key| key.left), &[])?;
    let right = KeyedCodec::with_whole_values(&spec.right, &columns(|key| key.right))?;
    if !left.key.encodes_like(&right.key) {
        return Err(ArrowError::SchemaError(
            "the keys of the two sides are not of the same types".to_owned(),
        ));
    }
    let whole = RowCodec::concat(&[&left.key, &left.value, &right.value])?;
    let places = left
        .places()
        .into_iter()
        .chain((left.width()..).take(spec.right.fields().len()))
        .collect();
    let decoder = RowDecoder::new(whole, places, spec.schema.clone())?;
    let is_left_join = spec.kind == JoinKind::Left;
    // The right side of a left row without a match.
    let unmatched = is_left_join
        .then(|| null_row(&right.value, &spec.right))
        .transpose()?;
    let left = RowEncoder {
        codec: left,
        tag: LEFT,
        not_null: if is_left_join {
            Vec::new()
        } else {
            strict(|key| key.left)
        },
    };
    let right = RowEncoder {
        codec: right,
        tag: RIGHT,
        not_null: strict(|key| key.right),
    };
    Ok(KeyedOperator {
        encoders: vec![left, right],
        decoder,
        reach: u64::MAX,
        stored: StoredRows::All,
        logic: Box::new(move |rows, changes| {
            emit(rows, unmatched.as_ref(), changes);
            Ok(())
        }),
    })
}

fn null_row(codec: &RowCodec, schema: &Schema) -> Result<EncodedRow, ArrowError> {
    let nulls: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| new_null_array(field.data_type(), 1))
        .collect();
    Ok(EncodedRow::from(codec.encode(&nulls)?.get(0)))
}

/// Emits the changes that an epoch causes in the join of a key's left and right rows.
fn emit(rows: &KeyRows<'_>, unmatched: Option<&EncodedRow>, changes: &mut RowChanges<'_>) {
    let (right_changes, left_changes): (Vec<_>, Vec<_>) = rows
        .changes()
        .partition(|(value, _)| value.starts_with(RIGHT));
    let rights: Vec<_> = if left_changes.is_empty() {
        Vec::new()
    } else {
        right_rows(rows).collect()
    };
    let nulls = unmatched.map(EncodedRow::as_bytes);
    let mut push =
        |left: &[u8], right: &[u8], diff| changes.push(&[rows.key, &left[1..], right], diff);

    if right_changes.is_empty() {
        let matched = rights.iter().any(|right| right.after > 0);
        for (left, diff) in left_changes {
            for right in &rights {
                push(left, &right.value[1..], product(diff, right.after));
            }
            if let Some(nulls) = nulls.filter(|_| !matched) {
                push(left, nulls, diff);
            }
        }
        return;
    }
    let (was_matched, is_matched) = if nulls.is_some() {
        matched(rows)
    } else {
        (true, true)
    };
    for left in rows.walk(LEFT) {
        if left.before == left.after {
            for (right, diff) in &right_changes {
                push(left.value, &right[1..], product(left.after, *diff));
            }
        } else {
            for right in &rights {
                let (was, is) = (
                    product(left.before, right.before),
                    product(left.after, right.after),
                );
                push(left.value, &right.value[1..], is.saturating_sub(was));
            }
        }
        if let Some(nulls) = nulls {
            let was = if was_matched { 0 } else { left.before };
            let is = if is_matched { 0 } else { left.after };
            push(left.value, nulls, is - was);
        }
    }
}

fn right_rows<'a>(rows: &KeyRows<'a>) -> impl Iterator<Item = KeyRow<'a>> + use<'a> {
    rows.walk(RIGHT)
        .take_while(|right| right.value.starts_with(RIGHT))
}

/// Whether there are right rows before the epoch, and after it.
fn matched(rows: &KeyRows<'_>) -> (bool, bool) {
    let mut matched = (false, false);
    for right in right_rows(rows) {
        matched = (matched.0 || right.before > 0, matched.1 || right.after > 0);
        if matched == (true, true) {
            break;
        }
    }
    matched
}

/// The count of a pair. More rows than the saturated count could never be emitted.
fn product(left: i64, right: i64) -> i64 {
    left.saturating_mul(right)
}
