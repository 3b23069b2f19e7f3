//! A topic's consumer, which stays open from one epoch to the next.
//!
//! 1. We assign all partitions to the consumer ourselves, at the offsets of our commits. The offsets of the consumer
//!    group are only for others to read.
//! 2. Each offset of a partition is handed out once, in order. `next` is the first offset that was not handed out.
//! 3. Memory for messages that are fetched but not handed out is bounded, whatever the lag. Partitions that a reader
//!    has finished are paused.
//! 4. Lost offsets are an error, or a warning if the job says so. The client never resets an offset unnoticed.
//! 5. Brokers that cannot be reached are waited for; the client reconnects by itself. Any other error ends the
//!    stream, and every reader returns it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSource;
use super::begin;
use super::client::{self, Consumer, failed};
use super::decode::MessageDecoder;
use super::location::Location;
use super::options::StartAt;
use super::position::{PartitionPosition, StreamPosition};
use super::queue::FetchQueue;
use super::stream_state::{ASK_WITHIN, Partition, Shared, StreamState};
use super::topic::{Asking, Edges, Unanswered};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

/// How long to wait for brokers while a stream is opened.
const OPEN_WITHIN: Duration = Duration::from_secs(15);

/// A source's consumer, which stays open from one epoch to the next. Clones share it.
#[derive(Clone)]
pub struct Stream {
    pub(super) shared: Arc<Shared>,
}

impl Stream {
    /// Connects, asks for the topic's partitions, and decides where to read each from: after `known` if it is given,
    /// otherwise where the options say. `group` is the consumer group to which [`committed`](Self::committed)
    /// reports.
    ///
    /// # Errors
    /// When no broker answers, the topic does not exist or may not be read, unread offsets are gone, the topic is not
    /// the one of `known`, or the options need a feature that is not built in.
    pub fn open(
        spec: &SourceSpec,
        known: Option<&StreamPosition>,
        group: &str,
    ) -> Result<Self, SourceError> {
        Self::open_within(OPEN_WITHIN, spec, known, group)
    }

    pub(super) fn open_within(
        within: Duration,
        spec: &SourceSpec,
        known: Option<&StreamPosition>,
        group: &str,
    ) -> Result<Self, SourceError> {
        let source = KafkaSource::of(spec)
            .cloned()
            .map(Arc::new)
            .ok_or_else(|| SourceError::Location {
                location: spec.location.clone(),
                message: "is no topic".to_owned(),
            })?;
        let decoder = Arc::new(MessageDecoder::new(spec)?);
        let location = &source.location;
        let consumer = Arc::new(client::consumer(location, &source.options, group)?);
        let asking = Asking {
            consumer: &consumer,
            location,
            within,
        };
        let unreached = |unanswered| match unanswered {
            Unanswered::Failed(error) => error,
            Unanswered::Unreached(why) => unreached(&consumer, location, within, &why),
        };
        let edges = asking.edges().map_err(unreached)?;
        let (positions, lost) = match known {
            Some(known) => begin::resume(known, &edges).map_err(|why| failed(location, why))?,
            None => {
                let positions = first_positions(&asking, source.options.start, &edges);
                (positions.map_err(unreached)?, Vec::new())
            }
        };
        let queue = FetchQueue::new(Arc::clone(&consumer))
            .ok_or_else(|| failed(location, "there is no memory for its messages"))?;
        let topic = CString::new(location.topic.as_str())
            .map_err(|_| failed(location, "has a name that Kafka does not allow"))?;
        let partition = |(number, position): (i32, PartitionPosition)| {
            let edges = edges.get(&number).copied()?;
            Some((number, Partition::new(position, edges)))
        };
        consumer.context().well();
        let mut state = StreamState {
            queue,
            partitions: positions.into_iter().filter_map(partition).collect(),
            failed: None,
            warnings: Vec::new(),
        };
        state.lose(&source, &lost)?;
        Ok(Self {
            shared: Arc::new(Shared {
                decoder,
                topic,
                consumer,
                state: Mutex::new(state),
                source,
            }),
        })
    }

    /// Asks the brokers again for partitions and their ends. New partitions are read from their beginning. If no
    /// broker answers, nothing changes, and [`trouble`](Self::trouble) gives the reason.
    ///
    /// # Errors
    /// When the topic is gone or is a different one, or unfetched offsets are gone.
    pub fn refresh(&self) -> Result<(), SourceError> {
        let before = self.nexts();
        let shared = &self.shared;
        let edges = match shared.asking().edges() {
            Ok(edges) => edges,
            Err(Unanswered::Failed(error)) => return Err(error),
            Err(Unanswered::Unreached(why)) => {
                shared.consumer.context().unreached(&why);
                return Ok(());
            }
        };
        shared.consumer.context().well();
        let mut state = shared.lock();
        let location = &shared.source.location;
        for (&partition, &next) in &before {
            match edges.get(&partition) {
                None => {
                    let how = format!("it has no partition {partition} any more");
                    return Err(failed(location, begin::recreated(&how)));
                }
                Some(edges) if edges.end < next => {
                    let why = begin::ends_before(partition, next, edges.end);
                    return Err(failed(location, why));
                }
                Some(_) => {}
            }
        }
        let mut lost = Vec::new();
        for (number, edges) in edges {
            match state.partitions.get_mut(&number) {
                Some(partition) => lost.extend(partition.refresh(number, edges)),
                None => {
                    let partition = Partition::new(begin::at(edges.begin), edges);
                    state.partitions.insert(number, partition);
                    state.warnings.push(format!(
                        "{location}: partition {number} was added; it is read from its beginning"
                    ));
                }
            }
        }
        state.lose(&shared.source, &lost)
    }

