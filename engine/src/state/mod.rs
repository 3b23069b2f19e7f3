//! The durable state that a job keeps from one run to the next.
//!
//! The state is one file of `redb`, an embedded transactional ordered key-value store, and directories of stored inputs
//! beside it ([`directory`]). One transaction holds everything that a commit changes: checkpoints, operators'
//! entries, the records of published files, and the publish steps that are still to be applied.
//!
//! 1. Records and blocks carry checksums of their own, checked whenever they are read.
//! 2. A graph reads one snapshot, taken before it began.
//! 3. Everything is durable once [`StateTransaction::commit`] has returned. Before that, nothing need be.

mod backend;
mod block;
mod cursor;
pub mod directory;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod layout;
mod levels;
mod lookup;
mod merge_operand;
mod migrate;
mod observed;
pub mod panic;
mod part_writer;
mod record;
mod stored_part;
mod update_batch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, TableDefinition, TableError, TableHandle,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidewater_connectors::checkpoint::CheckpointUpdate;
use tidewater_connectors::disk::DiskFile;
use tidewater_operators::hash::hash;
use tidewater_operators::state::StoredEntries;

use self::backend::{Backend, Unchanged};
use self::directory::Directory;

pub use self::error::{Damage, StoreError};
pub use self::levels::LEVELLED_BLOCKS;
pub use self::observed::ObservedStore;
pub use self::part_writer::PartWriter;
pub use self::record::*;
pub use self::update_batch::{UpdateBatch, UpdateBatches};

type Bytes<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// Size of the store's cache: half for reads, half for writes.
const CACHE_BYTES: usize = 16 << 20;
/// Size of the cache while a state is filled for the first time. With it, each page is written once; with the smaller
/// one it would be written twice.
const FIRST_CACHE_BYTES: usize = 512 << 20;

/// A kind of records.
#[derive(Clone, Copy, Debug)]
pub struct Records(&'static str);

impl Records {
    /// The name of the records' table.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// The state's own records: [`StateRecord`] under `""`.
pub const STATE: Records = Records("state");
/// Checkpoints of sources: documents of their connectors, by connector, source and entry.
pub const CHECKPOINTS: Records = Records("checkpoints");
/// [`ViewRecord`]s, by view.
pub const VIEWS: Records = Records("views");
/// [`TableRecord`]s, by table.
pub const TABLES: Records = Records("tables");
/// Published files, by table and partition.
pub const PARTITIONS: Records = Records("partitions");
/// The [`JobRecord`] under `""`, if the state's job was run from a file.
pub const JOB: Records = Records("job");
/// [`EpochRecord`]s, by epoch in 20 digits.
pub const EPOCHS: Records = Records("epochs");

/// The state of a job.
pub struct Store {
    database: Database,
    /// Whether the cache has the size for filling a state.
    fills: bool,
    /// A part with at least this many blocks has levels.
    levelled_blocks: u64,
}

impl Store {
    /// A state that exists in memory only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn in_memory() -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(redb::backends::InMemoryBackend::new())?;
        Ok(Self::of(database, false))
    }

    fn of(database: Database, fills: bool) -> Self {
        Self {
            database,
            fills,
            levelled_blocks: LEVELLED_BLOCKS,
        }
    }

    /// Sets the number of blocks from which on a part has levels: [`LEVELLED_BLOCKS`], unless a test asks for fewer.
    #[must_use]
    pub fn levelled_from(self, blocks: u64) -> Self {
        Self {
            levelled_blocks: blocks,
            ..self
        }
    }

    /// Opens the state in `directory`, and creates it if there is none.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn open(directory: &mut Directory) -> Result<Self, StoreError> {
        let path = directory.layout.store();
        let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
        if directory.is_made && bytes == 0 {
            return Err(StoreError::damaged(Damage::Gone(path)));
        }
        if !directory.is_made {
            tidewater_connectors::disk::remove_file(&path)
                .map_err(StoreError::io("remove", &path))?;
        }
        let fills = !directory.is_made;
        let cache_bytes = if fills {
            FIRST_CACHE_BYTES
        } else {
            CACHE_BYTES
        };
        let database = shared(&path, cache_bytes)?;
        if !directory.is_made {
            let transaction = database.begin_write()?;
            transaction.commit()?;
            directory.made()?;
        }
        if directory.is_outdated {
            // Written before the migration, so that an older version never opens migrated records.
            directory.made()?;
        }
        migrate::migrate(&database)?;
        Ok(Self::of(database, fills))
    }

    /// Frees the memory that filling a state needed. No snapshot may be open.
    ///
    /// # Errors
    /// When the store cannot be opened again.
    pub fn filled(&mut self, directory: &mut Directory) -> Result<(), StoreError> {
        if self.fills {
            // The file must be closed before it is opened again.
            let blocks = self.levelled_blocks;
            *self = Self::in_memory()?;
            *self = Self::open(directory)?.levelled_from(blocks);
        }
        Ok(())
    }

    /// Recovers the state in the locked `directory` in memory. Its file is not changed, and writes are discarded.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn for_reading(directory: &Directory) -> Result<Self, StoreError> {
        let path = directory.layout.store();
        if std::fs::metadata(&path).map_or(0, |found| found.len()) == 0 {
            return Err(StoreError::damaged(Damage::Gone(path)));
        }
        let file = std::fs::File::open(&path).and_then(Unchanged::new);
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(file.map_err(StoreError::io("open", &path))?)?;
        migrate::migrate(&database)?;
        Ok(Self::of(database, false))
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn read(&self) -> Result<StateSnapshot, StoreError> {
        Ok(StateSnapshot::new(self.database.begin_read()?))
    }

    /// Begins the only transaction that may change the state. It is rolled back unless it is committed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write(&self) -> Result<StateTransaction, StoreError> {
        let mut transaction = self.database.begin_write()?;
        // After a crash, the store then opens without a scan of the whole file.
        transaction.set_quick_repair(true);
        Ok(StateTransaction {
            transaction,
            levelled_blocks: self.levelled_blocks,
        })
    }

    /// Checks every page of the store. Records and blocks are checked whenever they are read.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn check(&mut self) -> Result<(), StoreError> {
        if self.database.check_integrity()? {
            Ok(())
        } else {
            Err(StoreError::damaged(Damage::Record(
                "of the store's pages".to_owned(),
            )))
        }
    }
}

