//! Decodes messages into rows. The formats of files decode payloads and keys. Columns from the message itself are
//! added.
//!
//! 1. A message is one row, or one change, or it is rejected. A tombstone after a Debezium change gives nothing. No
//!    part of a rejected message counts.
//! 2. A message is rejected once, for its first fault.
//! 3. No message needs an allocation of its own, unless it is rejected.
//!
//! With a primary key, rows are upserts. Each row has its place. A row whose `deleted` is true
//! deletes its key, and has only the columns of the key. Without a key, Debezium changes are inserted and retracted
//! rows, each with its place.

mod keys;
mod metadata;
mod parts;
mod payload;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use self::keys::Keys;
use self::metadata::metadata;
use self::parts::{MessageTexts, Parts};
use self::rows::{ColumnOrigin, DecodedColumn, DecodedRows, Refused};
use super::options::Envelope;
use super::{KafkaSource, Location, Messages};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{DecodeRecords, Decoded, Rejected, RowPlaces, SourceSpec};

/// How much of a rejected payload is shown.
const RAW_BYTES_MAX: usize = 64 << 10;

/// Decodes the messages of a source.
pub struct MessageDecoder {
    source: Arc<str>,
    location: Location,
    envelope: Envelope,
    /// The schema of decoded batches.
    schema: SchemaRef,
    /// The projected columns, in their order.
    columns: Vec<DecodedColumn>,
    payload: Box<dyn DecodeRecords>,
    /// Decoders of keys, for a source with a primary key.
    keys: Option<Keys>,
    /// Whether rows have the places of changes.
    is_of_changes: bool,
    /// Whether decoded batches have offsets.
    ordinals: bool,
}

/// The columns of a Kafka source as they enter the graph: the columns that are read and the source's place columns.
/// With a primary key, all columns but the key's may be NULL, since they are NULL in rows that delete a key.
pub fn incoming_schema(spec: &SourceSpec) -> SchemaRef {
    let kafka = KafkaSource::of(spec);
    let key = kafka.map(|kafka| kafka.key.as_slice()).unwrap_or_default();
    let projected = spec.projection.iter().filter_map(|index| {
        let field = spec.schema.fields().get(*index)?;
        if key.is_empty() || key.contains(index) {
            return Some(Arc::clone(field));
        }
        Some(Arc::new(field.as_ref().clone().with_nullable(true)))
    });
    let places = kafka.map(KafkaSource::places).unwrap_or_default();
    Arc::new(Schema::new(projected.chain(places).collect::<Vec<_>>()))
}

