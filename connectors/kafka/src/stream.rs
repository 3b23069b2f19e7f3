//! A topic's consumer, kept open over epochs.
//!
//! 1. Partitions are assigned by us, all of them, at offsets that our commits say. What the consumer group knows is for
//!    others to look at.
//! 2. Of a partition each offset is dealt once, in order: what was dealt is before `next`, what was not is behind it.
//! 3. What is fetched and not dealt is bounded, whatever the lag; partitions that a reader is through with are paused.
//! 4. Offsets that are gone are an error, or a warning where the job says so: the client never resets unseen.
//! 5. Brokers that are away are waited for; the client reconnects on its own. An error that does not pass by itself ends
//!    the stream, and every reader gets it.

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
use super::log::MessageLog;
use super::options::{LostOffsets, Start};
use super::position::{PartitionPosition, StreamPosition};
use super::queue::FetchQueue;
use super::reader::{StreamReader, Until};
use super::topic::{self, Asking, Edges, Unanswered};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

/// How long brokers have to answer before a stream is open, and once it is.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// A source's consumer, kept open over epochs. Clones share it.
#[derive(Clone)]
pub struct Stream {
    shared: Arc<Shared>,
}

/// What a stream and its readers share.
pub(super) struct Shared {
    pub decoder: Arc<MessageDecoder>,
    pub source: Arc<KafkaSource>,
    pub topic: CString,
    consumer: Arc<Consumer>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub queue: FetchQueue,
    pub partitions: BTreeMap<i32, Partition>,
    pub failed: Option<SourceError>,
    pub warnings: Vec<String>,
}

/// A partition, and how far it was dealt.
pub(super) struct Partition {
    /// The offset at which reading began, ever.
    pub first: i64,
    /// The offset that is dealt next.
    pub next: i64,
    /// As of the last refresh.
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
    /// Assigned and paused; what comes of it all the same is dropped.
    Paused,
}

impl Stream {
    /// Connects, learns the topic's partitions, and decides where each is read from: where `known` ends, and without it
    /// where the options say. `group` is whom [`committed`](Self::committed) tells.
    ///
    /// # Errors
    /// When no broker answers, there is no such topic or it may not be read; when offsets are gone that were not taken
    /// in, or it is another topic than the known one; when the options ask for what is not built in.
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
        let mut state = State {
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

    /// Asks the brokers again: partitions that were added are read from their beginning, the ends of all are learnt.
    /// When brokers are out of reach nothing is learnt, and [`trouble`](Self::trouble) says so.
    ///
    /// # Errors
    /// When the topic is gone, or another one; when offsets are gone that were not fetched yet.
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
                    return Err(failed(location, begin::made_anew(&how)));
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

    /// [`refresh`](Self::refresh), for whoever waits for no answer: an error ends the stream, and its readers hear of it.
    pub fn watch(&self) {
        if let Err(error) = self.refresh() {
            self.shared.lock().failed.get_or_insert(error);
        }
    }

    /// By partition, the offset of the first message that is not older than a time, in milliseconds since 1970; where
    /// there is none, the end as of the last refresh.
    ///
    /// # Errors
    /// When brokers do not answer.
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

    /// By partition, the offset behind the last message as of the last refresh.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        let state = self.shared.lock();
        let partitions = state.partitions.iter();
        partitions
            .map(|(number, partition)| (*number, partition.edges.end))
            .collect()
    }

    /// By partition, the offset that is dealt next.
    fn nexts(&self) -> BTreeMap<i32, i64> {
        let state = self.shared.lock();
        let partitions = state.partitions.iter();
        partitions
            .map(|(number, partition)| (*number, partition.next))
            .collect()
    }

    /// Deals the messages of an epoch to all workers, each kept in `log` before its rows are handed out. A reader is used
    /// up before the next one is made.
    pub fn reader(&self, log: Option<Arc<MessageLog>>, until: &Until) -> Arc<StreamReader> {
        Arc::new(StreamReader::open(&self.shared, log, until))
    }

    /// Waits until a message is there to be dealt, but no longer than this; whether one is.
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

