//! Columns to which JSON values are appended one by one, and which can be truncated again.
//!
//! Invariants:
//! 1. After `n` successful calls of `push` or `push_null`, a column holds `n` values.
//! 2. If a `push` fails, or an object fails after some of its columns were pushed, `truncate` to the previous number
//!    of values restores the column.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::error::JsonError;
use super::nested::{FixedSizeListColumn, ListColumn, MapColumn, StructColumn};
use super::parser::Parser;
use super::text::{JsonBytesColumn, JsonTextColumn};
use crate::options::{BytesFormat, Scalars};
use crate::scalar::timestamp::{DateParser, TimestampParser, time_of_day};
use crate::scalar::{BadValue, OUT_OF_RANGE, TimeRules, boolean, number, reason, sql_name};

/// A source's options about values.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonRules {
    /// How dates and timestamps are written.
    pub(super) times: TimeRules,
    /// Whether text is accepted as a number and the reverse.
    pub(super) scalars: Scalars,
    /// How bytes are written.
    pub(super) bytes: BytesFormat,
    /// Whether fields are matched to columns regardless of case.
    pub(super) any_case: bool,
    /// Whether a row with an undeclared field is rejected.
    pub(super) refuse_unknown: bool,
    /// Whether a row without a declared field is rejected.
    pub(super) refuse_missing: bool,
}

/// The result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Value,
    /// The text means NULL.
    Null,
}

/// A column under construction.
pub(super) trait JsonColumn {
    /// Appends the next value, which is not `null`. A value that means NULL is read from the text, but nothing is
    /// appended.
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError>;

    /// Appends a NULL, or a filler below a NULL.
    fn push_null(&mut self);

    /// Drops all but the first `len` values.
    fn truncate(&mut self, len: usize);

    /// The array of all values.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// Appends the next value, including `null`.
pub(super) fn push_value(
    column: &mut dyn JsonColumn,
    nullable: bool,
    parser: &mut Parser<'_>,
) -> Result<(), JsonError> {
    let is_null = parser.null()?;
    if !is_null && column.push(parser)? == Pushed::Value {
        return Ok(());
    }
    if !nullable {
        let what = if is_null { "null" } else { "empty" };
        return Err(JsonError::value(format!(
            "is {what}, but declared NOT NULL"
        )));
    }
    column.push_null();
    Ok(())
}

/// A column of `data_type`.
///
/// # Errors
/// A message, when JSON cannot be decoded into the type.
pub(super) fn column(
    data_type: &DataType,
    rules: &JsonRules,
) -> Result<Box<dyn JsonColumn>, String> {
    Ok(match data_type {
        DataType::Boolean => Box::new(BooleanColumn {
            scalars: rules.scalars,
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        }),
        DataType::Int8 => integers::<Int8Type>(rules),
        DataType::Int16 => integers::<Int16Type>(rules),
        DataType::Int32 => integers::<Int32Type>(rules),
        DataType::Int64 => integers::<Int64Type>(rules),
        DataType::UInt8 => integers::<UInt8Type>(rules),
        DataType::UInt16 => integers::<UInt16Type>(rules),
        DataType::UInt32 => integers::<UInt32Type>(rules),
        DataType::UInt64 => integers::<UInt64Type>(rules),
        DataType::Float32 => {
            numbers::<Float32Type>(data_type, rules, |text| number::float(text, f32::NAN))
        }
        DataType::Float64 => {
            numbers::<Float64Type>(data_type, rules, |text| number::float(text, f64::NAN))
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            numbers::<Decimal128Type>(data_type, rules, move |text| {
                number::decimal128(text, precision, scale)
            })
        }
        DataType::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            numbers::<Decimal256Type>(data_type, rules, move |text| {
                number::decimal256(text, precision, scale)
            })
        }
        DataType::Date32 => {
            let dates = DateParser::new(&rules.times);
            times::<Date32Type>(data_type, rules, move |text| dates.parse(text))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            times::<Time64NanosecondType>(data_type, rules, |text| {
                time_of_day(text, TimeUnit::Nanosecond)
            })
        }
        DataType::Timestamp(unit, zone) => {
            let timestamps = TimestampParser::new(*unit, zone.as_deref(), &rules.times)?;
            let parse = move |text: &[u8]| timestamps.parse(text);
            match unit {
                TimeUnit::Second => times::<TimestampSecondType>(data_type, rules, parse),
                TimeUnit::Millisecond => times::<TimestampMillisecondType>(data_type, rules, parse),
                TimeUnit::Microsecond => times::<TimestampMicrosecondType>(data_type, rules, parse),
                TimeUnit::Nanosecond => times::<TimestampNanosecondType>(data_type, rules, parse),
            }
        }
        DataType::Utf8 => Box::new(JsonTextColumn::<i32>::new(data_type, rules.scalars)),
        DataType::LargeUtf8 | DataType::Utf8View => {
            Box::new(JsonTextColumn::<i64>::new(data_type, rules.scalars))
        }
        DataType::Binary => Box::new(JsonBytesColumn::<i32>::new(data_type, rules)),
        DataType::LargeBinary | DataType::BinaryView => {
            Box::new(JsonBytesColumn::<i64>::new(data_type, rules))
        }
        DataType::List(element) => Box::new(ListColumn::<i32>::new(element, rules)?),
        DataType::LargeList(element) => Box::new(ListColumn::<i64>::new(element, rules)?),
        DataType::FixedSizeList(element, size) => {
            Box::new(FixedSizeListColumn::new(element, *size, rules)?)
        }
        DataType::Struct(fields) => Box::new(StructColumn::new(fields, rules)?),
        DataType::Map(entries, sorted) => Box::new(MapColumn::new(entries, *sorted, rules)?),
        other => return Err(format!("JSON has no {}", sql_name(other))),
    })
}

