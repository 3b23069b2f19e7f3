//! Columns that take JSON values one by one, and can forget the last rows again.
//!
//! Invariants:
//! 1. After `n` calls of `push` that succeeded, or of `push_null`, a column holds `n` values.
//! 2. After a `push` that failed, or an object that failed after some of its columns were pushed, `truncate` to the
//!    number of values before restores the column.

use std::borrow::Cow;
use std::sync::Arc;

use super::fault::Fault;
use super::nested::{FixedSizeListColumn, ListColumn, MapColumn, StructColumn};
use super::parser::Parser;
use crate::scalar::timestamp::{DateParser, TimestampParser};
use crate::scalar::{BadValue, OUT_OF_RANGE, TimeRules, number, reason};
use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, GenericStringArray, OffsetSizeTrait, PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

/// What a source says of how its values are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// How dates and timestamps are written.
    pub(super) times: TimeRules,
    /// Fields that no column declares reject their row.
    pub(super) refuse_unknown: bool,
    /// Declared fields that an object has not reject their row.
    pub(super) refuse_missing: bool,
}

/// A column being decoded.
pub(super) trait Column {
    /// Takes the next value, which is not `null`.
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault>;

    /// A NULL, or a filler below a NULL.
    fn push_null(&mut self);

    /// Forgets all but the first `len` values.
    fn truncate(&mut self, len: usize);

    /// The values so far.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// Takes the next value, `null` included.
pub(super) fn push_value(
    column: &mut dyn Column,
    nullable: bool,
    parser: &mut Parser<'_>,
) -> Result<(), Fault> {
    if !parser.null()? {
        return column.push(parser);
    }
    if !nullable {
        return Err(Fault::value("is null, but declared NOT NULL"));
    }
    column.push_null();
    Ok(())
}

/// A column of `data_type`.
///
/// # Errors
/// A sentence, when JSON cannot be decoded into the type.
pub(super) fn column(data_type: &DataType, rules: &Rules) -> Result<Box<dyn Column>, String> {
    Ok(match data_type {
        DataType::Boolean => Box::new(BooleanColumn {
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        }),
        DataType::Int8 => integers::<Int8Type>(),
        DataType::Int16 => integers::<Int16Type>(),
        DataType::Int32 => integers::<Int32Type>(),
        DataType::Int64 => integers::<Int64Type>(),
        DataType::UInt8 => integers::<UInt8Type>(),
        DataType::UInt16 => integers::<UInt16Type>(),
        DataType::UInt32 => integers::<UInt32Type>(),
        DataType::UInt64 => integers::<UInt64Type>(),
        DataType::Float32 => {
            numbers::<Float32Type>(data_type, |text| number::float(text, f32::NAN))
        }
        DataType::Float64 => {
            numbers::<Float64Type>(data_type, |text| number::float(text, f64::NAN))
        }
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            numbers::<Decimal128Type>(data_type, move |text| {
                number::decimal128(text, precision, scale)
            })
        }
        DataType::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            numbers::<Decimal256Type>(data_type, move |text| {
                number::decimal256(text, precision, scale)
            })
        }
        DataType::Date32 => {
            let dates = DateParser::new(&rules.times);
            PrimitiveColumn::<Date32Type>::boxed(data_type, Token::Text, move |text| {
                dates.parse(text)
            })
        }
        DataType::Timestamp(unit, zone) => {
            let timestamps = TimestampParser::new(*unit, zone.as_deref(), &rules.times)?;
            let parse = move |text: &[u8]| timestamps.parse(text);
            match unit {
                TimeUnit::Second => {
                    PrimitiveColumn::<TimestampSecondType>::boxed(data_type, Token::Text, parse)
                }
                TimeUnit::Millisecond => PrimitiveColumn::<TimestampMillisecondType>::boxed(
                    data_type,
                    Token::Text,
                    parse,
                ),
                TimeUnit::Microsecond => PrimitiveColumn::<TimestampMicrosecondType>::boxed(
                    data_type,
                    Token::Text,
                    parse,
                ),
                TimeUnit::Nanosecond => {
                    PrimitiveColumn::<TimestampNanosecondType>::boxed(data_type, Token::Text, parse)
                }
            }
        }
        DataType::Utf8 => Box::new(TextColumn::<i32>::new(data_type)),
        DataType::LargeUtf8 | DataType::Utf8View => Box::new(TextColumn::<i64>::new(data_type)),
        DataType::List(element) => Box::new(ListColumn::<i32>::new(element, rules)?),
        DataType::LargeList(element) => Box::new(ListColumn::<i64>::new(element, rules)?),
        DataType::FixedSizeList(element, size) => {
            Box::new(FixedSizeListColumn::new(element, *size, rules)?)
        }
        DataType::Struct(fields) => Box::new(StructColumn::new(fields, rules)?),
        DataType::Map(entries, sorted) => Box::new(MapColumn::new(entries, *sorted, rules)?),
        other => return Err(format!("JSON cannot be decoded into {other}")),
    })
}

