//! Sends records to a topic, one by one, for trials. The producer is idempotent: librdkafka resends a record whose
//! fate is unknown, keeps the order, and brokers drop duplicates.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::location::Location;
use super::producer::{Failed, Listener, config};
use tidewater_contract::sink::SinkError;

/// How long to wait for brokers.
const WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for room in the queue before looking again.
const STEP: Duration = Duration::from_millis(50);
/// How often, and at which interval, the brokers are asked for a topic that was just created.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// Records between two calls that serve the producer.
const SERVE_EVERY: u64 = 1024;

/// A topic that records are sent to.
pub struct Feed {
    location: Location,
    producer: BaseProducer<Listener>,
    sent: u64,
}

impl Feed {
    /// Connects to the brokers. `client` holds settings by librdkafka's names. With `partitions`, the topic is
    /// created if it does not exist.
    ///
    /// # Errors
    /// When no broker answers, the topic does not exist, or a setting is invalid.
    pub fn open(
        location: &Location,
        client: &BTreeMap<String, String>,
        partitions: Option<i32>,
    ) -> Result<Self, SinkError> {
        let settings = config(&location.brokers, client, &[]);
        let producer = BaseProducer::from_config_and_context(&settings, Listener::default());
        let producer: BaseProducer<Listener> =
            producer.map_err(|error| failed(location, error.to_string()))?;
        let feed = Self {
            location: location.clone(),
            producer,
            sent: 0,
        };
        match (feed.is_there()?, partitions) {
            (true, _) => return Ok(feed),
            (false, Some(partitions)) => feed.create(client, partitions)?,
            (false, None) => {}
        }
        // A topic that was just created may not be known to the broker at once.
        for _ in 0..ATTEMPTS {
            if feed.is_there()? {
                return Ok(feed);
            }
            if partitions.is_none() {
                break;
            }
            feed.producer.poll(PAUSE);
        }
        let message = "there is no such topic; --partitions N creates it".to_owned();
        Err(failed(location, message))
    }

    /// Creates the topic with the brokers' default replication.
    fn create(&self, client: &BTreeMap<String, String>, partitions: i32) -> Result<(), SinkError> {
        let Location { brokers, topic } = &self.location;
        let fail = |error: String| failed(&self.location, format!("cannot be created: {error}"));
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", brokers);
        settings.extend(client.clone());
        let admin: AdminClient<DefaultClientContext> =
            settings.create().map_err(|error| fail(error.to_string()))?;
        let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(WITHIN));
        let mut made = pin!(admin.create_topics([&wanted], &options));
        let made = loop {
            match made.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(made) => break made.map_err(|error| fail(error.to_string()))?,
                Poll::Pending => std::thread::sleep(STEP),
            }
        };
        match made.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(fail(code.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn is_there(&self) -> Result<bool, SinkError> {
        let topic = &self.location.topic;
        let metadata = self.producer.client().fetch_metadata(Some(topic), WITHIN);
        let metadata = metadata.map_err(|error| {
            let why = self.producer.context().news().unwrap_or(error.to_string());
            let message = format!("no broker answered within {} s: {why}", WITHIN.as_secs());
            failed(&self.location, message)
        })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.is_some_and(|found| found.error().is_none() && !found.partitions().is_empty()))
    }

    /// Sends a record. Waits while too many are in flight.
    ///
    /// # Errors
    /// When the brokers refuse a record.
    pub fn send(&mut self, key: Option<&[u8]>, value: &[u8]) -> Result<(), SinkError> {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.location.topic).payload(value);
        record.key = key;
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((error, again))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                {
                    record = again;
                    self.serve(STEP)?;
                }
                Err((error, _)) => return Err(failed(&self.location, error.to_string())),
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(SERVE_EVERY) {
            self.serve(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Waits until all records have been delivered.
    ///
    /// # Errors
    /// When the brokers refuse a record that is still in flight.
    pub fn finish(self) -> Result<u64, SinkError> {
        while self.producer.in_flight_count() > 0 {
            self.serve(STEP)?;
        }
        self.serve(Duration::ZERO)?;
        Ok(self.sent)
    }

    fn serve(&self, wait: Duration) -> Result<(), SinkError> {
        self.producer.poll(wait);
        match self.producer.context().failed() {
            None => Ok(()),
            Some(Failed { error, bytes, .. }) => {
                let message = format!("a record of {bytes} bytes was not accepted: {error}");
                Err(failed(&self.location, message))
            }
        }
    }
}

fn failed(location: &Location, message: String) -> SinkError {
    SinkError::Kafka {
        place: location.to_string(),
        message,
    }
}
