//! The condition in which a run finds the published tables, compared with the last commit: unchanged, damaged, or
//! moved.
//!
//! | a table | is |
//! |---|---|
//! | whose files are what was published | amended |
//! | in text, whose files are damaged and whose Parquet copy in the state is not | written again from the copy |
//! | in Parquet, whose files are damaged | rebuilt with its view, from the stored inputs |
//! | of bad or late rows, that is declared in another place now | written there from its old files, which go |
//! | of bad rows, whose files are damaged | rebuilt from the stored inputs |
//! | of late rows, whose files are damaged | started empty: the inputs do not tell which rows came late |
//!
//! Older versions published the tables of bad and of late rows beside the other tables, where other jobs might
//! publish theirs too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_connectors::file::sink::{
    DEFAULT_SHARD_BYTES, FileFault, PublishStep, PublishedPartition, PublishedTable, Run, Staging,
    TableLook, TableShard, is_only_table, look,
};
use tidewater_connectors::sink::{Encoding, TableSpec};

use super::shadow::shadow;
use crate::drive::RunError;
use crate::drive::tables::{Origin, PerTable, Table};
use crate::state::directory::StateLayout;
use crate::state::{
    PARTITIONS, StateSnapshot, StateTransaction, StoreError, TABLES, TableRecord, pair_key,
};

/// The condition of the published tables.
#[derive(Default)]
pub struct Standing {
    /// Damaged tables that can only be rebuilt, by name.
    pub lost: BTreeSet<String>,
    /// Tables that are written whole from existing rows, by name.
    carried: BTreeMap<String, CarriedTable>,
    /// Partitions whose files have other stamps than recorded, by table.
    pub restamped: BTreeMap<String, BTreeMap<String, PublishedPartition>>,
    /// Notices about tables, by name.
    pub notices: BTreeMap<String, String>,
}

/// A table that is written whole from existing rows.
pub struct CarriedTable {
    table: PublishedTable,
    files: Vec<PathBuf>,
    /// The directory that the commit removes.
    discarded: Option<PathBuf>,
}

impl CarriedTable {
    /// Its rows.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn rows(&self, spec: &Arc<TableSpec>, staging: &Staging) -> Result<Vec<Run>, RunError> {
        let mut shard = TableShard::new(Arc::clone(spec), staging, DEFAULT_SHARD_BYTES)?;
        for file in &self.files {
            self.table.read(file, |batch| shard.push(&batch, 1))?;
        }
        Ok(shard.finish()?)
    }

    /// The step that removes its old directory, if it is to be removed.
    pub fn discarded(&self) -> Option<PublishStep> {
        let target = self.discarded.clone()?;
        Some(PublishStep::Discard { target })
    }
}

impl Standing {
    /// Checks all tables.
    ///
    /// # Errors
    /// When the state is damaged, or a file's metadata cannot be read.
    pub fn of(
        tables: &PerTable<Table>,
        snapshot: &StateSnapshot,
        layout: &StateLayout,
    ) -> Result<Self, RunError> {
        Self::looked(tables, snapshot, layout, true)
    }

    /// Checks only the directories of tables, not their files.
    ///
    /// # Errors
    /// When the state is damaged.
    pub fn of_places(
        tables: &PerTable<Table>,
        snapshot: &StateSnapshot,
        layout: &StateLayout,
    ) -> Result<Self, RunError> {
        Self::looked(tables, snapshot, layout, false)
    }

    fn looked(
        tables: &PerTable<Table>,
        snapshot: &StateSnapshot,
        layout: &StateLayout,
        at_files: bool,
    ) -> Result<Self, RunError> {
        let mut standing = Self::default();
        for table in tables.iter() {
            let name = &*table.spec.name;
            let is_own = !matches!(table.origin, Origin::Relation { .. });
            if !is_own && !at_files {
                continue;
            }
            let record: Option<TableRecord> = snapshot.record(TABLES, name)?;
            let Some(record) = record else {
                standing.lost.extend(is_own.then(|| name.to_owned()));
                continue;
            };
            let partitions: BTreeMap<String, PublishedPartition> =
                snapshot.records(PARTITIONS, &pair_key(name, ""))?;
            let before = former(table, &record, &partitions, layout);
            if is_same_place(&before, &table.spec) {
                if at_files {
                    standing.look(table, before, partitions, layout)?;
                }
            } else if is_own {
                standing.move_along(table, before, &partitions, layout)?;
            }
        }
        Ok(standing)
    }

    /// The rows of a table that is written whole.
    pub fn carried(&self, table: &Table) -> Option<&CarriedTable> {
        self.carried.get(&*table.spec.name)
    }

    /// Whether a table is written whole from existing rows.
    pub fn is_written_whole(&self, table: &Table) -> bool {
        self.carried(table).is_some()
    }

    /// Tables that are now declared in another directory.
    pub fn moved(&self) -> impl Iterator<Item = &str> {
        self.carried.keys().map(String::as_str)
    }