/// How often, and how long at a time, the file of a process that is ending is waited for.
const CLOSING_TRIES: u32 = 200;
const CLOSING_PAUSE: Duration = Duration::from_millis(25);

/// The store in a file, shared with readers if the file system has the necessary locks.
fn shared(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let open = |builder: &mut Builder| {
        let failed = || StoreError::io("open", path);
        let file = DiskFile::open(path).map_err(failed())?;
        let backend = Backend::new(file).map_err(failed())?;
        let builder = builder.set_cache_size(cache_bytes);
        Ok::<_, StoreError>(builder.create_with_backend(backend))
    };
    let mode = ConcurrencyMode::SingleWriter;
    let mut tries = 0;
    loop {
        match open(Database::builder().set_concurrency_mode(mode))? {
            Err(DatabaseError::Storage(redb::StorageError::Unsupported)) => {
                return Ok(open(&mut Database::builder())??);
            }
            // The state's lock is ours, so a process that still has the file is about to end: when it is killed, the
            // kernel closes its files one by one.
            Err(DatabaseError::DatabaseAlreadyOpen) if tries < CLOSING_TRIES => {
                std::thread::sleep(CLOSING_PAUSE);
                tries += 1;
            }
            opened => return Ok(opened?),
        }
    }
}

/// A record's key of two names, such as a table and a partition.
pub fn pair_key(first: &str, second: &str) -> String {
    format!("{first}\0{second}")
}

/// The key of an epoch's record. Keys are in the order of epochs.
pub fn epoch_key(epoch: u64) -> String {
    format!("{epoch:020}")
}

fn checkpoint_key(connector: &str, source: &str, entry: &str) -> String {
    pair_key(connector, &pair_key(source, entry))
}

fn seal(key: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed = checksum(key, body).to_vec();
    sealed.extend_from_slice(body);
    sealed
}

fn checksum(key: &str, body: &[u8]) -> [u8; 8] {
    (hash(body) ^ hash(key.as_bytes()).rotate_left(1)).to_le_bytes()
}

/// The document of a record, after its checksum was verified.
fn document<'a>(records: Records, key: &str, sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match sealed.split_first_chunk() {
        Some((sum, body)) if *sum == checksum(key, body) => Ok(body),
        _ => Err(damaged(records, key)),
    }
}

