//! How far a run is, for whoever watches it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
}

impl Counters {
    /// What the run is doing, in a word; empty before it begins.
    pub fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Advances a counter.
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
