//! Publishes a job's epochs to all its topics, in any number of clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cluster::Cluster;
use super::messages::Changes;
use super::topic::TopicSpec;
use tidewater_contract::sink::SinkError;
use tidewater_contract::sink_connector::KeepTrying;

/// Writes the epochs of a job's tables to their topics.
pub struct Publisher {
    clusters: Vec<Cluster>,
}

impl Publisher {
    /// Connects to the brokers of all topics, fences off earlier producers for the same `id`, and asks which epochs
    /// Kafka holds. `id` is the state's: letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// When a topic does not exist, a broker refuses, or none answers and `keep_trying` gives up. Also the errors of
    /// [`check_topics`](Self::check_topics).
    pub fn open(
        id: &str,
        topics: &[Arc<TopicSpec>],
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Self, SinkError> {
        Self::check_topics(topics)?;
        let mut by_brokers: BTreeMap<&str, Vec<(usize, Arc<TopicSpec>)>> = BTreeMap::new();
        for (index, topic) in topics.iter().enumerate() {
            let of_brokers = by_brokers.entry(&topic.location.brokers).or_default();
            of_brokers.push((index, Arc::clone(topic)));
        }
        let clusters = by_brokers.into_values();
        let clusters = clusters.map(|topics| Cluster::open(id, topics, keep_trying));
        let clusters = clusters.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { clusters })
    }

    /// Checks that topics do not conflict: no two tables with one topic, and the same `kafka.…` options for all
    /// tables that share brokers, since they share a transaction.
    ///
    /// # Errors
    /// When they conflict.
    pub fn check_topics(topics: &[Arc<TopicSpec>]) -> Result<(), SinkError> {
        for (index, topic) in topics.iter().enumerate() {
            for other in &topics[..index] {
                let failed = |message: String| SinkError::Kafka {
                    place: format!("table {}", topic.table),
                    message,
                };
                if topic.location.brokers != other.location.brokers {
                    continue;
                }
                if topic.location == other.location {
                    return Err(failed(format!(
                        "{} is already where {} goes; give each table a topic of its own",
                        topic.location, other.table
                    )));
                }
                if topic.options.client != other.options.client {
                    return Err(failed(format!(
                        "its options 'kafka.…' are not those of {}, with which it shares brokers and transactions; give \
                         both the same",
                        other.table
                    )));
                }
            }
        }
        Ok(())
    }

    /// The last epoch that Kafka holds in every cluster; `None` if none is found. A later epoch may be held as well,
    /// since an epoch without changes leaves no marker.
    pub fn held(&self) -> Option<u64> {
        let held = self.clusters.iter().map(Cluster::held);
        held.min().flatten()
    }

    /// Writes the changes of an epoch, in one transaction for each cluster. Writes nothing if there are no changes or
    /// the epoch is held already. `changes` returns the changes of a topic, by its index among the topics given to
    /// [`open`](Self::open), or `None`. It is called once for each attempt. Temporary errors are retried for as long
    /// as `keep_trying` says.
    ///
    /// # Errors
    /// When changes cannot be read or turned into messages, a broker refuses, another process writes for the same
    /// state, or `keep_trying` gives up. The epoch is then not in Kafka, or its fate is unknown until the next
    /// [`open`](Self::open).
    pub fn publish(
        &mut self,
        epoch: u64,
        changes: &mut dyn FnMut(usize) -> Result<Option<Changes<'static>>, SinkError>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        for cluster in &mut self.clusters {
            cluster.publish(epoch, changes, keep_trying)?;
        }
        Ok(())
    }
}
