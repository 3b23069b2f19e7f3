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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSource;
use super::begin::{self, Lost};
use super::client::{self, Consumer, failed};
use super::decode::MessageDecoder;
use super::location::Location;
use super::options::{LostOffsets, StartAt};
use super::position::{PartitionPosition, StreamPosition};
use super::queue::FetchQueue;
use super::topic::{self, Asking, Edges, Unanswered};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

/// How long to wait for brokers while a stream is opened, and later.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// A source's consumer, which stays open from one epoch to the next. Clones share it.
#[derive(Clone)]
pub struct Stream {
    pub(super) shared: Arc<Shared>,
}

/// State shared by a stream and its readers.
pub(super) struct Shared {
    pub decoder: Arc<MessageDecoder>,
    pub source: Arc<KafkaSource>,
    pub topic: CString,
    consumer: Arc<Consumer>,
    state: Mutex<StreamState>,
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

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> Asking<'_> {
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
    fn new(position: PartitionPosition, edges: Edges) -> Self {
        Self {
            first: position.first,
            next: position.next,
            edges,
            fetching: Fetching::Not,
        }
    }

    /// Records the partition's edges. Returns lost offsets, unless the partition is being fetched: its messages may
    /// have arrived before they were lost, so fetching finds out.
    fn refresh(&mut self, number: i32, edges: Edges) -> Option<Lost> {
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