    /// Records the stamps that changed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn record(&self, transaction: &StateTransaction) -> Result<(), StoreError> {
        for (table, partitions) in &self.restamped {
            for (partition, content) in partitions {
                transaction.put(PARTITIONS, &pair_key(table, partition), content)?;
            }
        }
        Ok(())
    }

    /// Checks a table whose directory is unchanged.
    fn look(
        &mut self,
        table: &Table,
        before: TableSpec,
        partitions: BTreeMap<String, PublishedPartition>,
        layout: &StateLayout,
    ) -> Result<(), RunError> {
        let name = table.spec.name.to_string();
        let shadow = shadow(layout, &before);
        let files = files(&partitions);
        let looked = look(&before, shadow.as_deref(), partitions)?;
        if looked.damaged.is_empty() {
            if !looked.restamped.is_empty() {
                self.restamped.insert(name, looked.restamped);
            }
            return Ok(());
        }
        let is_carried = shadow.is_some() && looked.has_copy;
        let notice = damage(table, &looked, is_carried);
        self.notices.insert(name.clone(), notice);
        if is_carried {
            let carried = CarriedTable {
                table: PublishedTable::new(Arc::new(before), shadow)?,
                files,
                discarded: None,
            };
            self.carried.insert(name, carried);
        } else {
            self.lost.insert(name);
        }
        Ok(())
    }

    /// Moves a table whose declared directory has changed.
    fn move_along(
        &mut self,
        table: &Table,
        before: TableSpec,
        partitions: &BTreeMap<String, PublishedPartition>,
        layout: &StateLayout,
    ) -> Result<(), RunError> {
        let name = table.spec.name.to_string();
        let from = before.path.clone();
        let shadow = shadow(layout, &before);
        let published = PublishedTable::new(Arc::new(before), shadow)?;
        let found = published.files(partitions)?;
        let is_foreign = |fault: Option<FileFault>| fault == Some(FileFault::Foreign);
        let mut faults = found.iter().filter_map(|file| file.fault);
        if !from.is_dir() || faults.any(|fault| !is_foreign(Some(fault))) {
            self.lost.insert(name);
            return Ok(());
        }
        let is_alone = !found.iter().any(|file| is_foreign(file.fault)) && is_only_table(&from)?;
        let now = &table.spec.path;
        let is_apart = !now.starts_with(&from) && !from.starts_with(now);
        let own = found.into_iter().filter(|file| !is_foreign(file.fault));
        let carried = CarriedTable {
            table: published,
            files: own.map(|file| file.path).collect(),
            discarded: (is_alone && is_apart).then_some(from),
        };
        self.carried.insert(name, carried);
        Ok(())
    }
}

/// The notice that a table's files are damaged, with what is done about it.
fn damage(table: &Table, looked: &TableLook, is_carried: bool) -> String {
    let name = &table.spec.name;
    let Some((file, fault)) = looked.damaged.first() else {
        return String::new();
    };
    let more = match looked.damaged.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more file)".to_owned(),
        more => format!(" (and {more} more files)"),
    };
    let remedy = match &table.origin {
        _ if is_carried => "it is written again from its copy in the state",
        Origin::Relation { .. } | Origin::Quarantine => "it is rebuilt from the stored inputs",
        Origin::Late => "its earlier rows are lost, and it starts empty",
    };
    let path = table.spec.path.join(file);
    let path = if file == Path::new("") {
        table.spec.path.as_path()
    } else {
        &path
    };
    format!(
        "table {name}: {} {}{more}: {remedy}",
        path.display(),
        fault.describe()
    )
}

fn files(partitions: &BTreeMap<String, PublishedPartition>) -> Vec<PathBuf> {
    let files = partitions.iter().flat_map(|(partition, content)| {
        let files = content.files.iter();
        files.map(move |file| Path::new(partition).join(&file.name))
    });
    files.collect()
}

fn is_same_place(before: &TableSpec, now: &TableSpec) -> bool {
    before.path == now.path
        && before.partition_by == now.partition_by
        && before.encoding.extension() == now.encoding.extension()
}

/// The former spec of a table: in the recorded directory, which moves with the state, with the columns and the format
/// that its file names show.
fn former(
    table: &Table,
    record: &TableRecord,
    partitions: &BTreeMap<String, PublishedPartition>,
    layout: &StateLayout,
) -> TableSpec {
    let spec = &table.spec;
    let copy = layout.table_copy(&spec.name);
    let is_in_state = copy
        .strip_prefix(layout.root())
        .is_ok_and(|below| record.path.ends_with(below) && !record.path.exists());
    let path = if is_in_state {
        copy
    } else {
        record.path.clone()
    };
    let Some((folders, content)) = partitions.iter().next() else {
        return TableSpec {
            path,
            ..TableSpec::clone(spec)
        };
    };
    let columns = folders.split('/').filter_map(|folder| {
        let (column, _) = folder.split_once('=')?;
        spec.schema.index_of(column).ok()
    });
    let name = content.files.first().map_or("", |file| &file.name);
    let encoding = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        extension if extension == spec.encoding.extension() => spec.encoding.clone(),
        "csv" => Encoding::Csv {
            delimiter: b',',
            null_text: String::new(),
        },
        "jsonl" => Encoding::JsonLines,
        _ => Encoding::default(),
    };
    TableSpec {
        path,
        partition_by: columns.collect(),
        encoding,
        ..TableSpec::clone(spec)
    }
}
