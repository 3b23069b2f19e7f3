//! The source connector of `kafka://` locations.

mod changes;
mod kept_log;
mod session;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use serde_json::{Map, Value, json};
use tidewater_contract::connector::{
    ChangePlaces, KeyOrder, LatestRound, OffsetBound, PartitionedLog, ReadBounds, Source,
    SourceConnector, SourceSession, SourceState,
};
use tidewater_contract::declaration::{
    DeclarationError, DeclarationPart, ParsedSource, SourceDeclaration,
};
use tidewater_contract::error::{OptionError, SourceError};
use tidewater_contract::source::{Reader, SourceSpec};
use tidewater_contract::status::{KeptContent, PendingInput, SourceStatus};
use tidewater_formats::options::{Gate, ON_ERROR, OnError};

use self::kept_log::{POSITION, log_directory};
use self::session::TopicSession;
use super::KafkaSource;
use super::decode::incoming_schema;
use super::location::Location;
use super::log::LogReader;
use super::options::{Envelope, KafkaOptions, Metadata};
use super::position::{PartitionPosition, StreamPosition};
use super::reader::Until;
use super::stream::Stream;

/// Why a change is quarantined if it retracts a row that was never read.
const UNMATCHED: &str = "the row before the change was never read, so it cannot be retracted; the row after the change \
    counts. Read the topic from its beginning ('start' 'earliest'), or declare PRIMARY KEY";

/// The connector of topics as sources.
#[derive(Debug)]
pub struct KafkaSources;

/// The connector of topics as sources.
pub static KAFKA_SOURCES: KafkaSources = KafkaSources;

impl SourceConnector for KafkaSources {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn directory(&self) -> PathBuf {
        "streams".into()
    }

    fn accepts(&self, location: &str) -> bool {
        Location::is_kafka(location)
    }

    fn parse(
        &self,
        declaration: &SourceDeclaration<'_>,
    ) -> Result<ParsedSource, Vec<DeclarationError>> {
        if !declaration.partitioned_by.is_empty() {
            let message = "a topic has no folders";
            let hint = "remove PARTITIONED BY; OPTIONS ('column.NAME' 'partition') gives the partition of a message";
            let part = DeclarationPart::PartitionedBy;
            return Err(vec![DeclarationError::new(part, message, hint)]);
        }
        let mut format_options = declaration.options.clone();
        let location = parse_location(declaration.location).map_err(|error| vec![error])?;
        let options = KafkaOptions::take(&mut format_options, declaration.schema)
            .map_err(|error| vec![error.into()])?;
        let gate = Gate::parse(&format_options).unwrap_or_default();
        let retracts = options.envelope == Envelope::Debezium && declaration.primary_key.is_empty();
        if retracts && gate.on_error == OnError::Quarantine {
            let part = DeclarationPart::Option(ON_ERROR.to_owned());
            let message =
                "cannot be 'quarantine' for changes without a PRIMARY KEY, which retract rows";
            let hint = "declare the PRIMARY KEY, or leave the option out";
            return Err(vec![DeclarationError::new(part, message, hint)]);
        }
        let source = KafkaSource {
            location,
            options,
            key: declaration.primary_key.to_vec(),
        };
        check_columns(&source).map_err(|error| vec![error.into()])?;
        Ok(ParsedSource {
            location: declaration.location.to_owned(),
            format_options,
            dictionaries: false,
            source: Arc::new(source),
        })
    }
}

/// A change retracts the row before it, but does not say in which message that row came.
fn check_columns(source: &KafkaSource) -> Result<(), OptionError> {
    let differs =
        |of: &Metadata| !matches!(of, Metadata::Key | Metadata::Partition | Metadata::Topic);
    let mut columns = source.options.columns.iter();
    match columns.find(|(_, of)| source.is_of_changes() && differs(of)) {
        None => Ok(()),
        Some((name, _)) => Err(OptionError {
            option: format!("column.{name}"),
            message: "differs from message to message, and a change does not say which message brought the row that it \
                      retracts"
                .to_owned(),
            hint: Some("declare PRIMARY KEY (…), or leave the column out".to_owned()),
        }),
    }
}

/// The topic and brokers that a location names.
pub(super) fn parse_location(location: &str) -> Result<Location, DeclarationError> {
    Location::parse(location).map_err(|wrong| {
        DeclarationError::new(
            DeclarationPart::Location,
            format!("'{location}' {wrong}"),
            "write 'kafka://host:9092/topic', brokers separated by commas",
        )
    })
}

impl Source for KafkaSource {
    fn connector(&self) -> &'static dyn SourceConnector {
        &KAFKA_SOURCES
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn row_rules(&self) -> Vec<String> {
        self.options.row_rules()
    }

    fn place_fields(&self) -> Vec<FieldRef> {
        self.places()
    }

    fn changes(&self) -> Option<ChangePlaces> {
        let [partition, position] = [0, 1];
        self.is_of_changes().then(|| ChangePlaces {
            partition,
            position,
            log: PartitionedLog {
                name: self.location.topic.clone(),
                unmatched: UNMATCHED,
            },
        })
    }

