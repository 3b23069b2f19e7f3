//! `to_timestamp(value [, format …])` in microseconds, as `TIMESTAMP` counts.
//!
//! DataFusion's function counts in nanoseconds, which end in 2262 and which no table can hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use tidewater_operators::sql_type::sql_type;

use super::arrays::{invoke_on_array, text};

const MICROS: i64 = 1_000_000;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToTimestamp {
    signature: Signature,
}

impl ToTimestamp {
    pub fn new() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &'static str {
        "to_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, formats @ ..] = types else {
            return plan_err!("to_timestamp takes a text, seconds since 1970, or a date");
        };
        if !formats.iter().all(DataType::is_string) {
            return plan_err!("to_timestamp takes formats as text: to_timestamp(s, '%d.%m.%Y')");
        }
        let value = match value {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                DataType::Utf8
            }
            DataType::Dictionary(_, values) if values.is_string() => DataType::Utf8,
            DataType::Date32 | DataType::Timestamp(..) => value.clone(),
            DataType::Date64 => DataType::Date32,
            _ if value.is_integer() => DataType::Int64,
            _ if value.is_floating() => DataType::Float64,
            // Digits after the sixth are below a microsecond, and the cast rounds them.
            _ if value.is_decimal() => DataType::Decimal128(38, 6),
            other => return plan_err!("to_timestamp does not take {}", sql_type(other)),
        };
        let formats = formats.iter().map(|_| DataType::Utf8);
        Ok(std::iter::once(value).chain(formats).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types.first() {
            Some(DataType::Timestamp(_, zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            _ => TIMESTAMP,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, formats @ ..] = args.args.as_slice() else {
            return exec_err!("to_timestamp takes a value");
        };
        let result = args.return_field.data_type();
        if formats.is_empty() {
            return invoke_on_array(value, |values| timestamps(values, result));
        }
        let constants: Option<Vec<String>> = formats.iter().map(text).collect();
        if let Some(formats) = constants {
            return invoke_on_array(value, |values| parsed(values, |_| formats.clone()));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let of_row = |row: usize| -> Vec<String> {
            let formats = arrays[1..].iter().map(AsArray::as_string::<i32>);
            let formats = formats.filter(|formats| formats.is_valid(row));
            formats
                .map(|formats| formats.value(row).to_owned())
                .collect()
        };
        Ok(ColumnarValue::Array(parsed(&arrays[0], of_row)?))
    }
}

/// Values without a format.
fn timestamps(values: &ArrayRef, result: &DataType) -> Result<ArrayRef> {
    let micros: TimestampMicrosecondArray = match values.data_type() {
        DataType::Int64 => values
            .as_primitive::<Int64Type>()
            .try_unary(|seconds| match seconds.checked_mul(MICROS) {
                Some(micros) => Ok(micros),
                None => exec_err!("to_timestamp({seconds}) is beyond TIMESTAMP"),
            })?,
        DataType::Float64 => values.as_primitive::<Float64Type>().try_unary(|seconds| {
            let micros = (seconds * 1e6).round();
            // 2^63 is the first double that exceeds the range.
            if micros.abs() < 9_223_372_036_854_775_808.0 {
                #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
                Ok(micros as i64)
            } else {
                exec_err!("to_timestamp({seconds}) is beyond TIMESTAMP")
            }
        })?,
        DataType::Decimal128(..) => {
            values
                .as_primitive::<Decimal128Type>()
                .try_unary(|micros| match i64::try_from(micros) {
                    Ok(micros) => Ok(micros),
                    Err(_) => exec_err!("to_timestamp: a value is beyond TIMESTAMP"),
                })?
        }
        _ => return Ok(cast_checked(values, result)?),
    };
    Ok(Arc::new(micros))
}

fn cast_checked(
    values: &ArrayRef,
    to: &DataType,
) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
    let strict = arrow::compute::CastOptions {
        safe: false,
        ..arrow::compute::CastOptions::default()
    };
    if values.data_type() == to {
        cast(values, to)
    } else {
        arrow::compute::cast_with_options(values, to, &strict)
    }
}

/// Parses texts by the first format that fits.
fn parsed(values: &ArrayRef, formats: impl Fn(usize) -> Vec<String>) -> Result<ArrayRef> {
    let Some(texts) = values.as_string_opt::<i32>() else {
        return plan_err!("to_timestamp takes formats for text only");
    };
    let micros = texts.iter().enumerate().map(|(row, text)| {
        let Some(text) = text else {
            return Ok(None);
        };
        let formats = formats(row);
        match formats.iter().find_map(|format| parse(text, format)) {
            Some(micros) => Ok(Some(micros)),
            None => exec_err!(
                "to_timestamp: '{text}' is not in the format {}",
                formats.join(" or ")
            ),
        }
    });
    let micros: TimestampMicrosecondArray = micros.collect::<Result<_>>()?;
    Ok(Arc::new(micros))
}

fn parse(text: &str, format: &str) -> Option<i64> {
    let with_offset = DateTime::parse_from_str(text, format).map(|time| time.naive_utc());
    let time = with_offset
        .or_else(|_| NaiveDateTime::parse_from_str(text, format))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, format)
                .map(|date| date.and_time(chrono::NaiveTime::MIN))
        });
    Some(time.ok()?.and_utc().timestamp_micros())
}
