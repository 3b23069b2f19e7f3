//! Decoders of payloads and their parts. The format gets the source's declaration, without the columns that come from
//! the message itself.

use std::sync::Arc;

use arrow::datatypes::Schema;

use crate::KafkaSource;
use crate::options::Envelope;
use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{DecodeRecords, Format, SourceSpec};
use tidewater_formats::row_format::RowFormat;

/// Decodes payloads into their projected columns.
pub(super) fn decoder(
    spec: &SourceSpec,
    kafka: &KafkaSource,
) -> Result<Box<dyn DecodeRecords>, SourceError> {
    let format = RowFormat::of(spec.format);
    let Some(records) = format.records else {
        return Err(SourceError::Kafka {
            location: kafka.location.to_string(),
            message: format!(
                "messages are not read as {}; write STORED AS JSON, CSV or TEXT",
                format.title
            ),
        });
    };
    if kafka.options.envelope == Envelope::Debezium && spec.format != Format::JsonLines {
        return Err(OptionError {
            option: "envelope".to_owned(),
            message: format!(
                "cannot be 'debezium' where messages are STORED AS {}",
                format.name()
            ),
            hint: Some("write STORED AS JSON".to_owned()),
        }
        .into());
    }
    let declared = declared(spec, kafka, |index| spec.projection.contains(&index));
    records(&declared)
}

/// The payload's columns as a source of its own. It reads the columns for which `is_read` is true. Columns of the key
/// are NOT NULL.
pub(super) fn declared(
    spec: &SourceSpec,
    kafka: &KafkaSource,
    is_read: impl Fn(usize) -> bool,
) -> SourceSpec {
    let fields = spec.schema.fields().iter().enumerate();
    let held = fields.filter(|(_, field)| !kafka.options.columns.contains_key(field.name()));
    let held: Vec<_> = held.collect();
    let places = held.iter().enumerate();
    let read = places.filter(|(_, (index, _))| is_read(*index));
    let fields = held.iter().map(|(index, field)| {
        let nullable = field.is_nullable() && !kafka.key.contains(index);
        field.as_ref().clone().with_nullable(nullable)
    });
    let mut options = spec.options.clone();
    if spec.format == Format::Csv {
        options.insert("has_header".to_owned(), "false".to_owned());
    }
    SourceSpec {
        projection: read.map(|(place, _)| place).collect(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        options,
        ordinals: false,
        dictionaries: false,
        source: None,
        ..spec.clone()
    }
}
