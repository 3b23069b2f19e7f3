//! How far a run is, for whoever watches it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidewater_connectors::file::sink::StopFlag;

use super::RunError;

/// A handle on the [`Counters`] of a run; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

impl Deref for Progress {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

/// Counters that a run advances and others may read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of all files to be read.
    pub bytes_total: AtomicU64,
    /// Bytes read so far.
    pub bytes_read: AtomicU64,
    /// Rows read so far, rejected ones among them.
    pub rows_read: AtomicU64,
    /// Rows rejected so far.
    pub rows_rejected: AtomicU64,
    stage: Mutex<&'static str>,
    pub(super) stop: StopFlag,
    /// Whether what was staged is being published.
    is_committing: Mutex<bool>,
}

impl Counters {
    /// What the run is doing, in a word; empty before it begins.
    pub fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Asks the run to end and to remove what it staged; false when it is too late, since it is publishing. A run that
    /// was asked ends with [`RunError::Stopped`].
    pub fn stop(&self) -> bool {
        let is_committing = self.is_committing.lock();
        let is_committing = is_committing.unwrap_or_else(PoisonError::into_inner);
        if !*is_committing {
            self.stop.set();
        }
        !*is_committing
    }

    /// From here on the run does not stop before it has published.
    pub(super) fn begin_commit(&self) -> Result<(), RunError> {
        let is_committing = self.is_committing.lock();
        let mut is_committing = is_committing.unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_set() {
            return Err(RunError::Stopped);
        }
        *is_committing = true;
        Ok(())
    }

    /// The error of a run; that it was asked to end says more than where it then stopped.
    pub(super) fn told(&self, error: RunError) -> RunError {
        if self.stop.is_set() {
            return RunError::Stopped;
        }
        error
    }

    /// Advances a counter.
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