impl MessageDecoder {
    /// A decoder of the source's messages.
    ///
    /// # Errors
    /// When format, options and column types do not fit together.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let kafka = KafkaSource::of(spec).ok_or_else(|| SourceError::Kafka {
            location: spec.location.clone(),
            message: "is no topic".to_owned(),
        })?;
        let keys = if kafka.key.is_empty() {
            None
        } else {
            Some(Keys::new(spec, kafka)?)
        };
        Ok(Self {
            source: spec.name.as_str().into(),
            location: kafka.location.clone(),
            envelope: kafka.options.envelope,
            schema: incoming_schema(spec),
            columns: columns(spec, kafka),
            payload: payload::decoder(spec, kafka)?,
            keys,
            is_of_changes: kafka.is_of_changes(),
            ordinals: spec.ordinals,
        })
    }

    /// Decodes messages into rows.
    ///
    /// # Errors
    /// When there are more rows than a batch can hold.
    pub fn decode(&self, messages: &Messages) -> Result<Decoded, SourceError> {
        let decoded = self.try_decode(messages);
        decoded.map_err(|error| SourceError::Kafka {
            location: format!("{}/{}", self.location, messages.partition),
            message: format!(
                "offsets {} to {} cannot be held: {error}",
                messages.first_offset(),
                messages.next_offset
            ),
        })
    }

    fn try_decode(&self, messages: &Messages) -> Result<Decoded, ArrowError> {
        let mut parts = Parts::of(messages, self.envelope, self.keys.as_ref());
        let rows = self.rows(messages, &parts.rows, &mut parts.refused)?;
        let gone = match &self.keys {
            None => vec![self.rows(messages, &parts.before, &mut parts.refused)?],
            Some(keys) => self.deleted(messages, keys, &rows, &mut parts)?,
        };
        let mut refused = parts.refused;
        refused.sort_by_key(|refused| refused.message);
        refused.dedup_by_key(|refused| refused.message);
        let mut batches = Vec::new();
        let mut offsets = Vec::new();
        let gone = gone.into_iter().map(|rows| (rows, true));
        for (rows, is_gone) in std::iter::once((rows, false)).chain(gone) {
            let rows = rows.without(&refused)?;
            let of = rows.messages.iter().filter_map(|at| messages.get(*at));
            offsets.extend(of.map(|message| message.offset.cast_unsigned()));
            batches.push(self.batch(messages, rows, is_gone)?);
        }
        batches.retain(|batch| batch.num_rows() > 0);
        let batch = match batches.as_slice() {
            [one] => one.clone(),
            all => concat_batches(&self.schema, all)?,
        };
        Ok(Decoded {
            batch,
            rejected: self.rejected(messages, refused),
            ordinals: self.ordinals.then(|| offsets.clone()),
            places: Some(RowPlaces {
                file: self.file(messages),
                lines: Vec::new(),
                byte_offsets: offsets,
            }),
            bytes: messages.bytes() as u64,
        })
    }

    /// Decodes payloads, or parts of payloads, into rows.
    fn rows(
        &self,
        messages: &Messages,
        part: &MessageTexts<'_>,
        refused: &mut Vec<Refused>,
    ) -> Result<DecodedRows, ArrowError> {
        let (payload, of) = part.decode(self.payload.as_ref(), refused);
        let topic = &self.location.topic;
        let columns = self.columns.iter().map(|column| match &column.origin {
            ColumnOrigin::Payload { at, .. } => Ok(Arc::clone(payload.column(*at))),
            ColumnOrigin::Message(from) => metadata(column, from, topic, messages, &of, refused),
        });
        Ok(DecodedRows {
            columns: columns.collect::<Result<_, _>>()?,
            messages: of,
        })
    }

    /// The rows that delete a key. `rows` are the rows that the same messages insert.
    fn deleted(
        &self,
        messages: &Messages,
        keys: &Keys,
        rows: &DecodedRows,
        parts: &mut Parts<'_>,
    ) -> Result<Vec<DecodedRows>, ArrowError> {
        let refused = &mut parts.refused;
        let mut deleted = Vec::new();
        for (part, decoder) in [
            (&parts.keys, &keys.of_message),
            (&parts.before, &keys.of_row),
        ] {
            if part.is_empty() {
                continue;
            }
            let (key, of) = part.decode_keys(decoder.as_deref(), refused);
            let gone = self.key_rows(messages, &key, of, refused)?;
            deleted.push(keys::that_changed(gone, rows, &self.key_columns())?);
        }
        Ok(deleted)
    }

    /// Rows that have only the columns of the key.
    fn key_rows(
        &self,
        messages: &Messages,
        key: &RecordBatch,
        of: Vec<usize>,
        refused: &mut Vec<Refused>,
    ) -> Result<DecodedRows, ArrowError> {
        let topic = &self.location.topic;
        let columns = self.columns.iter().map(|column| match &column.origin {
            ColumnOrigin::Payload {
                in_key: Some(at), ..
            } => Ok(Arc::clone(key.column(*at))),
            ColumnOrigin::Message(from) if column.is_key => {
                metadata(column, from, topic, messages, &of, refused)
            }
            _ => Ok(new_null_array(column.field.data_type(), of.len())),
        });
        Ok(DecodedRows {
            columns: columns.collect::<Result<_, _>>()?,
            messages: of,
        })
    }

    /// Indices of the key's columns among the projected columns.
    fn key_columns(&self) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| column.is_key);
        columns.map(|(at, _)| at).collect()
    }

    /// Rows as a batch, with place columns if the source has some. `is_gone` tells whether the rows are deleted or
    /// retracted.
    fn batch(
        &self,
        messages: &Messages,
        mut rows: DecodedRows,
        is_gone: bool,
    ) -> Result<RecordBatch, ArrowError> {
        let count = rows.messages.len();
        let of = || rows.messages.iter().filter_map(|at| messages.get(*at));
        if self.is_of_changes {
            let inserts = i64::from(!is_gone);
            let positions = of().map(|message| 2 * message.offset + inserts);
            let places: [ArrayRef; 2] = [
                Arc::new(Int64Array::from(vec![i64::from(messages.partition); count])),
                Arc::new(Int64Array::from_iter_values(positions)),
            ];
            rows.columns.extend(places);
        } else if self.keys.is_some() {
            let timestamps = of().map(|message| message.timestamp_ms);
            let offsets = of().map(|message| message.offset);
            let places: [ArrayRef; 4] = [
                Arc::new(Int64Array::from_iter_values(timestamps)),
                Arc::new(Int32Array::from(vec![messages.partition; count])),
                Arc::new(Int64Array::from_iter_values(offsets)),
                Arc::new(BooleanArray::from(vec![is_gone; count])),
            ];
            rows.columns.extend(places);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), rows.columns, &options)
    }

    fn rejected(&self, messages: &Messages, refused: Vec<Refused>) -> Vec<Rejected> {
        if refused.is_empty() {
            return Vec::new();
        }
        let file = self.file(messages);
        let rejected = refused.into_iter().filter_map(|refused| {
            let message = messages.get(refused.message)?;
            Some(Rejected {
                source: Arc::clone(&self.source),
                file: Arc::clone(&file),
                line: 0,
                byte_offset: message.offset.cast_unsigned(),
                column: refused.column,
                reason: refused.reason,
                raw: raw(message.value.unwrap_or_default()),
            })
        });
        rejected.collect()
    }

    /// The file of messages: the topic and the partition.
    fn file(&self, messages: &Messages) -> Arc<str> {
        format!("{}/{}", self.location.topic, messages.partition).into()
    }
}

/// The projected columns, and where they come from.
fn columns(spec: &SourceSpec, kafka: &KafkaSource) -> Vec<DecodedColumn> {
    let fields = spec.schema.fields();
    let from_message = |index: &usize| {
        let field = fields.get(*index)?;
        kafka.options.columns.get(field.name())
    };
    let mut in_payload = 0..;
    let mut in_key = 0..;
    let projected = spec.projection.iter().filter_map(|index| {
        let is_key = kafka.key.contains(index);
        let origin = match from_message(index) {
            Some(metadata) => ColumnOrigin::Message(metadata.clone()),
            None => ColumnOrigin::Payload {
                at: in_payload.next()?,
                in_key: if is_key { in_key.next() } else { None },
            },
        };
        Some(DecodedColumn {
            field: Arc::clone(fields.get(*index)?),
            origin,
            is_key,
        })
    });
    projected.collect()
}

/// A payload as text, for the quarantine.
fn raw(payload: &[u8]) -> String {
    let shown = payload.get(..RAW_BYTES_MAX).unwrap_or(payload);
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < payload.len() {
        // A character that was cut in two appears as a replacement character.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.truncate(whole);
        text.push('…');
    }
    text
}
