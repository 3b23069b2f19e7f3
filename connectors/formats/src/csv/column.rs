//! Columns under construction. Each decodes the fields of many rows at a time, in a loop of its own type, and appends
//! directly to the buffers of the Arrow array.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::dictionary::Dictionary;
use super::field::{Build, Refuse, Rows, Validity, take_parsed};
use super::text::{Coded, Texts};
use crate::options::CsvOptions;
use crate::scalar::timestamp::{DateParser, TimestampParser, time_of_day};
use crate::scalar::{self, BadValue, FieldText, NumberStyle, OUT_OF_RANGE, number, sql_name};

/// A declared column that CSV can hold.
#[derive(Clone, Debug)]
pub(super) struct CsvColumn {
    pub name: Arc<str>,
    nullable: bool,
    data_type: DataType,
    kind: Kind,
    numbers: NumberStyle,
}

/// How a field becomes a value, if the type alone does not decide.
#[derive(Clone, Debug)]
enum Kind {
    Plain,
    Date(Arc<DateParser>),
    Timestamp(Arc<TimestampParser>),
    Decimal { precision: u8, scale: i8 },
}

impl CsvColumn {
    /// # Errors
    /// When the type has no text form here. The message says what to declare instead.
    pub(super) fn new(field: &Field, options: &CsvOptions) -> Result<Self, String> {
        let kind = match field.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
            | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => Kind::Plain,
            DataType::Date32 => Kind::Date(Arc::new(DateParser::new(&options.times))),
            DataType::Timestamp(unit, zone) => {
                let parser = TimestampParser::new(*unit, zone.as_deref(), &options.times)?;
                Kind::Timestamp(Arc::new(parser))
            }
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Kind::Decimal {
                    precision: *precision,
                    scale: *scale,
                }
            }
            other if other.is_nested() => {
                return Err(format!(
                    "CSV has no {}; declare the column TEXT and take it apart in SQL, or store the source as JSON or \
                     PARQUET",
                    sql_name(other)
                ));
            }
            other => {
                return Err(format!(
                    "CSV columns of type {} are not read; declare TEXT and CAST in SQL",
                    sql_name(other)
                ));
            }
        };
        Ok(Self {
            name: field.name().as_str().into(),
            nullable: field.is_nullable(),
            data_type: field.data_type().clone(),
            kind,
            numbers: options.numbers,
        })
    }

    pub(super) fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// An empty column with room for about `rows`. With `check_utf8`, each text is tested separately, so that rows
    /// which are not UTF-8 can be identified. Without it, [`finish`](Build::finish) fails if there is any. Texts are
    /// encoded by the `dictionary`, if one is given and in use.
    pub(super) fn builder<'a>(
        &self,
        rows: usize,
        check_utf8: bool,
        dictionary: Option<&'a mut Dictionary>,
    ) -> Box<dyn Build + 'a> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        match (&self.data_type, &self.kind) {
            (DataType::Boolean, _) => Box::new(Booleans::new(rows)),
            (DataType::Int8, _) => self.integers::<Int8Type>(rows),
            (DataType::Int16, _) => self.integers::<Int16Type>(rows),
            (DataType::Int32, _) => self.integers::<Int32Type>(rows),
            (DataType::Int64, _) => self.integers::<Int64Type>(rows),
            (DataType::UInt8, _) => self.integers::<UInt8Type>(rows),
            (DataType::UInt16, _) => self.integers::<UInt16Type>(rows),
            (DataType::UInt32, _) => self.integers::<UInt32Type>(rows),
            (DataType::UInt64, _) => self.integers::<UInt64Type>(rows),
            (DataType::Float32, _) => {
                self.numbers::<Float32Type>(rows, |text| number::float(text, f32::NAN))
            }
            (DataType::Float64, _) => {
                self.numbers::<Float64Type>(rows, |text| number::float(text, f64::NAN))
            }
            (DataType::Date32, Kind::Date(dates)) => {
                let dates = Arc::clone(dates);
                self.primitive::<Date32Type>(rows, move |text| dates.parse(text))
            }
            (DataType::Timestamp(unit, _), Kind::Timestamp(stamps)) => {
                let stamps = Arc::clone(stamps);
                let parse = move |text: &[u8]| stamps.parse(text);
                match unit {
                    Second => self.primitive::<TimestampSecondType>(rows, parse),
                    Millisecond => self.primitive::<TimestampMillisecondType>(rows, parse),
                    Microsecond => self.primitive::<TimestampMicrosecondType>(rows, parse),
                    Nanosecond => self.primitive::<TimestampNanosecondType>(rows, parse),
                }
            }
            (DataType::Decimal128(..), Kind::Decimal { precision, scale }) => {
                let (precision, scale) = (*precision, *scale);
                self.numbers::<Decimal128Type>(rows, move |text| {
                    number::decimal128(text, precision, scale)
                })
            }
            (DataType::Decimal256(..), Kind::Decimal { precision, scale }) => {
                let (precision, scale) = (*precision, *scale);
                self.numbers::<Decimal256Type>(rows, move |text| {
                    number::decimal256(text, precision, scale)
                })
            }
            (DataType::Time32(Second), _) => {
                self.primitive::<Time32SecondType>(rows, |text| narrow_time(text, Second))
            }
            (DataType::Time32(_), _) => {
                self.primitive::<Time32MillisecondType>(rows, |text| narrow_time(text, Millisecond))
            }
            (DataType::Time64(Nanosecond), _) => {
                self.primitive::<Time64NanosecondType>(rows, |text| time_of_day(text, Nanosecond))
            }
            (DataType::Time64(_), _) => {
                self.primitive::<Time64MicrosecondType>(rows, |text| time_of_day(text, Microsecond))
            }
            (DataType::LargeUtf8 | DataType::LargeBinary, _) => {
                Box::new(Texts::<i64>::new(rows, check_utf8, self.data_type.clone()))
            }
            (DataType::Utf8, _) if let Some(dictionary) = dictionary.filter(|d| d.serves()) => {
                Box::new(Coded::new(rows, check_utf8, dictionary))
            }
            _ => Box::new(Texts::<i32>::new(rows, check_utf8, self.data_type.clone())),
        }
    }

    fn integers<T>(&self, rows: usize) -> Box<dyn Build>
    where
        T: ArrowPrimitiveType,
        T::Native: TryFrom<i64> + TryFrom<i128>,
    {
        if !self.numbers.is_plain() {
            return self.numbers::<T>(rows, |text| {
                T::Native::try_from(number::integer(text)?).map_err(|_| OUT_OF_RANGE)
            });
        }
        self.by_value::<T>(rows, |value| {
            let native = match number::narrow(value) {
                Some(number) => T::Native::try_from(number).ok(),
                None => T::Native::try_from(number::integer(value.text)?).ok(),
            };
            native.ok_or(OUT_OF_RANGE)
        })
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        rows: usize,
        parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + Send + 'static,
    ) -> Box<dyn Build> {
        self.by_value::<T>(rows, move |value| parse(value.text))
    }

    /// A column of numbers, in the source's style.
    fn numbers<T: ArrowPrimitiveType>(
        &self,
        rows: usize,
        parse: impl Fn(&[u8]) -> Result<T::Native, BadValue> + Send + 'static,
    ) -> Box<dyn Build> {
        let style = self.numbers;
        if style.is_plain() {
            return self.primitive::<T>(rows, parse);
        }
        self.primitive::<T>(rows, move |text| parse(&style.plain(text)?))
    }

    fn by_value<T: ArrowPrimitiveType>(
        &self,
        rows: usize,
        parse: impl Fn(FieldText<'_>) -> Result<T::Native, BadValue> + Send + 'static,
    ) -> Box<dyn Build> {
        Box::new(Primitives::<T, _> {
            parse,
            data_type: self.data_type.clone(),
            values: Vec::with_capacity(rows),
            validity: Validity::new(rows),
        })
    }

    /// Whether any UTF-8 text is a valid value.
    pub(super) fn takes_any_text(&self) -> bool {
        self.nullable && self.is_text()
    }

    /// Whether the column holds text or bytes.
    pub(super) fn is_text(&self) -> bool {
        matches!(
            self.data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
        )
    }

    /// The message for a rejected field: NULL, or a text that is not a valid value.
    pub(super) fn reason(&self, text: Option<(&[u8], BadValue)>) -> String {
        match text {
            Some((text, why)) => scalar::reason(text, &self.data_type, why),
            None => format!(
                "NULL in a column that is NOT NULL ({})",
                sql_name(&self.data_type)
            ),
        }
    }
}

