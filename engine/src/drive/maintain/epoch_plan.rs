//! The work of an epoch.

use std::sync::Arc;

use tidewater_connectors::connector::SourceChanges;
use tidewater_connectors::source::{Reader, SourceSpec};

use super::holds::Holds;
use super::standing::Standing;
use super::views::Views;
use crate::drive::tables::{PerTable, Table};
use crate::job::{Job, Source};
use crate::state::StateSnapshot;

/// The work of an epoch.
pub struct EpochPlan {
    /// The last commit.
    pub snapshot: Arc<StateSnapshot>,
    /// Which views continue and which are rebuilt.
    pub views: Views,
    /// The changes of each source.
    pub changes: Vec<Box<dyn SourceChanges>>,
    /// The rules that hold deliveries.
    pub holds: Holds,
    /// The tables.
    pub tables: PerTable<Table>,
    /// The condition of the published tables.
    pub standing: Standing,
}

impl EpochPlan {
    /// Whether there is anything to do.
    pub fn has_work(&self) -> bool {
        let Self { views, changes, .. } = self;
        !changes.iter().all(|changes| changes.is_empty())
            || !views.rebuilt.keeps.is_empty()
            || views.quarantine
            || views.late
            || self
                .tables
                .iter()
                .any(|table| self.standing.is_written_whole(table))
            || !views.gone.views.is_empty()
            || !views.gone.tables.is_empty()
    }

    /// Readers of a source's present rows, to search for a row.
    pub fn look_again(
        &self,
        job: &Job,
        source: &Source,
        spec: &Arc<SourceSpec>,
    ) -> Vec<Arc<dyn Reader>> {
        let mut sources = job.sources.iter().zip(&self.changes);
        let own = sources.find(|(one, _)| one.spec.name == source.spec.name);
        let readers = own.map(|(_, changes)| changes.look_again(spec));
        readers.unwrap_or_default()
    }
}
