//! The text of a value, and messages for texts that are not values.

use arrow::datatypes::DataType;

use crate::shown::printable;

/// Why a text is not a value of its column's type. The wording follows "cannot be read as …:".
pub(crate) type BadValue = &'static str;

/// The value is well-formed, but out of range for the type.
pub(crate) const OUT_OF_RANGE: BadValue = "it is out of range";

/// The text of a value.
#[derive(Clone, Copy)]
pub(crate) struct FieldText<'a> {
    pub text: &'a [u8],
    /// The text and the bytes after it in memory, so that a short text can be loaded or copied in one step.
    pub room: &'a [u8],
}

/// Parses a boolean in the spellings that SQL and most programs use.
pub(crate) fn boolean(text: &[u8]) -> Result<bool, BadValue> {
    const TRUE: [&[u8]; 6] = [b"true", b"t", b"1", b"yes", b"y", b"on"];
    const FALSE: [&[u8]; 6] = [b"false", b"f", b"0", b"no", b"n", b"off"];
    let text = text.trim_ascii();
    if TRUE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Ok(true)
    } else if FALSE.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Ok(false)
    } else {
        Err("it is neither true nor false")
    }
}

/// The message for a text that is not a value of `data_type`.
pub(crate) fn reason(text: &[u8], data_type: &DataType, why: BadValue) -> String {
    const SHOWN_CHARACTERS: usize = 80;
    let text = printable(text);
    let cut = text.char_indices().nth(SHOWN_CHARACTERS).map(|(at, _)| at);
    let shown = text.get(..cut.unwrap_or(text.len())).unwrap_or_default();
    let more = if cut.is_some() { "…" } else { "" };
    format!(
        "'{shown}{more}' cannot be read as {}: {why}",
        sql_name(data_type)
    )
}

/// The type as a `CREATE EXTERNAL TABLE` statement writes it.
pub(crate) fn sql_name(data_type: &DataType) -> String {
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
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA",
        DataType::Date32 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("DECIMAL({precision}, {scale})");
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => {
            return format!("{}[]", sql_name(element.data_type()));
        }
        other => return other.to_string(),
    };
    name.to_owned()
}