/// The JSON token that a column of scalars takes.
#[derive(Clone, Copy)]
enum Token {
    Number,
    Text,
}

type Parse<N> = Box<dyn Fn(&[u8]) -> Result<N, BadValue>>;

struct PrimitiveColumn<T: ArrowPrimitiveType> {
    data_type: DataType,
    token: Token,
    parse: Parse<T::Native>,
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
}

fn integers<T: ArrowPrimitiveType<Native: TryFrom<i128>>>() -> Box<dyn Column> {
    numbers::<T>(&T::DATA_TYPE, |text| {
        T::Native::try_from(number::integer(text)?).map_err(|_| OUT_OF_RANGE)
    })
}

fn numbers<T: ArrowPrimitiveType>(
    data_type: &DataType,
    parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + 'static,
) -> Box<dyn Column> {
    PrimitiveColumn::<T>::boxed(data_type, Token::Number, parse)
}

impl<T: ArrowPrimitiveType> PrimitiveColumn<T> {
    fn boxed(
        data_type: &DataType,
        token: Token,
        parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + 'static,
    ) -> Box<dyn Column> {
        Box::new(Self {
            data_type: data_type.clone(),
            token,
            parse: Box::new(parse),
            values: Vec::new(),
            valid: NullBufferBuilder::new(0),
        })
    }
}

impl<T: ArrowPrimitiveType> Column for PrimitiveColumn<T> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        let text = match self.token {
            Token::Number => Cow::Borrowed(parser.number()?),
            Token::Text => parser.string()?,
        };
        let value = (self.parse)(text.as_bytes());
        let value =
            value.map_err(|why| Fault::value(reason(text.as_bytes(), &self.data_type, why)))?;
        self.values.push(value);
        self.valid.append_non_null();
        Ok(())
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
    values: Vec<bool>,
    valid: NullBufferBuilder,
}

impl Column for BooleanColumn {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        self.values.push(parser.boolean()?);
        self.valid.append_non_null();
        Ok(())
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

/// Text, with the end of each value.
pub(super) struct TextColumn<O> {
    data_type: DataType,
    bytes: Vec<u8>,
    ends: Ends<O>,
    valid: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> TextColumn<O> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            bytes: Vec::new(),
            ends: Ends::default(),
            valid: NullBufferBuilder::new(0),
        }
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), Fault> {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len())?;
        self.valid.append_non_null();
        Ok(())
    }
}

impl<O: OffsetSizeTrait> Column for TextColumn<O> {
    fn push(&mut self, parser: &mut Parser<'_>) -> Result<(), Fault> {
        let text = parser.string()?;
        self.push_text(&text)
    }

    fn push_null(&mut self) {
        self.ends.repeat();
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.ends.truncate(len));
        self.valid.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let text =
            GenericStringArray::<O>::try_new(self.ends.finish(), bytes, self.valid.finish())?;
        arrow::compute::cast(&text, &self.data_type)
    }
}

/// Where each value of variable length ends: Arrow's offsets.
pub(super) struct Ends<O>(Vec<O>);

impl<O: OffsetSizeTrait> Default for Ends<O> {
    fn default() -> Self {
        Self(vec![O::usize_as(0)])
    }
}

impl<O: OffsetSizeTrait> Ends<O> {
    /// Another value, which ends at `end`.
    pub(super) fn push(&mut self, end: usize) -> Result<(), Fault> {
        let end = O::from_usize(end).ok_or_else(|| {
            Fault::value(
                "is beyond the 2 GiB that a batch of this column holds: make the blocks smaller",
            )
        })?;
        self.0.push(end);
        Ok(())
    }

    /// Another value, which is empty.
    pub(super) fn repeat(&mut self) {
        self.0.push(self.last());
    }

    /// Keeps `len` values; the end of the last one.
    pub(super) fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last().as_usize()
    }

    pub(super) fn finish(&mut self) -> OffsetBuffer<O> {
        OffsetBuffer::new(std::mem::take(self).0.into())
    }

    fn last(&self) -> O {
        self.0.last().copied().unwrap_or_default()
    }
}
