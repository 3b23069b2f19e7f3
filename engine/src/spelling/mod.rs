//! Types, values and expressions as SQL spells them, for everything that a user reads.
//!
//! DataFusion and Arrow print their own names: `Int64`, `Utf8("web")`, `count(Int64(1))`. [`type_name`] and
//! [`expression`] print what a job's author would write. [`in_sql`] translates a text that already contains Arrow's
//! names, such as a column name that DataFusion made up, or an error message.

mod expressions;
mod text;

use arrow::datatypes::{DataType, Field, TimeUnit};

pub use self::expressions::{expression, physical_expression, value};
pub use self::text::in_sql;

/// The SQL name of a type, as in a declaration.
pub fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 => "HALF",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Duration(_) => "DURATION",
        DataType::Interval(_) => "INTERVAL",
        DataType::Timestamp(unit, zone) => return timestamp(*unit, zone.as_deref()),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            return format!("DECIMAL({precision}, {scale})");
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => return format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => return format!("STRUCT<{}>", columns(fields)),
        DataType::Map(entries, _) => {
            return match entries.data_type() {
                DataType::Struct(fields) => {
                    let types = fields.iter().map(|field| type_name(field.data_type()));
                    format!("MAP<{}>", types.collect::<Vec<_>>().join(", "))
                }
                _ => "MAP".to_owned(),
            };
        }
        DataType::Dictionary(_, values) => return type_name(values),
        DataType::RunEndEncoded(_, values) => return type_name(values.data_type()),
        DataType::Union(..) => "UNION",
    };
    name.to_owned()
}

/// A list of columns, as in a declaration: `a BIGINT, b TEXT`.
pub fn columns<'a>(fields: impl IntoIterator<Item = &'a std::sync::Arc<Field>>) -> String {
    let columns = fields.into_iter().map(|field| {
        format!(
            "{} {}",
            identifier(field.name()),
            type_name(field.data_type())
        )
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// A name as it must be written in SQL: quoted unless it is a word in lower case.
pub fn identifier(name: &str) -> String {
    let mut characters = name.chars();
    let is_start = |c: char| c == '_' || (c.is_alphabetic() && !c.is_uppercase());
    let bare = characters.next().is_some_and(is_start)
        && characters.all(|c| is_start(c) || c.is_numeric());
    if bare {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A string as an SQL literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn timestamp(unit: TimeUnit, zone: Option<&str>) -> String {
    let digits = match unit {
        TimeUnit::Second => "(0)",
        TimeUnit::Millisecond => "(3)",
        TimeUnit::Microsecond => "",
        TimeUnit::Nanosecond => "(9)",
    };
    match zone {
        None => format!("TIMESTAMP{digits}"),
        Some("UTC" | "+00:00" | "Z") => format!("TIMESTAMPTZ{digits}"),
        Some(zone) => format!("TIMESTAMPTZ{digits} in {zone}"),
    }
}

#[cfg(test)]
mod tests;
