//! The files of a source.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tidewater_contract::checkpoint::Checkpoint;
use tidewater_contract::connector::SourceConnector;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;
use tidewater_contract::status::PendingDeliveries;

use super::content_store::ContentStore;
use super::list::{ListedFile, Subdirectories, list, list_or_empty};
use super::path_columns::PathColumns;
use super::position::{Change, CompareRules, Position, compare};
use super::storage::Storage;

/// Files of a source, in a storage.
#[derive(Clone, Debug)]
pub struct FileSource {
    pub(super) connector: &'static dyn SourceConnector,
    storage: Arc<dyn Storage>,
    pub(super) path_columns: PathColumns,
}

impl FileSource {
    /// Files of a connector, in its storage.
    pub fn new(connector: &'static dyn SourceConnector, storage: Arc<dyn Storage>) -> Self {
        Self {
            connector,
            storage,
            path_columns: PathColumns::default(),
        }
    }

    /// Sets the columns with values from the paths of the files.
    #[must_use]
    pub fn with_path_columns(self, path_columns: PathColumns) -> Self {
        Self {
            path_columns,
            ..self
        }
    }

    /// Removes all files from the content store in `directory` that no position of `checkpoints` refers to.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_unused(directory: &Path, checkpoints: &[Checkpoint]) -> Result<(), SourceError> {
        let mut used = BTreeSet::new();
        for checkpoint in checkpoints {
            let parts = checkpoint.values::<Position>()?;
            let parts = parts.into_iter().flat_map(|position| position.parts);
            used.extend(parts.map(|part| part.hash));
        }
        ContentStore::open(directory)?.remove_unreferenced(&used)?;
        Ok(())
    }

    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    pub(super) fn path_columns(&self) -> &PathColumns {
        &self.path_columns
    }

    /// The files of a location, at least one.
    ///
    /// # Errors
    /// When there is no such file, or the system refuses to list.
    pub fn list(&self, location: &str) -> Result<Vec<ListedFile>, SourceError> {
        list(&*self.storage, location, self.subdirectories())
    }

    /// The current files of a location, which may be none.
    pub(super) fn list_or_empty(&self, location: &str) -> Result<Vec<ListedFile>, SourceError> {
        list_or_empty(&*self.storage, location, self.subdirectories())
    }

    /// The changes at a source's location.
    pub(super) fn pending(
        &self,
        spec: &SourceSpec,
        positions: Vec<Position>,
        rehash: bool,
    ) -> Result<PendingDeliveries, SourceError> {
        let listed = self.list_or_empty(&spec.location)?;
        let rules = CompareRules {
            rehash,
            ..CompareRules::default()
        };
        let path = |file: ListedFile| file.path.to_string_lossy().into_owned();
        let mut pending = PendingDeliveries::default();
        for change in compare(&*self.storage, &spec.name, listed, positions, rules)? {
            match change {
                Change::Unchanged(_) => {}
                Change::New(new) => pending.new.push(path(new)),
                Change::Touched { new, .. }
                | Change::Replaced { new, .. }
                | Change::Appended { new, .. } => pending.changed.push(path(new)),
                Change::Renamed { old, new } => {
                    pending.new.push(path(new));
                    pending.withdrawn.push(old.path);
                }
                Change::Withdrawn(old) => pending.withdrawn.push(old.path),
            }
        }
        pending.withdrawn.sort();
        Ok(pending)
    }

    /// Subdirectories are read if folders are columns.
    fn subdirectories(&self) -> Subdirectories {
        if self.path_columns.folders.is_empty() {
            Subdirectories::PassOver
        } else {
            Subdirectories::Descend
        }
    }
}
