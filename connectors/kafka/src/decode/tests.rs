//! Decoding of messages.
#![allow(clippy::unwrap_used)]

mod debezium;
mod formats;
mod keyed;
mod metadata;
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::KafkaOptions;
use tidewater_contract::source::Format;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A topic `t` with these columns, all of which are read. A name that ends in `!` is NOT NULL; one that ends in `*`
/// belongs to the key.
fn spec(format: Format, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> SourceSpec {
    let fields = columns.iter().map(|(name, data_type)| {
        let bare = name.trim_end_matches(['!', '*']);
        Field::new(bare, data_type.clone(), !name.contains('!'))
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let key = (0..columns.len()).filter(|at| columns[*at].0.contains('*'));
    let key: Vec<usize> = key.collect();
    let options = options.iter();
    let mut options: BTreeMap<String, String> = options
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let kafka = KafkaSource {
        location: Location::parse("kafka://localhost/t").unwrap(),
        options: KafkaOptions::take(&mut options, &schema).unwrap(),
        key: key.clone(),
    };
    SourceSpec {
        name: "source".to_owned(),
        location: kafka.location.to_string(),
        format,
        projection: (0..columns.len()).collect(),
        schema: Arc::new(schema),
        options,
        ordinals: !key.is_empty(),
        dictionaries: false,
        source: Some(Arc::new(kafka)),
    }
}

/// Messages of partition 3 from offset 10 on, with keys and payloads.
fn messages(of: &[(Option<&str>, Option<&str>)]) -> Messages {
    let mut messages = Messages::new(3, 10);
    for (offset, (key, value)) in (10..).zip(of) {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        messages.push((offset, offset * 100), key, value, []);
    }
    messages
}

/// The same, with payloads only.
fn payloads(of: &[&str]) -> Messages {
    let of: Vec<_> = of.iter().map(|value| (None, Some(*value))).collect();
    messages(&of)
}

/// The result of decoding messages.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    rows: Vec<String>,
    /// `offset column: reason`, truncated as in the test.
    rejected: Vec<String>,
}

fn read(spec: &SourceSpec, messages: &Messages) -> Read {
    let decoded = MessageDecoder::new(spec).unwrap().decode(messages).unwrap();
    assert_eq!(*decoded.batch.schema(), *incoming_schema(spec));
    assert_eq!(decoded.bytes, messages.bytes() as u64);
    let rejected = decoded.rejected.iter().map(|rejected| {
        assert_eq!((&*rejected.source, &*rejected.file), ("source", "t/3"));
        assert_eq!(rejected.line, 0);
        let offset = i64::try_from(rejected.byte_offset).unwrap();
        let of_offset = messages.iter().find(|message| message.offset == offset);
        let value = of_offset.unwrap().value.unwrap_or_default();
        assert_eq!(rejected.raw, raw(value));
        let column = rejected.column.as_deref().unwrap_or("-");
        format!("{offset} {column}: {}", rejected.reason)
    });
    Read {
        rows: shown(&decoded.batch),
        rejected: rejected.collect(),
    }
}

/// Asserts the result of decoding messages. Expected reasons are parts of the messages.
fn check(spec: &SourceSpec, messages: &Messages, rows: &[&str], rejected: &[(&str, &str)]) {
    let found = read(spec, messages);
    assert_eq!(found.rows, rows, "{found:?}");
    assert_eq!(found.rejected.len(), rejected.len(), "{found:?}");
    for (found, (place, reason)) in found.rejected.iter().zip(rejected) {
        let fits = found.starts_with(&format!("{place}: ")) && found.contains(reason);
        assert!(fits, "{found} and not {place}: {reason}");
    }
}

/// Rows, fields separated by `|`, NULL as `∅`.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns = batch.columns().iter();
    let columns: Vec<_> = columns
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row: usize| {
        let fields = columns.iter().map(|column| column.value(row).to_string());
        fields.collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The error of creating a decoder.
fn refusal(spec: &SourceSpec) -> String {
    MessageDecoder::new(spec).err().unwrap().to_string()
}

#[test]
fn a_payload_is_shown_as_text_and_cut() {
    assert_eq!(raw(b"a\xffb"), "a\u{fffd}b");
    assert_eq!(raw("가".as_bytes()), "가");
    let long = "가".repeat(RAW_BYTES_MAX);
    let shown = raw(long.as_bytes());
    assert_eq!(shown.chars().count(), RAW_BYTES_MAX / 3 + 1);
    assert!(shown.ends_with("가…"));
    let fits = "x".repeat(RAW_BYTES_MAX);
    assert_eq!(raw(fits.as_bytes()), fits);
}
