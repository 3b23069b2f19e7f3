//! Turns the net changes of a table in an epoch into messages. Does no I/O.
//!
//! | mode | −old +new | +new | −old |
//! |---|---|---|---|
//! | upsert | new | new | tombstone |
//! | changelog | `u` with before and after | `c` | `d` |
//!
//! A key is a JSON object of the key's columns. A row is a JSON object of all columns, as in published JSON files.
//!
//! 1. Changes come in the order of the key ([`TopicOptions::order`](super::TopicOptions::order)), so changes of one
//!    key are adjacent. Memory holds one batch and the rows of one key. Any other order is an error.
//! 2. Upsert: an epoch has at most one message for each key. Applying the messages of all epochs by key gives the
//!    table. Two inserted rows with the same key are an error.
//! 3. Changelog: insertions and retractions with the same key are paired, and each pair is one message. The other
//!    changes are a message each. Without a key nothing is paired.
//! 4. The messages of an epoch are a function of its changes.

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::topic::{Mode, TopicSpec};
use tidewater_contract::sink::{EncodeRows, SinkError};
use tidewater_formats::json_lines::encode::JsonLinesEncoder;

/// Most bytes of a message other than key and value: its headers and the protocol's overhead.
const OVERHEAD_BYTES: usize = 512;
/// librdkafka's default for the largest message.
const MESSAGE_BYTES: usize = 1_000_000;
const MESSAGE_BYTES_PROPERTY: &str = "message.max.bytes";

/// A message without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingMessage<'a> {
    /// The key's columns.
    pub key: Option<&'a [u8]>,
    /// The row, or its change. `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The bytes that choose the partition: the key, or else the row.
    pub route: &'a [u8],
}

/// Builds the messages for the changes of one table in one epoch.
pub struct MessageBuilder<'a> {
    topic: &'a TopicSpec,
    /// The key whose rows are being collected, as bytes that compare like keys.
    place: Option<Vec<u8>>,
    key: Vec<u8>,
    gone: CountedRows,
    come: CountedRows,
    envelope: Vec<u8>,
    limit: usize,
}

impl<'a> MessageBuilder<'a> {
    /// A builder for a table.
    pub fn new(topic: &'a TopicSpec) -> Self {
        let limit = topic.options.client.get(MESSAGE_BYTES_PROPERTY);
        let limit = limit.and_then(|limit| limit.parse().ok());
        Self {
            topic,
            place: None,
            key: Vec::new(),
            gone: CountedRows::default(),
            come: CountedRows::default(),
            envelope: Vec::new(),
            limit: limit.unwrap_or(MESSAGE_BYTES),
        }
    }

    /// Adds changes: the table's columns, and how often each row was inserted (positive) or retracted (negative).
    /// Passes complete messages to `emit`.
    ///
    /// # Errors
    /// When changes do not fit the table, a key is not unique, a message is too large, or `emit` fails.
    pub fn push<E: From<SinkError>>(
        &mut self,
        rows: &RecordBatch,
        counts: &Int64Array,
        emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let values = self.encode(rows)?;
        if self.topic.options.key.is_empty() {
            for (row, &count) in values.iter().zip(counts.values()) {
                self.collect(row, count);
                self.settle(emit)?;
            }
            return Ok(());
        }
        let keys = rows.project(&self.topic.options.key);
        let keys = keys.map_err(|error| self.unreadable(error))?;
        let places = places(&keys).map_err(|error| self.unreadable(error))?;
        let keys = self.encode(&keys)?;
        let each = places.iter().zip(keys.iter().zip(values.iter()));
        for ((place, (key, row)), &count) in each.zip(counts.values()) {
            if self.place.as_deref() != Some(place.data()) {
                self.settle(emit)?;
                self.begin(place.data(), key)?;
            }
            self.collect(row, count);
        }
        Ok(())
    }

