//! Literals.

use std::fmt::Display;

use arrow::array::Array;
use datafusion_common::ScalarValue;

use super::{Canonical, CanonicalText};

impl Canonical for ScalarValue {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("literal", |text| {
            text.value(&self.data_type());
            match self {
                _ if self.is_null() => text.word("null"),
                Self::Dictionary(_, value) | Self::RunEndEncoded(_, _, value) => text.value(value),
                Self::Union(Some((id, value)), ..) => {
                    text.word(id);
                    text.value(value);
                }
                _ => write_simple(self, text),
            }
        });
    }
}

/// A value without nested values, or an array of values.
fn write_simple(value: &ScalarValue, text: &mut CanonicalText) {
    match value {
        ScalarValue::Utf8(Some(value))
        | ScalarValue::Utf8View(Some(value))
        | ScalarValue::LargeUtf8(Some(value)) => text.string(value),
        ScalarValue::Binary(Some(value))
        | ScalarValue::BinaryView(Some(value))
        | ScalarValue::FixedSizeBinary(_, Some(value))
        | ScalarValue::LargeBinary(Some(value)) => text.bytes(value),
        ScalarValue::List(array) => elements(&array.value(0), text),
        ScalarValue::LargeList(array) => elements(&array.value(0), text),
        ScalarValue::ListView(array) => elements(&array.value(0), text),
        ScalarValue::LargeListView(array) => elements(&array.value(0), text),
        ScalarValue::FixedSizeList(array) => elements(&array.value(0), text),
        ScalarValue::Map(array) => {
            let entries = array.value(0);
            entries
                .columns()
                .iter()
                .for_each(|column| elements(column, text));
        }
        ScalarValue::Struct(array) => {
            let columns = array.columns().iter();
            columns.for_each(|column| elements(column, text));
        }
        number => match number_word(number) {
            Some(word) => text.word(word),
            // No other type exists today. The display is a fallback.
            None => text.string(&number.to_string()),
        },
    }
}

/// A number in digits. Floats are written as their bits.
fn number_word(value: &ScalarValue) -> Option<String> {
    fn digits(value: Option<impl Display>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    match value {
        ScalarValue::Boolean(value) => digits(*value),
        ScalarValue::Float16(value) => value.map(|value| format!("f{:04x}", value.to_bits())),
        ScalarValue::Float32(value) => value.map(|value| format!("f{:08x}", value.to_bits())),
        ScalarValue::Float64(value) => value.map(|value| format!("f{:016x}", value.to_bits())),
        ScalarValue::Decimal32(value, ..)
        | ScalarValue::Int32(value)
        | ScalarValue::Date32(value)
        | ScalarValue::Time32Second(value)
        | ScalarValue::Time32Millisecond(value)
        | ScalarValue::IntervalYearMonth(value) => digits(*value),
        ScalarValue::Decimal64(value, ..)
        | ScalarValue::Int64(value)
        | ScalarValue::Date64(value)
        | ScalarValue::Time64Microsecond(value)
        | ScalarValue::Time64Nanosecond(value)
        | ScalarValue::TimestampSecond(value, _)
        | ScalarValue::TimestampMillisecond(value, _)
        | ScalarValue::TimestampMicrosecond(value, _)
        | ScalarValue::TimestampNanosecond(value, _)
        | ScalarValue::DurationSecond(value)
        | ScalarValue::DurationMillisecond(value)
        | ScalarValue::DurationMicrosecond(value)
        | ScalarValue::DurationNanosecond(value) => digits(*value),
        ScalarValue::Decimal128(value, ..) => digits(*value),
        ScalarValue::Decimal256(value, ..) => digits(*value),
        ScalarValue::Int8(value) => digits(*value),
        ScalarValue::Int16(value) => digits(*value),
        ScalarValue::UInt8(value) => digits(*value),
        ScalarValue::UInt16(value) => digits(*value),
        ScalarValue::UInt32(value) => digits(*value),
        ScalarValue::UInt64(value) => digits(*value),
        ScalarValue::IntervalDayTime(value) => {
            value.map(|value| format!("{}/{}", value.days, value.milliseconds))
        }
        ScalarValue::IntervalMonthDayNano(value) => {
            value.map(|value| format!("{}/{}/{}", value.months, value.days, value.nanoseconds))
        }
        _ => None,
    }
}

/// The values of an array.
fn elements(array: &dyn Array, text: &mut CanonicalText) {
    text.node("values", |text| {
        text.word(array.len());
        for index in 0..array.len() {
            match ScalarValue::try_from_array(array, index) {
                Ok(value) => text.value(&value),
                // A type that no scalar has, so no literal has it either.
                Err(error) => text.string(&error.to_string()),
            }
        }
    });
}
