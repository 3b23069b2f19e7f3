//! A source in Kafka while a job reads it: the consumer, what is kept of the messages, and how far they were taken in.
//!
//! 1. Where a stream stands is what the last commit says. What an epoch took in that fails is forgotten.
//! 2. What is kept is durable before the commit that refers to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidewater_connectors::kafka::KafkaSource;
use tidewater_connectors::kafka::{
    LogReader, MessageLog, PartitionPosition, Stream, StreamPosition, StreamReader, Until,
};
use tidewater_connectors::source::{Reader, SourceSpec};
use tidewater_operators::Sign;

use super::RunError;
use super::graph::GraphSet;
use super::ingest::{Cut, Endless, Entry, Intake};
use crate::job::Source;
use crate::plan::primary_key::incoming_schema;
use crate::state::{DeliveryRecord, Reading, STREAMS, StoreError};

/// A source in Kafka.
pub struct Inflow {
    source: Source,
    spec: Arc<SourceSpec>,
    /// The consumer.
    pub stream: Stream,
    kept: Option<Kept>,
}

/// What a state has of a stream.
struct Kept {
    directory: PathBuf,
    log: Arc<MessageLog>,
    /// As of the last commit.
    position: StreamPosition,
}

/// What an epoch takes in of a stream.
pub struct Share {
    /// The messages.
    pub added: Arc<Intake>,
    reader: Arc<StreamReader>,
}

impl Endless for StreamReader {
    fn close(&self) {
        StreamReader::close(self);
    }
}

impl Inflow {
    /// Connects to the brokers of `source`, to read it from where it begins.
    ///
    /// # Errors
    /// When they cannot be reached, or the topic is not there.
    pub fn open(source: &Source, group: &str) -> Result<Self, RunError> {
        let stream = Stream::open(&source.spec, None, group);
        Ok(Self {
            spec: Arc::new(source.spec.clone()),
            stream: stream.map_err(RunError::of_source(source))?,
            source: source.clone(),
            kept: None,
        })
    }

    /// Connects to the brokers of `source`, to go on from where a state stands. `directory` holds what is kept.
    ///
    /// # Errors
    /// As [`open`](Self::open); when what was not taken in yet is gone; or when what is kept is damaged.
    pub fn resume(
        source: &Source,
        group: &str,
        reading: &Reading,
        directory: PathBuf,
    ) -> Result<Self, RunError> {
        let name = &source.spec.name;
        let known: Option<StreamPosition> = reading.record(STREAMS, name)?;
        let position = known.clone().unwrap_or_default();
        let log = MessageLog::open(&directory, &position.segments).map_err(StoreError::Source)?;
        let stream = Stream::open(&source.spec, known.as_ref(), group);
        Ok(Self {
            spec: Arc::new(source.spec.clone()),
            stream: stream.map_err(RunError::of_source(source))?,
            source: source.clone(),
            kept: Some(Kept {
                directory,
                log: Arc::new(log),
                position,
            }),
        })
    }

    /// What comes until the epoch is cut, without a cut all that is there now, for these graphs.
    pub fn take(&self, graphs: GraphSet, cut: Option<&Arc<Cut>>) -> Share {
        let until = if cut.is_some() {
            Until::Closed {
                messages_max: u64::MAX,
            }
        } else {
            Until::Ends
        };
        let log = self.kept.as_ref().map(|kept| Arc::clone(&kept.log));
        let reader = self.stream.reader(log, &until);
        let partitions = reader.partitions().len();
        let intake = self.intake(Arc::clone(&reader) as _, graphs, true, partitions);
        let added = match cut {
            None => intake,
            Some(cut) => intake.until(Arc::clone(cut), Arc::clone(&reader) as _),
        };
        Share {
            added: Arc::new(added),
            reader,
        }
    }

    /// What was taken in before, once more, for these graphs; rejected messages enter the quarantine again or not.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn again(&self, graphs: GraphSet, quarantines: bool) -> Result<Option<Intake>, RunError> {
        let Some(kept) = &self.kept else {
            return Ok(None);
        };
        let StreamPosition {
            segments,
            partitions,
            ..
        } = &kept.position;
        let reader = LogReader::open(&self.spec, &kept.directory, segments, partitions);
        let reader = reader.map_err(RunError::of_source(&self.source))?;
        Ok(Some(self.intake(
            reader,
            graphs,
            quarantines,
            partitions.len(),
        )))
    }

    fn intake(
        &self,
        reader: Arc<dyn Reader>,
        graphs: GraphSet,
        quarantines: bool,
        partitions: usize,
    ) -> Intake {
        let (spec, schema) = (Arc::clone(&self.spec), incoming_schema(&self.source));
        let entry = Entry {
            sign: Sign::Plus,
            graphs,
            quarantines,
        };
        Intake::of(spec, schema, entry, reader, partitions)
    }

    /// Where the stream stands once an epoch's share of it is committed, durably kept, and what is recorded of it.
    ///
    /// # Errors
    /// When what was read cannot be made durable.
    pub fn after(&self, share: &Share) -> Result<(StreamPosition, Vec<DeliveryRecord>), RunError> {
        let failed = RunError::of_source(&self.source);
        let mut position = self.position();
        let mut records = Vec::new();
        for (partition, taken) in share.reader.position().map_err(&failed)? {
            let at = position
                .partitions
                .entry(partition)
                .or_insert(PartitionPosition {
                    first: taken.first,
                    next: taken.first,
                    ..PartitionPosition::default()
                });
            let read = taken.rows + taken.rejected;
            if read > 0 {
                records.push(DeliveryRecord {
                    source: self.spec.name.clone(),
                    path: format!(
                        "{}/{partition}, offsets {} to {}",
                        position.topic,
                        at.next,
                        taken.next - 1
                    ),
                    change: "read".to_owned(),
                    rows_in: read,
                    rows_out: 0,
                });
            }
            at.next = taken.next;
            at.rows += taken.rows;
            at.rejected += taken.rejected;
        }
        if let Some(kept) = &self.kept {
            position.segments = kept.log.sync().map_err(StoreError::Source)?;
        }
        Ok((position, records))
    }

    /// Waits until messages are there, but no longer than this; whether they are.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn wait(&self, most: Duration) -> Result<bool, RunError> {
        let waited = self.stream.wait(most);
        waited.map_err(RunError::of_source(&self.source))
    }

    /// As of the last commit.
    pub fn position(&self) -> StreamPosition {
        let known = self.kept.as_ref().map(|kept| kept.position.clone());
        let mut position = known.unwrap_or_default();
        if let Some(kafka) = KafkaSource::of(&self.spec) {
            position.topic.clone_from(&kafka.location.topic);
        }
        position
    }

    /// Goes on from a position that is committed now, and tells the brokers.
    pub fn committed(&mut self, position: StreamPosition) {
        self.stream.committed(&position);
        if let Some(kept) = &mut self.kept {
            kept.position = position;
        }
    }
}

/// Rows and rejected messages of a stream, from its beginning.
pub fn rows_of(position: &StreamPosition) -> (u64, u64) {
    let partitions: Vec<&PartitionPosition> = position.partitions.values().collect();
    let rejected = partitions.iter().map(|at| at.rejected).sum();
    let rows: u64 = partitions.iter().map(|at| at.rows).sum();
    (rows + rejected, rejected)
}

/// The streams of a job, by source.
pub type Inflows = BTreeMap<String, Inflow>;
