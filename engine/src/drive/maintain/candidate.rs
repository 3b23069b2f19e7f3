//! The changes that a run would make to a table, for an audit that looks at them.

use std::path::Path;

use tidewater_connectors::file::sink::{Run, write_changes};

use super::commit::{Commit, remove_and_make, remove_orphans};
use super::retracted::retracted;
use crate::drive::RunError;
use crate::drive::graph::Epoch;
use crate::drive::tables::{PerTable, Table};

/// A look at the changes of one table.
pub struct Candidate<'a> {
    /// The table.
    pub table: &'a str,
    /// Called with a file of changes, as commits leave them. The file is gone afterwards. Not called if a run would not
    /// change the table.
    pub look: &'a dyn Fn(&Path),
}

impl Commit<'_> {
    /// Shows the changes of a table before it is decided whether they are published. `runs` are the changes of all
    /// tables.
    ///
    /// # Errors
    /// When the changes cannot be written.
    pub fn show(
        &self,
        candidate: &Candidate<'_>,
        epoch: &Epoch,
        runs: &PerTable<Vec<Run>>,
    ) -> Result<(), RunError> {
        let mut tables = epoch.tables.iter().zip(runs.iter());
        let named = tables.find(|(table, _)| *table.spec.name == *candidate.table);
        let Some((table, runs)) = named else {
            return Ok(());
        };
        let changes = self.net_changes(epoch, table, runs)?;
        if changes.is_empty() {
            return Ok(());
        }
        let next = self.state.epoch + 1;
        let layout = &self.directory.layout;
        let path = layout.changes(next, &table.spec.name);
        remove_and_make(&layout.changes_of(next))?;
        write_changes(&path, &table.spec, &changes)?;
        (candidate.look)(&path);
        Ok(remove_orphans(layout, next)?)
    }

    /// The changes of a table. Those of a table that is rebuilt are the new rows and the retracted old ones. Old rows
    /// with other columns are left out.
    fn net_changes(
        &self,
        epoch: &Epoch,
        table: &Table,
        runs: &[Run],
    ) -> Result<Vec<Run>, RunError> {
        if !self.is_replaced(table) {
            return Ok(runs.to_vec());
        }
        let layout = &self.directory.layout;
        match retracted(self.snapshot, layout, table, &epoch.staging, Ok) {
            Ok(old) => Ok([runs.to_vec(), old].concat()),
            Err(RunError::Sink(_)) => Ok(runs.to_vec()),
            Err(error) => Err(error),
        }
    }
}
