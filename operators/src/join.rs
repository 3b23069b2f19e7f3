//! `join`: inner and left equi-joins.
//!
//! Both sides are in one arrangement, told apart by a tag before the value, so that an epoch's changes of a key's
//! left and right rows are met together.
//!
//! Invariants:
//! 1. Each pair of a left and a right row is emitted at most once an epoch, with what its count changes by; so is each
//!    left row beside NULLs. (Without keys the two can be the same row, where a right row is nothing but NULLs.)
//! 2. A change of left rows costs the right rows of their key; only a change of right rows walks the left rows of
//!    the key, each of which it makes a change for.
//! 3. Keys with NULL match nothing: such right rows are not arranged, such left rows only for left joins.

use arrow::array::new_null_array;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use timely::dataflow::Stream;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::operator;

use crate::exchange_rows::{RowEncoder, arrange_rows, encode_rows};
use crate::group::{Entry, Group};
use crate::per_key::{Changes, Keeps, Logic, per_key};
use crate::row::Row;
use crate::row_codec::{KeyedCodec, RowCodec, RowDecoder};
use crate::state::Part;
use crate::{Delta, Faults};

const RIGHT: &[u8] = &[0];
const LEFT: &[u8] = &[1];

/// Which rows a join keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Matches.
    Inner,
    /// Matches, and left rows without one beside NULLs.
    Left,
}

/// What [`join`] joins.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// Which rows are kept.
    pub kind: JoinKind,
    /// Of the left input.
    pub left: SchemaRef,
    /// Of the right input.
    pub right: SchemaRef,
    /// Columns of the left input that must equal those of `right_keys`, one by one, and have their types. None for a
    /// cross join.
    pub left_keys: Vec<usize>,
    /// Columns of the right input.
    pub right_keys: Vec<usize>,
    /// All left columns, then all right columns, nullable for left joins.
    pub schema: SchemaRef,
}

/// Joins two inputs by equal keys. NULL equals nothing.
///
/// A spec that does not fit the schemas is a fault, and nothing comes out.
pub fn join<'scope>(
    left: Stream<'scope, u64, Vec<Delta>>,
    right: Stream<'scope, u64, Vec<Delta>>,
    name: &str,
    spec: &JoinSpec,
    part: Part,
    faults: Faults,
) -> Stream<'scope, u64, Vec<Delta>> {
    let Some(Prepared {
        left_encoder,
        right_encoder,
        decoder,
        unmatched,
    }) = faults.catch(name, prepare(spec))
    else {
        return operator::empty(left.scope());
    };
    let left = encode_rows(left, &format!("{name}: left"), left_encoder, faults.clone());
    let right = encode_rows(
        right,
        &format!("{name}: right"),
        right_encoder,
        faults.clone(),
    );
    let logic: Logic = Box::new(move |group, changes| {
        change(group, unmatched.as_ref(), changes);
        Ok(())
    });
    per_key(
        arrange_rows(left.concat(right), name),
        name,
        decoder,
        faults,
        part,
        (u64::MAX, Keeps::All),
        logic,
    )
}

struct Prepared {
    left_encoder: RowEncoder,
    right_encoder: RowEncoder,
    decoder: RowDecoder,
    /// The right side of a left row without a match, for left joins.
    unmatched: Option<Row>,
}

fn prepare(spec: &JoinSpec) -> Result<Prepared, ArrowError> {
    let left = KeyedCodec::new(&spec.left, &spec.left_keys, &[])?;
    let right = KeyedCodec::with_whole_values(&spec.right, &spec.right_keys)?;
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
    let outer = spec.kind == JoinKind::Left;
    let unmatched = if outer {
        Some(null_row(&right.value, &spec.right)?)
    } else {
        None
    };
    Ok(Prepared {
        left_encoder: RowEncoder {
            codec: left,
            tag: LEFT,
            drop_null_keys: !outer,
        },
        right_encoder: RowEncoder {
            codec: right,
            tag: RIGHT,
            drop_null_keys: true,
        },
        decoder,
        unmatched,
    })
}

fn null_row(codec: &RowCodec, schema: &Schema) -> Result<Row, ArrowError> {
    let nulls: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| new_null_array(field.data_type(), 1))
        .collect();
    Ok(Row::from(codec.encode(&nulls)?.get(0)))
}

/// Emits what an epoch changes in the join of a key's left and right rows.
fn change(group: &Group<'_>, unmatched: Option<&Row>, changes: &mut Changes<'_>) {
    let (right_changes, left_changes): (Vec<_>, Vec<_>) = group
        .changes()
        .partition(|(value, _)| value.starts_with(RIGHT));
    let rights: Vec<_> = if left_changes.is_empty() {
        Vec::new()
    } else {
        rights_of(group).collect()
    };
    let nulls = unmatched.map(Row::as_bytes);
    let mut emit =
        |left: &[u8], right: &[u8], diff| changes.push(&[group.key, &left[1..], right], diff);

    if right_changes.is_empty() {
        let matched = rights.iter().any(|right| right.after > 0);
        for (left, diff) in left_changes {
            for right in &rights {
                emit(left, &right.value[1..], product(diff, right.after));
            }
            if let Some(nulls) = nulls.filter(|_| !matched) {
                emit(left, nulls, diff);
            }
        }
        return;
    }
    let (was_matched, is_matched) = if nulls.is_some() {
        matched(group)
    } else {
        (true, true)
    };
    for left in group.walk(LEFT) {
        if left.before == left.after {
            for (right, diff) in &right_changes {
                emit(left.value, &right[1..], product(left.after, *diff));
            }
        } else {
            for right in &rights {
                let (was, is) = (
                    product(left.before, right.before),
                    product(left.after, right.after),
                );
                emit(left.value, &right.value[1..], is.saturating_sub(was));
            }
        }
        if let Some(nulls) = nulls {
            let was = if was_matched { 0 } else { left.before };
            let is = if is_matched { 0 } else { left.after };
            emit(left.value, nulls, is - was);
        }
    }
}

fn rights_of<'a>(group: &Group<'a>) -> impl Iterator<Item = Entry<'a>> + use<'a> {
    group
        .walk(RIGHT)
        .take_while(|right| right.value.starts_with(RIGHT))
}

/// Whether there are right rows before the epoch, and after it.
fn matched(group: &Group<'_>) -> (bool, bool) {
    let mut matched = (false, false);
    for right in rights_of(group) {
        matched = (matched.0 || right.before > 0, matched.1 || right.after > 0);
        if matched == (true, true) {
            break;
        }
    }
    matched
}

/// How often a pair is there. Counts that saturate could not be emitted in a lifetime.
fn product(left: i64, right: i64) -> i64 {
    left.saturating_mul(right)
}
