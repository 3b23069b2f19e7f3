//! Columns of arguments: which rows count, and their values as integers.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
};
use arrow::datatypes::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

/// Rows that a call counts: the filter is true and the argument is not NULL. `None` when all do.
pub fn mask(filter: Option<&BooleanArray>, argument: Option<&ArrayRef>) -> Option<BooleanArray> {
    let valid = argument.and_then(Array::logical_nulls);
    let chosen = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    let both = match (chosen, valid) {
        (None, None) => return None,
        (Some(chosen), None) => chosen,
        (None, Some(valid)) => valid.into_inner(),
        (Some(chosen), Some(valid)) => &chosen & valid.inner(),
    };
    Some(BooleanArray::new(both, None))
}

/// Whether a row counts.
#[inline]
pub fn counts(mask: Option<&BooleanArray>, row: usize) -> bool {
    mask.is_none_or(|mask| mask.value(row))
}

/// Gives the value of each row of an integer or decimal column (unscaled), whatever stands for NULL included.
///
/// # Errors
/// When the column is of another type.
pub fn each_integer(array: &ArrayRef, give: impl FnMut(usize, i128)) -> Result<(), ArrowError> {
    fn each<T: ArrowPrimitiveType<Native: Into<i128>>>(
        array: &ArrayRef,
        mut give: impl FnMut(usize, i128),
    ) {
        let values = array.as_primitive::<T>().values();
        for (row, &value) in values.iter().enumerate() {
            give(row, value.into());
        }
    }
    match array.data_type() {
        DataType::Int8 => each::<Int8Type>(array, give),
        DataType::Int16 => each::<Int16Type>(array, give),
        DataType::Int32 => each::<Int32Type>(array, give),
        DataType::Int64 => each::<Int64Type>(array, give),
        DataType::UInt8 => each::<UInt8Type>(array, give),
        DataType::UInt16 => each::<UInt16Type>(array, give),
        DataType::UInt32 => each::<UInt32Type>(array, give),
        DataType::UInt64 => each::<UInt64Type>(array, give),
        DataType::Decimal32(..) => each::<Decimal32Type>(array, give),
        DataType::Decimal64(..) => each::<Decimal64Type>(array, give),
        DataType::Decimal128(..) => each::<Decimal128Type>(array, give),
        // No row of it counts.
        DataType::Null => {}
        other => {
            return Err(ArrowError::CastError(format!(
                "a sum over {other} is not carried as an integer"
            )));
        }
    }
    Ok(())
}

/// Adds the value of each row that counts to the sum of its group. `false`, with nothing added, when the column is of another
/// type, or so large that a batch may come to more than a word.
pub fn add_words(
    array: &ArrayRef,
    (groups, mask): (&[u32], Option<&BooleanArray>),
    sums: &mut [i64],
) -> bool {
    fn add<T: ArrowPrimitiveType<Native: Into<i64>>>(
        array: &ArrayRef,
        (groups, mask): (&[u32], Option<&BooleanArray>),
        sums: &mut [i64],
    ) -> bool {
        let values = array.as_primitive::<T>().values();
        // The bits of all values, those below 0 inverted.
        let bits = values.iter().fold(0, |bits, &value| {
            let value: i64 = value.into();
            bits | (value ^ (value >> 63))
        });
        if bits > u32::MAX.into() || i32::try_from(values.len()).is_err() {
            return false;
        }
        for (row, (&group, &value)) in groups.iter().zip(values).enumerate() {
            if counts(mask, row) {
                sums[group as usize] += value.into();
            }
        }
        true
    }
    let rows = (groups, mask);
    match array.data_type() {
        DataType::Int8 => add::<Int8Type>(array, rows, sums),
        DataType::Int16 => add::<Int16Type>(array, rows, sums),
        DataType::Int32 => add::<Int32Type>(array, rows, sums),
        DataType::Int64 => add::<Int64Type>(array, rows, sums),
        DataType::UInt8 => add::<UInt8Type>(array, rows, sums),
        DataType::UInt16 => add::<UInt16Type>(array, rows, sums),
        DataType::UInt32 => add::<UInt32Type>(array, rows, sums),
        DataType::Decimal32(..) => add::<Decimal32Type>(array, rows, sums),
        DataType::Decimal64(..) => add::<Decimal64Type>(array, rows, sums),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn words_hold_what_is_not_too_large() {
        let most = i64::from(u32::MAX);
        let added = |values: &[i64]| {
            let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            let counted = BooleanArray::from(vec![true, true, true, false]);
            let mut sums = [0, 5];
            let are = add_words(&array, (&[0, 1, 1, 0], Some(&counted)), &mut sums);
            are.then_some(sums)
        };
        assert_eq!(added(&[1, -2, -3, 4]), Some([1, 0]));
        assert_eq!(added(&[most, -most - 1, 0, most]), Some([most, 4 - most]));
        assert_eq!(added(&[0, 0, most + 1, 0]), None);
        assert_eq!(added(&[i64::MIN, 0, 0, 0]), None);
    }
}
