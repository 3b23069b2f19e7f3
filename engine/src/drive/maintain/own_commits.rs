//! The state's record of its published tables: its commits, and the directory of each table.

use tidewater_connectors::file::sink::{OwnerCommit, TableOwner};

use crate::drive::RunError;
use crate::drive::ownership::{Claimant, OwningState};
use crate::drive::tables::Table;
use crate::state::{
    EPOCHS, EpochRecord, StateRecord, StateSnapshot, TABLES, TableRecord, epoch_key,
};

/// The commits of a state in a snapshot.
pub struct OwnCommits<'a> {
    /// The state's record.
    pub state: &'a StateRecord,
    /// The snapshot.
    pub snapshot: &'a StateSnapshot,
    /// Whether all tables are rebuilt, whatever is there.
    pub rebuild: bool,
}

impl OwnCommits<'_> {
    fn commit(&self, epoch: u64) -> Result<Option<OwnerCommit>, RunError> {
        let record: Option<EpochRecord> = self.snapshot.record(EPOCHS, &epoch_key(epoch))?;
        Ok(record.map(|record| OwnerCommit {
            state: self.state.id.clone(),
            epoch,
            committed_at: record.committed_at,
        }))
    }
}

impl OwningState for OwnCommits<'_> {
    fn id(&self) -> &str {
        &self.state.id
    }

    fn made(&self, commit: &OwnerCommit) -> Result<bool, RunError> {
        Ok(self.rebuild || self.commit(commit.epoch)?.as_ref() == Some(commit))
    }

    fn published(&self, table: &Table) -> Result<Option<OwnerCommit>, RunError> {
        let record: Option<TableRecord> = self.snapshot.record(TABLES, &table.spec.name)?;
        match record.filter(|record| record.path == table.spec.path) {
            Some(record) => self.commit(record.epoch),
            None => Ok(None),
        }
    }
}

/// The mark of a table that the next epoch of `state` changes.
pub fn next_mark(state: &StateRecord, table: &Table, now_s: u64) -> Option<TableOwner> {
    let claimant = Claimant {
        job: &state.job,
        state: None,
        take_over: false,
    };
    let commit = OwnerCommit {
        state: state.id.clone(),
        epoch: state.epoch + 1,
        committed_at: now_s,
    };
    claimant.mark(table, Some(commit))
}
