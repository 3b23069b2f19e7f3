//! Feeds records into a topic, one after the other, for trials. At least once: a record whose fate is unknown is sent again by
//! librdkafka, which keeps their order and drops what arrives twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::location::Location;
use super::producer::{Failed, Listener, config};
use crate::sink::SinkError;

/// How long brokers have to answer.
const WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for room at a time.
const STEP: Duration = Duration::from_millis(50);
/// Records after which the producer is served.
const SERVE_EVERY: u64 = 1024;

/// A topic that is fed.
pub struct Feed {
    location: Location,
    producer: BaseProducer<Listener>,
    sent: u64,
}

impl Feed {
    /// Connects to the brokers. `client` holds settings as librdkafka names them.
    ///
    /// # Errors
    /// When no broker answers, there is no such topic, or a setting means nothing.
    pub fn open(location: &Location, client: &BTreeMap<String, String>) -> Result<Self, SinkError> {
        let settings = config(&location.brokers, client, &[]);
        let producer = BaseProducer::from_config_and_context(&settings, Listener::default());
        let producer: BaseProducer<Listener> =
            producer.map_err(|error| failed(location, error.to_string()))?;
        let feed = Self {
            location: location.clone(),
            producer,
            sent: 0,
        };
        feed.check_topic()?;
        Ok(feed)
    }

    fn check_topic(&self) -> Result<(), SinkError> {
        let Location { brokers, topic } = &self.location;
        let metadata = self.producer.client().fetch_metadata(Some(topic), WITHIN);
        let metadata = metadata.map_err(|error| {
            let why = self.producer.context().news().unwrap_or(error.to_string());
            let message = format!("no broker answered within {} s: {why}", WITHIN.as_secs());
            failed(&self.location, message)
        })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if found.is_some_and(|found| MetadataTopic::error(found).is_none()) {
            return Ok(());
        }
        let message = format!(
            "there is no such topic; create it: kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} \
             --partitions 6"
        );
        Err(failed(&self.location, message))
    }

    /// Sends a record; waits while too many are on their way.
    ///
    /// # Errors
    /// When the brokers refuse one that was sent.
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

    /// Waits until all records are there.
    ///
    /// # Errors
    /// When the brokers refuse one.
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
                let message = format!("a record of {bytes} bytes was not taken: {error}");
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
