//! Columns and their types.

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit, UnionMode};

use super::{Canonical, CanonicalText};

impl Canonical for Schema {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("schema", |text| text.list(self.fields().iter()));
    }
}

impl Canonical for Field {
    fn write_to(&self, text: &mut CanonicalText) {
        text.node("field", |text| {
            text.string(self.name());
            text.value(self.data_type());
            text.word(if self.is_nullable() {
                "nullable"
            } else {
                "required"
            });
        });
    }
}

impl Canonical for DataType {
    fn write_to(&self, text: &mut CanonicalText) {
        let name = simple_name(self);
        text.node(name, |text| match self {
            Self::Timestamp(unit, zone) => {
                text.word(unit_name(*unit));
                match zone {
                    Some(zone) => text.string(zone),
                    None => text.word("none"),
                }
            }
            Self::Time32(unit) | Self::Time64(unit) | Self::Duration(unit) => {
                text.word(unit_name(*unit));
            }
            Self::Interval(unit) => text.word(match unit {
                IntervalUnit::YearMonth => "year_month",
                IntervalUnit::DayTime => "day_time",
                IntervalUnit::MonthDayNano => "month_day_nano",
            }),
            Self::FixedSizeBinary(bytes) => text.word(bytes),
            Self::List(item)
            | Self::ListView(item)
            | Self::LargeList(item)
            | Self::LargeListView(item) => text.value(item),
            Self::FixedSizeList(item, length) => {
                text.value(item);
                text.word(length);
            }
            Self::Struct(fields) => text.list(fields.iter()),
            Self::Union(fields, mode) => {
                text.word(match mode {
                    UnionMode::Sparse => "sparse",
                    UnionMode::Dense => "dense",
                });
                for (id, field) in fields.iter() {
                    text.word(id);
                    text.value(field);
                }
            }
            Self::Dictionary(key, value) => {
                text.value(key);
                text.value(value);
            }
            Self::Decimal32(precision, scale)
            | Self::Decimal64(precision, scale)
            | Self::Decimal128(precision, scale)
            | Self::Decimal256(precision, scale) => {
                text.word(precision);
                text.word(scale);
            }
            Self::Map(entry, sorted) => {
                text.value(entry);
                text.word(sorted);
            }
            Self::RunEndEncoded(ends, values) => {
                text.value(ends);
                text.value(values);
            }
            _ => {}
        });
    }
}

/// The name of a type without its parameters.
fn simple_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float16 => "float16",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 => "date32",
        DataType::Date64 => "date64",
        DataType::Time32(_) => "time32",
        DataType::Time64(_) => "time64",
        DataType::Duration(_) => "duration",
        DataType::Interval(_) => "interval",
        DataType::Binary => "binary",
        DataType::FixedSizeBinary(_) => "fixed_size_binary",
        DataType::LargeBinary => "large_binary",
        DataType::BinaryView => "binary_view",
        DataType::Utf8 => "utf8",
        DataType::LargeUtf8 => "large_utf8",
        DataType::Utf8View => "utf8_view",
        DataType::List(_) => "list",
        DataType::ListView(_) => "list_view",
        DataType::FixedSizeList(..) => "fixed_size_list",
        DataType::LargeList(_) => "large_list",
        DataType::LargeListView(_) => "large_list_view",
        DataType::Struct(_) => "struct",
        DataType::Union(..) => "union",
        DataType::Dictionary(..) => "dictionary",
        DataType::Decimal32(..) => "decimal32",
        DataType::Decimal64(..) => "decimal64",
        DataType::Decimal128(..) => "decimal128",
        DataType::Decimal256(..) => "decimal256",
        DataType::Map(..) => "map",
        DataType::RunEndEncoded(..) => "run_end_encoded",
    }
}

/// The name of a unit of time.
fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
