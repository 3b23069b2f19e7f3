//! How far a run is, for whoever watches it.

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
    /// Rows read so far, rejected ones among them.
    pub rows_read: AtomicU64,
    /// Rows rejected so far.
    pub rows_rejected: AtomicU64,
    stage: Mutex<&'static str>,
    pub(super) stop: StopFlag,
    /// Where tables are staged.
    staged: Mutex<Vec<PathBuf>>,
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

    /// Asks the run to end; false when it is too late, since it is publishing. A run that was asked publishes nothing and
    /// ends with [`RunError::Stopped`].
    pub fn stop(&self) -> bool {
        let is_committing = self.is_committing.lock();
        let is_committing = is_committing.unwrap_or_else(PoisonError::into_inner);
        if !*is_committing {
            self.stop.set();
        }
        !*is_committing
    }

    /// Removes what a run staged that was asked to [`stop`](Self::stop), before its process ends. Its threads may be at
    /// work still, so it is done more than once.
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

    /// Notes where a run stages its tables.
    pub(super) fn stages_in(&self, staging: &Staging) {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        *staged = staging.places();
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
