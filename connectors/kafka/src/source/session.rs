//! A topic while a state is open: its consumer, the log of its messages, and its committed position.
//!
//! 1. The stream is at the position of the last commit. The messages of a failed epoch are discarded.
//! 2. Kept messages are durable before the commit that refers to them.

use std::sync::Arc;
use std::time::Duration;

use tidewater_contract::checkpoint::{Checkpoint, CheckpointUpdate};
use tidewater_contract::connector::{
    ChangeRules, SourceChanges, SourceSession, SourceState, SourceStream,
};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

use super::changes::TopicChanges;
use super::kept_log::{KeptLog, POSITION, log_directory};
use crate::KafkaSource;
use crate::log::MessageLog;
use crate::position::StreamPosition;
use crate::stream::Stream;

/// A topic while a state is open.
pub(super) struct TopicSession {
    spec: Arc<SourceSpec>,
    stream: Stream,
    log: Arc<KeptLog>,
    /// The position as of the last commit.
    position: StreamPosition,
}

impl TopicSession {
    /// Connects to the brokers, to continue from a checkpoint.
    ///
    /// # Errors
    /// When the brokers cannot be reached, the topic does not exist, unread messages are gone, or the log is damaged.
    pub(super) fn resume(
        source: &KafkaSource,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Self, SourceError> {
        let known: Option<StreamPosition> = state.checkpoint.get(POSITION)?;
        let directory = log_directory(state.directory, spec);
        let mut position = known.clone().unwrap_or_default();
        let log = Arc::new(MessageLog::open(&directory, &position.segments)?);
        let group = format!("tidewater-{}-{}", state.id, spec.name);
        let stream = Stream::open(spec, known.as_ref(), &group)?;
        position.topic.clone_from(&source.location.topic);
        Ok(Self {
            spec: Arc::clone(spec),
            stream,
            log: Arc::new(KeptLog { directory, log }),
            position,
        })
    }
}

impl SourceSession for TopicSession {
    fn changes(
        &mut self,
        _checkpoint: &Checkpoint,
        _: ChangeRules<'_>,
    ) -> Result<Box<dyn SourceChanges>, SourceError> {
        Ok(Box::new(TopicChanges::new(
            Arc::clone(&self.spec),
            self.stream.clone(),
            Arc::clone(&self.log),
            self.position.clone(),
        )))
    }

    fn stream(&self) -> Option<Arc<dyn SourceStream>> {
        Some(Arc::new(self.stream.clone()))
    }

    fn committed(&mut self, update: &CheckpointUpdate) {
        let committed = Checkpoint {
            entries: update.put.clone(),
            was_read: true,
        };
        if let Ok(Some(position)) = committed.get::<StreamPosition>(POSITION) {
            self.stream.committed(&position);
            self.position = position;
        }
    }
}

impl SourceStream for Stream {
    fn wait(&self, most: Duration) -> Result<bool, SourceError> {
        Stream::wait(self, most)
    }

    fn lag(&self) -> u64 {
        Stream::lag(self)
    }

    fn trouble(&self) -> Option<String> {
        Stream::trouble(self)
    }

    fn watch(&self) {
        Stream::watch(self);
    }
}
