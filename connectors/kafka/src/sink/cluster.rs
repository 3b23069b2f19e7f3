//! The topics that share brokers: one producer, one transaction an epoch.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use twox_hash::XxHash3_64;

use super::messages::{Changes, OutgoingMessage, each_message};
use super::topic::{Mode, TopicSpec};
use crate::producer::{Listener, ProducerTrouble, STEP, config, persist};
use tidewater_contract::sink::SinkError;
use tidewater_contract::sink_connector::KeepTrying;

type Trouble = ProducerTrouble<SinkError>;

/// For how long, at most, a dead process blocks readers of committed messages. A first epoch of millions of rows must
/// fit.
const TRANSACTION_TIMEOUT: (&str, &str) = ("transaction.timeout.ms", "600000");
/// Messages between two calls that serve the producer.
const SERVE_EVERY: u64 = 1024;
/// How long each call serves the producer while we wait for it.
const SERVE: Duration = Duration::from_millis(10);
/// After this many calls without a delivery, a new producer is tried. If a topic is gone, librdkafka waits without
/// reporting it.
const SERVES_IDLE: u32 = 1_000;
/// The partition whose committed offset is the epoch that a topic holds.
const MARKED: i32 = 0;

/// Topics that share brokers.
pub(super) struct Cluster {
    id: String,
    brokers: String,
    /// The topics, each with the caller's index.
    topics: Vec<(usize, Arc<TopicSpec>)>,
    connection: Option<ClusterConnection>,
    held: Option<u64>,
    /// Why nothing can be written any more. It stays closed: another process may be at work, and reconnecting would
    /// shut it out.
    closed: Option<String>,
}

/// A producer that has fenced off all earlier ones.
struct ClusterConnection {
    producer: BaseProducer<Listener>,
    group: ConsumerGroupMetadata,
    /// The number of partitions of each topic.
    partitions: Vec<u64>,
}

