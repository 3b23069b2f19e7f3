//! Faults: errors inside the dataflow, where an operator has no caller to return an error to.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// An error in an operator.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operator}: {message}")]
pub struct Fault {
    /// The operator's name in the graph.
    pub operator: String,
    /// The error.
    pub message: String,
    /// Its kind.
    pub kind: FaultKind,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Something went wrong.
    Failed,
    /// An expression failed on a row.
    Row,
    /// There was no error, but the data is refused.
    Refused,
}

/// The first fault of a run, shared by all workers. The driver checks for it between steps; a fault ends the run, and
/// nothing is published.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<OnceLock<Fault>>);

impl Faults {
    /// Records a fault, unless there is one already.
    pub fn raise(&self, operator: &str, error: impl Display) {
        self.record(operator, &error, FaultKind::Failed);
    }

    /// Records that an expression failed on a row, unless a fault is already recorded.
    pub fn raise_row(&self, operator: &str, error: impl Display) {
        self.record(operator, &error, FaultKind::Row);
    }

    /// Records that data is refused, unless a fault is already recorded.
    pub fn refuse(&self, operator: &str, reason: impl Display) {
        self.record(operator, &reason, FaultKind::Refused);
    }

    fn record(&self, operator: &str, error: &dyn Display, kind: FaultKind) {
        self.0.get_or_init(|| Fault {
            operator: operator.to_owned(),
            message: error.to_string(),
            kind,
        });
    }

    /// Whether a fault was recorded. Cheap enough for every step.
    pub fn raised(&self) -> bool {
        self.0.get().is_some()
    }

    /// The first fault.
    pub fn first(&self) -> Option<Fault> {
        self.0.get().cloned()
    }

    /// The value, or `None` after recording the error.
    pub fn catch<T, E: Display>(&self, operator: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.raise(operator, error)).ok()
    }
}
