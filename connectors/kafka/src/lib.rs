//! Kafka: topics as sources, from the first offset that is there to the last that is asked for, and on; and as sinks, by
//! transactions.
//!
//! ```text
//! consumer ─ Messages of a partition ─┬─ decode ─ rows, retractions, rejected messages
//!  (librdkafka's threads)             └─ log: kept as they came, durable with the commit
//! ```
//!
//! A delivery is a range of offsets of one partition. What was taken in is kept in the source's [`log`], as files are
//! in a depot: a changed job reads it again, and `verify` does, long after the topic has forgotten it.

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

/// A topic as a source's declaration has it.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSource {
    /// Where the topic is.
    pub location: Location,
    /// What the options say beyond those of the format.
    pub options: KafkaOptions,
    /// Indices into the declared columns of the primary key; none: messages are rows, and no row replaces another.
    pub key: Vec<usize>,
}

impl KafkaSource {
    /// What a source's declaration says of its topic; `None` for a source that is none.
    fn of(spec: &SourceSpec) -> Option<&Self> {
        spec.source.as_deref()?.as_any().downcast_ref()
    }
}

/// The columns that say where a row comes from, of a source with a primary key, in the order in which they follow the
/// row's own: the message's timestamp in milliseconds since 1970 (-1: none), its partition and offset, and whether it
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
