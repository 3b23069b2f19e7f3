//! Kafka topics as sources, read from the first available offset to the requested last one or without end, and as
//! sinks, written in transactions.
//!
//! ```text
//! consumer ─ Messages of a partition ─┬─ decode ─ rows, retractions, rejected messages
//!  (librdkafka's threads)             └─ log: kept as they came, durable with the commit
//! ```
//!
//! A delivery is a range of offsets of one partition. Messages that were read are kept in the source's [`log`], as
//! files are kept in the content store. A changed job and `verify` read them again, long after the topic has deleted
//! them.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod begin;
mod client;
mod debezium;
pub mod decode;
pub mod location;
pub mod log;
pub mod messages;
pub mod options;
pub mod position;
pub mod produce;
mod producer;
mod queue;
mod reader;
pub mod sink;
mod source;
mod stream;
mod stream_state;
mod topic;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use tidewater_contract::source::SourceSpec;

pub use self::decode::{MessageDecoder, incoming_schema};
pub use self::location::Location;
pub use self::log::{LogReader, MessageLog};
pub use self::messages::{Message, Messages};
pub use self::options::{KafkaOptions, Metadata};
pub use self::position::{PartitionPosition, Segment, StreamPosition};
pub use self::reader::{StreamReader, Until};
pub use self::sink::connector::{KAFKA_SINKS, KafkaSinks};
pub use self::source::{KAFKA_SOURCES, KafkaSources};
pub use self::stream::Stream;
pub use tidewater_contract::sink_connector::KeepTrying;

/// A topic as declared by a source.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSource {
    /// The topic and its brokers.
    pub location: Location,
    /// Options other than those of the format.
    pub options: KafkaOptions,
    /// The primary key, as indices into the declared columns. Without a key, messages are rows, and no row replaces
    /// another.
    pub key: Vec<usize>,
}

impl KafkaSource {
    /// The columns that follow a row's own.
    fn places(&self) -> Vec<FieldRef> {
        if !self.key.is_empty() {
            place_fields().to_vec()
        } else if self.is_of_changes() {
            change_fields().to_vec()
        } else {
            Vec::new()
        }
    }

    /// Whether messages are changes, which insert and retract rows.
    fn is_of_changes(&self) -> bool {
        self.key.is_empty() && self.options.envelope == options::Envelope::Debezium
    }

    /// The topic of a source; `None` if the source is not in Kafka.
    fn of(spec: &SourceSpec) -> Option<&Self> {
        spec.source.as_deref()?.as_any().downcast_ref()
    }
}

/// The place columns of changes without a primary key: the message's partition, and twice its offset plus one for an
/// inserted row.
pub fn change_fields() -> [FieldRef; 2] {
    ["partition", "position"].map(|name| Arc::new(Field::new(name, DataType::Int64, false)))
}

/// The place columns of a source with a primary key, in the order in which they follow the row's own columns: the
/// message's timestamp in milliseconds since 1970 (-1 if it has none), its partition, its offset, and whether it
/// deletes its key.
pub fn place_fields() -> [FieldRef; 4] {
    [
        Field::new("timestamp", DataType::Int64, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("deleted", DataType::Boolean, false),
    ]
    .map(Arc::new)
}
