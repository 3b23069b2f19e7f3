//! The sink connector of `kafka://` targets.

use std::any::Any;
use std::sync::Arc;

use tidewater_contract::declaration::{DeclarationError, DeclarationPart, SinkDeclaration};
use tidewater_contract::sink::{SinkError, SortKey};
use tidewater_contract::sink_connector::{
    EpochChanges, KeepTrying, Sink, SinkConnector, SinkSession, SinkState,
};

use super::publisher::Publisher;
use super::topic::{Mode, TopicOptions, TopicSpec};
use crate::location::Location;
use crate::source::parse_location;

/// The connector of topics as sinks.
#[derive(Debug)]
pub struct KafkaSinks;

/// The connector of topics as sinks.
pub static KAFKA_SINKS: KafkaSinks = KafkaSinks;

impl SinkConnector for KafkaSinks {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn title(&self) -> &'static str {
        "Kafka"
    }

    fn example(&self) -> &'static str {
        "kafka://host:9092/topic"
    }

    fn options(&self) -> &'static [&'static str] {
        &["key", "mode", "kafka."]
    }

    fn accepts(&self, target: &str) -> bool {
        Location::is_kafka(target)
    }

    fn parse(
        &self,
        declaration: &SinkDeclaration<'_>,
    ) -> Result<Arc<dyn Sink>, Vec<DeclarationError>> {
        let mut errors = Vec::new();
        let location = parse_location(declaration.target).map_err(|error| errors.push(error));
        if !declaration.partitioned_by.is_empty() {
            errors.push(DeclarationError::new(
                DeclarationPart::PartitionedBy,
                "a topic has no PARTITIONED BY: its partitions are chosen by the key",
                "remove it",
            ));
        }
        if let Some(format) = declaration.stored_as
            && !format.eq_ignore_ascii_case("JSON")
        {
            errors.push(DeclarationError::new(
                DeclarationPart::StoredAs,
                format!("messages are JSON, not {format}"),
                "write STORED AS JSON",
            ));
        }
        let options = TopicOptions::parse(declaration.options, declaration.schema)
            .map_err(|error| errors.push(error.into()));
        match (location, options) {
            (Ok(location), Ok(options)) if errors.is_empty() => Ok(Arc::new(TopicSpec {
                table: Arc::from(declaration.relation),
                location,
                schema: Arc::clone(declaration.schema),
                options,
            })),
            _ => Err(errors),
        }
    }

    fn check(&self, sinks: &[Arc<dyn Sink>]) -> Result<(), SinkError> {
        Publisher::check_topics(&topics(sinks)?)
    }

    fn open(
        &self,
        sinks: &[Arc<dyn Sink>],
        state: &SinkState<'_>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Box<dyn SinkSession>, SinkError> {
        let topics = topics(sinks)?;
        Ok(Box::new(TopicsSession {
            publisher: Publisher::open(state.id, &topics, keep_trying)?,
            topics,
        }))
    }
}

/// The topics of sinks that this connector parsed.
fn topics(sinks: &[Arc<dyn Sink>]) -> Result<Vec<Arc<TopicSpec>>, SinkError> {
    let topics = sinks.iter().map(|sink| {
        let topic: Option<&TopicSpec> = sink.as_any().downcast_ref();
        let foreign = || SinkError::Kafka {
            place: format!("{sink:?}"),
            message: "is no topic".to_owned(),
        };
        topic.cloned().map(Arc::new).ok_or_else(foreign)
    });
    topics.collect()
}

impl Sink for TopicSpec {
    fn connector(&self) -> &'static dyn SinkConnector {
        &KAFKA_SINKS
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn order(&self) -> Vec<SortKey> {
        self.options.order()
    }

    fn describe(&self) -> Vec<String> {
        let mode = match self.options.mode {
            Mode::Upsert => "upsert",
            Mode::Changelog => "changelog",
        };
        let key = self.options.key.iter();
        let key: Vec<&str> = key
            .filter_map(|at| Some(self.schema.fields().get(*at)?.name().as_str()))
            .collect();
        let mode = match key.as_slice() {
            [] => mode.to_owned(),
            key => format!("{mode} by {}", key.join(", ")),
        };
        vec![format!("JSON to {}", self.location), mode]
    }
}

/// A job's topics, while a state is open.
struct TopicsSession {
    publisher: Publisher,
    topics: Vec<Arc<TopicSpec>>,
}

impl SinkSession for TopicsSession {
    fn recover(
        &mut self,
        state: &SinkState<'_>,
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        let held = self.publisher.held().unwrap_or(0);
        if held > state.epoch {
            return Err(ahead(&self.topics, held, state.epoch));
        }
        if held < state.epoch && state.published < state.epoch {
            self.publish(state.epoch, state.staged, changes, keep_trying)?;
        }
        Ok(())
    }

    fn publish(
        &mut self,
        epoch: u64,
        _staged: &[u8],
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError> {
        let mut of_topic = |topic: usize| changes.of_sink(topic);
        self.publisher.publish(epoch, &mut of_topic, keep_trying)
    }
}

fn ahead(topics: &[Arc<TopicSpec>], held: u64, epoch: u64) -> SinkError {
    let place = topics.iter().map(|topic| topic.location.to_string());
    SinkError::Kafka {
        place: place.collect::<Vec<_>>().join(", "),
        message: format!(
            "holds epoch {held} of this state, which is at epoch {epoch}: is it an older copy? Continue with the newer one, or \
             begin a new state in an empty directory, with topics that are empty"
        ),
    }
}