/// The JSON tokens that a scalar column accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScalarToken {
    Number,
    Text,
    NumberOrText,
}

type Parse<N> = Box<dyn Fn(&[u8]) -> Result<N, BadValue>>;

struct PrimitiveColumn<T: ArrowPrimitiveType> {
    data_type: DataType,
    token: ScalarToken,
    /// Whether an empty text is NULL.
    empty_is_null: bool,
    parse: Parse<T::Native>,
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

fn integers<T: ArrowPrimitiveType<Native: TryFrom<i128>>>(
    rules: &JsonRules,
) -> Box<dyn JsonColumn> {
    numbers::<T>(&T::DATA_TYPE, rules, |text| {
        T::Native::try_from(number::integer(text)?).map_err(|_| OUT_OF_RANGE)
    })
}

fn numbers<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rules: &JsonRules,
    parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + 'static,
) -> Box<dyn JsonColumn> {
    let token = match rules.scalars {
        Scalars::Strict => ScalarToken::Number,
        Scalars::Convert => ScalarToken::NumberOrText,
    };
    PrimitiveColumn::<T>::boxed(data_type, token, rules, parse)
}

/// Points in time: text, or numbers if a format counts units since 1970.
fn times<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rules: &JsonRules,
    parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + 'static,
) -> Box<dyn JsonColumn> {
    let token = if rules.times == TimeRules::default() {
        ScalarToken::Text
    } else {
        ScalarToken::NumberOrText
    };
    PrimitiveColumn::<T>::boxed(data_type, token, rules, parse)
}

impl<T: ArrowPrimitiveType> PrimitiveColumn<T> {
    fn boxed(
        data_type: &DataType,
        token: ScalarToken,
        rules: &JsonRules,
        parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + 'static,
    ) -> Box<dyn JsonColumn> {
        Box::new(Self {
            data_type: data_type.clone(),
            token,
            empty_is_null: rules.scalars == Scalars::Convert,
            parse: Box::new(parse),
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl<T: ArrowPrimitiveType> JsonColumn for PrimitiveColumn<T> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        let is_text = parser.peek() == Some(b'"');
        let text = match self.token {
            ScalarToken::Text => parser.string()?,
            ScalarToken::NumberOrText if is_text => parser.string()?,
            ScalarToken::Number | ScalarToken::NumberOrText => Cow::Borrowed(parser.number()?),
        };
        if self.empty_is_null && is_text && text.trim().is_empty() {
            return Ok(Pushed::Null);
        }
        let value = (self.parse)(text.as_bytes());
        let value =
            value.map_err(|why| JsonError::value(reason(text.as_bytes(), &self.data_type, why)))?;
        self.values.push(value);
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = PrimitiveArray::<T>::try_new(values, self.valid.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

struct BooleanColumn {
    scalars: Scalars,
    values: Vec<bool>,
    valid: NullBufferBuilder,
}

impl JsonColumn for BooleanColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<Pushed, JsonError> {
        let text = match (self.scalars, parser.peek()) {
            (Scalars::Convert, Some(b'"')) => parser.string()?,
            (Scalars::Convert, Some(b'0'..=b'9')) => Cow::Borrowed(parser.number()?),
            _ => {
                self.values.push(parser.boolean()?);
                self.valid.append_non_null();
                return Ok(Pushed::Value);
            }
        };
        if text.trim().is_empty() {
            return Ok(Pushed::Null);
        }
        let value = boolean(text.as_bytes());
        let value = value
            .map_err(|why| JsonError::value(reason(text.as_bytes(), &DataType::Boolean, why)))?;
        self.values.push(value);
        self.valid.append_non_null();
        Ok(Pushed::Value)
    }

    fn push_null(&mut self) {
        self.values.push(false);
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let values = BooleanBuffer::from(std::mem::take(&mut self.values));
        Ok(Arc::new(BooleanArray::new(values, self.valid.finish())))
    }
}
