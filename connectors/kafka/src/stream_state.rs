//! The state that a stream and its readers share.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSource;
use super::begin::{self, Lost};
use super::client::{self, Consumer, failed};
use super::decode::MessageDecoder;
use super::options::LostOffsets;
use super::position::PartitionPosition;
use super::queue::FetchQueue;
use super::topic::{self, Asking, Edges, Unanswered};
use tidewater_contract::error::SourceError;

/// How long to wait for brokers once a stream is open.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(3);

/// State shared by a stream and its readers.
pub(super) struct Shared {
    pub decoder: Arc<MessageDecoder>,
    pub source: Arc<KafkaSource>,
    pub topic: CString,
    pub consumer: Arc<Consumer>,
    pub state: Mutex<StreamState>,
}

pub(super) struct StreamState {
    pub queue: FetchQueue,
    pub partitions: BTreeMap<i32, Partition>,
    pub failed: Option<SourceError>,
    pub warnings: Vec<String>,
}

/// A partition, and how far it was handed out.
pub(super) struct Partition {
    /// The offset at which the very first reading began.
    pub first: i64,
    /// The next offset to hand out.
    pub next: i64,
    /// The partition's begin and end, as of the last refresh.
    pub edges: Edges,
    pub fetching: Fetching,
}

/// Whether a partition is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetching {
    /// Not assigned yet.
    Not,
    /// Assigned.
    Active,
    /// Assigned and paused. Messages that still arrive are dropped.
    Paused,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn asking(&self) -> Asking<'_> {
        Asking {
            consumer: &self.consumer,
            location: &self.source.location,
            within: ASK_WITHIN,
        }
    }

    /// Warnings since the last call.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.lock().warnings);
        if let Some(why) = self.consumer.context().take_not_committed() {
            warnings.push(format!(
                "{}: offsets cannot be committed to the consumer group ({why}); this affects only tools that show \
                 its lag",
                self.source.location
            ));
        }
        warnings
    }

    /// An error of this topic.
    pub(super) fn failed(&self, message: impl Into<String>) -> SourceError {
        failed(&self.source.location, message)
    }

    /// Handles the client's events about brokers and the group.
    pub(super) fn listen(&self) -> Result<(), SourceError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let reason = self.consumer.context().reason();
                let reason = reason.unwrap_or_else(|| code.to_string());
                Err(self.failed(format!("the client cannot continue: {reason}")))
            }
            _ => Ok(()),
        }
    }

    /// Starts fetching partitions from their next offsets.
    pub(super) fn fetch(&self, state: &mut StreamState, wanted: &[i32]) -> Result<(), SourceError> {
        let topic = &self.source.location.topic;
        let mut assigned = TopicPartitionList::new();
        let mut resumed = TopicPartitionList::new();
        for number in wanted {
            let Some(partition) = state.partitions.get_mut(number) else {
                continue;
            };
            let list = match partition.fetching {
                Fetching::Active => continue,
                Fetching::Paused => &mut resumed,
                Fetching::Not => {
                    state.queue.forward(&self.topic, *number);
                    &mut assigned
                }
            };
            let next = Offset::Offset(partition.next);
            list.add_partition_offset(topic, *number, next)
                .map_err(|error| self.failed(error.to_string()))?;
            partition.fetching = Fetching::Active;
        }
        let done = self.start_fetching(&assigned, resumed);
        done.map_err(|error| self.failed(format!("cannot be fetched: {error}")))
    }

    fn start_fetching(
        &self,
        assigned: &TopicPartitionList,
        resumed: TopicPartitionList,
    ) -> Result<(), KafkaError> {
        if assigned.count() > 0 {
            self.consumer.incremental_assign(assigned)?;
        }
        if resumed.count() > 0 {
            let resumed = self.consumer.seek_partitions(resumed, ASK_WITHIN)?;
            for element in resumed.elements() {
                element.error()?;
            }
            self.consumer.resume(&resumed)?;
        }
        Ok(())
    }

    /// Stops fetching a partition, and drops its fetched messages.
    pub(super) fn pause(&self, state: &mut StreamState, number: i32) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.source.location.topic, number);
        self.consumer
            .pause(&list)
            .map_err(|error| self.failed(format!("cannot be paused: {error}")))?;
        state.queue.forget(number);
        if let Some(partition) = state.partitions.get_mut(&number) {
            partition.fetching = Fetching::Paused;
        }
        Ok(())
    }

    /// Handles an error of a partition that was to be read from an offset.
    pub(super) fn fault(
        &self,
        (number, next): (i32, i64),
        code: RDKafkaErrorCode,
        why: &str,
    ) -> Result<(), SourceError> {
        use RDKafkaErrorCode as Code;
        if client::passes(code) {
            self.consumer.context().unreached(why);
            return Ok(());
        }
        Err(match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => self.out_of_range(number, next),
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => self.failed(
                format!(
                    "partition {number} no longer exists (its offset {next} was to be read next): the topic was \
                     deleted. Rows that were read before are not retracted"
                ),
            ),
            Code::TopicAuthorizationFailed => self.failed(topic::MAY_NOT_READ),
            _ => self.failed(format!(
                "partition {number} cannot be read on from offset {next}: {why}"
            )),
        })
    }

    /// A warning, if a partition continues at a later offset because the client was reset to the first available one.
    /// Gaps without messages are no reason to warn.
    pub(super) fn reset(
        &self,
        queue: &FetchQueue,
        number: i32,
        (from, to): (i64, i64),
    ) -> Option<String> {
        let (begin, _) = queue.edges(&self.topic, number)?;
        let lost = Lost {
            partition: number,
            from,
            to: begin,
        };
        let is_reset = from < begin && begin <= to;
        is_reset.then(|| begin::told(&[lost], LostOffsets::Skip, &self.source.location))
    }

    /// The error for an offset that cannot be fetched.
    fn out_of_range(&self, number: i32, next: i64) -> SourceError {
        match self.asking().edges() {
            Err(Unanswered::Failed(error)) => error,
            Err(Unanswered::Unreached(why)) => self.failed(format!(
                "offset {next} of partition {number} does not exist any more ({why})"
            )),
            Ok(edges) => match edges.get(&number) {
                Some(edges) if next < edges.begin => {
                    let lost = Lost {
                        partition: number,
                        from: next,
                        to: edges.begin,
                    };
                    let location = &self.source.location;
                    self.failed(begin::told(&[lost], LostOffsets::Fail, location))
                }
                Some(edges) => self.failed(begin::ends_before(number, next, edges.end)),
                None => self.failed(begin::recreated(&format!(
                    "it has no partition {number} any more"
                ))),
            },
        }
    }
}

