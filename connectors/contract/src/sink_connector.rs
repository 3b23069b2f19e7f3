//! Sinks: systems that receive the changes of tables, epoch by epoch.
//!
//! ```text
//! changes of E durable ─ stage E ─ RECORD of E ─ publish E ─ … ─ RECORD of E + 1
//!                                               └─ recover, if the process dies here: publishes E unless the sink holds it
//! ```
//!
//! The engine keeps every table as files. If a table is published elsewhere, its files are in the state, and its
//! changes go to a sink.
//!
//! 1. A sink holds all epochs before the last committed one, completely. The next epoch begins only after
//!    [`recover`](SinkSession::recover) or [`publish`](SinkSession::publish) has succeeded.
//! 2. An epoch that the sink holds is not published again.
//! 3. Nothing that [`stage`](SinkSession::stage) writes is visible before the epoch is published. The result of
//!    `stage` is part of the record.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::declaration::{DeclarationError, SinkDeclaration};
use crate::sink::{SinkError, SortKey};

/// Called with the reason before each retry, about once a second. `false` gives up.
pub type KeepTrying<'a> = dyn FnMut(&str) -> bool + 'a;

/// The changes of a table in an epoch, in the [order](Sink::order) of the sink. The last column says how often a row
/// was inserted (positive) or retracted (negative); the others are the table's.
pub type ChangeBatches = Box<dyn Iterator<Item = Result<RecordBatch, SinkError>>>;

/// A kind of system that tables are published to.
pub trait SinkConnector: Debug + Send + Sync {
    /// The connector's name in a state. It never changes.
    fn name(&self) -> &'static str;

    /// The system's name, as people write it.
    fn title(&self) -> &'static str;

    /// An example of a target, for hints.
    fn example(&self) -> &'static str;

    /// The options that only its sinks have and directories do not, for hints. A name that ends with a dot stands for
    /// all names that begin with it.
    fn options(&self) -> &'static [&'static str];

    /// Whether this connector handles a target.
    fn accepts(&self, target: &str) -> bool;

    /// Parses a declaration whose target the connector accepts. Opens nothing.
    ///
    /// # Errors
    /// All mistakes of the declaration.
    fn parse(
        &self,
        declaration: &SinkDeclaration<'_>,
    ) -> Result<Arc<dyn Sink>, Vec<DeclarationError>>;

    /// Checks that the sinks of a job do not conflict.
    ///
    /// # Errors
    /// When they do, such as two with the same target.
    fn check(&self, sinks: &[Arc<dyn Sink>]) -> Result<(), SinkError>;

    /// Connects to the targets of all of a job's sinks of this connector. Shuts out any process that published for
    /// the same state before.
    ///
    /// # Errors
    /// When a target does not exist, or is out of reach and `keep_trying` gives up.
    fn open(
        &self,
        sinks: &[Arc<dyn Sink>],
        state: &SinkState<'_>,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<Box<dyn SinkSession>, SinkError>;
}

/// The destination of a table, as declared.
pub trait Sink: Debug + Send + Sync {
    /// The sink's connector.
    fn connector(&self) -> &'static dyn SinkConnector;

    /// The value itself, so that its connector can downcast it.
    fn as_any(&self) -> &dyn Any;

    /// The order in which the sink needs changes.
    fn order(&self) -> Vec<SortKey>;

    /// Lines that describe the sink to users.
    fn describe(&self) -> Vec<String>;
}

/// The state whose tables are published.
#[derive(Clone, Debug)]
pub struct SinkState<'a> {
    /// Identifies the state, also among states that were in the same directory before.
    pub id: &'a str,
    /// The last committed epoch; 0 before the first.
    pub epoch: u64,
    /// The last epoch that the sinks are known to hold.
    pub published: u64,
    /// The result of [`stage`](SinkSession::stage) for the last committed epoch.
    pub staged: &'a [u8],
}

/// The changes of each table of an epoch.
pub trait EpochChanges {
    /// The changes of a sink's table, by the sink's index. `None` if there are none. May be called more than once.
    ///
    /// # Errors
    /// When they cannot be read.
    fn of_sink(&self, sink: usize) -> Result<Option<ChangeBatches>, SinkError>;
}

/// A job's sinks of one connector, while a state is open.
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

    /// Writes an epoch where it is not visible, before its record. Returns data for the record.
    ///
    /// # Errors
    /// When it cannot be written. The epoch is not committed then.
    fn stage(&mut self, _epoch: u64, _changes: &dyn EpochChanges) -> Result<Vec<u8>, SinkError> {
        Ok(Vec::new())
    }

    /// Publishes an epoch after its record. `staged` is the result of [`stage`](Self::stage).
    ///
    /// # Errors
    /// When the epoch cannot be published. It is committed all the same, and the next session recovers it.
    fn publish(
        &mut self,
        epoch: u64,
        staged: &[u8],
        changes: &dyn EpochChanges,
        keep_trying: &mut KeepTrying<'_>,
    ) -> Result<(), SinkError>;
}

/// The results of [`stage`](SinkSession::stage), by connector.
pub type StagedSinks = BTreeMap<String, Vec<u8>>;
