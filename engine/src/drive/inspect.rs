//! A job's durable state, to be looked at.
//!
//! 1. Nothing is changed: neither state, nor tables, nor inputs.
//! 2. It is one commit: no run can commit while an [`Inspection`] is open, and none is open while a run is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tidewater_connectors::file::sink::{PublishedPartition, QUARANTINE_TABLE};
use tidewater_connectors::file::{Content, Delivery, Depot, Position, list_or_empty};
use tidewater_connectors::kafka::KafkaSource;
use tidewater_connectors::kafka::StreamPosition;
use tidewater_connectors::sink::TableSpec;

use super::RunError;
use super::graph::Graph;
use super::maintain::commit::{is_half_done, shadow};
use super::maintain::state_of;
use super::maintain::views::Views;
use super::tables::PerTable;
use crate::job::{Job, Source};
use crate::plan::PlannedView;
use crate::plan::assemble::add_scanned;
use crate::plan::retain::times;
use crate::state::directory::Directory;
use crate::state::panic::guarded;
use crate::state::{
    EPOCHS, EpochRecord, PARTITIONS, POSITIONS, Reading, STREAMS, StateRecord, Store, StoreError,
    TABLES, TableRecord, VIEWS, ViewRecord, pair_key,
};

/// The last commit of a job's state.
pub struct Inspection {
    /// What the state is.
    pub state: StateRecord,
    directory: Directory,
    reading: Reading,
    /// Held open for the snapshot.
    _store: Store,
}

/// What changed where a source's files lie since the last commit, told by size and time of change alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Files that were not taken in.
    pub new: Vec<String>,
    /// Files of another size or time than they were taken in with.
    pub changed: Vec<String>,
    /// Files that were taken in and are gone.
    pub withdrawn: Vec<String>,
}

/// Which rows of a view may still change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// All of them.
    All,
    /// Those whose window is this one or a later one, or has no time.
    From {
        /// The column that tells the window.
        column: usize,
        /// The first open one, in the column's own unit.
        horizon: i64,
    },
    /// It cannot be told: the view reads another one, some of whose windows are final.
    Unknown {
        /// That view.
        of: String,
    },
}

impl Open {
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

impl Pending {
    /// Whether nothing changed.
    pub fn is_nothing(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty() && self.withdrawn.is_empty()
    }
}

/// What is kept of the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptInputs {
    /// Parts of deliveries, and segments of messages; a content that was delivered twice counts once.
    pub parts: u64,
    /// Bytes as they are kept.
    pub stored_bytes: u64,
    /// Bytes of files as they were delivered, decompressed.
    pub original_bytes: u64,
}