    /// Like [`refresh`](Self::refresh), for callers that wait for no answer. An error ends the stream, and its
    /// readers return it.
    pub fn watch(&self) {
        if let Err(error) = self.refresh() {
            self.shared.lock().failed.get_or_insert(error);
        }
    }

    /// For each partition, the offset of the first message at or after a time in milliseconds since 1970. If there is
    /// none, the end as of the last refresh.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn offsets_for_time(&self, ms: i64) -> Result<BTreeMap<i32, i64>, SourceError> {
        let shared = &self.shared;
        let ends = self.ends();
        let partitions: Vec<i32> = ends.keys().copied().collect();
        let found = shared
            .asking()
            .at(&partitions, ms)
            .map_err(|unanswered| match unanswered {
                Unanswered::Failed(error) => error,
                Unanswered::Unreached(why) => {
                    unreached(&shared.consumer, &shared.source.location, ASK_WITHIN, &why)
                }
            })?;
        let mut offsets = ends;
        offsets.extend(found);
        Ok(offsets)
    }

    /// For each partition, the offset after the last message, as of the last refresh.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let state = self.shared.lock();
        let partitions = state.partitions.iter();
        partitions
            .map(|(number, partition)| (*number, partition.edges.end))
            .collect()
    }

    /// For each partition, the next offset to hand out.
    fn nexts(&self) -> BTreeMap<i32, i64> {
        let state = self.shared.lock();
        let partitions = state.partitions.iter();
        partitions
            .map(|(number, partition)| (*number, partition.next))
            .collect()
    }

    /// Waits for a message, at most this long. Returns whether there is one.
    ///
    /// # Errors
    /// When the stream has failed.
    pub fn wait(&self, most: Duration) -> Result<bool, SourceError> {
        let mut state = self.shared.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.shared.listen()?;
        state.queue.fill(most);
        while let Some(fetched) = state.queue.front() {
            if fetched.error() != Some(RDKafkaErrorCode::PartitionEOF) {
                return Ok(true);
            }
            let (number, end) = (fetched.partition(), fetched.offset());
            state.queue.pass();
            if let Some(partition) = state.partitions.get_mut(&number) {
                partition.next = partition.next.max(end);
            }
            state.queue.fill(Duration::ZERO);
        }
        Ok(false)
    }

    /// Messages that were not handed out yet, as far as the brokers have reported, by the last refresh and by fetch
    /// responses. Offsets without a message count too.
    pub fn lag(&self) -> u64 {
        let state = self.shared.lock();
        let lags = state.partitions.iter().map(|(&number, partition)| {
            let fetched = state.queue.edges(&self.shared.topic, number);
            let end = fetched.map_or(partition.edges.end, |(_, end)| end.max(partition.edges.end));
            u64::try_from(end - partition.next).unwrap_or(0)
        });
        lags.sum()
    }

    /// Why the brokers are out of reach; `None` when all is well. This is temporary.
    pub fn trouble(&self) -> Option<String> {
        let reason = self.shared.consumer.context().trouble()?;
        let brokers = &self.shared.source.location.brokers;
        Some(format!("no broker of {brokers} is reached: {reason}"))
    }

    /// Commits offsets to the consumer group, for tools that show lag. Nothing depends on it. If it fails, one
    /// warning says so.
    pub fn committed(&self, position: &StreamPosition) {
        let mut offsets = TopicPartitionList::new();
        for (&number, partition) in &position.partitions {
            let next = Offset::Offset(partition.next);
            if let Err(error) = offsets.add_partition_offset(&position.topic, number, next) {
                self.shared
                    .consumer
                    .context()
                    .group_failed(error.to_string());
            }
        }
        if let Err(error) = self.shared.consumer.commit(&offsets, CommitMode::Async) {
            self.shared
                .consumer
                .context()
                .group_failed(error.to_string());
        }
    }

    /// Warnings since the last call.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.warnings()
    }
}

/// Where partitions are read from if nothing was read before.
fn first_positions(
    asking: &Asking<'_>,
    start: StartAt,
    edges: &BTreeMap<i32, Edges>,
) -> Result<BTreeMap<i32, PartitionPosition>, Unanswered> {
    let times = match start {
        StartAt::Time(ms) => {
            let partitions: Vec<i32> = edges.keys().copied().collect();
            asking.at(&partitions, ms)?
        }
        StartAt::Earliest | StartAt::Latest => BTreeMap::new(),
    };
    let positions = edges.iter().map(|(&number, edges)| {
        let offset = match start {
            StartAt::Earliest => edges.begin,
            StartAt::Latest => edges.end,
            // Messages of an open transaction are after the end.
            StartAt::Time(_) => times
                .get(&number)
                .map_or(edges.end, |at| (*at).min(edges.end)),
        };
        (number, begin::at(offset))
    });
    Ok(positions.collect())
}

fn unreached(consumer: &Consumer, location: &Location, within: Duration, why: &str) -> SourceError {
    let reason = consumer.context().reason();
    let message = format!(
        "no broker of {} answered within {} s ({}). Is one running there, does it listen on that name and port, and does \
         it advertise an address that can be reached from here (advertised.listeners)? Encryption and logins are set \
         with 'kafka.security.protocol' and 'kafka.sasl.…'",
        location.brokers,
        within.as_secs(),
        reason.as_deref().unwrap_or(why)
    );
    failed(location, message)
}
