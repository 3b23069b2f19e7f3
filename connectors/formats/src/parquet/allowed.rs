//! Determines which scalar types may be converted: those whose values stay exactly the same if they fit.

use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;

/// Whether every value of `from` that has a counterpart in `to` is converted to exactly that one, and the cast kernel
/// detects the others.
pub(super) fn is_lossless(from: &DataType, to: &DataType) -> bool {
    let lossless = match (decimal_scale(from), decimal_scale(to)) {
        (Some(from_scale), Some(to_scale)) => to_scale >= from_scale,
        (None, Some(to_scale)) => from.is_integer() && to_scale >= 0,
        (Some(_), None) => false,
        (None, None) => {
            (from.is_integer() && to.is_integer())
                || widens_to_float(from, to)
                || (is_text(from) || is_binary(from)) && is_text(to)
                || is_binary(from) && is_binary(to)
        }
    };
    lossless && can_cast_types(from, to)
}

/// Whether a lossless conversion may find a value without a counterpart in `to`.
pub(super) fn may_fail(from: &DataType, to: &DataType) -> bool {
    let digits = whole_digits(from).zip(decimal_digits(to));
    let range = integer_range(from).zip(integer_range(to));
    let always_fits = (is_text(from) && is_text(to))
        || (is_binary(from) && is_binary(to))
        || widens_to_float(from, to)
        || digits.is_some_and(|(from, to)| from <= to)
        || range.is_some_and(|(from, to)| to.0 <= from.0 && from.1 <= to.1);
    !always_fits
}

/// Most digits before the decimal point of a type's numbers.
fn whole_digits(data_type: &DataType) -> Option<i16> {
    let of_integer = |(least, greatest): (i128, i128)| {
        let digits = least.unsigned_abs().max(greatest.unsigned_abs()).ilog10() + 1;
        i16::try_from(digits).ok()
    };
    decimal_digits(data_type).or_else(|| integer_range(data_type).and_then(of_integer))
}

fn decimal_digits(data_type: &DataType) -> Option<i16> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some(i16::from(*precision) - i16::from(*scale)),
        _ => None,
    }
}

fn integer_range(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn widens_to_float(from: &DataType, to: &DataType) -> bool {
    let significant_bits = |data_type: &DataType| match data_type {
        DataType::Int8 | DataType::UInt8 => Some(8),
        DataType::Float16 => Some(11),
        DataType::Int16 | DataType::UInt16 => Some(16),
        DataType::Float32 => Some(24),
        DataType::Int32 | DataType::UInt32 => Some(32),
        _ => None,
    };
    match to {
        DataType::Float32 => significant_bits(from).is_some_and(|bits| bits <= 24),
        DataType::Float64 => significant_bits(from).is_some(),
        _ => false,
    }
}

fn decimal_scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loses_nothing_is_allowed() {
        use DataType::{
            Binary, Boolean, Date32, Decimal32, Decimal128, Decimal256, Float32, Float64, Int8,
            Int16, Int32, Int64, LargeUtf8, UInt32, UInt64, Utf8, Utf8View,
        };
        for (from, to, allowed) in [
            (Int32, Int64, true),
            (Int64, Int32, true),
            (Int64, UInt64, true),
            (Int32, Float64, true),
            (Int16, Float32, true),
            (Int32, Float32, false),
            (Int64, Float64, false),
            (Float32, Float64, true),
            (Float64, Float32, false),
            (Float64, Int64, false),
            (Int64, Decimal128(20, 2), true),
            (Float64, Decimal128(20, 2), false),
            (Decimal128(10, 2), Decimal128(12, 4), true),
            (Decimal128(10, 2), Decimal128(10, 1), false),
            (Decimal128(10, 2), Decimal128(8, 2), true),
            (Decimal32(9, 2), Decimal256(50, 2), true),
            (Decimal128(10, 0), Int64, false),
            (LargeUtf8, Utf8, true),
            (Utf8View, Utf8, true),
            (Binary, Utf8, true),
            (Utf8, Binary, false),
            (Utf8, Int64, false),
            (Int64, Utf8, false),
            (Boolean, Int8, false),
            (Date32, Utf8, false),
            (UInt32, Int32, true),
        ] {
            assert_eq!(is_lossless(&from, &to), allowed, "{from} to {to}");
        }
    }

    #[test]
    fn what_never_fails_needs_no_look_at_values() {
        use DataType::{
            Binary, Decimal128, Float32, Float64, Int8, Int32, Int64, LargeUtf8, UInt8, UInt32,
            UInt64, Utf8,
        };
        for (from, to, expected) in [
            (Int32, Int64, false),
            (Int64, Int32, true),
            (UInt32, Int64, false),
            (UInt64, Int64, true),
            (Int8, UInt8, true),
            (Int32, Float64, false),
            (Float32, Float64, false),
            (Int64, Decimal128(21, 2), false),
            (Int64, Decimal128(20, 2), true),
            (UInt8, Decimal128(3, 0), false),
            (Decimal128(10, 2), Decimal128(12, 4), false),
            (Decimal128(10, 2), Decimal128(11, 4), true),
            (LargeUtf8, Utf8, false),
            (Binary, Utf8, true),
        ] {
            assert_eq!(may_fail(&from, &to), expected, "{from} to {to}");
        }
    }
}
