//! Columns that come from the message itself.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{
    ArrayRef, Int64Array, LargeBinaryArray, LargeStringArray, ListArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;

use super::rows::{DecodedColumn, Refused};
use crate::{Message, Messages, Metadata};
use tidewater_formats::lines::{is_text, not_utf8};

/// A value, or NULL, or the reason why there is none.
type Value<T> = Result<Option<T>, String>;

/// The values of `column` for the messages at the indices `of`. A message without a valid value is rejected, and its
/// value is NULL.
pub(super) fn metadata(
    column: &DecodedColumn,
    from: &Metadata,
    topic: &str,
    messages: &Messages,
    of: &[usize],
    refused: &mut Vec<Refused>,
) -> Result<ArrayRef, ArrowError> {
    let mut values = ColumnBuilder {
        column,
        messages,
        of,
        refused,
    };
    let data_type = column.field.data_type();
    let array: ArrayRef = match from {
        Metadata::Key => return values.texts(data_type, |message| message.key),
        Metadata::Header(name) => {
            return values.texts(data_type, |message| last_header(message, name));
        }
        Metadata::Topic => {
            return values.texts(data_type, |_| Some(topic.as_bytes()));
        }
        Metadata::Headers => return values.headers(data_type),
        Metadata::Partition => Arc::new(Int64Array::from(vec![
            i64::from(messages.partition);
            of.len()
        ])),
        Metadata::Offset => {
            let offsets = values.each(|message| Ok(Some(message.offset)));
            Arc::new(offsets.collect::<Int64Array>())
        }
        Metadata::Timestamp => {
            let times = values.each(|message| microseconds(message.timestamp_ms));
            let times = times.collect::<TimestampMicrosecondArray>();
            // The instant is the same in every zone.
            match data_type {
                DataType::Timestamp(_, zone) => Arc::new(times.with_timezone_opt(zone.clone())),
                _ => Arc::new(times),
            }
        }
    };
    cast(&array, data_type)
}

fn microseconds(timestamp_ms: i64) -> Value<i64> {
    if timestamp_ms == -1 {
        return Ok(None);
    }
    let micros = timestamp_ms.checked_mul(1_000);
    let micros = micros.ok_or_else(|| format!("{timestamp_ms} ms is out of range"))?;
    Ok(Some(micros))
}

fn last_header<'a>(message: &Message<'a>, name: &str) -> Option<&'a [u8]> {
    let headers = message.headers();
    let named = headers.filter(|(found, _)| *found == name.as_bytes());
    named.last().and_then(|(_, value)| value)
}

/// A column under construction.
struct ColumnBuilder<'a> {
    column: &'a DecodedColumn,
    messages: &'a Messages,
    of: &'a [usize],
    refused: &'a mut Vec<Refused>,
}

impl<'a> ColumnBuilder<'a> {
    /// Calls `value` for each message.
    fn each<T>(
        &mut self,
        value: impl Fn(&Message<'a>) -> Value<T>,
    ) -> impl Iterator<Item = Option<T>> {
        let field = &self.column.field;
        let may_be_null = field.is_nullable() && !self.column.is_key;
        let (messages, refused) = (self.messages, &mut *self.refused);
        self.of.iter().map(move |at| {
            let value = messages
                .get(*at)
                .map_or(Ok(None), |message| value(&message));
            let reason = match value {
                Ok(None) if !may_be_null => {
                    "the message does not say it, and the column is NOT NULL".to_owned()
                }
                Ok(value) => return value,
                Err(reason) => reason,
            };
            refused.push(Refused {
                message: *at,
                column: Some(field.name().as_str().into()),
                reason,
            });
            None
        })
    }

    /// A column of text or bytes.
    fn texts(
        &mut self,
        data_type: &DataType,
        value: impl Fn(&Message<'a>) -> Option<&'a [u8]>,
    ) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = if is_text(data_type) {
            let texts = self.each(|message| value(message).map(utf8).transpose());
            Arc::new(texts.collect::<LargeStringArray>())
        } else {
            let values = self.each(|message| Ok(value(message)));
            Arc::new(values.collect::<LargeBinaryArray>())
        };
        cast(&array, data_type)
    }

    /// A column of all headers, as a list of structs of a name and a value.
    fn headers(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let (item, fields) = header_fields(data_type)?;
        let [name, value] = fields.as_ref() else {
            return Err(not_headers(data_type));
        };
        let rows: Vec<_> = self
            .each(|message| check_headers(message, name, value).map(|()| Some(*message)))
            .collect();
        let mut valid = NullBufferBuilder::new(rows.len());
        rows.iter().for_each(|row| valid.append(row.is_some()));
        let counts = rows.iter().map(|row| {
            let headers = row.as_ref().map(|message| message.headers().count());
            headers.unwrap_or_default()
        });
        let ends = OffsetBuffer::from_lengths(counts);
        let headers = || rows.iter().flatten().flat_map(Message::headers);
        let names = pieces(headers().map(|(name, _)| Some(name)), name.data_type())?;
        let values = pieces(headers().map(|(_, value)| value), value.data_type())?;
        let structs = StructArray::try_new(fields.clone(), vec![names, values], None)?;
        let list = ListArray::try_new(Arc::clone(item), ends, Arc::new(structs), valid.finish())?;
        Ok(Arc::new(list))
    }
}

fn header_fields(data_type: &DataType) -> Result<(&Arc<Field>, &Fields), ArrowError> {
    match data_type {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => Ok((item, fields)),
            _ => Err(not_headers(data_type)),
        },
        _ => Err(not_headers(data_type)),
    }
}

fn not_headers(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("{data_type} does not hold headers"))
}

fn check_headers(message: &Message<'_>, name: &Field, value: &Field) -> Result<(), String> {
    for (number, (found, content)) in message.headers().enumerate() {
        let in_header = |reason| format!("header {}: {reason}", number + 1);
        utf8(found).map_err(in_header)?;
        match content {
            None if !value.is_nullable() => {
                return Err(in_header(
                    "has no value, and its field is NOT NULL".to_owned(),
                ));
            }
            Some(content) if is_text(value.data_type()) => {
                utf8(content).map_err(in_header)?;
            }
            _ => {}
        }
    }
    debug_assert!(is_text(name.data_type()), "options check the type");
    Ok(())
}

/// An array of text or bytes that were checked.
fn pieces<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let bytes: ArrayRef = Arc::new(values.collect::<LargeBinaryArray>());
    cast(&bytes, data_type)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(not_utf8)
}