fn narrow_time(text: &[u8], unit: TimeUnit) -> Result<i32, BadValue> {
    i32::try_from(time_of_day(text, unit)?).map_err(|_| OUT_OF_RANGE)
}

/// A column for which the file has no field.
pub(super) fn nulls(column: &CsvColumn, rows: usize) -> ArrayRef {
    new_null_array(&column.data_type, rows)
}

struct Primitives<T: ArrowPrimitiveType, P> {
    parse: P,
    data_type: DataType,
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T, P> Build for Primitives<T, P>
where
    T: ArrowPrimitiveType,
    P: Fn(FieldText<'_>) -> Result<T::Native, BadValue>,
{
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>) {
        rows.each(field, |row, field| {
            let parsed = take_parsed(rows, row, field, &self.parse, refuse);
            self.values.push(parsed.unwrap_or_default());
            self.validity.append(parsed.is_some());
        });
    }

    fn forget(&mut self) {
        self.values.clear();
        self.validity.forget();
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef, ArrowError> {
        let array = PrimitiveArray::<T>::try_new(self.values.into(), self.validity.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type)))
    }
}

struct Booleans {
    values: BooleanBufferBuilder,
    validity: Validity,
}

impl Booleans {
    fn new(rows: usize) -> Self {
        Self {
            values: BooleanBufferBuilder::new(rows),
            validity: Validity::new(rows),
        }
    }
}

impl Build for Booleans {
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>) {
        rows.each(field, |row, field| {
            let parsed = take_parsed(
                rows,
                row,
                field,
                |value| scalar::boolean(value.text),
                refuse,
            );
            self.values.append(parsed.unwrap_or_default());
            self.validity.append(parsed.is_some());
        });
    }

    fn forget(&mut self) {
        self.values.truncate(0);
        self.validity.forget();
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BooleanArray::new(
            self.values.finish(),
            self.validity.finish(),
        )))
    }
}
