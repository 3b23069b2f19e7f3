//! The types that a published table can hold, and advice for others.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

use crate::spelling::type_name;

/// Why no table can hold a type, and what to write instead; `None` if tables can.
pub(super) fn unpublishable(column: &str, data_type: &DataType) -> Option<(String, String)> {
    let hint = match data_type {
        DataType::Duration(_) => format!(
            "a difference of times is a number of seconds: date_part('epoch', {column}); of days, subtract dates"
        ),
        DataType::Interval(_) => {
            format!("write it as text, CAST({column} AS TEXT), or as a number of days or seconds")
        }
        DataType::Map(..) => {
            format!(
                "take the values out that you need: {column}['key'], or map_keys and map_values"
            )
        }
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if *scale < 0 =>
        {
            format!("write CAST({column} AS DECIMAL(38, 0))")
        }
        DataType::Union(..) | DataType::RunEndEncoded(..) => {
            format!("cast it to a type that tables have: CAST({column} AS TEXT)")
        }
        DataType::Struct(fields) => return fields.iter().find_map(|field| nested(column, field)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => return nested(column, item),
        _ => return None,
    };
    Some((
        format!(
            "'{column}' is of the type {}, which no table holds",
            type_name(data_type)
        ),
        hint,
    ))
}

/// The same for the fields of a list or struct, where NULL is not a type either.
fn nested(column: &str, field: &Field) -> Option<(String, String)> {
    if *field.data_type() == DataType::Null {
        return Some(untyped(column));
    }
    unpublishable(column, field.data_type())
}

/// Why a format cannot hold a column, and what to write instead.
pub(super) fn unheld(field: &Field, format: &str) -> (String, String) {
    let (column, data_type) = (field.name(), field.data_type());
    if *data_type == DataType::Null {
        return untyped(column);
    }
    (
        format!(
            "{format} cannot hold '{column}', a {}",
            type_name(data_type)
        ),
        "store the table as PARQUET or JSON, or select the values that the column holds".to_owned(),
    )
}

fn untyped(column: &str) -> (String, String) {
    (
        format!("'{column}' holds NULL without a type, which no table does"),
        "give it one: CAST(NULL AS TEXT)".to_owned(),
    )
}

/// The columns of a view as tables have them: plain types instead of dictionaries, and one unit for times of day.
pub(super) fn plain(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = plain_type(field.data_type());
        Field::new(field.name(), data_type, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A type as batches and tables have it.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    let plain_field = |field: &FieldRef| {
        let data_type = plain_type(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Time32(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::ListView(item) | DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}
