//! Columns of arguments: which rows count, and their values as integers.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
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

/// The values of an integer or decimal column (unscaled), whatever stands for NULL included.
///
/// # Errors
/// When the column is of another type.
pub fn integers(array: &ArrayRef) -> Result<Vec<i128>, ArrowError> {
    fn widen<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Vec<i128> {
        let array: &PrimitiveArray<T> = array.as_primitive();
        array.values().iter().map(|&value| value.into()).collect()
    }
    Ok(match array.data_type() {
        DataType::Int8 => widen::<Int8Type>(array),
        DataType::Int16 => widen::<Int16Type>(array),
        DataType::Int32 => widen::<Int32Type>(array),
        DataType::Int64 => widen::<Int64Type>(array),
        DataType::UInt8 => widen::<UInt8Type>(array),
        DataType::UInt16 => widen::<UInt16Type>(array),
        DataType::UInt32 => widen::<UInt32Type>(array),
        DataType::UInt64 => widen::<UInt64Type>(array),
        DataType::Decimal32(..) => widen::<Decimal32Type>(array),
        DataType::Decimal64(..) => widen::<Decimal64Type>(array),
        DataType::Decimal128(..) => widen::<Decimal128Type>(array),
        DataType::Null => vec![0; array.len()],
        other => {
            return Err(ArrowError::CastError(format!(
                "a sum over {other} is not carried as an integer"
            )));
        }
    })
}