/// What a state takes on the disk.
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
    /// Opens the state in `path`, which must be of `job`. `wait` waits for a run that uses it.
    ///
    /// # Errors
    /// When there is no state, it is in use, of another job, or damaged.
    pub fn open(job: &Job, path: &Path, wait: bool) -> Result<Self, RunError> {
        guarded(|| {
            let directory = Directory::for_reading(path, wait)?;
            let store = Store::for_reading(&directory)?;
            let reading = store.read()?;
            Ok(Self {
                state: state_of(job, &directory, &reading)?,
                directory,
                reading,
                _store: store,
            })
        })
    }

    /// Where the state is.
    pub fn path(&self) -> &Path {
        self.directory.layout.root()
    }

    /// All commits, the first one first.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn epochs(&self) -> Result<Vec<EpochRecord>, RunError> {
        Ok(self.reading.records(EPOCHS, "")?.into_values().collect())
    }

    /// The deliveries of a source that are taken in, in order of path.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn positions(&self, source: &str) -> Result<Vec<Position>, RunError> {
        let positions = self.reading.records(POSITIONS, &pair_key(source, ""))?;
        Ok(positions.into_values().collect())
    }

    /// How far a stream is taken in; `None` before it was.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn stream(&self, source: &str) -> Result<Option<StreamPosition>, RunError> {
        Ok(self.reading.record(STREAMS, source)?)
    }

    /// What changed at a source's location since the last commit, without reading a file.
    ///
    /// # Errors
    /// When files cannot be listed, or the state is damaged.
    pub fn pending(&self, source: &Source) -> Result<Pending, RunError> {
        if KafkaSource::of(&source.spec).is_some() {
            return Ok(Pending::default());
        }
        let positions = self.positions(&source.spec.name)?;
        let mut known: BTreeMap<&str, &Position> = positions
            .iter()
            .map(|position| (position.path.as_str(), position))
            .collect();
        let mut pending = Pending::default();
        let listed = list_or_empty(&source.spec.location).map_err(RunError::of_source(source))?;
        for file in listed {
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

    /// The tables that are published, the quarantine among them, by name.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn tables(&self) -> Result<BTreeMap<String, TableRecord>, RunError> {
        Ok(self.reading.records(TABLES, "")?)
    }

    /// What is published of a table, by partition.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn partitions(
        &self,
        table: &str,
    ) -> Result<BTreeMap<String, PublishedPartition>, RunError> {
        Ok(self.reading.records(PARTITIONS, &pair_key(table, ""))?)
    }

    /// The job's tables, that of late rows where there is one, and the quarantine; with each the directory of its Parquet
    /// copies where it is published as text.
    pub fn specs(&self, job: &Job) -> Vec<(Arc<TableSpec>, Option<PathBuf>)> {
        let layout = &self.directory.layout;
        let copies = layout.table_copies();
        let tables = PerTable::with_copies(job, &copies, |_| Graph::Resumed);
        let specs = tables.map(|table| {
            let shadow = shadow(layout, &table.spec);
            (table.spec, shadow)
        });
        specs.into_values()
    }

    /// Views and tables that the next run builds anew or drops, because the job is not the one of the last commit.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state is damaged.
    pub fn outdated(&self, job: &Job) -> Result<Vec<String>, RunError> {
        let views = self.compare(job)?;
        let mut names: Vec<String> = views.rebuilt.keeps.into_iter().collect();
        names.extend(views.gone.views.into_keys());
        names.extend(views.gone.tables.into_keys());
        names.extend(views.quarantine.then(|| QUARANTINE_TABLE.to_owned()));
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn compare(&self, job: &Job) -> Result<Views, RunError> {
        let copies = self.directory.layout.table_copies();
        Views::compare(job, &self.reading, &copies, false)
    }

    /// Which rows of a view are those that a cold batch would give, where some of its windows are final.
    ///
    /// # Errors
    /// When a view cannot be rendered, or the state is damaged.
    pub fn open_rows(&self, job: &Job, view: &str) -> Result<Open, RunError> {
        let views = self.compare(job)?.kept;
        let retains = |view: &str| {
            job.sinks
                .iter()
                .find(|sink| sink.view == view && sink.retain.is_some())
        };
        // All that it reads, directly or not: views stand after those they read.
        let mut read = BTreeSet::from([view.to_owned()]);
        for PlannedView { name, node } in views.views.iter().rev() {
            if read.contains(name) {
                add_scanned(node, &mut read);
            }
        }
        read.remove(view);
        if let Some(of) = read.into_iter().find(|read| retains(read).is_some()) {
            return Ok(Open::Unknown { of });
        }
        let retain = retains(view).and_then(|sink| sink.retain.as_ref());
        let horizon = views
            .retained
            .get(view)
            .and_then(|retained| retained.horizon);
        Ok(match (retain, horizon) {
            (Some(retain), Some(horizon)) => Open::From {
                column: retain.column,
                horizon,
            },
            _ => Open::All,
        })
    }

    /// Where the changes of a table are that an epoch made; there is no such file for a table that it made anew.
    pub fn changes(&self, epoch: u64, table: &str) -> PathBuf {
        self.directory.layout.changes(epoch, table)
    }

    /// Whether files of the last commit wait for the next run to bring them to their places.
    ///
    /// # Errors
    /// When the place of a table cannot be told.
    pub fn is_half_done(&self) -> Result<bool, RunError> {
        Ok(is_half_done(&self.state)?)
    }

    /// What was taken in of a source, to be read from what was kept; with each when it was last modified.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn kept(&self, source: &str) -> Result<Vec<(Delivery, i64)>, RunError> {
        let positions = self.positions(source)?.into_iter();
        let deliveries = positions.map(|position| {
            let delivery = Delivery {
                name: position.path.as_str().into(),
                bytes: position.parts.iter().map(|part| part.bytes).sum(),
                from: Content::Kept(position.parts),
            };
            (delivery, position.modified_ns)
        });
        Ok(deliveries.collect())
    }

    /// Where the messages of a stream are kept.
    pub fn messages(&self, source: &str) -> PathBuf {
        self.directory.layout.messages(source)
    }

    /// The kept inputs.
    ///
    /// # Errors
    /// When they are gone.
    pub fn depot(&self) -> Result<Arc<Depot>, RunError> {
        let path = self.directory.layout.inputs();
        fs::metadata(&path).map_err(StoreError::io("open the kept inputs", &path))?;
        Ok(Arc::new(Depot::open(path).map_err(StoreError::Source)?))
    }

    /// What the state takes on the disk; `sources` are those whose kept inputs count.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn sizes(&self, sources: &[Source]) -> Result<StateSizes, RunError> {
        /// What the system counts blocks in.
        const BLOCK_BYTES: u64 = 512;
        let path = self.directory.layout.store();
        let found = fs::metadata(&path).map_err(StoreError::io("look up", &path))?;
        let parts = self.reading.part_sizes()?;
        let views: BTreeMap<String, ViewRecord> = self.reading.records(VIEWS, "")?;
        let of_view =
            |view: &ViewRecord| view.parts.iter().filter_map(|part| parts.get(part)).sum();
        let mut kept = BTreeMap::new();
        for source in sources {
            for position in self.positions(&source.spec.name)? {
                kept.extend(
                    position
                        .parts
                        .into_iter()
                        .map(|part| (part.hash.clone(), part)),
                );
            }
        }
        let (mut segments, mut messages) = (0, 0);
        for source in sources {
            for segment in self.stream(&source.spec.name)?.unwrap_or_default().segments {
                (segments, messages) = (segments + 1, messages + segment.bytes);
            }
        }
        Ok(StateSizes {
            store_bytes: found.blocks() * BLOCK_BYTES,
            views: views
                .iter()
                .map(|(name, view)| (name.clone(), of_view(view)))
                .collect(),
            inputs: KeptInputs {
                parts: u64::try_from(kept.len()).unwrap_or(u64::MAX) + segments,
                stored_bytes: kept.values().map(|part| part.stored_bytes).sum::<u64>() + messages,
                original_bytes: kept.values().map(|part| part.bytes).sum(),
            },
        })
    }
}
