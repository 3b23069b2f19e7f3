//! The progress of a run, for observers.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tidewater_connectors::file::sink::{Staging, StopFlag, remove_staged};

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
    /// Rows read so far, including rejected ones.
    pub rows_read: AtomicU64,
    /// Rows rejected so far.
    pub rows_rejected: AtomicU64,
    stage: Mutex<&'static str>,
    pub(super) stop: StopFlag,
    /// The staging directories.
    staged: Mutex<Vec<PathBuf>>,
    /// Whether the run has begun to publish.
    is_committing: Mutex<bool>,
}

impl Counters {
    /// The run's stage, as one word. Empty before the run begins.
    pub fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Requests the run to stop. Returns false if it is too late, because it is publishing. A stopped run publishes
    /// nothing and ends with [`RunError::Stopped`].
    pub fn stop(&self) -> bool {
        let is_committing = self.is_committing.lock();
        let is_committing = is_committing.unwrap_or_else(PoisonError::into_inner);
        if !*is_committing {
            self.stop.set();
        }
        !*is_committing
    }

    /// Removes the staged files of a run that was requested to [`stop`](Self::stop), before its process ends. Its
    /// threads may still be writing, so this is called more than once.
    pub fn discard_staged(&self) {
        const TRIES: u32 = 3;
        const PAUSE: Duration = Duration::from_millis(20);
        for _ in 0..TRIES {
            let staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
            remove_staged(&staged);
            drop(staged);
            thread::sleep(PAUSE);
        }
    }

    /// Records the staging directories of a run.
    pub(super) fn stages_in(&self, staging: &Staging) {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        *staged = staging.places();
    }

    /// From here on the run cannot be stopped until it has published.
    pub(super) fn begin_commit(&self) -> Result<(), RunError> {
        let is_committing = self.is_committing.lock();
        let mut is_committing = is_committing.unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_set() {
            return Err(RunError::Stopped);
        }
        *is_committing = true;
        Ok(())
    }

    /// The error of a run. If a stop was requested, that replaces the error at which the run then stopped.
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
