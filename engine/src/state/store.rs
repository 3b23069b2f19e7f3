//! Opens the store: for writing, for reading beside a run, or in memory.

use std::path::Path;
use std::time::Duration;

use redb::{Builder, ConcurrencyMode, Database, DatabaseError, ReadableDatabase};
use tidewater_connectors::disk::{self, DiskFile};

use super::backend::{Backend, Unchanged};
use super::directory::Directory;
use super::error::{Damage, StoreError};
use super::levels::LEVELLED_BLOCKS;
use super::migrate;
use super::snapshot::StateSnapshot;
use super::transaction::StateTransaction;

/// Size of the store's cache: half for reads, half for writes.
pub(super) const CACHE_BYTES: usize = 16 << 20;
/// Size of the cache while a state is filled for the first time. With it, each page is written once; with the smaller
/// one it would be written twice.
const FIRST_CACHE_BYTES: usize = 512 << 20;

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
            disk::remove_file(&path).map_err(StoreError::io("remove", &path))?;
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
        Ok(StateTransaction::new(transaction, self.levelled_blocks))
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
