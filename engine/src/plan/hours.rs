//! Timestamp columns as dictionaries of hours.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray, UInt32Array};
use arrow::datatypes::{
    ArrowTimestampType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt32Type,
};
use arrow::error::ArrowError;

/// Longest span of hours for which a table is indexed by hour: seven years.
const SPAN_MAX: usize = 1 << 16;

/// A timestamp column without a time zone as a dictionary of its hours. `None` if there are too many hours, or the
/// column has another type.
///
/// # Errors
/// When there are more rows than keys.
pub fn hours(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, None) => {
            by_hour::<TimestampSecondType, 3_600>(column)
        }
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            by_hour::<TimestampMillisecondType, 3_600_000>(column)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            by_hour::<TimestampMicrosecondType, 3_600_000_000>(column)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            by_hour::<TimestampNanosecondType, 3_600_000_000_000>(column)
        }
        _ => Ok(None),
    }
}

/// The divisor is a constant, so the compiler replaces the division by a multiplication.
fn by_hour<T: ArrowTimestampType, const HOUR: i64>(
    column: &ArrayRef,
) -> Result<Option<ArrayRef>, ArrowError> {
    const NONE: u32 = u32::MAX;
    let column = column.as_primitive::<T>();
    let valid = || (0..column.len()).filter(|&row| column.is_valid(row));
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for row in valid() {
        let hour = column.value(row).div_euclid(HOUR);
        (first, last) = (first.min(hour), last.max(hour));
    }
    // The first hour may begin before the least timestamp.
    let span = usize::try_from(last.saturating_sub(first)).unwrap_or(usize::MAX);
    if span >= SPAN_MAX || first.checked_mul(HOUR).is_none() {
        return Ok(None);
    }
    let mut key_of = vec![NONE; span + 1];
    let mut hours: Vec<i64> = Vec::new();
    let mut keys: Vec<u32> = Vec::with_capacity(column.len());
    for (row, &value) in column.values().iter().enumerate() {
        if column.is_null(row) {
            keys.push(0);
            continue;
        }
        let hour = value.div_euclid(HOUR);
        let key = &mut key_of[usize::try_from(hour - first).unwrap_or_default()];
        if *key == NONE {
            *key =
                u32::try_from(hours.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
            hours.push(hour * HOUR);
        }
        keys.push(*key);
    }
    if hours.len() > column.len() / 2 {
        return Ok(None);
    }
    let keys = UInt32Array::try_new(keys.into(), column.nulls().cloned())?;
    let hours = PrimitiveArray::<T>::from_iter_values(hours);
    let by_hour = DictionaryArray::<UInt32Type>::try_new(keys, Arc::new(hours))?;
    Ok(Some(Arc::new(by_hour)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use tidewater_operators::plain::plain_column;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn timestamps_become_the_beginnings_of_their_hours() {
        let times = [
            Some(-1),
            Some(0),
            None,
            Some(HOUR - 1),
            Some(HOUR),
            Some(5),
            Some(-HOUR),
            Some(7),
        ];
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.to_vec()));
        let by_hour = plain_column(&hours(&column).unwrap().unwrap()).unwrap();
        let expected = times.map(|time| time.map(|time: i64| time.div_euclid(HOUR) * HOUR));
        assert_eq!(
            by_hour.as_primitive::<TimestampMicrosecondType>(),
            &TimestampMicrosecondArray::from(expected.to_vec())
        );
    }

    #[test]
    fn what_gains_nothing_or_cannot_be_is_left() {
        let hours_of = |times: Vec<Option<i64>>| {
            hours(&(Arc::new(TimestampMicrosecondArray::from(times)) as ArrayRef)).unwrap()
        };
        assert!(hours_of(vec![Some(0), Some(HOUR), Some(2 * HOUR)]).is_none());
        assert!(hours_of(vec![Some(i64::MIN); 8]).is_none());
        assert!(hours_of(vec![Some(i64::MIN), Some(i64::MAX), None, None, None]).is_none());
        assert!(hours_of(vec![None; 8]).is_none());
        assert!(hours_of(Vec::new()).is_none());
    }
}