fn unseal<T: DeserializeOwned>(
    records: Records,
    key: &str,
    sealed: &[u8],
) -> Result<T, StoreError> {
    let body = document(records, key, sealed)?;
    serde_json::from_slice(body).map_err(|_| damaged(records, key))
}

fn damaged(records: Records, key: &str) -> StoreError {
    StoreError::damaged(Damage::Record(format!("{} {key:?}", records.0)))
}

/// A snapshot of the state.
pub struct StateSnapshot {
    transaction: ReadTransaction,
}

impl StateSnapshot {
    fn new(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    fn table(
        &self,
        name: &str,
    ) -> Result<Option<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>, StoreError> {
        match self.transaction.open_table(Bytes::new(name)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A record; `None` if there is none.
    ///
    /// # Errors
    /// When the store fails, or the record is damaged.
    pub fn record<T: DeserializeOwned>(
        &self,
        records: Records,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        let Some(table) = self.table(records.0)? else {
            return Ok(None);
        };
        let sealed = table.get(key.as_bytes())?;
        sealed
            .map(|sealed| unseal(records, key, sealed.value()))
            .transpose()
    }

    /// The records whose keys begin with `prefix`, by the rest of the key.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn records<T: DeserializeOwned>(
        &self,
        records: Records,
        prefix: &str,
    ) -> Result<BTreeMap<String, T>, StoreError> {
        self.matching(records, prefix, unseal)
    }

    /// The checkpoint of a connector's source.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn checkpoint(
        &self,
        connector: &str,
        source: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let prefix = checkpoint_key(connector, source, "");
        self.matching(CHECKPOINTS, &prefix, |records, key, sealed| {
            document(records, key, sealed).map(<[u8]>::to_vec)
        })
    }

    /// All checkpoint entries of a connector, by source and entry.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn checkpoints(&self, connector: &str) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        self.matching(
            CHECKPOINTS,
            &pair_key(connector, ""),
            |records, key, sealed| document(records, key, sealed).map(<[u8]>::to_vec),
        )
    }

    fn matching<T>(
        &self,
        records: Records,
        prefix: &str,
        read: impl Fn(Records, &str, &[u8]) -> Result<T, StoreError>,
    ) -> Result<BTreeMap<String, T>, StoreError> {
        let mut found = BTreeMap::new();
        let Some(table) = self.table(records.0)? else {
            return Ok(found);
        };
        for entry in table.range::<&[u8]>(prefix.as_bytes()..)? {
            let (key, sealed) = entry?;
            let key = String::from_utf8_lossy(key.value()).into_owned();
            let Some(rest) = key.strip_prefix(prefix) else {
                break;
            };
            found.insert(rest.to_owned(), read(records, &key, sealed.value())?);
        }
        Ok(found)
    }

    /// Reads every record, which verifies its checksum.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn check_records(&self) -> Result<(), StoreError> {
        for records in [STATE, CHECKPOINTS, VIEWS, TABLES, PARTITIONS, JOB, EPOCHS] {
            self.records::<serde_json::Value>(records, "")?;
        }
        Ok(())
    }

    /// Checks that all entries of the last commit exist. A missing entry would look like one that was never written.
    ///
    /// # Errors
    /// When an entry is missing.
    pub fn check_sizes(&self) -> Result<(), StoreError> {
        let told = match self.record::<StateRecord>(STATE, "")? {
            Some(state) => state.sizes,
            None if self.transaction.list_tables()?.next().is_none() => return Ok(()),
            None => return Err(StoreError::damaged(Damage::Table(STATE.0.to_owned()))),
        };
        for (name, told) in told {
            let found = match self.table(&name)? {
                None => None,
                // The blocks themselves show whether one of them is missing.
                Some(part) if levels::part_of(&name).is_some() => Some(part.len()?),
                Some(records) => {
                    let records = records.iter()?.map(|entry| entry.map(|_| 1));
                    Some(records.sum::<Result<u64, _>>()?)
                }
            };
            if found != Some(told) {
                return Err(StoreError::damaged(Damage::Table(name)));
            }
        }
        Ok(())
    }

    /// The stored entries of a part; `None` if there are none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn part(&self, name: &str) -> Result<Option<Arc<dyn StoredEntries>>, StoreError> {
        let mut levels = Vec::new();
        for level in levels::LEVELS {
            if let Some(table) = self.table(&format!("{level}{name}"))?
                && !table.is_empty()?
            {
                levels.push(table);
            }
        }
        let name = name.into();
        Ok((!levels.is_empty())
            .then(|| Arc::new(stored_part::StoredPart { name, levels }) as Arc<dyn StoredEntries>))
    }

    /// Stored bytes of each part.
    ///
    /// # Errors
    /// When the store fails.
    pub fn part_sizes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut sizes = BTreeMap::<String, u64>::new();
        for handle in self.transaction.list_tables()? {
            let Some(part) = levels::part_of(handle.name()) else {
                continue;
            };
            if let Some(table) = self.table(handle.name())? {
                *sizes.entry(part.to_owned()).or_default() += table.stats()?.stored_bytes();
            }
        }
        Ok(sizes)
    }
}

