//! Integer and decimal columns as integers, for sums.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
};
use arrow::datatypes::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::row_mask::RowMask;

/// Calls `visit` with each row's value of an integer column, or a decimal column (unscaled). A NULL row has some value.
///
/// # Errors
/// When the column has another type.
pub fn each_integer(array: &ArrayRef, visit: impl FnMut(usize, i128)) -> Result<(), ArrowError> {
    fn each<T: ArrowPrimitiveType<Native: Into<i128>>>(
        array: &ArrayRef,
        mut visit: impl FnMut(usize, i128),
    ) {
        let values = array.as_primitive::<T>().values();
        for (row, &value) in values.iter().enumerate() {
            visit(row, value.into());
        }
    }
    match array.data_type() {
        DataType::Int8 => each::<Int8Type>(array, visit),
        DataType::Int16 => each::<Int16Type>(array, visit),
        DataType::Int32 => each::<Int32Type>(array, visit),
        DataType::Int64 => each::<Int64Type>(array, visit),
        DataType::UInt8 => each::<UInt8Type>(array, visit),
        DataType::UInt16 => each::<UInt16Type>(array, visit),
        DataType::UInt32 => each::<UInt32Type>(array, visit),
        DataType::UInt64 => each::<UInt64Type>(array, visit),
        DataType::Decimal32(..) => each::<Decimal32Type>(array, visit),
        DataType::Decimal64(..) => each::<Decimal64Type>(array, visit),
        DataType::Decimal128(..) => each::<Decimal128Type>(array, visit),
        // All rows are NULL.
        DataType::Null => {}
        other => {
            return Err(ArrowError::CastError(format!(
                "a sum over {other} is not carried as an integer"
            )));
        }
    }
    Ok(())
}

/// A value without its lower 64 bits, shifted down. The sum of these and the sum modulo 2^128 determine the exact
/// sum.
pub fn high_half(value: i128) -> i128 {
    value >> 64
}

/// Adds the value of each row in `mask` to the sum of its group, in 64 bits. Returns `false` and adds nothing when the
/// column has another type, or when its values are so large that the sums of a batch may not fit.
pub fn add_small_integers(
    array: &ArrayRef,
    groups: &[u32],
    mask: &RowMask,
    sums: &mut [i64],
) -> bool {
    fn add<T: ArrowPrimitiveType<Native: Into<i64>>>(
        array: &ArrayRef,
        groups: &[u32],
        mask: &RowMask,
        sums: &mut [i64],
    ) -> bool {
        let values = array.as_primitive::<T>().values();
        // The bits of all values, those of negative values inverted.
        let bits = values.iter().fold(0, |bits, &value| {
            let value: i64 = value.into();
            bits | (value ^ (value >> 63))
        });
        if bits > u32::MAX.into() || i32::try_from(values.len()).is_err() {
            return false;
        }
        for (row, (&group, &value)) in groups.iter().zip(values).enumerate() {
            if mask.includes(row) {
                sums[group as usize] += value.into();
            }
        }
        true
    }
    match array.data_type() {
        DataType::Int8 => add::<Int8Type>(array, groups, mask, sums),
        DataType::Int16 => add::<Int16Type>(array, groups, mask, sums),
        DataType::Int32 => add::<Int32Type>(array, groups, mask, sums),
        DataType::Int64 => add::<Int64Type>(array, groups, mask, sums),
        DataType::UInt8 => add::<UInt8Type>(array, groups, mask, sums),
        DataType::UInt16 => add::<UInt16Type>(array, groups, mask, sums),
        DataType::UInt32 => add::<UInt32Type>(array, groups, mask, sums),
        DataType::Decimal32(..) => add::<Decimal32Type>(array, groups, mask, sums),
        DataType::Decimal64(..) => add::<Decimal64Type>(array, groups, mask, sums),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array};

    use super::*;

    #[test]
    fn values_of_four_bytes_are_added_and_larger_ones_refused() {
        let most = i64::from(u32::MAX);
        let added = |values: &[i64]| {
            let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            let counted = BooleanArray::from(vec![true, true, true, false]);
            let mut sums = [0, 5];
            let mask = RowMask::from(Some(counted));
            let is_added = add_small_integers(&array, &[0, 1, 1, 0], &mask, &mut sums);
            is_added.then_some(sums)
        };
        assert_eq!(added(&[1, -2, -3, 4]), Some([1, 0]));
        assert_eq!(added(&[most, -most - 1, 0, most]), Some([most, 4 - most]));
        assert_eq!(added(&[0, 0, most + 1, 0]), None);
        assert_eq!(added(&[i64::MIN, 0, 0, 0]), None);
    }
}
