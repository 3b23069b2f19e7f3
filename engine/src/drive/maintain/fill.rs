//! The transaction in which an epoch writes its operators' state.
//!
//! 1. It is the record's own transaction, except in a first run.
//! 2. A first run commits it before the record, while tables are staged, because the operators' state is most of what
//!    is written then. Until the record exists, the state has no epoch, and the next run drops these entries.

use std::panic::resume_unwind;
use std::thread;

use tidewater_connectors::disk;

use super::commit::FILLED;
use crate::drive::RunError;
use crate::state::{STATE, StateRecord, StateTransaction, Store, StoreError, panic};

/// The transaction for operators' state.
pub enum StateFill {
    /// The transaction of a first run, committed separately before the record.
    First(FirstFill),
    /// The transaction of a later run, which also contains the record.
    WithRecord(StateTransaction),
}

impl StateFill {
    /// Begins the transaction of the epoch after `state`'s.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin(store: &Store, state: &StateRecord) -> Result<Self, StoreError> {
        let transaction = store.write()?;
        if state.epoch > 0 {
            return Ok(Self::WithRecord(transaction));
        }
        // An interrupted first run may have left some.
        transaction.drop_parts()?;
        Ok(Self::First(FirstFill { transaction }))
    }

    /// The transaction to write operators' state to.
    pub fn transaction(&self) -> &StateTransaction {
        match self {
            Self::First(fill) => &fill.transaction,
            Self::WithRecord(transaction) => transaction,
        }
    }
}

/// The operators' state of a first run.
pub struct FirstFill {
    transaction: StateTransaction,
}

impl FirstFill {
    /// Commits the entries while `stage` stages the tables. Returns the result of `stage`. `state` is still at epoch
    /// 0.
    ///
    /// # Errors
    /// When the store fails, or `stage` does.
    pub fn commit_during<T>(
        self,
        state: &StateRecord,
        stage: impl FnOnce() -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let (filled, staged) = thread::scope(|scope| {
            let filling = scope.spawn(|| panic::guarded(|| self.commit(state)));
            let staged = stage();
            let filled = filling.join();
            (filled.unwrap_or_else(|panic| resume_unwind(panic)), staged)
        });
        filled?;
        staged
    }

    fn commit(self, state: &StateRecord) -> Result<(), StoreError> {
        let state = StateRecord {
            sizes: self.transaction.sizes()?,
            ..state.clone()
        };
        self.transaction.put(STATE, "", &state)?;
        self.transaction.commit()?;
        disk::crash_point(FILLED);
        Ok(())
    }
}
