//! Faults: errors met inside the dataflow, where no caller can be returned to.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An error met by an operator.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operator}: {message}")]
pub struct Fault {
    /// The operator, named as in the plan.
    pub operator: String,
    /// What went wrong.
    pub message: String,
}

/// Where operators leave the first fault of a run. Shared by all workers; the driver looks at it between steps and
/// ends the run, publishing nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    first: Arc<Mutex<Option<Fault>>>,
    raised: Arc<AtomicBool>,
}

impl Faults {
    /// Records a fault; the first one is kept.
    pub fn raise(&self, operator: &str, error: impl Display) {
        let fault = Fault {
            operator: operator.to_owned(),
            message: error.to_string(),
        };
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(fault);
        self.raised.store(true, Ordering::Release);
    }

    /// Whether a fault was recorded. Cheap enough to ask at every step.
    pub fn raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// The first fault.
    pub fn first(&self) -> Option<Fault> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The value, or `None` after recording the error.
    pub fn catch<T, E: Display>(&self, operator: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.raise(operator, error)).ok()
    }
}
