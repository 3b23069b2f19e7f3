//! The messages of a topic that an epoch reads, and the topic's position afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use tidewater_contract::connector::{
    DeliveryChange, EpochCounts, InputPart, ReadUntil, SourceChanges, SourceOutcome,
};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Reader, SourceSpec};

use super::kept_log::{KeptLog, POSITION};
use crate::log::LogReader;
use crate::position::{PartitionPosition, StreamPosition};
use crate::reader::{StreamReader, Until};
use crate::stream::Stream;

/// The new messages of a topic.
pub(super) struct TopicChanges {
    spec: Arc<SourceSpec>,
    stream: Stream,
    log: Arc<KeptLog>,
    /// The position as of the last commit.
    position: StreamPosition,
    inserted: Mutex<Option<Arc<StreamReader>>>,
}

impl TopicChanges {
    pub(super) fn new(
        spec: Arc<SourceSpec>,
        stream: Stream,
        log: Arc<KeptLog>,
        position: StreamPosition,
    ) -> Self {
        Self {
            spec,
            stream,
            log,
            position,
            inserted: Mutex::default(),
        }
    }

    fn inserted(&self) -> Option<Arc<StreamReader>> {
        let inserted = self.inserted.lock();
        inserted.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open_inserted(&self, until: ReadUntil) -> Arc<dyn Reader> {
        let until = match until {
            ReadUntil::End => Until::Ends,
            ReadUntil::Closed => Until::Closed {
                messages_max: u64::MAX,
            },
        };
        let reader = self.stream.reader(Some(Arc::clone(&self.log.log)), &until);
        let mut inserted = self.inserted.lock().unwrap_or_else(PoisonError::into_inner);
        *inserted = Some(Arc::clone(&reader));
        reader
    }
}

impl SourceChanges for TopicChanges {
    fn is_empty(&self) -> bool {
        self.stream.lag() == 0
    }

    fn open(
        &self,
        part: InputPart,
        until: ReadUntil,
    ) -> Result<Option<Arc<dyn Reader>>, SourceError> {
        match part {
            InputPart::Inserted => Ok(Some(self.open_inserted(until))),
            // A message as such is never retracted.
            InputPart::Retracted => Ok(None),
            InputPart::Unchanged | InputPart::JudgedAgain => {
                let StreamPosition {
                    segments,
                    partitions,
                    ..
                } = &self.position;
                let directory = &self.log.directory;
                LogReader::open(&self.spec, directory, segments, partitions).map(Some)
            }
        }
    }

    fn outcome(&self, counts: &EpochCounts) -> Result<SourceOutcome, SourceError> {
        let mut outcome = SourceOutcome::default();
        let mut position = self.position.clone();
        // Messages that were read again may be rejected now, or no longer.
        for (at, count) in position.partitions.values_mut().zip(&counts.judged_again) {
            let messages = at.rows + at.rejected;
            at.rejected = count.rejected.min(messages);
            at.rows = messages - at.rejected;
        }
        if let Some(reader) = self.inserted() {
            for (partition, read) in reader.position(&counts.inserted)? {
                outcome
                    .deliveries
                    .extend(advance(&mut position, partition, &read));
            }
            position.segments = self.log.log.sync()?;
        }
        if self.inserted().is_some() || position != self.position {
            outcome.checkpoint.put(POSITION, &position)?;
        }
        let partitions = position.partitions.values();
        outcome.rows_rejected = partitions.clone().map(|at| at.rejected).sum();
        outcome.rows = partitions.map(|at| at.rows + at.rejected).sum();
        Ok(outcome)
    }
}

/// Advances a partition's position past the messages that were read. Returns the history entry.
fn advance(
    position: &mut StreamPosition,
    partition: i32,
    read: &PartitionPosition,
) -> Option<DeliveryChange> {
    let at = position.partitions.entry(partition);
    let at = at.or_insert(PartitionPosition {
        first: read.first,
        next: read.first,
        ..PartitionPosition::default()
    });
    let rows = read.rows + read.rejected;
    let record = (rows > 0).then(|| DeliveryChange {
        name: format!(
            "{}/{partition}, offsets {} to {}",
            position.topic,
            at.next,
            read.next - 1
        ),
        kind: "read",
        rows_in: rows,
        rejected: read.rejected,
        rows_out: 0,
    });
    at.next = read.next;
    at.rows += read.rows;
    at.rejected += read.rejected;
    record
}
