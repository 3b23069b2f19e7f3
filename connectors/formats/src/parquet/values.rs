//! Casts that find values which do not fit.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date64Type, Float32Type, Float64Type, Time64NanosecondType, TimeUnit,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::scalar::sql_name;

const MILLISECONDS_OF_DAY: i64 = 86_400_000;
const NANOSECONDS_OF_DAY: i64 = MILLISECONDS_OF_DAY * 1_000_000;

/// A value that does not convert.
#[derive(Debug)]
pub(super) struct UnfitValue {
    /// Its index in the array that was converted.
    pub(super) index: usize,
    /// The path from the array's column to the value: empty, or like `[2].price`.
    pub(super) path: String,
    pub(super) reason: String,
}

pub(super) fn refuse_nulls(
    array: &ArrayRef,
    owner: Option<&NullBuffer>,
    bad: &mut Vec<UnfitValue>,
) {
    let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else {
        return;
    };
    let owned = |index: &usize| owner.is_none_or(|owner| owner.is_valid(*index));
    let indices = (0..array.len())
        .filter(|index| nulls.is_null(*index))
        .filter(owned);
    bad.extend(indices.map(|index| UnfitValue {
        index,
        path: String::new(),
        reason: "is NULL, but declared NOT NULL".to_owned(),
    }));
}

/// Casts an array. Values that become NULL do not fit.
pub(super) fn cast_checked(
    array: &ArrayRef,
    to: &DataType,
    bad: &mut Vec<UnfitValue>,
) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let converted = cast_with_options(array, to, &options)?;
    if converted.null_count() > array.null_count() {
        let lost =
            (0..array.len()).filter(|index| converted.is_null(*index) && array.is_valid(*index));
        refuse(array, lost, &format!("does not fit {}", sql_name(to)), bad)?;
    }
    Ok(converted)
}

/// Converts to days. A value with a time of day does not fit.
pub(super) fn dates(array: &ArrayRef, bad: &mut Vec<UnfitValue>) -> Result<ArrayRef, ArrowError> {
    let values = array.as_primitive::<Date64Type>();
    let partial = (0..values.len())
        .filter(|index| values.is_valid(*index) && values.value(*index) % MILLISECONDS_OF_DAY != 0);
    refuse(array, partial, "has a time of day, and DATE has none", bad)?;
    cast_checked(array, &DataType::Date32, bad)
}

/// Converts to times of day, in nanoseconds.
pub(super) fn times(array: &ArrayRef, bad: &mut Vec<UnfitValue>) -> Result<ArrayRef, ArrowError> {
    let converted = cast_checked(array, &DataType::Time64(TimeUnit::Nanosecond), bad)?;
    let times = converted.as_primitive::<Time64NanosecondType>();
    let in_day = |time: i64| (0..NANOSECONDS_OF_DAY).contains(&time);
    let beyond =
        (0..times.len()).filter(|index| times.is_valid(*index) && !in_day(times.value(*index)));
    bad.extend(beyond.map(|index| UnfitValue {
        index,
        path: String::new(),
        reason: format!(
            "{} nanoseconds after midnight are no time of day",
            times.value(index)
        ),
    }));
    Ok(converted)
}

/// Converts floats, with all NaNs made the same. Files have NaNs with different bits, which would be different
/// values.
pub(super) fn floats(
    array: &ArrayRef,
    to: &DataType,
    bad: &mut Vec<UnfitValue>,
) -> Result<ArrayRef, ArrowError> {
    let array = cast_checked(array, to, bad)?;
    match to {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            let is_other = |float: &f64| float.is_nan() && float.to_bits() != f64::NAN.to_bits();
            if !floats.values().iter().any(is_other) {
                return Ok(array);
            }
            let one_nan = |float: f64| if float.is_nan() { f64::NAN } else { float };
            Ok(Arc::new(floats.unary::<_, Float64Type>(one_nan)))
        }
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>();
            let is_other = |float: &f32| float.is_nan() && float.to_bits() != f32::NAN.to_bits();
            if !floats.values().iter().any(is_other) {
                return Ok(array);
            }
            let one_nan = |float: f32| if float.is_nan() { f32::NAN } else { float };
            Ok(Arc::new(floats.unary::<_, Float32Type>(one_nan)))
        }
        _ => Ok(array),
    }
}

/// UUIDs as text, `8-4-4-4-12` digits in lower case.
pub(super) fn uuid_text(uuids: &FixedSizeBinaryArray) -> StringArray {
    uuids.iter().map(|uuid| uuid.map(hyphenated)).collect()
}

fn hyphenated(uuid: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Finds timestamps that a unit coarser by `divisor` cannot hold exactly.
pub(super) fn refuse_remainders(
    array: &ArrayRef,
    divisor: i64,
    bad: &mut Vec<UnfitValue>,
) -> Result<(), ArrowError> {
    let units = units_of(array)?;
    let lossy = (0..units.len())
        .filter(|index| units.is_valid(*index) && units.value(*index) % divisor != 0);
    refuse(array, lossy, "has more decimals than the column holds", bad)
}

fn refuse(
    array: &ArrayRef,
    indices: impl Iterator<Item = usize>,
    why: &str,
    bad: &mut Vec<UnfitValue>,
) -> Result<(), ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    bad.extend(indices.map(|index| {
        let shown = formatter.value(index).try_to_string();
        let value = shown.unwrap_or_else(|_| "the value".to_owned());
        UnfitValue {
            index,
            path: String::new(),
            reason: format!("{value} {why}"),
        }
    }));
    Ok(())
}

/// A timestamp array's counts of its unit.
fn units_of(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => Ok(array
            .as_primitive::<TimestampSecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(array
            .as_primitive::<TimestampMillisecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array
            .as_primitive::<TimestampMicrosecondType>()
            .reinterpret_cast()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(array
            .as_primitive::<TimestampNanosecondType>()
            .reinterpret_cast()),
        other => Err(ArrowError::CastError(format!("{other} is no timestamp"))),
    }
}

pub(super) fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
