//! The connector of files: paths, directories and globs.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use tidewater_contract::checkpoint::Checkpoint;
use tidewater_contract::connector::{
    ChangeRules, KeyOrder, LatestRound, ReadBounds, Source, SourceChanges, SourceConnector,
    SourceSession, SourceState,
};
use tidewater_contract::declaration::{
    DeclarationError, DeclarationPart, ParsedSource, SourceDeclaration,
};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Reader, SourceSpec};
use tidewater_contract::status::{DeliveryStatus, KeptContent, PendingInput, SourceStatus};
use tidewater_formats::options::Gate;

use super::changes::{FileChanges, judged, kept};
use super::content_store::ContentStore;
use super::file_source::FileSource;
use super::intake::{FileIntake, Incoming};
use super::list::name_is_not_utf8;
use super::location::{is_local, local_path};
use super::open::check;
use super::path_columns::PathColumns;
use super::place::place_fields;
use super::position::Position;
use super::storage::LocalStorage;

/// The connector of files.
#[derive(Debug)]
pub struct FilesConnector;

/// The connector of files.
pub static FILES: FilesConnector = FilesConnector;

impl FileSource {
    /// Files of this machine.
    pub fn local() -> Self {
        Self::new(&FILES, Arc::new(LocalStorage))
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
        is_local(location)
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
        let mut format_options = declaration.options.clone();
        let columns = PathColumns::take(declaration, &mut format_options)?;
        let source = FileSource::local();
        Ok(ParsedSource {
            location,
            format_options,
            dictionaries: true,
            source: Arc::new(source.with_path_columns(columns)),
        })
    }

    fn remove_unused(
        &self,
        directory: &Path,
        checkpoints: &[Checkpoint],
    ) -> Result<(), SourceError> {
        FileSource::remove_unused(directory, checkpoints)
    }
}

impl Source for FileSource {
    fn connector(&self) -> &'static dyn SourceConnector {
        self.connector
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn row_rules(&self) -> Vec<String> {
        self.path_columns.rules()
    }

    fn place_fields(&self) -> Vec<FieldRef> {
        place_fields().to_vec()
    }

    fn delivery_columns(&self) -> Vec<String> {
        self.path_columns.of_paths()
    }

    /// Orders the rows of a key: by the time of modification of their file, then by its path, then by their number in
    /// the file. The row that counts therefore depends only on the files that are present, not on the runs in which
    /// they arrived. If a file is withdrawn, the row before counts again.
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
        check(spec, &self.path_columns)
    }

    fn decoded_schema(&self, spec: &SourceSpec) -> SchemaRef {
        let columns = spec.projection.iter();
        let columns = columns.filter_map(|at| spec.schema.fields().get(*at).cloned());
        let places = place_fields().into_iter().filter(|_| spec.ordinals);
        Arc::new(Schema::new(columns.chain(places).collect::<Vec<_>>()))
    }

    fn open(&self, spec: &SourceSpec, _: &ReadBounds) -> Result<Arc<dyn Reader>, SourceError> {
        let files = self.list(&spec.location)?;
        if let Some(file) = files.iter().find(|file| file.path.to_str().is_none()) {
            return Err(name_is_not_utf8(&file.path));
        }
        let (name, location) = (&spec.name, &spec.location);
        tracing::info!("source {name}: {} files at {location}", files.len());
        let gate = Gate::parse(&spec.options)?;
        let incoming = files.into_iter();
        let incoming = incoming.map(|file| Incoming::of(file, judged(gate)));
        let incoming = incoming.collect();
        let intake = FileIntake::open(self, &Arc::new(spec.clone()), incoming, None)?;
        Ok(Arc::new(intake))
    }

    fn open_kept(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
    ) -> Result<Arc<dyn Reader>, SourceError> {
        let directory = state.directory;
        fs::metadata(directory)
            .map_err(|error| SourceError::io("open the stored inputs", directory, error))?;
        let store = Arc::new(ContentStore::open(directory)?);
        let positions: Vec<Position> = state.checkpoint.values()?;
        let incoming = positions.iter().map(kept).collect();
        let spec = Arc::new(spec.clone());
        let intake = FileIntake::open(self, &spec, incoming, Some(&store))?;
        Ok(Arc::new(intake))
    }

    fn resume(
        &self,
        spec: &Arc<SourceSpec>,
        state: &SourceState<'_>,
    ) -> Result<Box<dyn SourceSession>, SourceError> {
        Ok(Box::new(FileSession {
            source: self.clone(),
            spec: Arc::clone(spec),
            store: Arc::new(ContentStore::open(state.directory)?),
        }))
    }

    fn status(
        &self,
        spec: &SourceSpec,
        state: &SourceState<'_>,
        rehash: bool,
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
            pending: PendingInput::Deliveries(self.pending(spec, positions.clone(), rehash)?),
            files: positions.into_iter().map(delivery_status).collect(),
            details: None,
        })
    }
}

fn delivery_status(position: Position) -> DeliveryStatus {
    let hold = position.hold().cloned();
    DeliveryStatus {
        path: position.path,
        bytes: position.bytes,
        modified_ns: position.modified_ns,
        hash: position.hash,
        rows: position.rows,
        rows_rejected: position.rejected,
        hold,
        set_aside: position.set_aside.map(|set_aside| set_aside.reason),
    }
}

/// Files of a source while a state is open.
struct FileSession {
    source: FileSource,
    spec: Arc<SourceSpec>,
    store: Arc<ContentStore>,
}

impl SourceSession for FileSession {
    fn changes(
        &mut self,
        checkpoint: &Checkpoint,
        rules: ChangeRules<'_>,
    ) -> Result<Box<dyn SourceChanges>, SourceError> {
        let (source, store) = (&self.source, &self.store);
        let changes = FileChanges::compare(source, &self.spec, store, checkpoint, rules)?;
        Ok(Box::new(changes))
    }
}
