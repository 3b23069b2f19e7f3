//! Reads all current messages of a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::{PATIENCE, Topic};

/// A message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

impl Topic<'_> {
    /// All messages of committed transactions and outside of transactions, by partition and offset. Reads up to the
    /// end, or to the first open transaction. The mock cluster returns messages of aborted and open transactions too.
    pub fn read_committed(&self) -> Vec<Received> {
        self.read("read_committed")
    }

    /// The same, including messages of aborted and open transactions.
    pub fn read_uncommitted(&self) -> Vec<Received> {
        self.read("read_uncommitted")
    }

    fn read(&self, isolation: &str) -> Vec<Received> {
        let consumer = self.assigned(isolation);
        let mut unread: BTreeSet<i32> = (0..self.partitions()).collect();
        let mut messages = Vec::new();
        let mut last = Instant::now();
        while !unread.is_empty() {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => messages.push(received(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                Some(Err(error)) if passes(&error) && last.elapsed() < PATIENCE => continue,
                Some(Err(error)) => panic!("{}: {error}", self.name()),
                None => panic!("{}: no end of partitions {unread:?}", self.name()),
            }
            last = Instant::now();
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }

    /// A consumer of all partitions from their first messages. It reports the end of a partition.
    fn assigned(&self, isolation: &str) -> BaseConsumer {
        let consumer: BaseConsumer = self
            .broker
            .client()
            .set("group.id", "tidewater-tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        all.add_partition_range(self.name(), 0, self.partitions() - 1);
        all.set_all_offsets(Offset::Beginning).unwrap();
        consumer.assign(&all).unwrap();
        consumer
    }
}

/// Whether an error is temporary. A broker that was just started may not be found yet.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
    )
}

fn received(message: &BorrowedMessage<'_>) -> Received {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Received {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(Into::into),
        value: message.payload().map(Into::into),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(Into::into)))
            .collect(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

/// The content of a compacted topic: the last value of each key, without keys whose last message is a tombstone.
///
/// # Panics
/// When a message has no key.
#[must_use]
pub fn fold(messages: &[Received]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut table = BTreeMap::new();
    for message in messages {
        let key = message.key.clone().expect("a key to fold by");
        match &message.value {
            Some(value) => table.insert(key, value.clone()),
            None => table.remove(&key),
        };
    }
    table
}
