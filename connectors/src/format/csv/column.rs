//! Columns being decoded: each takes the fields of many rows at a time, in a loop of its own type, and appends
//! straight to what becomes the Arrow array.

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
use chrono::format::Item;

use super::dictionary::Dictionary;
use super::field::{Build, Refuse, Rows, Validity, Value, take_parsed};
use super::number::{self, OUT_OF_RANGE, Why};
use super::text::{Coded, Texts};
use super::time::{self, Timestamps};
use crate::format::options::CsvOptions;

/// A declared column that CSV can hold.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: Arc<str>,
    nullable: bool,
    data_type: DataType,
    kind: Kind,
}

/// How a field becomes a value, where the type alone does not say.
#[derive(Clone, Debug)]
enum Kind {
    Plain,
    Date(Option<Arc<[Item<'static>]>>),
    Timestamp(Arc<Timestamps>),
    Decimal { precision: u8, scale: u8 },
}

impl Column {
    /// # Errors
    /// When the type has no text form here; says what to declare instead.
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
            DataType::Date32 => Kind::Date(options.date_format.clone().map(Into::into)),
            DataType::Timestamp(unit, zone) => {
                let zone = zone.as_ref().map(|zone| zone.parse());
                let zone = zone
                    .transpose()
                    .map_err(|error: ArrowError| format!("its time zone is unknown: {error}"))?;
                Kind::Timestamp(Arc::new(Timestamps {
                    unit: *unit,
                    zone,
                    format: options.timestamp_format.clone(),
                }))
            }
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Kind::Decimal {
                    precision: *precision,
                    scale: u8::try_from(*scale)
                        .map_err(|_| "its scale is negative; declare a scale of 0 or more")?,
                }
            }
            other if other.is_nested() => {
                return Err(format!(
                    "CSV has no {other}; declare the column VARCHAR and take it apart in SQL, or store the source as \
                     JSON or PARQUET"
                ));
            }
            other => {
                return Err(format!(
                    "CSV columns of type {other} are not read; declare VARCHAR and CAST in SQL"
                ));
            }
        };
        Ok(Self {
            name: field.name().as_str().into(),
            nullable: field.is_nullable(),
            data_type: field.data_type().clone(),
            kind,
        })
    }

    pub(super) fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// An empty column with room for about `rows`. `check_utf8` tests each text by itself, so that the rows that
    /// are not UTF-8 can be told; without it [`finish`](Build::finish) fails when there is any. Texts are coded by the
    /// `dictionary` where one is given and serves.
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
            (DataType::Float32, _) => self.primitive::<Float32Type>(rows, number::float),
            (DataType::Float64, _) => self.primitive::<Float64Type>(rows, number::float),
            (DataType::Date32, Kind::Date(format)) => {
                let format = format.clone();
                self.primitive::<Date32Type>(rows, move |text| time::date(text, format.as_deref()))
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
                self.primitive::<Decimal128Type>(rows, move |text| {
                    number::decimal(text, precision, scale)?
                        .to_i128()
                        .ok_or(OUT_OF_RANGE)
                })
            }
            (DataType::Decimal256(..), Kind::Decimal { precision, scale }) => {
                let (precision, scale) = (*precision, *scale);
                self.primitive::<Decimal256Type>(rows, move |text| {
                    number::decimal(text, precision, scale)
                })
            }
            (DataType::Time32(Second), _) => {
                self.primitive::<Time32SecondType>(rows, |text| narrow_time(text, Second))
            }
            (DataType::Time32(_), _) => {
                self.primitive::<Time32MillisecondType>(rows, |text| narrow_time(text, Millisecond))
            }
            (DataType::Time64(Nanosecond), _) => {
                self.primitive::<Time64NanosecondType>(rows, |text| time::time(text, Nanosecond))
            }
            (DataType::Time64(_), _) => {
                self.primitive::<Time64MicrosecondType>(rows, |text| time::time(text, Microsecond))
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
        parse: impl Fn(&[u8]) -> Result<T::Native, Why> + Send + 'static,
    ) -> Box<dyn Build> {
        self.by_value::<T>(rows, move |value| parse(value.text))
    }

    fn by_value<T: ArrowPrimitiveType>(
        &self,
        rows: usize,
        parse: impl Fn(Value<'_>) -> Result<T::Native, Why> + Send + 'static,
    ) -> Box<dyn Build> {
        Box::new(Primitives::<T, _> {
            parse,
            data_type: self.data_type.clone(),
            values: Vec::with_capacity(rows),
            validity: Validity::new(rows),
        })
    }

    /// The reason for which `text` is rejected.
    pub(super) fn reason(&self, text: Option<&[u8]>, why: Why) -> String {
        const SHOWN_CHARACTERS: usize = 80;
        let Some(text) = text else {
            return format!(
                "NULL in a column that is NOT NULL ({})",
                sql_name(&self.data_type)
            );
        };
        let text = String::from_utf8_lossy(text);
        let cut = text.char_indices().nth(SHOWN_CHARACTERS).map(|(at, _)| at);
        let shown = text.get(..cut.unwrap_or(text.len())).unwrap_or_default();
        let more = if cut.is_some() { "…" } else { "" };
        format!(
            "'{shown}{more}' cannot be read as {}: {why}",
            sql_name(&self.data_type)
        )
    }
}

fn narrow_time(text: &[u8], unit: TimeUnit) -> Result<i32, Why> {
    i32::try_from(time::time(text, unit)?).map_err(|_| OUT_OF_RANGE)
}

/// The type as a `CREATE TABLE` statement has it.
fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary => "BYTEA",
        DataType::Date32 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("DECIMAL({precision}, {scale})");
        }
        other => return other.to_string(),
    };
    name.to_owned()
}

/// A column that no file field feeds.
pub(super) fn nulls(column: &Column, rows: usize) -> ArrayRef {
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
    P: Fn(Value<'_>) -> Result<T::Native, Why>,
{
    fn take(&mut self, rows: &Rows<'_>, field: usize, refuse: &mut Refuse<'_>) {
        rows.each(field, |row, field| {
            let parsed = take_parsed(row, field, &self.parse, refuse);
            self.values.push(parsed.unwrap_or_default());
            self.validity.append(parsed.is_some());
        });
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
            let parsed = take_parsed(row, field, |value| number::boolean(value.text), refuse);
            self.values.append(parsed.unwrap_or_default());
            self.validity.append(parsed.is_some());
        });
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BooleanArray::new(
            self.values.finish(),
            self.validity.finish(),
        )))
    }
}
