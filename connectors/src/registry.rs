//! The connectors that jobs can name. This is the one place where they are registered.

use tidewater_contract::connector::SourceConnector;
use tidewater_contract::sink_connector::SinkConnector;

/// Connectors, by the locations that they accept.
#[derive(Clone, Debug)]
pub struct Registry {
    sources: Vec<&'static dyn SourceConnector>,
    sinks: Vec<&'static dyn SinkConnector>,
}

impl Default for Registry {
    /// All connectors that this build has. A new one is a line here.
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
    /// The connectors of this registry, and another source.
    #[must_use]
    pub fn with_source(mut self, connector: &'static dyn SourceConnector) -> Self {
        self.sources.push(connector);
        self
    }

    /// The connectors of this registry, and another sink.
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

    /// The connector of a sink's target; `None` for a directory, whose tables the engine publishes itself.
    pub fn sink(&self, target: &str) -> Option<&'static dyn SinkConnector> {
        let sinks = self.sinks.iter().copied();
        sinks.rev().find(|connector| connector.accepts(target))
    }
}
