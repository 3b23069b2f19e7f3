//! Sinks: systems that get the changes of tables, epoch by epoch.
//!
//! ```text
//! changes of E durable ─ stage E ─ RECORD of E ─ publish E ─ … ─ RECORD of E + 1
//!                                               └─ recover, if the process dies here: publishes E unless the sink holds it
//! ```
//!
//! The engine keeps every table as files. A table that goes elsewhere is kept in the state, and its changes go to a sink.
//!
//! 1. A sink holds all epochs before the last commit's, whole: [`recover`](SinkSession::recover) or
//!    [`publish`](SinkSession::publish) has succeeded before the next epoch begins.
//! 2. An epoch that the sink holds is not published again.
//! 3. What [`stage`](SinkSession::stage) writes nobody sees before the epoch is published. Its result is part of the record.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::declaration::{DeclarationError, SinkDeclaration};
use crate::sink::{SinkError, SortKey};

/// Asked with the reason whenever something has to be tried again, about once a second; `false` gives up.
pub type KeepTrying<'a> = dyn FnMut(&str) -> bool + 'a;

/// The changes of a table in an epoch: its columns and, last, how often each row was inserted (above zero) or retracted
/// (below), in the [order](Sink::order) of the sink.
pub type ChangeBatches = Box<dyn Iterator<Item = Result<RecordBatch, SinkError>>>;

/// A kind of systems that tables go to.
pub trait SinkConnector: Debug + Send + Sync {
    /// Its name in a state. Never changes.
    fn name(&self) -> &'static str;

    /// The system's name, as people write it.
    fn title(&self) -> &'static str;

    /// Whether a target is one of the connector's.
    fn accepts(&self, target: &str) -> bool;

    /// Parses a declaration whose target it accepts. Opens nothing.
    ///
    /// # Errors
    /// All mistakes of the declaration.
    fn parse(
        &self,
        declaration: &SinkDeclaration<'_>,
    ) -> Result<Arc<dyn Sink>, Vec<DeclarationError>>;

    /// Checks that the sinks of a job go together.
    ///
    /// # Errors
    /// When they do not: two to the same target, say.
    fn check(&self, sinks: &[Arc<dyn Sink>]) -> Result<(), SinkError>;

    /// Connects to the targets of all sinks that a job has of the connector, and shuts out whoever published for the same
    /// state before.
    ///
    /// # Errors
    /// When a target is not there, or is out of reach and `keep_trying` gives up.
    fn open(
        &self,
        sinks: &[Arc<dyn Sink>],
        state: &SinkState<'_>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Box<dyn SinkSession>, SinkError>;
}

/// Where a table goes, as its declaration says.
pub trait Sink: Debug + Send + Sync {
    /// Its connector.
    fn connector(&self) -> &'static dyn SinkConnector;

    /// Itself, for its connector to downcast.
    fn as_any(&self) -> &dyn Any;

    /// The order in which changes must come.
    fn order(&self) -> Vec<SortKey>;

    /// Lines that describe it to people: what goes where, and how.
    fn describe(&self) -> Vec<String>;
}

/// The state whose tables are published.
#[derive(Clone, Debug)]
pub struct SinkState<'a> {
    /// Tells the state from others, also from others that were in the same place.
    pub id: &'a str,
    /// The last committed epoch; 0 before the first.
    pub epoch: u64,
    /// The last epoch that the sinks are known to hold.
    pub published: u64,
    /// What [`stage`](SinkSession::stage) gave for the last committed epoch.
    pub staged: &'a [u8],
}

/// The changes of each table of an epoch.
pub trait EpochChanges {
    /// The changes of the table of a sink, by its index; `None` where there are none. May be asked more than once.
    ///
    /// # Errors
    /// When they cannot be read.
    fn of_sink(&self, sink: usize) -> Result<Option<ChangeBatches>, SinkError>;
}

/// The sinks that a job has of a connector, while a state is open.
pub trait SinkSession: Send {
    /// Publishes the last committed epoch unless the sinks hold it.
    ///
    /// # Errors
    /// When they hold a later one, or it cannot be published.
    fn recover(
        &mut self,
        state: &SinkState<'_>,
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError>;

    /// Writes an epoch where nobody sees it, before its record; gives what the record is to say of it.
    ///
    /// # Errors
    /// When it cannot be written. The epoch is not committed then.
    fn stage(&mut self, _epoch: u64, _changes: &dyn EpochChanges) -> Result<Vec<u8>, SinkError> {
        Ok(Vec::new())
    }

    /// Publishes an epoch after its record; `staged` is what [`stage`](Self::stage) gave.
    ///
    /// # Errors
    /// When it cannot be published. It is committed all the same; whoever opens the state next recovers it.
    fn publish(
        &mut self,
        epoch: u64,
        staged: &[u8],
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError>;
}

/// What the sessions of a job staged, by connector.
pub type StagedSinks = BTreeMap<String, Vec<u8>>;
