//! Inspects a job's durable state.
//!
//! 1. Nothing is changed: neither state, nor tables, nor inputs.
//! 2. An [`Inspection`] shows one commit, even if runs commit meanwhile. Neither waits for the other. The published
//!    files may be those of a later commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tidewater_connectors::checkpoint::Checkpoint;
use tidewater_connectors::connector::{Source as SourceInput, SourceState};
use tidewater_connectors::error::SourceError;
use tidewater_connectors::file::sink::{PublishedPartition, QUARANTINE_TABLE};
use tidewater_connectors::sink::TableSpec;
use tidewater_connectors::source::{Reader, SourceSpec};
use tidewater_connectors::status::{KeptContent, SourceStatus};

use super::RunError;
use super::graph_set::Graph;
use super::maintain::commit::is_half_done;
use super::maintain::inputs::checkpoint;
use super::maintain::shadow::shadow;
use super::maintain::standing::Standing;
use super::maintain::state_of;
use super::maintain::views::Views;
use super::tables::PerTable;
use crate::job::{Job, Source};
use crate::plan::PlannedView;
use crate::plan::assemble::add_scanned;
use crate::plan::retain::times;
use crate::state::directory::writer;
use crate::state::panic::guarded;
use crate::state::{
    EPOCHS, EpochRecord, JOB, JobRecord, ObservedStore, PARTITIONS, StateRecord, StateSnapshot,
    StoreError, TABLES, TableRecord, VIEWS, ViewRecord, pair_key,
};

/// The last commit of a job's state.
pub struct Inspection {
    /// The state's own record.
    pub state: StateRecord,
    snapshot: StateSnapshot,
    store: ObservedStore,
}

/// A source's content in the state.
#[derive(Clone, Debug)]
pub struct KeptSource {
    input: Arc<dyn SourceInput>,
    id: String,
    directory: PathBuf,
    checkpoint: Checkpoint,
}

impl KeptSource {
    /// Opens the content, with the columns that `spec` selects.
    ///
    /// # Errors
    /// When the content is missing.
    pub fn open(&self, spec: &SourceSpec) -> Result<Arc<dyn Reader>, SourceError> {
        self.input.open_kept(spec, &self.state())
    }

    fn state(&self) -> SourceState<'_> {
        SourceState {
            id: &self.id,
            directory: &self.directory,
            checkpoint: &self.checkpoint,
        }
    }
}

/// The rows of a view that may still change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenRows {
    /// All rows.
    All,
    /// Rows whose window begins at the horizon or later, or has no time.
    From {
        /// The column with the window's time.
        column: usize,
        /// The first open window, in the column's unit.
        horizon: i64,
    },
    /// Unknown, because the view reads another one that has closed windows.
    Unknown {
        /// The view.
        of: String,
    },
}

impl OpenRows {
    /// The rows of a batch of the view that are open.
    ///
    /// # Errors
    /// When the column holds no times.
    pub fn rows(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Self::From { column, horizon } = self else {
            return Ok(batch);
        };
        let times = times(batch.column(*column))?;
        let open: BooleanArray = times
            .iter()
            .map(|time| Some(time.is_none_or(|time| time >= *horizon)))
            .collect();
        filter_record_batch(&batch, &open)
    }
}

/// The stored inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptInputs {
    /// Parts of deliveries and segments of messages. Content that was delivered twice counts once.
    pub parts: u64,
    /// Stored bytes.
    pub stored_bytes: u64,
    /// Bytes of delivered files, decompressed.
    pub original_bytes: u64,
}

/// The sizes of a state on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateSizes {
    /// Blocks of the store's file, in bytes.
    pub store_bytes: u64,
    /// Entries of each view's operators.
    pub views: BTreeMap<String, u64>,
    /// Kept inputs.
    pub inputs: KeptInputs,
}

