//! Files as a source: the connector of paths, directories and globs.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use tidewater_contract::checkpoint::Checkpoint;
use tidewater_contract::connector::{
    KeyOrder, LatestRound, ReadBounds, Source, SourceChanges, SourceConnector, SourceSession,
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
use super::delivery::Delivery;
use super::depot::Depot;
use super::intake::{FileIntake, Incoming, place_fields};
use super::list::{list, list_or_empty};
use super::location::local_path;
use super::position::Position;

/// The connector of files.
#[derive(Debug)]
pub struct FilesConnector;

/// The connector of files.
pub static FILES: FilesConnector = FilesConnector;

/// Files of a source.
#[derive(Clone, Copy, Debug)]
pub struct FileSource;

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
            source: Arc::new(FileSource),
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
        &FILES
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
        let files = list(&spec.location)?;
        let (name, location) = (&spec.name, &spec.location);
        tracing::info!("source {name}: {} files at {location}", files.len());
        let incoming = files.into_iter().map(|file| Incoming {
            modified_ns: file.modified_ns,
            delivery: Delivery::from(file),
            replaces: None,
        });
        let intake = FileIntake::open(&Arc::new(spec.clone()), incoming.collect(), None)?;
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
        let intake = FileIntake::open(&Arc::new(spec.clone()), incoming, Some(&depot))?;
        Ok(Arc::new(intake))
    }

    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError> {
        Ok(Box::new(FileSession {
            spec: Arc::clone(spec),
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
            pending: PendingInput::Deliveries(pending(spec, &positions)?),
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

/// What changed at a source's location, as size and time of change tell it.
fn pending(spec: &SourceSpec, positions: &[Position]) -> Result<PendingDeliveries, SourceError> {
    let known = positions.iter().map(|old| (old.path.as_str(), old));
    let mut known: BTreeMap<&str, &Position> = known.collect();
    let mut pending = PendingDeliveries::default();
    for file in list_or_empty(&spec.location)? {
        let path = file.path.to_string_lossy().into_owned();
        match known.remove(path.as_str()) {
            None => pending.new.push(path),
            Some(old) if (old.bytes, old.modified_ns) != (file.bytes, file.modified_ns) => {
                pending.changed.push(path);
            }
            Some(_) => {}
        }
    }
    pending.withdrawn = known.into_keys().map(str::to_owned).collect();
    Ok(pending)
}

/// Files of a source while a state is open.
struct FileSession {
    spec: Arc<SourceSpec>,
    depot: Arc<Depot>,
}

impl SourceSession for FileSession {
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        settled_ns: i64,
    ) -> Result<Box<dyn SourceChanges>, SourceError> {
        let known = checkpoint.values()?;
        let changes = FileChanges::compare(
            &self.spec,
            &self.depot,
            known,
            checkpoint.was_read,
            settled_ns,
        )?;
        Ok(Box::new(changes))
    }
}