impl Cluster {
    /// See [`Publisher::open`](super::Publisher::open).
    pub fn open(
        id: &str,
        topics: Vec<(usize, Arc<TopicSpec>)>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Self, SinkError> {
        let brokers = topics.first().map(|(_, topic)| &topic.location.brokers);
        let mut cluster = Self {
            id: format!("tidewater-{id}"),
            brokers: brokers.cloned().unwrap_or_default(),
            topics,
            connection: None,
            held: None,
            closed: None,
        };
        cluster.attempts(keep_trying, |_, _| Ok(()))?;
        Ok(cluster)
    }

    /// The last epoch that the topics hold.
    pub fn held(&self) -> Option<u64> {
        self.held
    }

    /// See [`Publisher::publish`](super::Publisher::publish).
    pub fn publish(
        &mut self,
        epoch: u64,
        changes: &mut dyn FnMut(usize) -> Result<Option<Changes<'static>>, SinkError>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        self.attempts(keep_trying, |cluster, keep_trying| {
            if cluster.held >= Some(epoch) {
                return Ok(());
            }
            let Some(connection) = &cluster.connection else {
                return Ok(());
            };
            if connection.write(&cluster.id, &cluster.topics, epoch, changes, keep_trying)? {
                cluster.held = Some(epoch);
            }
            Ok(())
        })
    }

    /// Repeats an attempt, reconnecting if needed, until it succeeds.
    fn attempts(
        &mut self,
        keep_trying: &mut KeepTrying<'_>,
        mut attempt: impl FnMut(&mut Self, &mut KeepTrying<'_>) -> Result<(), Trouble>,
    ) -> Result<(), SinkError> {
        while self.closed.is_none() {
            let done = self
                .connect(keep_trying)
                .and_then(|()| attempt(self, keep_trying));
            let trouble = match done {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            if let Some(connection) = self.connection.take() {
                connection.abandon();
            }
            match trouble {
                Trouble::Other(error) => return Err(error),
                Trouble::Lasting(message) => self.closed = Some(message),
                Trouble::NewClient(text) | Trouble::Again(text) if keep_trying(&text) => {}
                Trouble::NewClient(text) | Trouble::Again(text) | Trouble::GivenUp(text) => {
                    let message = format!(
                        "{text}; nothing is lost: run again when the brokers can be reached"
                    );
                    return Err(self.error(message));
                }
            }
        }
        Err(self.error(self.closed.clone().unwrap_or_default()))
    }

    fn error(&self, message: String) -> SinkError {
        SinkError::Kafka {
            place: format!("Kafka at {}", self.brokers),
            message,
        }
    }

    fn connect(&mut self, keep_trying: &mut KeepTrying<'_>) -> Result<(), Trouble> {
        if self.connection.is_some() {
            return Ok(());
        }
        let Some((_, first)) = self.topics.first() else {
            return Ok(());
        };
        let client = &first.options.client;
        let mut settings = config(&self.brokers, client, &[("transactional.id", &self.id)]);
        if settings.get(TRANSACTION_TIMEOUT.0).is_none() {
            settings.set(TRANSACTION_TIMEOUT.0, TRANSACTION_TIMEOUT.1);
        }
        let producer = BaseProducer::from_config_and_context(&settings, Listener::default());
        let producer: BaseProducer<Listener> = producer.map_err(|error| Trouble::of(&error))?;
        let topics = self.topics.iter();
        let partitions = topics.map(|(_, topic)| partitions(&producer, topic, keep_trying));
        let partitions = partitions.collect::<Result<_, _>>()?;
        persist(&producer, keep_trying, || {
            let done = producer.init_transactions(STEP);
            done.map_err(|error| Trouble::of_producer(&error, &producer))
        })?;
        // Earlier producers are fenced off now, so the epoch that is held cannot change.
        let settings = config(&self.brokers, client, &[("group.id", &self.id)]);
        let consumer = BaseConsumer::from_config_and_context(&settings, Listener::default());
        let consumer = consumer.map_err(|error| Trouble::of(&error))?;
        self.held = marked(&producer, &consumer, &self.topics, keep_trying)?;
        let group = consumer.group_metadata();
        let group =
            group.ok_or_else(|| Trouble::NewClient("there is no consumer group".to_owned()))?;
        self.connection = Some(ClusterConnection {
            producer,
            group,
            partitions,
        });
        Ok(())
    }
}

/// The number of partitions of a topic.
fn partitions(
    producer: &BaseProducer<Listener>,
    topic: &TopicSpec,
    keep_trying: &mut KeepTrying<'_>,
) -> Result<u64, Trouble> {
    let name = &topic.location.topic;
    persist(producer, keep_trying, || {
        let metadata = producer.client().fetch_metadata(Some(name), STEP);
        let metadata = metadata.map_err(|error| Trouble::of(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == name);
        let error = found.and_then(MetadataTopic::error);
        let error = error.map(RDKafkaErrorCode::from);
        match (found, error) {
            (None, _) | (_, Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                Err(Trouble::Other(missing(topic)))
            }
            (_, Some(code)) => Err(Trouble::of(&KafkaError::MetadataFetch(code))),
            (Some(found), None) => Ok(found.partitions().len().try_into().unwrap_or(u64::MAX)),
        }
    })
}

fn missing(topic: &TopicSpec) -> SinkError {
    let compact = match topic.options.mode {
        Mode::Upsert => " --config cleanup.policy=compact",
        Mode::Changelog => "",
    };
    SinkError::Kafka {
        place: format!("table {}: {}", topic.table, topic.location),
        message: format!(
            "there is no such topic; create it: kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions \
             6{compact}",
            topic.location.brokers, topic.location.topic
        ),
    }
}

/// The last epoch that any of the topics holds. All of them hold it, because an epoch is one transaction.
fn marked(
    producer: &BaseProducer<Listener>,
    consumer: &BaseConsumer<Listener>,
    topics: &[(usize, Arc<TopicSpec>)],
    keep_trying: &mut KeepTrying<'_>,
) -> Result<Option<u64>, Trouble> {
    let mut asked = TopicPartitionList::new();
    for (_, topic) in topics {
        asked.add_partition(&topic.location.topic, MARKED);
    }
    let marks = persist(producer, keep_trying, || {
        let marks = consumer.committed_offsets(asked.clone(), STEP);
        let marks = marks.map_err(|error| Trouble::of(&error))?;
        for mark in marks.elements() {
            mark.error().map_err(|error| Trouble::of(&error))?;
        }
        Ok(marks)
    })?;
    let marks = marks.elements().into_iter().map(|mark| mark.offset());
    let epochs = marks.filter_map(|offset| match offset {
        Offset::Offset(epoch) => u64::try_from(epoch).ok(),
        _ => None,
    });
    Ok(epochs.max())
}

impl ClusterConnection {
    /// Writes an epoch. `false` if there is nothing to write.
    fn write(
        &self,
        id: &str,
        topics: &[(usize, Arc<TopicSpec>)],
        epoch: u64,
        changes: &mut dyn FnMut(usize) -> Result<Option<Changes<'static>>, SinkError>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<bool, Trouble> {
        let mut sent = 0;
        for ((index, topic), partitions) in topics.iter().zip(&self.partitions) {
            let Some(changes) = changes(*index).map_err(Trouble::Other)? else {
                continue;
            };
            let headers = headers(topic, epoch, id);
            each_message(topic, changes, &mut |message| {
                if sent == 0 {
                    let begun = self.producer.begin_transaction();
                    begun.map_err(|error| Trouble::of_producer(&error, &self.producer))?;
                }
                sent += 1;
                if sent % SERVE_EVERY == 0 {
                    self.serve(Duration::ZERO)?;
                }
                self.send(topic, *partitions, &headers, message, keep_trying)
            })?;
        }
        if sent == 0 {
            return Ok(false);
        }
        self.commit(topics, epoch, keep_trying)?;
        tracing::debug!(epoch, messages = sent, "in Kafka");
        Ok(true)
    }

    fn send(
        &self,
        topic: &TopicSpec,
        partitions: u64,
        headers: &OwnedHeaders,
        message: OutgoingMessage<'_>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), Trouble> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&topic.location.topic).headers(headers.clone());
        record.key = message.key;
        record.payload = message.value;
        if message.key.is_none() {
            // Insertion and retraction of one row go to the same partition, so they stay in order.
            let partition = XxHash3_64::oneshot(message.route) % partitions.max(1);
            record.partition = i32::try_from(partition).ok();
        }
        let mut idle = Idle::default();
        loop {
            let (error, again) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(Trouble::of_producer(&error, &self.producer));
            }
            record = again;
            self.wait(&mut idle, keep_trying)?;
        }
    }

    /// Serves the producer, and returns a failed delivery as an error.
    fn serve(&self, timeout: Duration) -> Result<(), Trouble> {
        self.producer.poll(timeout);
        let Some(failed) = self.producer.context().failed() else {
            return Ok(());
        };
        let trouble = match failed.error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Trouble::Lasting(format!(
                "it refuses a message of {} bytes, with the key {}; set the topic's max.message.bytes to more, or publish \
                 less in a row",
                failed.bytes, failed.key
            )),
            _ => Trouble::of_producer(&failed.error, &self.producer),
        };
        let trouble = match trouble {
            Trouble::Lasting(message) => {
                Trouble::Lasting(format!("topic {}: {message}", failed.topic))
            }
            trouble => trouble,
        };
        Err(trouble)
    }

    /// Waits a moment for deliveries.
    fn wait(&self, idle: &mut Idle, keep_trying: &mut KeepTrying<'_>) -> Result<(), Trouble> {
        self.serve(SERVE)?;
        if let Some(text) = self.producer.context().news()
            && !keep_trying(&text)
        {
            return Err(Trouble::GivenUp(text));
        }
        let waiting = self.producer.in_flight_count();
        if waiting != idle.waiting {
            *idle = Idle { waiting, serves: 0 };
        }
        idle.serves += 1;
        if idle.serves > SERVES_IDLE {
            return Err(Trouble::NewClient(
                "the brokers take no messages".to_owned(),
            ));
        }
        Ok(())
    }

    fn commit(
        &self,
        topics: &[(usize, Arc<TopicSpec>)],
        epoch: u64,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), Trouble> {
        let mut idle = Idle::default();
        while self.producer.in_flight_count() > 0 {
            self.wait(&mut idle, keep_trying)?;
        }
        let marks = marks(topics, epoch)?;
        let failed = |error| Trouble::of_producer(&error, &self.producer);
        persist(&self.producer, keep_trying, || {
            let producer = &self.producer;
            let done = producer.send_offsets_to_transaction(&marks, &self.group, STEP);
            done.map_err(failed)
        })?;
        persist(&self.producer, keep_trying, || {
            self.producer.commit_transaction(STEP).map_err(failed)
        })
    }

    /// Aborts an open transaction, if that can be done at once. Otherwise the next producer aborts it.
    fn abandon(self) {
        if let Err(error) = self.producer.abort_transaction(STEP) {
            tracing::debug!(%error, "a transaction is left to the next producer");
        }
    }
}

/// How long there was no delivery.
#[derive(Default)]
struct Idle {
    /// Messages in the queue.
    waiting: i32,
    /// Calls that served the producer since that number changed.
    serves: u32,
}

fn headers(topic: &TopicSpec, epoch: u64, id: &str) -> OwnedHeaders {
    let epoch = epoch.to_string();
    let headers = [
        ("tidewater-table", &*topic.table),
        ("tidewater-epoch", &epoch),
        ("tidewater-id", id.strip_prefix("tidewater-").unwrap_or(id)),
    ];
    let all = OwnedHeaders::new_with_capacity(headers.len());
    headers.into_iter().fold(all, |all, (key, value)| {
        all.insert(Header {
            key,
            value: Some(value),
        })
    })
}

fn marks(topics: &[(usize, Arc<TopicSpec>)], epoch: u64) -> Result<TopicPartitionList, Trouble> {
    let offset = Offset::Offset(i64::try_from(epoch).unwrap_or(i64::MAX));
    let mut marks = TopicPartitionList::new();
    for (_, topic) in topics {
        let added = marks.add_partition_offset(&topic.location.topic, MARKED, offset);
        added.map_err(|error| Trouble::of(&error))?;
    }
    Ok(marks)
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        Self::Other(error)
    }
}