/// The transaction that changes the state.
pub struct StateTransaction {
    transaction: WriteTransaction,
    levelled_blocks: u64,
}

impl StateTransaction {
    /// Sets a record.
    ///
    /// # Errors
    /// When the store fails.
    pub fn put<T: Serialize>(
        &self,
        records: Records,
        key: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_vec(value)
            .map_err(|error| StoreError::damaged(Damage::Record(error.to_string())))?;
        self.put_document(records, key, &body)
    }

    fn put_document(&self, records: Records, key: &str, body: &[u8]) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(Bytes::new(records.0))?;
        table.insert(key.as_bytes(), seal(key, body).as_slice())?;
        Ok(())
    }

    /// Changes the checkpoint of a connector's source.
    ///
    /// # Errors
    /// When the store fails.
    pub fn update_checkpoint(
        &self,
        connector: &str,
        source: &str,
        update: &CheckpointUpdate,
    ) -> Result<(), StoreError> {
        for entry in &update.removed {
            self.remove(CHECKPOINTS, &checkpoint_key(connector, source, entry))?;
        }
        for (entry, body) in &update.put {
            self.put_document(CHECKPOINTS, &checkpoint_key(connector, source, entry), body)?;
        }
        Ok(())
    }

    /// Removes a record.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, records: Records, key: &str) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(Bytes::new(records.0))?;
        table.remove(key.as_bytes())?;
        Ok(())
    }

    /// Removes the records whose keys begin with `prefix`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove_all(&self, records: Records, prefix: &str) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(Bytes::new(records.0))?;
        let mut keys = Vec::new();
        for entry in table.range::<&[u8]>(prefix.as_bytes()..)? {
            let key = entry?.0.value().to_vec();
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            keys.push(key);
        }
        for key in keys {
            table.remove(key.as_slice())?;
        }
        Ok(())
    }

    /// Changes the entries of a part.
    ///
    /// # Errors
    /// When the store fails or is damaged, or `change` fails.
    pub fn part(
        &self,
        name: &str,
        change: impl FnOnce(&mut PartWriter<'_, '_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        levels::change(&self.transaction, name, self.levelled_blocks, change)
    }

    /// Deletes a part.
    ///
    /// # Errors
    /// When the store fails.
    pub fn drop_part(&self, name: &str) -> Result<(), StoreError> {
        levels::delete(&self.transaction, 0, name)
    }

    /// Deletes all parts.
    ///
    /// # Errors
    /// When the store fails.
    pub fn drop_parts(&self) -> Result<(), StoreError> {
        let tables: Vec<_> = self.transaction.list_tables()?.collect();
        for table in tables {
            if let Some(part) = levels::part_of(table.name()) {
                self.drop_part(part)?;
            }
        }
        Ok(())
    }

    /// The current number of entries of each table.
    ///
    /// # Errors
    /// When the store fails.
    pub fn sizes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut sizes = BTreeMap::new();
        for handle in self.transaction.list_tables()? {
            let table = self.transaction.open_table(Bytes::new(handle.name()))?;
            sizes.insert(handle.name().to_owned(), table.len()?);
        }
        Ok(sizes)
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// When the store fails. Whether the transaction is durable is unknown then.
    pub fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit()?)
    }
}

#[cfg(test)]
mod tests;
