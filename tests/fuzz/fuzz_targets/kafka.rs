//! Messages of a topic: each gives rows or changes or is rejected, and none affects another.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use libfuzzer_sys::fuzz_target;
use tidewater_contract::source::{Format, SourceSpec};
use tidewater_fuzz::choose;
use tidewater_kafka::{KafkaOptions, KafkaSource, Location, MessageDecoder, Messages};

/// Format, envelope, and whether there is a key.
const SOURCES: &[(Format, &str, bool)] = &[
    (Format::JsonLines, "none", false),
    (Format::JsonLines, "none", true),
    (Format::JsonLines, "debezium", false),
    (Format::JsonLines, "debezium", true),
    (Format::Csv, "none", false),
    (Format::Text, "none", false),
];

fn source((format, envelope, has_key): (Format, &str, bool)) -> Option<SourceSpec> {
    let mut fields = vec![Field::new("id", DataType::Utf8, false)];
    if format != Format::Text {
        fields.push(Field::new("n", DataType::Int64, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let mut options = BTreeMap::new();
    if envelope != "none" {
        options.insert("envelope".to_owned(), envelope.to_owned());
    }
    let kafka = KafkaSource {
        location: Location::parse("kafka://localhost/t").ok()?,
        options: KafkaOptions::take(&mut options, &schema).ok()?,
        key: has_key.then_some(0).into_iter().collect(),
    };
    Some(SourceSpec {
        name: "source".to_owned(),
        location: kafka.location.to_string(),
        format,
        projection: (0..schema.fields().len()).collect(),
        schema,
        options,
        ordinals: has_key,
        dictionaries: false,
        source: Some(Arc::new(kafka)),
    })
}

/// Messages from lines: the key is before the first tab, the payload after it. Without a tab there is no key. An
/// empty payload is a tombstone.
fn messages(data: &[u8]) -> Messages {
    let mut messages = Messages::new(0, 0);
    for (offset, line) in (0..).zip(data.split(|byte| *byte == b'\n')) {
        let (key, payload) = match line.iter().position(|byte| *byte == b'\t') {
            Some(tab) => (Some(&line[..tab]), &line[tab + 1..]),
            None => (None, line),
        };
        messages.push(
            (offset, 0),
            key,
            (!payload.is_empty()).then_some(payload),
            [],
        );
    }
    messages
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = choose(data, SOURCES) else {
        return;
    };
    let Some(decoder) = source(kind).and_then(|spec| MessageDecoder::new(&spec).ok()) else {
        return;
    };
    let messages = messages(data);
    let count = messages.iter().count();
    let decoded = decoder.decode(&messages).expect("few messages");
    let rejected = decoded.rejected.len();
    assert!(
        rejected <= count,
        "{rejected} of {count} messages are rejected"
    );
    assert!(
        decoded.batch.num_rows() <= 2 * (count - rejected),
        "more rows than messages hold"
    );
    if kind.1 == "none" && !kind.2 {
        assert_eq!(
            decoded.batch.num_rows() + rejected,
            count,
            "a row a message"
        );
    }
});
