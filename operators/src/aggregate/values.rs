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
