//! Helpers for our functions: arguments that are constants or columns.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::ColumnarValue;

/// A constant string; `None` for NULL and for anything else.
pub(super) fn text(value: &ColumnarValue) -> Option<String> {
    match value {
        ColumnarValue::Scalar(value) => value.try_as_str().flatten().map(str::to_owned),
        ColumnarValue::Array(_) => None,
    }
}

/// Applies `function` to a column, or to a constant as a column of one row.
pub(super) fn invoke_on_array(
    value: &ColumnarValue,
    function: impl Fn(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    Ok(match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(function(array)?),
        ColumnarValue::Scalar(value) => {
            let result = function(&value.to_array()?)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        }
    })
}

/// The type to which `function` converts a time: a date or a string becomes a `TIMESTAMP`.
pub(super) fn time_type(function: &str, data_type: &DataType) -> Result<DataType> {
    Ok(match data_type {
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => data_type.clone(),
        DataType::Date32
        | DataType::Date64
        | DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Dictionary(_, values) => time_type(function, values)?,
        other => {
            return plan_err!(
                "{function} takes a timestamp, a date or a time, not {}",
                tidewater_operators::sql_type::sql_type(other)
            );
        }
    })
}
