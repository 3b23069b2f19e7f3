//! The connectors that jobs can name. They are registered here and nowhere else.

use tidewater_contract::connector::SourceConnector;
use tidewater_contract::sink_connector::SinkConnector;

/// Finds connectors by the locations that they accept.
#[derive(Clone, Debug)]
pub struct Registry {
    sources: Vec<&'static dyn SourceConnector>,
    sinks: Vec<&'static dyn SinkConnector>,
}

impl Default for Registry {
    /// All connectors of this build. A new one is a line here.
    fn default() -> Self {
        Self {
            sources: vec![
                &tidewater_files::FILES,
                #[cfg(feature = "kafka")]
                &tidewater_kafka::KAFKA_SOURCES,
            ],
            sinks: vec![
                #[cfg(feature = "kafka")]
                &tidewater_kafka::KAFKA_SINKS,
            ],
        }
    }
}

impl Registry {
    /// Adds a source connector.
    #[must_use]
    pub fn with_source(mut self, connector: &'static dyn SourceConnector) -> Self {
        self.sources.push(connector);
        self
    }

    /// Adds a sink connector.
    #[must_use]
    pub fn with_sink(mut self, connector: &'static dyn SinkConnector) -> Self {
        self.sinks.push(connector);
        self
    }

    /// The connector of a source's location.
    pub fn source(&self, location: &str) -> Option<&'static dyn SourceConnector> {
        let sources = self.sources.iter().copied();
        sources.rev().find(|connector| connector.accepts(location))
    }

    /// The cargo feature of the connector of a location, where this build lacks it.
    pub fn missing_feature(&self, location: &str) -> Option<&'static str> {
        (cfg!(not(feature = "kafka")) && location.starts_with("kafka:")).then_some("kafka")
    }

    /// All connectors of sinks.
    pub fn sinks(&self) -> impl Iterator<Item = &'static dyn SinkConnector> {
        self.sinks.iter().copied()
    }

    /// The connector of a sink's target; `None` for a directory, whose tables the engine publishes itself.
    pub fn sink(&self, target: &str) -> Option<&'static dyn SinkConnector> {
        let sinks = self.sinks.iter().copied();
        sinks.rev().find(|connector| connector.accepts(target))
    }
}