    /// Passes the remaining messages to `emit`.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish<E: From<SinkError>>(
        mut self,
        emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle(emit)
    }

    fn begin(&mut self, place: &[u8], key: &[u8]) -> Result<(), SinkError> {
        let known = self.place.get_or_insert_default();
        if known.as_slice() > place {
            return Err(SinkError::Kafka {
                place: format!("table {}", self.topic.table),
                message: "its changes are not in the order of its key; nothing was written. This is a bug in Tidewater: \
                          please report it"
                    .to_owned(),
            });
        }
        replace(known, place);
        replace(&mut self.key, key);
        Ok(())
    }

    fn collect(&mut self, row: &[u8], count: i64) {
        let rows = if count < 0 {
            &mut self.gone
        } else {
            &mut self.come
        };
        rows.push(row, count.unsigned_abs());
    }

    /// Emits the messages of a key, once all its rows are collected.
    fn settle<E: From<SinkError>>(
        &mut self,
        emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.topic.options.mode {
            Mode::Upsert => self.upsert(emit)?,
            Mode::Changelog => self.changes(emit)?,
        }
        self.gone.clear();
        self.come.clear();
        Ok(())
    }

    fn upsert<E: From<SinkError>>(
        &self,
        emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (gone, come) = (self.gone.len(), self.come.len());
        if gone.max(come) > 1 {
            return Err(E::from(SinkError::KeyNotUnique {
                table: self.topic.table.clone(),
                rows: gone.max(come),
                key: lossy(&self.key),
            }));
        }
        if gone + come == 0 {
            return Ok(());
        }
        let message = OutgoingMessage {
            key: Some(&self.key),
            value: self.come.iter().next(),
            route: &self.key,
        };
        self.check(&message)?;
        emit(message)
    }

    fn changes<E: From<SinkError>>(
        &mut self,
        emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut envelope = std::mem::take(&mut self.envelope);
        let (mut gone, mut come) = (self.gone.iter(), self.come.iter());
        loop {
            let (before, after) = (gone.next(), come.next());
            let (op, row) = match (before, after) {
                (None, None) => break,
                (None, Some(row)) => ("c", row),
                (Some(row), None) => ("d", row),
                (Some(_), Some(row)) => ("u", row),
            };
            envelope.clear();
            for part in [
                b"{\"op\":\"",
                op.as_bytes(),
                b"\",\"before\":",
                before.unwrap_or(b"null"),
                b",\"after\":",
                after.unwrap_or(b"null"),
                b"}",
            ] {
                envelope.extend_from_slice(part);
            }
            let key = (!self.topic.options.key.is_empty()).then_some(self.key.as_slice());
            let message = OutgoingMessage {
                key,
                value: Some(&envelope),
                route: key.unwrap_or(row),
            };
            self.check(&message)?;
            emit(message)?;
        }
        self.envelope = envelope;
        Ok(())
    }

    fn encode(&self, rows: &RecordBatch) -> Result<RowLines, SinkError> {
        let mut encoder = Box::new(JsonLinesEncoder::new(Vec::new()));
        let encoded = encoder.write(rows).and_then(|()| encoder.finish());
        let bytes = encoded.map_err(|source| SinkError::Message {
            table: self.topic.table.clone(),
            source,
        })?;
        Ok(RowLines { bytes })
    }

    fn unreadable(&self, source: ArrowError) -> SinkError {
        SinkError::Sort {
            table: self.topic.table.clone(),
            source,
        }
    }

    /// Checks a message's size now. Kafka would refuse it only after the epoch is committed, which is too late.
    fn check(&self, message: &OutgoingMessage<'_>) -> Result<(), SinkError> {
        let bytes = message.key.map_or(0, <[u8]>::len)
            + message.value.map_or(0, <[u8]>::len)
            + OVERHEAD_BYTES;
        if bytes <= self.limit {
            return Ok(());
        }
        Err(SinkError::MessageTooLarge {
            table: self.topic.table.clone(),
            row: lossy(message.key.unwrap_or(message.route)),
            bytes,
            limit: self.limit,
        })
    }
}

/// Bytes that compare like the keys, NULL first.
fn places(keys: &RecordBatch) -> Result<arrow::row::Rows, ArrowError> {
    let types = keys.columns().iter().map(Array::data_type);
    let fields = types.map(|data_type| SortField::new(data_type.clone()));
    RowConverter::new(fields.collect())?.convert_columns(keys.columns())
}

/// Encoded rows in one buffer, and the count of each.
#[derive(Default)]
struct CountedRows {
    bytes: Vec<u8>,
    ends: Vec<(usize, u64)>,
}

impl CountedRows {
    fn push(&mut self, row: &[u8], times: u64) {
        if times > 0 {
            self.bytes.extend_from_slice(row);
            self.ends.push((self.bytes.len(), times));
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn len(&self) -> u64 {
        let times = self.ends.iter().map(|(_, times)| *times);
        times.fold(0, u64::saturating_add)
    }

    /// Each row, repeated by its count.
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).flat_map(|(start, (end, times))| {
            let row = self.bytes.get(start..*end).unwrap_or_default();
            (0..*times).map(move |_| row)
        })
    }
}

/// Rows of a batch as JSON.
struct RowLines {
    bytes: Vec<u8>,
}

impl RowLines {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        // JSON escapes line ends, so each line end is the end of a row.
        let lines = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        lines.split(|byte| *byte == b'\n')
    }
}

fn lossy(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}

fn replace(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

/// The changes of a table in an epoch, in the [order](super::TopicOptions::order) of its key. The last column says
/// how often each row was inserted (positive) or retracted (negative), as in a file of changes.
pub type Changes<'a> = Box<dyn Iterator<Item = Result<RecordBatch, SinkError>> + 'a>;

/// Passes the messages for batches of changes to `emit`. The last column of a batch is the count.
///
/// # Errors
/// As for [`MessageBuilder::push`], and errors of the batches.
pub fn each_message<E: From<SinkError>>(
    topic: &TopicSpec,
    changes: impl Iterator<Item = Result<RecordBatch, SinkError>>,
    emit: &mut impl FnMut(OutgoingMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut messages = MessageBuilder::new(topic);
    for batch in changes {
        let (rows, counts) = split(topic, &batch?)?;
        messages.push(&rows, &counts, emit)?;
    }
    messages.finish(emit)
}

/// The rows and their counts.
fn split(topic: &TopicSpec, batch: &RecordBatch) -> Result<(RecordBatch, Int64Array), SinkError> {
    let fields = topic.schema.fields().len();
    let found = batch.schema_ref().fields();
    let mismatch = |index: usize, column: &str, expected: String| SinkError::SchemaMismatch {
        table: topic.table.clone(),
        column: column.to_owned(),
        expected,
        found: found.get(index).map_or_else(
            || "no column".to_owned(),
            |found| format!("{} {}", found.name(), found.data_type()),
        ),
    };
    for (index, field) in topic.schema.fields().iter().enumerate() {
        if found.get(index).map(|found| found.name()) != Some(field.name()) {
            return Err(mismatch(index, field.name(), field.data_type().to_string()));
        }
    }
    let counts = batch.columns().get(fields);
    let counts = counts.and_then(|counts| counts.as_primitive_opt::<Int64Type>());
    let Some(counts) = counts.filter(|counts| counts.null_count() == 0) else {
        return Err(mismatch(fields, "_count", DataType::Int64.to_string()));
    };
    let rows: Vec<usize> = (0..fields).collect();
    let rows = batch.project(&rows).map_err(|source| SinkError::Sort {
        table: topic.table.clone(),
        source,
    })?;
    Ok((rows, counts.clone()))
}

#[cfg(test)]
mod tests;