impl Inspection {
    /// Opens the state in `path`, which must be a state of `job`.
    ///
    /// # Errors
    /// When there is no state, it belongs to another job, or it is damaged.
    pub fn open(job: &Job, path: &Path) -> Result<Self, RunError> {
        guarded(|| {
            let store = ObservedStore::open(path)?;
            let snapshot = store.read()?;
            Ok(Self {
                state: state_of(job, &store.directory, &snapshot)?,
                snapshot,
                store,
            })
        })
    }

    /// The job with which the state in `path` was last run; `None` if it is not recorded.
    ///
    /// # Errors
    /// When there is no state, or it is damaged.
    pub fn job_of(path: &Path) -> Result<Option<JobRecord>, RunError> {
        guarded(|| Ok(ObservedStore::open(path)?.read()?.record(JOB, "")?))
    }

    /// The process that is changing the state, if there is one.
    pub fn writer(&self) -> Option<String> {
        writer(&self.store.directory.layout)
    }

    /// The state's directory.
    pub fn path(&self) -> &Path {
        self.store.directory.layout.root()
    }

    /// All commits, the first one first.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn epochs(&self) -> Result<Vec<EpochRecord>, RunError> {
        Ok(self.snapshot.records(EPOCHS, "")?.into_values().collect())
    }

    /// How far a source was read, and what waits for the next run. With `rehash`, the content of all deliveries is
    /// compared.
    ///
    /// # Errors
    /// When the source cannot be inspected, or the state is damaged.
    pub fn source_status(&self, source: &Source, rehash: bool) -> Result<SourceStatus, RunError> {
        let kept = self.kept(source)?;
        let status = source.input.status(&source.spec, &kept.state(), rehash);
        status.map_err(RunError::of_source(source))
    }

    /// A source's content in the state.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn kept(&self, source: &Source) -> Result<KeptSource, RunError> {
        Ok(KeptSource {
            input: Arc::clone(&source.input),
            id: self.state.id.clone(),
            directory: self
                .store
                .directory
                .layout
                .connector(source.input.connector()),
            checkpoint: checkpoint(source, &self.state, &self.snapshot)?,
        })
    }

    /// The published tables, including the quarantine, by name.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn tables(&self) -> Result<BTreeMap<String, TableRecord>, RunError> {
        Ok(self.snapshot.records(TABLES, "")?)
    }

    /// The published files of a table, by partition.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn partitions(
        &self,
        table: &str,
    ) -> Result<BTreeMap<String, PublishedPartition>, RunError> {
        Ok(self.snapshot.records(PARTITIONS, &pair_key(table, ""))?)
    }

    /// The job's tables, the table of late rows if there is one, and the quarantine. A table published as text comes
    /// with the directory of its Parquet copies.
    pub fn specs(&self, job: &Job) -> Vec<(Arc<TableSpec>, Option<PathBuf>)> {
        let layout = &self.store.directory.layout;
        let copies = layout.table_copies();
        let tables = PerTable::with_copies(job, &copies, |_| Graph::Resumed);
        let specs = tables.map(|table| {
            let shadow = shadow(layout, &table.spec);
            (table.spec, shadow)
        });
        specs.into_values()
    }

    /// Views and tables that the next run rebuilds or drops, because the job has changed since the last commit.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state is damaged.
    pub fn outdated(&self, job: &Job) -> Result<Vec<String>, RunError> {
        let (views, standing) = self.compare(job)?;
        let mut names: Vec<String> = views.rebuilt.keeps.into_iter().collect();
        names.extend(views.gone.views.into_keys());
        names.extend(views.gone.tables.into_keys());
        names.extend(views.quarantine.then(|| QUARANTINE_TABLE.to_owned()));
        names.extend(standing.moved().map(str::to_owned));
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn compare(&self, job: &Job) -> Result<(Views, Standing), RunError> {
        let copies = self.store.directory.layout.table_copies();
        let layout = &self.store.directory.layout;
        let tables = PerTable::with_copies(job, &copies, |_| Graph::Resumed);
        let standing = Standing::of_places(&tables, &self.snapshot, layout)?;
        let taken = BTreeSet::new();
        let views = Views::compare(job, &self.snapshot, &copies, false, &taken, &standing, None)?;
        Ok((views, standing))
    }

    /// The rows of a view that a cold batch would give, if some of its windows are closed.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state is damaged.
    pub fn open_rows(&self, job: &Job, view: &str) -> Result<OpenRows, RunError> {
        let views = self.compare(job)?.0.kept;
        let retains = |view: &str| {
            job.sinks
                .iter()
                .find(|sink| sink.view == view && sink.retain.is_some())
        };
        // Everything that the view reads, directly or not. Views come after the views that they read.
        let mut read = BTreeSet::from([view.to_owned()]);
        for PlannedView { name, node } in views.views.iter().rev() {
            if read.contains(name) {
                add_scanned(node, &mut read);
            }
        }
        read.remove(view);
        if let Some(of) = read.into_iter().find(|read| retains(read).is_some()) {
            return Ok(OpenRows::Unknown { of });
        }
        let retain = retains(view).and_then(|sink| sink.retain.as_ref());
        let horizon = views
            .retained
            .get(view)
            .and_then(|retained| retained.horizon);
        Ok(match (retain, horizon) {
            (Some(retain), Some(horizon)) => OpenRows::From {
                column: retain.column,
                horizon,
            },
            _ => OpenRows::All,
        })
    }

    /// The file of an epoch's changes to a table. There is none for a table that the epoch rebuilt.
    pub fn changes(&self, epoch: u64, table: &str) -> PathBuf {
        self.store.directory.layout.changes(epoch, table)
    }

    /// Whether files of the commit are not yet in place. The running process or else the next run will move them.
    ///
    /// # Errors
    /// When a table's directory cannot be determined.
    pub fn is_half_done(&self) -> Result<bool, RunError> {
        Ok(is_half_done(&self.state)?)
    }

    /// Whether the published files of a table may be those of a later commit.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn has_moved_on(&self, table: &str) -> Result<bool, RunError> {
        guarded(|| {
            let now: Option<TableRecord> = self.store.read()?.record(TABLES, table)?;
            Ok(now != self.snapshot.record(TABLES, table)?)
        })
    }

    /// The sizes of the state on disk. Includes the stored content of `sources`.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn sizes(&self, sources: &[SourceStatus]) -> Result<StateSizes, RunError> {
        /// The system's unit for counting blocks.
        const BLOCK_BYTES: u64 = 512;
        let path = self.store.directory.layout.store();
        let found = fs::metadata(&path).map_err(StoreError::io("look up", &path))?;
        let parts = self.snapshot.part_sizes()?;
        let views: BTreeMap<String, ViewRecord> = self.snapshot.records(VIEWS, "")?;
        let of_view =
            |view: &ViewRecord| view.parts.iter().filter_map(|part| parts.get(part)).sum();
        Ok(StateSizes {
            store_bytes: found.blocks() * BLOCK_BYTES,
            views: views
                .iter()
                .map(|(name, view)| (name.clone(), of_view(view)))
                .collect(),
            inputs: kept_inputs(sources),
        })
    }
}

/// The content that sources keep. Content that several keep counts once.
fn kept_inputs(sources: &[SourceStatus]) -> KeptInputs {
    let kept = sources.iter().flat_map(|source| &source.kept);
    let kept: BTreeMap<&str, &KeptContent> = kept.map(|one| (one.name.as_str(), one)).collect();
    KeptInputs {
        parts: u64::try_from(kept.len()).unwrap_or(u64::MAX),
        stored_bytes: kept.values().map(|one| one.stored_bytes).sum(),
        original_bytes: kept.values().filter_map(|one| one.bytes).sum(),
    }
}
