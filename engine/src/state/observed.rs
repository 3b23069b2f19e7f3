//! Reads a state that another process may be changing.
//!
//! 1. A reader and the process that changes the state share the store's file
//!    ([`redb::ConcurrencyMode::SingleWriter`]). A snapshot is one commit, and its pages are not overwritten while
//!    the reader has it. Neither waits for the other.
//! 2. A state whose last process was killed must be recovered first. A reader does that in memory, and meanwhile
//!    blocks processes that would change the state.
//! 3. Content to which the snapshot refers is not removed while a reader is open ([`directory::is_read`]).

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{
    ConcurrencyMode, Database, DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase,
};

use super::directory::{self, Directory};
use super::error::{Damage, StoreError};
use super::migrate;
use super::snapshot::StateSnapshot;
use super::store::{CACHE_BYTES, Store};

/// How often, and at which interval, to try again while another process opens the state.
const TRIES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(25);

/// A state that is open for reading.
pub struct ObservedStore {
    /// The state's directory, locked if the state must not change meanwhile.
    pub directory: Directory,
    store: ReadableStore,
    /// Held open for its lock.
    _content: File,
}

/// A store to read from.
enum ReadableStore {
    /// Shared with a process that may change it.
    Shared(ReadOnlyDatabase),
    /// Recovered in memory.
    Recovered(Store),
}

impl ObservedStore {
    /// Opens the state in `path`.
    ///
    /// # Errors
    /// When there is no state, it is damaged, or a version that does not share it is using it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut tries = 0;
        loop {
            match Self::try_open(path) {
                Err(StoreError::InUse { .. }) if tries < TRIES => sleep(PAUSE),
                opened => return opened,
            }
            tries += 1;
        }
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let directory = Directory::unlocked(path)?;
        let content = directory::read_content(&directory.layout)?;
        if !directory.is_outdated
            && let Some(database) = shared(&directory)?
        {
            return Ok(Self {
                directory,
                store: ReadableStore::Shared(database),
                _content: content,
            });
        }
        let directory = Directory::for_reading(path)?;
        Ok(Self {
            store: ReadableStore::Recovered(Store::for_reading(&directory)?),
            directory,
            _content: content,
        })
    }

    /// The last commit.
    ///
    /// # Errors
    /// When the store fails.
    pub fn read(&self) -> Result<StateSnapshot, StoreError> {
        match &self.store {
            ReadableStore::Shared(database) => Ok(StateSnapshot::new(database.begin_read()?)),
            ReadableStore::Recovered(store) => store.read(),
        }
    }
}

/// The store, shared with the process that changes it; `None` if it must be recovered or moved first.
fn shared(directory: &Directory) -> Result<Option<ReadOnlyDatabase>, StoreError> {
    let path = directory.layout.store();
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let is_empty = file.metadata().map_or(true, |found| found.len() == 0);
    if is_empty {
        return Err(StoreError::damaged(Damage::Gone(path)));
    }
    let opened = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .open_read_only_with_backend(FileBackend::new(file)?);
    let database = match opened {
        Ok(database) => database,
        Err(
            DatabaseError::RepairAborted
            | DatabaseError::DatabaseAlreadyOpen
            | DatabaseError::Storage(redb::StorageError::Unsupported),
        ) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let snapshot: ReadTransaction = database.begin_read()?;
    let is_moved = !migrate::is_needed(&snapshot)?;
    drop(snapshot);
    Ok(is_moved.then_some(database))
}