    /// Messages at the brokers that were not dealt yet, as far as brokers have told: with the last refresh, and with
    /// what is fetched. Offsets that hold no message count too.
    pub fn lag(&self) -> u64 {
        let state = self.shared.lock();
        let lags = state.partitions.iter().map(|(&number, partition)| {
            let fetched = state.queue.edges(&self.shared.topic, number);
            let end = fetched.map_or(partition.edges.end, |(_, end)| end.max(partition.edges.end));
            u64::try_from(end - partition.next).unwrap_or(0)
        });
        lags.sum()
    }

    /// Why the brokers are out of reach; `None` when all is well. It passes by itself.
    pub fn trouble(&self) -> Option<String> {
        let reason = self.shared.consumer.context().trouble()?;
        let brokers = &self.shared.source.location.brokers;
        Some(format!("no broker of {brokers} is reached: {reason}"))
    }

    /// Tells the group how far a commit is, for tools that show lag. Nothing depends on it: when it fails, one warning
    /// says so.
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

    /// What the user should hear of since the last call, though nothing failed.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.warnings()
    }
}

/// Where partitions are read from when nothing was read yet.
fn first_positions(
    asking: &Asking<'_>,
    start: Start,
    edges: &BTreeMap<i32, Edges>,
) -> Result<BTreeMap<i32, PartitionPosition>, Unanswered> {
    let times = match start {
        Start::Time(ms) => {
            let partitions: Vec<i32> = edges.keys().copied().collect();
            asking.at(&partitions, ms)?
        }
        Start::Earliest | Start::Latest => BTreeMap::new(),
    };
    let positions = edges.iter().map(|(&number, edges)| {
        let offset = match start {
            Start::Earliest => edges.begin,
            Start::Latest => edges.end,
            // What is of an open transaction begins behind the end.
            Start::Time(_) => times
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
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            consumer: &self.consumer,
            location: &self.source.location,
            within: ASK_WITHIN,
        }
    }

    /// What the user should hear of since the last call.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.lock().warnings);
        if let Some(why) = self.consumer.context().take_not_committed() {
            warnings.push(format!(
                "{}: the consumer group is not told how far it was read ({why}); tools that show its lag are wrong, and \
                 nothing else",
                self.source.location
            ));
        }
        warnings
    }

    /// An error of this topic.
    pub(super) fn failed(&self, message: impl Into<String>) -> SourceError {
        failed(&self.source.location, message)
    }

    /// Hears what the client has to say of brokers and of the group.
    pub(super) fn listen(&self) -> Result<(), SourceError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let reason = self.consumer.context().reason();
                let reason = reason.unwrap_or_else(|| code.to_string());
                Err(self.failed(format!("the client cannot go on: {reason}")))
            }
            _ => Ok(()),
        }
    }

    /// Has partitions fetched from where they are.
    pub(super) fn fetch(&self, state: &mut State, wanted: &[i32]) -> Result<(), SourceError> {
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

    /// Has a partition fetched no further, and drops what was.
    pub(super) fn pause(&self, state: &mut State, number: i32) -> Result<(), SourceError> {
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

    /// What to do about an error of a partition that was to be read from an offset.
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
                    "partition {number} is gone, of which offset {next} was to be read: the topic was deleted. What was \
                     taken in before is not taken back"
                ),
            ),
            Code::TopicAuthorizationFailed => self.failed(topic::MAY_NOT_READ),
            _ => self.failed(format!(
                "partition {number} cannot be read on from offset {next}: {why}"
            )),
        })
    }

    /// A warning, when it is not for want of messages that a partition goes on at a later offset than was expected: the
    /// client went on with the first that is there.
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

    /// What it means that an offset cannot be fetched.
    fn out_of_range(&self, number: i32, next: i64) -> SourceError {
        match self.asking().edges() {
            Err(Unanswered::Failed(error)) => error,
            Err(Unanswered::Unreached(why)) => self.failed(format!(
                "offset {next} of partition {number} is not there any more ({why})"
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
                None => self.failed(begin::made_anew(&format!(
                    "it has no partition {number} any more"
                ))),
            },
        }
    }
}

impl State {
    /// What is gone is an error, or a warning.
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

    /// Takes note of its edges. What is gone of a partition that is being fetched may be here already: then fetching
    /// tells.
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
