//! Files as a source: the connector of paths, directories and globs.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use tidewater_contract::checkpoint::Checkpoint;
use tidewater_contract::connector::{
    ChangeRules, KeyOrder, LatestRound, ReadBounds, Source, SourceChanges, SourceConnector, SourceSession,
    SourceState,
};
use tidewater_contract::declaration::{
    DeclarationError, DeclarationPart, ParsedSource, SourceDeclaration,
};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Reader, SourceSpec};
use tidewater_contract::status::{
    DeliveryStatus, KeptContent, PendingDeliveries, PendingInput, SourceStatus,
};

use super::changes::{FileChanges, kept};
use super::depot::Depot;
use super::intake::{FileIntake, Incoming, place_fields};
use super::list::{ListedFile, list, list_or_empty};
use super::location::local_path;
use super::position::{Change, CompareRules, Position, compare};
use super::storage::{LocalStorage, Storage};

/// The connector of files.
#[derive(Debug)]
pub struct FilesConnector;

/// The connector of files.
pub static FILES: FilesConnector = FilesConnector;

/// Files of a source, in a storage.
#[derive(Clone, Debug)]
pub struct FileSource {
    connector: &'static dyn SourceConnector,
    storage: Arc<dyn Storage>,
}

impl FileSource {
    /// Files of a connector, which lie in its storage.
    pub fn new(connector: &'static dyn SourceConnector, storage: Arc<dyn Storage>) -> Self {
        Self { connector, storage }
    }
}

impl SourceConnector for FilesConnector {
    fn name(&self) -> &'static str {
        "files"
    }

    fn directory(&self) -> PathBuf {
        "inputs".into()
    }

    fn accepts(&self, location: &str) -> bool {
        super::location::is_local(location)
    }

    fn parse(
        &self,
        declaration: &SourceDeclaration<'_>,
    ) -> Result<ParsedSource, Vec<DeclarationError>> {
        let location = local_path(declaration.location).map_err(|message| {
            let hint = "write a path: LOCATION 'data/*.csv'";
            vec![DeclarationError::new(
                DeclarationPart::Location,
                message,
                hint,
            )]
        })?;
        Ok(ParsedSource {
            location,
            format_options: declaration.options.clone(),
            dictionaries: true,
            source: Arc::new(FileSource::new(&FILES, Arc::new(LocalStorage))),
        })
    }

    fn remove_unused(
        &self,
        directory: &Path,
        checkpoints: &[Checkpoint],
    ) -> Result<(), SourceError> {
        let mut used = BTreeSet::new();
        for checkpoint in checkpoints {
            let parts = checkpoint.values::<Position>()?;
            let parts = parts.into_iter().flat_map(|position| position.parts);
            used.extend(parts.map(|part| part.hash));
        }
        Depot::open(directory)?.remove_unreferenced(&used)?;
        Ok(())
    }
}

impl Source for FileSource {
    fn connector(&self) -> &'static dyn SourceConnector {
        self.connector
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn place_fields(&self) -> Vec<FieldRef> {
        place_fields().to_vec()
    }

    /// Later is the row of the file that was modified later; of files modified at the same time that of the greater path;
    /// within a file the row further on. So which row counts is a function of the files that are present, and not of the
    /// runs in which they arrived, and when a file is withdrawn the row before it counts again.
    fn key_order(&self) -> KeyOrder {
        KeyOrder {
            rounds: vec![LatestRound {
                within: Vec::new(),
                order: vec![0, 1, 2],
                is_append_only: false,
            }],
            deleted: None,
        }
    }

    fn check(&self, spec: &SourceSpec) -> Result<(), SourceError> {
        super::check(spec)
    }

    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef {
        let columns = spec.projection.iter();
        let columns = columns.filter_map(|at| spec.schema.fields().get(*at).cloned());
        let places = place_fields().into_iter().filter(|_| spec.ordinals);
        Arc::new(Schema::new(columns.chain(places).collect::<Vec<_>>()))
    }

    fn open(&self, spec: &SourceSpec, _: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError> {
        let files = list(&*self.storage, &spec.location)?;
        let (name, location) = (&spec.name, &spec.location);
        tracing::info!("source {name}: {} files at {location}", files.len());
        let incoming = files.into_iter().map(Incoming::from).collect();
        let intake = FileIntake::open(&Arc::new(spec.clone()), incoming, &self.storage, None)?;
        Ok(Arc::new(intake))
    }

    fn open_kept(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError> {
        let directory = state.directory;
        fs::metadata(directory)
            .map_err(|error| SourceError::io("open the kept inputs", directory, error))?;
        let depot = Arc::new(Depot::open(directory)?);
        let positions: Vec<Position> = state.checkpoint.values()?;
        let incoming = positions.iter().map(kept).collect();
        let spec = Arc::new(spec.clone());
        let intake = FileIntake::open(&spec, incoming, &self.storage, Some(&depot))?;
        Ok(Arc::new(intake))
    }

    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError> {
        Ok(Box::new(FileSession {
            spec: Arc::clone(spec),
            storage: Arc::clone(&self.storage),
            depot: Arc::new(Depot::open(state.directory)?),
        }))
    }

    fn status(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<SourceStatus, SourceError> {
        let positions: Vec<Position> = state.checkpoint.values()?;
        let parts = positions.iter().flat_map(|position| &position.parts);
        let kept: BTreeSet<KeptContent> = parts
            .map(|part| KeptContent {
                name: part.hash.clone(),
                bytes: Some(part.bytes),
                stored_bytes: part.stored_bytes,
            })
            .collect();
        Ok(SourceStatus {
            deliveries: u64::try_from(positions.len()).unwrap_or(u64::MAX),
            rows: positions.iter().map(|position| position.rows).sum(),
            rows_rejected: positions.iter().map(|position| position.rejected).sum(),
            newest_ns: positions.iter().map(|position| position.modified_ns).max(),
            kept: kept.into_iter().collect(),
            pending: PendingInput::Deliveries(pending(&*self.storage, spec, positions.clone())?),
            files: positions.into_iter().map(delivery_status).collect(),
            details: None,
        })
    }
}

fn delivery_status(position: Position) -> DeliveryStatus {
    DeliveryStatus {
        path: position.path,
        bytes: position.bytes,
        modified_ns: position.modified_ns,
        hash: position.hash,
        rows: position.rows,
        rows_rejected: position.rejected,
    }
}

/// What changed at a source's location.
fn pending(
    storage: &dyn Storage,
    spec: &SourceSpec,
    positions: Vec<Position>,
) -> Result<PendingDeliveries, SourceError> {
    let listed = list_or_empty(storage, &spec.location)?;
    let path = |file: ListedFile| file.path.to_string_lossy().into_owned();
    let mut pending = PendingDeliveries::default();
    for change in compare(storage, &spec.name, listed, positions, CompareRules::default())? {
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

/// Files of a source while a state is open.
struct FileSession {
    spec: Arc<SourceSpec>,
    storage: Arc<dyn Storage>,
    depot: Arc<Depot>,
}

impl SourceSession for FileSession {
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        rules: ChangeRules,
    ) -> Result<Box<dyn SourceChanges>, SourceError> {
        let (storage, depot) = (&self.storage, &self.depot);
        let changes = FileChanges::compare(&self.spec, storage, depot, checkpoint, rules)?;
        Ok(Box::new(changes))
    }
}
