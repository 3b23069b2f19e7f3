//! Creates, changes and deletes topics. Clients know the change when a call returns.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Builder;

use super::{Broker, Cluster, PATIENCE};

/// A topic of a broker. Dropping this does not delete it.
#[derive(Clone)]
pub struct Topic<'b> {
    pub(super) broker: &'b Broker,
    name: String,
}

impl Broker {
    /// A new topic with a unique name in this process.
    pub fn topic(&self, partitions: i32) -> Topic<'_> {
        self.topic_with(partitions, &[])
    }

    /// The same, with a configuration such as `("cleanup.policy", "compact")`. The mock cluster ignores it.
    pub fn topic_with(&self, partitions: i32, configs: &[(&str, &str)]) -> Topic<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("topic-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions, configs)
    }

    /// A new topic with this name, which must be free.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic<'_> {
        match &self.cluster {
            Cluster::Mock(mock) => mock.create_topic(name, partitions),
            Cluster::Real(_) => {
                let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
                let new = configs
                    .iter()
                    .fold(new, |new, (key, value)| new.set(key, value));
                one(wait(self.admin().create_topics([&new], &options())));
            }
        }
        let topic = self.existing(name);
        topic.wait_for(partitions);
        topic
    }

    /// A topic that is created elsewhere.
    pub fn existing(&self, name: &str) -> Topic<'_> {
        Topic {
            broker: self,
            name: name.to_owned(),
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

impl Topic<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its partitions; 0 if the topic does not exist.
    pub fn partitions(&self) -> i32 {
        let consumer: BaseConsumer = self.broker.client().create().unwrap();
        self.count(&consumer)
    }

    /// The offsets of each partition: from the first that is kept to the next one that will be written.
    pub fn offsets(&self) -> Vec<Range<i64>> {
        let consumer: BaseConsumer = self.broker.client().create().unwrap();
        (0..self.count(&consumer))
            .map(|partition| {
                let (low, high) = consumer
                    .fetch_watermarks(&self.name, partition, PATIENCE)
                    .unwrap();
                low..high
            })
            .collect()
    }

    /// Deletes the topic. Not on the mock cluster.
    pub fn delete(&self) {
        let admin = self.broker.admin();
        one(wait(admin.delete_topics(&[&self.name], &options())));
        self.wait_for(0);
    }

    /// Raises the number of its partitions to `total`. Not on the mock cluster.
    pub fn add_partitions(&self, total: i32) {
        let new = NewPartitions::new(&self.name, usize::try_from(total).unwrap());
        let admin = self.broker.admin();
        one(wait(admin.create_partitions([&new], &options())));
        self.wait_for(total);
    }

    /// Deletes the messages of a partition before an offset. Not on the mock cluster.
    pub fn delete_records(&self, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(before))
            .unwrap();
        let admin = self.broker.admin();
        let done = wait(admin.delete_records(&list, &options())).unwrap();
        done.elements().iter().for_each(|e| e.error().unwrap());
    }

    /// The number of partitions with a leader.
    fn count(&self, consumer: &BaseConsumer) -> i32 {
        let metadata = consumer.fetch_metadata(Some(&self.name), PATIENCE).unwrap();
        let leaders = metadata
            .topics()
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
            .filter(|partition| partition.leader() >= 0)
            .count();
        i32::try_from(leaders).unwrap()
    }

    /// Changes reach a broker's metadata a moment after they are acknowledged.
    fn wait_for(&self, partitions: i32) {
        let consumer: BaseConsumer = self.broker.client().create().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let count = self.count(&consumer);
            if count == partitions {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} has {count} partitions and not {partitions}",
                self.name
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

fn wait<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn one(results: rdkafka::error::KafkaResult<Vec<TopicResult>>) {
    for result in results.unwrap() {
        result.unwrap_or_else(|(topic, code)| panic!("{topic}: {code}"));
    }
}
