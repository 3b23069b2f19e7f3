//! Requests about a topic: its partitions, their begins and ends, and the offsets of a time.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Consumer, failed, passes};
use super::location::Location;
use tidewater_contract::error::SourceError;
use tidewater_formats::options::nearest;

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edges {
    /// The first offset that still exists.
    pub begin: i64,
    /// The offset after the last readable one. Under `read_committed` it is before the first open transaction.
    pub end: i64,
}

pub(super) const MAY_NOT_READ: &str =
    "this user may not read the topic; whoever administers it has to allow Describe and Read";

/// Asks brokers about a topic. No answer within the time is an error.
pub(super) struct Asking<'a> {
    pub consumer: &'a Consumer,
    pub location: &'a Location,
    pub within: Duration,
}

/// Why a request failed.
pub(super) enum Unanswered {
    /// No broker answered, or not the responsible one. The client's reason.
    Unreached(String),
    /// The broker answered with an error.
    Failed(SourceError),
}

/// How often to ask for a topic that does not exist, and at which interval. A broker that has just started may not
/// know it yet.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// How long to wait for the client's next event about its connections.
const HEARING: Duration = Duration::from_millis(20);

impl Asking<'_> {
    /// The edges of the topic's partitions.
    pub(super) fn edges(&self) -> Result<BTreeMap<i32, Edges>, Unanswered> {
        let partitions = self.partitions()?;
        let begins = self.offsets(&partitions, Offset::Beginning)?;
        let ends = self.offsets(&partitions, Offset::End)?;
        let edges = begins.iter().map(|(&partition, &begin)| {
            let end = ends.get(&partition).copied().unwrap_or(begin);
            (partition, Edges { begin, end })
        });
        Ok(edges.collect())
    }

    /// For each partition, the offset of the first message at or after a time in milliseconds since 1970. Partitions
    /// without such a message are left out.
    pub(super) fn at(&self, partitions: &[i32], ms: i64) -> Result<BTreeMap<i32, i64>, Unanswered> {
        self.offsets(partitions, Offset::Offset(ms.max(0)))
    }

    fn partitions(&self) -> Result<Vec<i32>, Unanswered> {
        for _ in 0..ATTEMPTS {
            if let Some(partitions) = self.known_partitions()? {
                return Ok(partitions);
            }
            self.consumer.poll(PAUSE);
        }
        Err(Unanswered::Failed(self.missing()))
    }

    /// The topic's partitions; `None` if the topic does not exist.
    fn known_partitions(&self) -> Result<Option<Vec<i32>>, Unanswered> {
        let topic = self.location.topic.as_str();
        let answer = self.consumer.fetch_metadata(Some(topic), self.within);
        let metadata = answer.map_err(|error| self.unanswered(&error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        if let Some(error) = found.error() {
            return match error.into() {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    Ok(None)
                }
                code => Err(self.unanswered(&KafkaError::MetadataFetch(code))),
            };
        }
        let partitions = found.partitions().iter().map(MetadataPartition::id);
        Ok(Some(partitions.collect()).filter(|partitions: &Vec<i32>| !partitions.is_empty()))
    }

    fn missing(&self) -> SourceError {
        let Location { brokers, topic } = self.location;
        let all = self.consumer.fetch_metadata(None, self.within);
        let names = all.map(|all| {
            let names = all.topics().iter().map(|topic| topic.name().to_owned());
            names.collect::<Vec<_>>()
        });
        let names = names.unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match nearest(topic, &names) {
            Some(near) => format!("did you mean '{near}'?"),
            None => "was it deleted, or is it to be created?".to_owned(),
        };
        failed(
            self.location,
            format!("there is no topic '{topic}' at {brokers}; {hint}"),
        )
    }

    /// The offsets that `ListOffsets` gives for a time, or for one of its two special times. Those are the numbers of
    /// librdkafka's [`Offset::Beginning`] and [`Offset::End`]. Sends one request to each broker.
    fn offsets(
        &self,
        partitions: &[i32],
        wanted: Offset,
    ) -> Result<BTreeMap<i32, i64>, Unanswered> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let topic = self.location.topic.as_str();
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked
                .add_partition_offset(topic, partition, wanted)
                .map_err(|error| self.unanswered(&error))?;
        }
        let answer = self.consumer.offsets_for_times(asked, self.within);
        let answer = answer.map_err(|error| self.unanswered(&error))?;
        let mut offsets = BTreeMap::new();
        for element in answer.elements_for_topic(topic) {
            element.error().map_err(|error| self.unanswered(&error))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    fn unanswered(&self, error: &KafkaError) -> Unanswered {
        let code = error.rdkafka_error_code();
        if code.is_some_and(passes) {
            // The client's events about its connections wait in its queue.
            while self.consumer.poll(HEARING).is_some() {}
            let why = code.map_or_else(String::new, |code| code.to_string());
            return Unanswered::Unreached(why);
        }
        let message = match code {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => MAY_NOT_READ.to_owned(),
            _ => format!("cannot be asked for its partitions: {error}"),
        };
        Unanswered::Failed(failed(self.location, message))
    }
}
