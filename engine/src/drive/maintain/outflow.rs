//! Tables that go to Kafka. What an epoch changed in them is published when it is committed, and before the next one begins.
//!
//! ```text
//! changes of E durable ─ RECORD of E ─ publish E ─ … ─ RECORD of E + 1
//!                                      └─ again, if it was cut short: Kafka tells whether it holds E
//! ```
//!
//! 1. Kafka holds all epochs before the last commit's. So no more than one is ever missing, and its changes are there.
//! 2. An epoch is published once: Kafka is asked what it holds by whoever opens the state.

use std::path::Path;
use std::sync::Arc;

use tidewater_connectors::file::sink::changes;
use tidewater_connectors::kafka::KeepTrying;
use tidewater_connectors::kafka::sink::{Changes, Publisher, TopicSpec};
use tidewater_connectors::sink::SinkError;

use crate::drive::RunError;
use crate::job::Job;
use crate::state::StateRecord;
use crate::state::directory::StateLayout;

/// The tables of a job that go to Kafka.
pub struct Outflow {
    publisher: Publisher,
    topics: Vec<Arc<TopicSpec>>,
    /// The name of each table, which its changes go by.
    names: Vec<Arc<str>>,
    /// Where the changes of epochs are.
    layout: StateLayout,
}

impl Outflow {
    /// Connects to the brokers, shuts out whoever published for this state before, and publishes the last epoch if that
    /// was cut short; `None` for a job without such tables.
    ///
    /// # Errors
    /// When brokers cannot be reached for as long as `keep_trying` says or refuse, or what they hold is ahead of the state.
    pub fn open(
        job: &Job,
        state: &StateRecord,
        layout: StateLayout,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Option<Self>, RunError> {
        let sinks = job.sinks.iter();
        let sinks = sinks.filter_map(|sink| Some((sink.topic()?.clone(), sink.name.clone())));
        let (topics, names): (Vec<_>, Vec<_>) = sinks.unzip();
        if topics.is_empty() {
            return Ok(None);
        }
        let id = format!("{}-{:x}", state.id, state.born_ms);
        let mut outflow = Self {
            publisher: Publisher::open(&id, &topics, keep_trying)?,
            topics,
            names,
            layout,
        };
        let held = outflow.publisher.held().unwrap_or(0);
        if held > state.epoch {
            return Err(RunError::Sink(ahead(&outflow.topics, held, state.epoch)));
        }
        if held < state.epoch && state.published < state.epoch {
            outflow.publish(state.epoch, keep_trying)?;
        }
        Ok(Some(outflow))
    }

    /// Publishes what an epoch changed.
    ///
    /// # Errors
    /// When that is not to be had. The epoch is committed all the same; who opens the state next publishes it.
    pub fn publish(
        &mut self,
        epoch: u64,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), RunError> {
        let (layout, names) = (&self.layout, &self.names);
        let mut of_table = |table: usize| {
            let name = &names[table];
            of_table(&layout.changes(epoch, name), name)
        };
        Ok(self.publisher.publish(epoch, &mut of_table, keep_trying)?)
    }
}

/// What an epoch changed in a table; nothing, where there is no list.
fn of_table(path: &Path, name: &str) -> Result<Option<Changes<'static>>, SinkError> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Box::new(changes(name, path)?)))
}

fn ahead(topics: &[Arc<TopicSpec>], held: u64, epoch: u64) -> SinkError {
    let place = topics.iter().map(|topic| topic.location.to_string());
    SinkError::Kafka {
        place: place.collect::<Vec<_>>().join(", "),
        message: format!(
            "holds epoch {held} of this state, which is at epoch {epoch}: is it an older copy? Go on with the newer one, or \
             begin a new state in an empty directory, with topics that are empty"
        ),
    }
}
