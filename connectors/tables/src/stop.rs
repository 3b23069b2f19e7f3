//! A request to stop before anything is published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewater_contract::sink::SinkError;

/// A flag that all threads of a run check between two batches. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Requests a stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was requested.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn check(&self) -> Result<(), SinkError> {
        if self.is_set() {
            return Err(SinkError::Stopped);
        }
        Ok(())
    }
}
