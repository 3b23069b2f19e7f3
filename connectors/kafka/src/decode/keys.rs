//! Primary keys: finds the row that a message deletes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::payload;
use super::rows::DecodedRows;
use crate::KafkaSource;
use crate::options::{Envelope, KeyFormat};
use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{DecodeRecords, DecodedRecords, Format, SourceSpec};
use tidewater_formats::csv::records::CsvRecords;
use tidewater_formats::json_lines::records::{JsonRecords, members};
use tidewater_formats::lines::{Payloads, is_bytes, is_text};
use tidewater_formats::options::{JSON_KEYS, NUMBER_KEYS, TIME_KEYS};

/// Decoders of the key's columns that come from payloads, in declared order. There are none if all columns of the key
/// come from the message itself.
pub(super) struct Keys {
    /// Decodes the key of a message.
    pub of_message: Option<Box<dyn DecodeRecords>>,
    /// Decodes the row before a change, in the payload.
    pub of_row: Option<Box<dyn DecodeRecords>>,
}

impl Keys {
    pub(super) fn new(spec: &SourceSpec, kafka: &KafkaSource) -> Result<Self, SourceError> {
        if let Some(unread) = kafka.key.iter().find(|key| !spec.projection.contains(key)) {
            let name = spec.schema.fields().get(*unread).map(|field| field.name());
            return Err(SourceError::Declaration {
                table: spec.name.clone(),
                column: name.cloned().unwrap_or_default(),
                message: "belongs to the primary key, and must be read".to_owned(),
            });
        }
        let held = payload::declared(spec, kafka, |index| kafka.key.contains(&index));
        if held.projection.is_empty() {
            return Ok(Self {
                of_message: None,
                of_row: None,
            });
        }
        let of_row: Option<Box<dyn DecodeRecords>> = match kafka.options.envelope {
            Envelope::None => None,
            Envelope::Debezium => Some(Box::new(JsonRecords::new(&key_alone(held.clone()))?)),
        };
        let fields = held.projection.iter();
        let fields: Vec<_> = fields
            .filter_map(|at| held.schema.fields().get(*at).cloned())
            .collect();
        let key = SourceSpec {
            projection: (0..fields.len()).collect(),
            schema: Arc::new(Schema::new(fields)),
            options: BTreeMap::new(),
            ..held
        };
        Ok(Self {
            of_message: Some(match kafka.options.key_format {
                KeyFormat::Text => of_text(key, spec)?,
                KeyFormat::Json => of_json(key, spec, kafka.options.envelope)?,
            }),
            of_row,
        })
    }
}

/// The source without checks of other columns. In a deleted row only the key matters; the rest may be anything.
fn key_alone(mut held: SourceSpec) -> SourceSpec {
    let is_check = |option: &str| option.strip_prefix("format.").unwrap_or(option) == "check";
    held.options.retain(|option, _| !is_check(option));
    held.options
        .insert("check".to_owned(), "read_columns".to_owned());
    held
}

fn of_text(mut key: SourceSpec, spec: &SourceSpec) -> Result<Box<dyn DecodeRecords>, SourceError> {
    let [field] = key.schema.fields().as_ref() else {
        let names = key
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str());
        let names: Vec<&str> = names.collect();
        return Err(OptionError {
            option: "key_format".to_owned(),
            message: format!("cannot be 'text' where the key has {}", names.join(", ")),
            hint: Some("write 'key_format' 'json'".to_owned()),
        }
        .into());
    };
    if is_text(field.data_type()) || is_bytes(field.data_type()) {
        key.format = Format::Text;
        return Ok(Box::new(Payloads::new(&key)?));
    }
    key.format = Format::Csv;
    key.options = value_options(spec, &[TIME_KEYS, NUMBER_KEYS]);
    // The whole text is one value.
    for (option, value) in [
        ("has_header", "false"),
        ("quote", ""),
        ("delimiter", "\u{1f}"),
    ] {
        key.options.insert(option.to_owned(), value.to_owned());
    }
    Ok(Box::new(CsvRecords::new(&key)?))
}

fn of_json(
    mut key: SourceSpec,
    spec: &SourceSpec,
    envelope: Envelope,
) -> Result<Box<dyn DecodeRecords>, SourceError> {
    key.format = Format::JsonLines;
    key.options = value_options(spec, &[TIME_KEYS, JSON_KEYS]);
    let objects = JsonRecords::or_bare(&key)?;
    Ok(match envelope {
        Envelope::None => Box::new(objects),
        Envelope::Debezium => Box::new(InSchema(objects)),
    })
}

/// The options of the source with one of these names, with or without the prefix `format.`. They say how values are
/// parsed.
fn value_options(spec: &SourceSpec, names: &[&[&str]]) -> BTreeMap<String, String> {
    let options = spec.options.iter().filter(|(option, _)| {
        let name = option.strip_prefix("format.").unwrap_or(option);
        names.iter().any(|names| names.contains(&name))
    });
    options
        .map(|(option, value)| (option.clone(), value.clone()))
        .collect()
}

/// Keys that may be wrapped as `{"schema": …, "payload": …}`.
struct InSchema(JsonRecords);

impl DecodeRecords for InSchema {
    fn decode(&self, records: &[&[u8]]) -> DecodedRecords {
        let bare = records.iter().map(|record| {
            // A key that is not an object is not wrapped. A key that is not JSON is rejected by the decoder.
            match members(record, "", ["schema", "payload"]) {
                Ok([Some(_), Some(payload)]) => payload.as_bytes(),
                _ => record,
            }
        });
        self.0.decode(&bare.collect::<Vec<_>>())
    }
}

/// The rows of `gone`, except those whose message inserts the same key again. An update that changes the key deletes
/// the old key; other updates delete nothing.
pub(super) fn that_changed(
    gone: DecodedRows,
    rows: &DecodedRows,
    key: &[usize],
) -> Result<DecodedRows, ArrowError> {
    let of_key = |rows: &DecodedRows| -> Vec<_> {
        let columns = key.iter().filter_map(|column| rows.columns.get(*column));
        columns.cloned().collect()
    };
    let updates = |message| rows.messages.binary_search(message).ok();
    if gone
        .messages
        .iter()
        .all(|message| updates(message).is_none())
    {
        return Ok(gone);
    }
    let (before, after) = (of_key(&gone), of_key(rows));
    let fields = before
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let (before, after) = (
        converter.convert_columns(&before)?,
        converter.convert_columns(&after)?,
    );
    let places = gone.messages.iter().enumerate();
    let changed = places.map(|(at, message)| match updates(message) {
        Some(update) => before.row(at) != after.row(update),
        None => true,
    });
    let changed = changed.collect();
    gone.retain(changed)
}
