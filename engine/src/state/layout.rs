//! The names in a state's directory. No other module spells them.
//!
//! | name | holds |
//! |---|---|
//! | `FORMAT` | the format's number; written last when a state is created |
//! | `lock` | locked by the process that uses the state; contains its name |
//! | `state.redb` | checkpoints, operators' state, records of published files, commits |
//! | `inputs/` | deliveries as they were read, by content hash |
//! | `streams/` | messages as they were read, by source |
//! | `sources/` | content that other connectors keep, by connector |
//! | `changes/` | the changes of each table in each epoch |
//! | `tables/` | Parquet copies of tables that are published as text, or elsewhere |

use std::path::{Path, PathBuf};

use tidewater_connectors::connector::{SOURCES, SourceConnector};

const FORMAT: &str = "FORMAT";
const NEW_FORMAT: &str = "FORMAT.new";
const LOCK: &str = "lock";
const STORE: &str = "state.redb";
const INPUTS: &str = "inputs";
const STREAMS: &str = "streams";
const CHANGES: &str = "changes";
const TABLES: &str = "tables";

/// The paths in a state's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLayout {
    root: PathBuf,
}

impl StateLayout {
    /// The names that may be in the directory.
    pub const NAMES: [&str; 9] = [
        FORMAT, NEW_FORMAT, LOCK, STORE, INPUTS, STREAMS, SOURCES, CHANGES, TABLES,
    ];

    /// The paths in the directory `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file with the format's number.
    pub fn format(&self) -> PathBuf {
        self.root.join(FORMAT)
    }

    /// The temporary file that replaces [`format`](Self::format).
    pub fn new_format(&self) -> PathBuf {
        self.root.join(NEW_FORMAT)
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// A connector's own directory.
    pub fn connector(&self, connector: &dyn SourceConnector) -> PathBuf {
        self.root.join(connector.directory())
    }

    /// The directory of all files of changes.
    pub fn all_changes(&self) -> PathBuf {
        self.root.join(CHANGES)
    }

    /// The directory of an epoch's files of changes.
    pub fn changes_of(&self, epoch: u64) -> PathBuf {
        self.all_changes().join(format!("{epoch:020}"))
    }

    /// The file of an epoch's changes to a table.
    pub fn changes(&self, epoch: u64, table: &str) -> PathBuf {
        self.changes_of(epoch).join(format!("{table}.parquet"))
    }

    /// The directory of the Parquet copies of tables.
    pub fn table_copies(&self) -> PathBuf {
        self.root.join(TABLES)
    }

    /// The directory of the Parquet copy of a table.
    pub fn table_copy(&self, table: &str) -> PathBuf {
        self.table_copies().join(table)
    }
}