    /// Within a partition, the message with the greater offset is later. A key can be in several partitions, for
    /// example after their number was raised. Then the latest messages of each are compared by timestamp and, at
    /// equal times, by partition. Messages are never retracted, so superseded messages are forgotten.
    fn key_order(&self) -> KeyOrder {
        let [timestamp, partition, offset, deleted] = [0, 1, 2, 3];
        KeyOrder {
            rounds: vec![
                LatestRound {
                    within: vec![partition],
                    order: vec![offset],
                    is_append_only: true,
                },
                LatestRound {
                    within: Vec::new(),
                    order: vec![timestamp, partition],
                    is_append_only: false,
                },
            ],
            deleted: Some(deleted),
        }
    }

    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef {
        incoming_schema(spec)
    }

    fn has_offsets(&self) -> bool {
        true
    }

    fn open(&self, spec: &SourceSpec, bounds: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError> {
        let group = match bounds.reader {
            "" => format!("tidewater-{}", spec.name),
            reader => format!("tidewater-{reader}-{}", spec.name),
        };
        let stream = Stream::open(spec, None, &group)?;
        if bounds.from.is_none() && bounds.to.is_none() {
            return Ok(stream.reader(None, &Until::Ends));
        }
        open_between(spec, &stream, bounds, &group)
    }

    fn open_kept(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError> {
        let position: StreamPosition = state.checkpoint.get(POSITION)?.unwrap_or_default();
        let directory = log_directory(state.directory, spec);
        LogReader::open(spec, &directory, &position.segments, &position.partitions)
    }

    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError> {
        Ok(Box::new(TopicSession::resume(self, spec, state)?))
    }

    fn status(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
        _rehash: bool,
    ) -> Result<SourceStatus, SourceError> {
        let position: Option<StreamPosition> = state.checkpoint.get(POSITION)?;
        let stream = Stream::open(spec, position.as_ref(), "tidewater-status");
        let lag = stream
            .map(|stream| stream.lag())
            .map_err(|error| error.to_string());
        let mut position = position.unwrap_or_default();
        position.topic.clone_from(&self.location.topic);
        Ok(status(&position, lag))
    }
}

/// A reader of a topic's messages between two bounds, as of now.
fn open_between(
    spec: &SourceSpec,
    stream: &Stream,
    bounds: &ReadBounds,
    group: &str,
) -> Result<Arc<dyn Reader>, SourceError> {
    let ends = stream.ends();
    let offsets = |bound| match bound {
        OffsetBound::Offset(offset) => Ok(ends.keys().map(|at| (*at, offset)).collect()),
        OffsetBound::Time(ms) => stream.offsets_for_time(ms),
    };
    let to = match bounds.to {
        None => ends.clone(),
        Some(bound) => offsets(bound)?,
    };
    let Some(bound) = bounds.from else {
        return Ok(stream.reader(None, &Until::Offsets(to)));
    };
    let from: BTreeMap<i32, i64> = offsets(bound)?;
    let partitions = from.into_iter().map(|(partition, offset)| {
        let end = ends.get(&partition).copied().unwrap_or(offset);
        let first = offset.min(end);
        let position = PartitionPosition {
            first,
            next: first,
            ..PartitionPosition::default()
        };
        (partition, position)
    });
    let known = StreamPosition {
        partitions: partitions.collect(),
        ..StreamPosition::default()
    };
    let stream = Stream::open(spec, Some(&known), group)?;
    Ok(stream.reader(None, &Until::Offsets(to)))
}

fn status(position: &StreamPosition, lag: Result<u64, String>) -> SourceStatus {
    let sum = |of: fn(&PartitionPosition) -> u64| position.partitions.values().map(of).sum();
    let partitions: Map<String, Value> = position
        .partitions
        .iter()
        .map(|(number, at)| {
            let value = json!({
                "first_offset": at.first,
                "next_offset": at.next,
                "rows": at.rows,
                "rows_quarantined": at.rejected,
            });
            (number.to_string(), value)
        })
        .collect();
    let details = json!({
        "name": position.topic,
        "partitions": partitions,
        "lag": lag.as_ref().ok(),
        "trouble": lag.as_ref().err(),
        "stored_bytes": position.segments.iter().map(|segment| segment.bytes).sum::<u64>(),
    });
    let kept = position.segments.iter().map(|segment| KeptContent {
        name: format!("{} {}", position.topic, segment.number),
        bytes: None,
        stored_bytes: segment.bytes,
    });
    SourceStatus {
        deliveries: u64::try_from(position.partitions.len()).unwrap_or(u64::MAX),
        rows: sum(|at| at.rows),
        rows_rejected: sum(|at| at.rejected),
        newest_ns: None,
        files: Vec::new(),
        kept: kept.collect(),
        pending: PendingInput::Messages(lag),
        details: Some(("topic", details)),
    }
}
