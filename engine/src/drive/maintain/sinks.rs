//! Tables that are published to other systems. Their changes are published after the epoch's commit and before the
//! next epoch.
//!
//! ```text
//! changes of E durable ─ stage E ─ RECORD of E ─ publish E ─ … ─ RECORD of E + 1
//!                                               └─ again, if it was cut short: the system tells whether it holds E
//! ```
//!
//! 1. A system holds all epochs before the last commit's. So at most one epoch is missing, and its changes are
//!    available.
//! 2. An epoch is published once. A process that opens the state asks the system which epochs it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewater_connectors::file::sink::changes;
use tidewater_connectors::sink::SinkError;
use tidewater_connectors::sink_connector::{
    ChangeBatches, EpochChanges, KeepTrying, Sink, SinkConnector, SinkSession, SinkState,
    StagedSinks,
};

use crate::drive::RunError;
use crate::job::Job;
use crate::state::StateRecord;
use crate::state::directory::StateLayout;

/// The sinks of a job, by connector.
#[derive(Default)]
pub struct OpenSinks {
    connectors: Vec<ConnectorSinks>,
}

/// A job's sinks of one connector.
struct ConnectorSinks {
    connector: &'static dyn SinkConnector,
    session: Box<dyn SinkSession>,
    /// The name of each sink's table, which names its file of changes.
    tables: Vec<Arc<str>>,
    layout: StateLayout,
}

/// The files of an epoch's changes.
struct ListedChanges<'a> {
    layout: &'a StateLayout,
    epoch: u64,
    tables: &'a [Arc<str>],
}

impl EpochChanges for ListedChanges<'_> {
    fn of_sink(&self, sink: usize) -> Result<Option<ChangeBatches>, SinkError> {
        let Some(table) = self.tables.get(sink) else {
            return Ok(None);
        };
        let path = self.layout.changes(self.epoch, table);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Box::new(changes(table, &path)?)))
    }
}

impl OpenSinks {
    /// Connects to the systems of published tables, shuts out any process that published for this state before, and
    /// publishes the last epoch if that was interrupted.
    ///
    /// # Errors
    /// When a system refuses, cannot be reached for as long as `keep_trying` says, or holds a later epoch than the
    /// state.
    pub fn open(
        job: &Job,
        state: &StateRecord,
        layout: &StateLayout,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Self, RunError> {
        let mut by_connector: BTreeMap<&str, Vec<(Arc<dyn Sink>, Arc<str>)>> = BTreeMap::new();
        for sink in &job.sinks {
            if let Some(target) = sink.external() {
                let sinks = by_connector.entry(target.connector().name()).or_default();
                sinks.push((Arc::clone(target), Arc::clone(&sink.name)));
            }
        }
        let mut connectors = Vec::new();
        for sinks in by_connector.into_values() {
            connectors.push(ConnectorSinks::open(sinks, state, layout, keep_trying)?);
        }
        Ok(Self { connectors })
    }

    /// Whether there are no sinks.
    pub fn is_empty(&self) -> bool {
        self.connectors.is_empty()
    }

    /// Writes an epoch where it is not visible. Returns data for its record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stage(&mut self, epoch: u64) -> Result<StagedSinks, RunError> {
        let mut staged = StagedSinks::new();
        for one in &mut self.connectors {
            let changes = ListedChanges {
                layout: &one.layout,
                epoch,
                tables: &one.tables,
            };
            let of_connector = one.session.stage(epoch, &changes)?;
            if !of_connector.is_empty() {
                staged.insert(one.connector.name().to_owned(), of_connector);
            }
        }
        Ok(staged)
    }

    /// Publishes a committed epoch.
    ///
    /// # Errors
    /// When it cannot be published. It is committed all the same, and the next session publishes it.
    pub fn publish(
        &mut self,
        state: &StateRecord,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), RunError> {
        for one in &mut self.connectors {
            let changes = ListedChanges {
                layout: &one.layout,
                epoch: state.epoch,
                tables: &one.tables,
            };
            let staged = staged_of(state, one.connector);
            one.session
                .publish(state.epoch, staged, &changes, keep_trying)?;
        }
        Ok(())
    }
}

impl ConnectorSinks {
    fn open(
        sinks: Vec<(Arc<dyn Sink>, Arc<str>)>,
        state: &StateRecord,
        layout: &StateLayout,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Self, RunError> {
        let (sinks, tables): (Vec<Arc<dyn Sink>>, Vec<Arc<str>>) = sinks.into_iter().unzip();
        let connector = sinks.first().map(|sink| sink.connector());
        let connector =
            connector.ok_or_else(|| RunError::Usage("a connector has no sinks".into()))?;
        let id = format!("{}-{:x}", state.id, state.born_ms);
        let of_state = SinkState {
            id: &id,
            epoch: state.epoch,
            published: state.published,
            staged: staged_of(state, connector),
        };
        let mut session = connector.open(&sinks, &of_state, keep_trying)?;
        let changes = ListedChanges {
            layout,
            epoch: state.epoch,
            tables: &tables,
        };
        session.recover(&of_state, &changes, keep_trying)?;
        Ok(Self {
            connector,
            session,
            tables,
            layout: layout.clone(),
        })
    }
}

fn staged_of<'a>(state: &'a StateRecord, connector: &dyn SinkConnector) -> &'a [u8] {
    let staged = state.staged.get(connector.name());
    staged.map_or(&[], Vec::as_slice)
}
