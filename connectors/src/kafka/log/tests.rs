//! Logs as their users meet them: appended to by several threads, cut short, damaged, read again.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{LogReader, MessageLog, number, path};
use crate::error::SourceError;
use crate::kafka::location::Location;
use crate::kafka::{KafkaOptions, KafkaSource, Messages, PartitionPosition, Segment};
use crate::source::{Format, Reader, SourceSpec};

/// A source whose rows are offsets and payloads.
fn spec() -> SourceSpec {
    let schema = Schema::new(vec![
        Field::new("at", DataType::Int64, false),
        Field::new("text", DataType::Binary, true),
    ]);
    let mut options = BTreeMap::from([("column.at".to_owned(), "offset".to_owned())]);
    let kafka = KafkaSource {
        location: Location::parse("kafka://localhost/orders").unwrap(),
        options: KafkaOptions::take(&mut options, &schema).unwrap(),
        key: Vec::new(),
    };
    SourceSpec {
        name: "orders".to_owned(),
        location: kafka.location.to_string(),
        format: Format::Text,
        projection: vec![0, 1],
        schema: Arc::new(schema),
        options,
        ordinals: false,
        kafka: Some(Arc::new(kafka)),
    }
}

fn messages(partition: i32, first: i64, payloads: &[&str]) -> Messages {
    let mut messages = Messages::new(partition, first);
    for (offset, payload) in (first..).zip(payloads) {
        messages.push((offset, offset), None, Some(payload.as_bytes()), []);
    }
    messages
}

/// What a position says when offsets 0 to `next` of some partitions were taken in.
fn positions(of: impl IntoIterator<Item = (i32, i64)>) -> BTreeMap<i32, PartitionPosition> {
    let of = of.into_iter();
    of.map(|(partition, next)| {
        let position = PartitionPosition {
            next,
            ..PartitionPosition::default()
        };
        (partition, position)
    })
    .collect()
}

/// Delivery, offset and payload of all rows, in the order in which they lie.
fn rows(reader: &dyn Reader) -> Result<Vec<(usize, i64, Vec<u8>)>, SourceError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(dealt) = reader.next_piece()? {
        for decoded in dealt.piece {
            let decoded = decoded?;
            bytes += decoded.bytes;
            let offsets = decoded.batch.column(0).as_primitive::<Int64Type>().values();
            let texts = decoded.batch.column(1).as_binary::<i32>().iter();
            let texts = texts.map(|text| text.unwrap().to_vec());
            let decoded = offsets.iter().zip(texts);
            rows.extend(decoded.map(|(offset, text)| (dealt.delivery, *offset, text)));
        }
    }
    assert_eq!(bytes, reader.bytes_total());
    Ok(rows)
}

fn read(
    directory: &Path,
    segments: &[Segment],
    of: &[(i32, i64)],
) -> Result<Vec<(usize, i64, Vec<u8>)>, SourceError> {
    let reader = LogReader::open(&spec(), directory, segments, &positions(of.iter().copied()))?;
    rows(&*reader)
}

#[test]
fn what_was_appended_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("a/b");
    let log = MessageLog::open(&directory, &[]).unwrap();
    assert_eq!(log.sync().unwrap(), []);
    log.append(&messages(7, 0, &["a", "b"])).unwrap();
    log.append(&messages(3, 5, &[""])).unwrap();
    log.append(&Messages::new(3, 6)).unwrap();
    log.append(&messages(7, 9, &["c"])).unwrap();
    let segments = log.sync().unwrap();
    let found = read(&directory, &segments, &[(3, 6), (7, 10)]).unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    assert_eq!(
        found,
        [
            (1, 0, text("a")),
            (1, 1, text("b")),
            (0, 5, text("")),
            (1, 9, text("c"))
        ]
    );
    // What comes later is not read by who has the earlier commit.
    log.append(&messages(7, 10, &["d"])).unwrap();
    assert_eq!(
        read(&directory, &segments, &[(3, 6), (7, 10)]).unwrap(),
        found
    );
}
