//! Writes messages, idempotently, in batches, and in transactions if wanted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode::{PurgeInflight, PurgeQueue, QueueFull};

use super::{Broker, PATIENCE};

/// A message to be written.
#[derive(Clone, Debug, Default)]
pub struct Record {
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: Option<i64>,
}

impl Record {
    /// A message with a key, which chooses the partition.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::keyless(value)
        }
    }

    /// A message without a key.
    pub fn keyless(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A message with a key and no value, which deletes the key.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }

    /// In this partition, whatever the key.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.into(), value.map(Into::into)));
        self
    }

    /// With this timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    fn to<'a>(&'a self, topic: &'a str) -> BaseRecord<'a, [u8], [u8]> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_ref(),
            });
        }
        BaseRecord {
            topic,
            partition: self.partition,
            payload: self.value.as_deref(),
            key: self.key.as_deref(),
            timestamp: self.timestamp_ms,
            headers: (!self.headers.is_empty()).then_some(headers),
            delivery_opaque: (),
        }
    }
}

/// Writes messages. A message that is not written ends the test.
pub struct Producer(BaseProducer<Deliveries>);

/// The first message that was not written, and why.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            // Messages that an aborted transaction had not sent yet.
            Err((KafkaError::MessageProduction(PurgeInflight | PurgeQueue), _)) | Ok(_) => {}
            Err((error, _)) => drop(self.0.lock().unwrap().get_or_insert(error.clone())),
        }
    }
}

impl Broker {
    /// A producer of messages.
    pub fn producer(&self) -> Producer {
        self.producer_with(&[])
    }

    /// The same, with settings of librdkafka such as `("compression.type", "zstd")`.
    pub fn producer_with(&self, settings: &[(&str, &str)]) -> Producer {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("message.max.bytes", "20000000")
            .set("queue.buffering.max.messages", "500000")
            .set("message.timeout.ms", "60000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Producer(config.create_with_context(Deliveries::default()).unwrap())
    }

    /// A producer of transactions. A later one with the same identifier fences this one.
    pub fn transactional(&self, id: &str) -> Producer {
        let producer = self.producer_with(&[("transactional.id", id)]);
        producer.0.init_transactions(PATIENCE).unwrap();
        producer
    }
}

impl Producer {
    /// Queues messages, which are sent in the background.
    pub fn send(&self, topic: &str, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.send_one(topic, &record);
        }
        self.0.poll(Duration::ZERO);
    }

    fn send_one(&self, topic: &str, record: &Record) {
        let deadline = Instant::now() + PATIENCE;
        while let Err((error, _)) = self.0.send(record.to(topic)) {
            assert_eq!(error, KafkaError::MessageProduction(QueueFull));
            assert!(Instant::now() < deadline, "the queue stays full");
            self.0.poll(Duration::from_millis(10));
        }
    }

    /// Waits until all queued messages are written.
    pub fn flush(&self) {
        self.0.flush(PATIENCE).unwrap();
        let failed = self.0.context().0.lock().unwrap().take();
        assert_eq!(failed, None, "a message was not written");
    }

    /// Begins a transaction.
    pub fn begin(&self) {
        self.0.begin_transaction().unwrap();
    }

    /// Commits what was sent since [`begin`](Self::begin).
    pub fn commit(&self) {
        self.flush();
        self.0.commit_transaction(PATIENCE).unwrap();
    }

    /// Aborts what was sent since [`begin`](Self::begin).
    pub fn abort(&self) {
        self.0.abort_transaction(PATIENCE).unwrap();
    }
}
