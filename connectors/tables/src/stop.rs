//! A request to end before anything is published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewater_contract::sink::SinkError;

/// A flag that all threads of a run look at between two batches. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to end.
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