impl StreamState {
    /// Reports lost offsets: an error, or a warning if the job says to skip them.
    pub(super) fn lose(&mut self, source: &KafkaSource, lost: &[Lost]) -> Result<(), SourceError> {
        if lost.is_empty() {
            return Ok(());
        }
        let policy = source.options.lost_offsets;
        let told = begin::told(lost, policy, &source.location);
        match policy {
            LostOffsets::Fail => return Err(failed(&source.location, told)),
            LostOffsets::Skip => self.warnings.push(told),
        }
        Ok(())
    }
}

impl Partition {
    pub(super) fn new(position: PartitionPosition, edges: Edges) -> Self {
        Self {
            first: position.first,
            next: position.next,
            edges,
            fetching: Fetching::Not,
        }
    }

    /// Records the partition's edges. Returns lost offsets, unless the partition is being fetched: its messages may
    /// have arrived before they were lost, so fetching finds out.
    pub(super) fn refresh(&mut self, number: i32, edges: Edges) -> Option<Lost> {
        self.edges = edges;
        if self.fetching == Fetching::Active || self.next >= edges.begin {
            return None;
        }
        let lost = Lost {
            partition: number,
            from: self.next,
            to: edges.begin,
        };
        self.next = edges.begin;
        Some(lost)
    }
}
