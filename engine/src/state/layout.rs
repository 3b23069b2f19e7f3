//! What is in a state's directory, and where. No other module spells these names.
//!
//! | name | holds |
//! |---|---|
//! | `FORMAT` | the format's number; written last when a state is made |
//! | `lock` | locked by the process that uses the state; names it |
//! | `state.redb` | positions, operators' state, what is published, commits |
//! | `inputs/` | deliveries as they were read, by content hash |
//! | `streams/` | messages as they were read, by source |
//! | `sources/` | what other connectors keep, by connector |
//! | `changes/` | what each epoch changed in each table |
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

    /// The file that tells the format.
    pub fn format(&self) -> PathBuf {
        self.root.join(FORMAT)
    }

    /// Where [`format`](Self::format) is written before it takes its place.
    pub fn new_format(&self) -> PathBuf {
        self.root.join(NEW_FORMAT)
    }

    /// The file that is locked.
    pub fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// The directory of a connector's own.
    pub fn connector(&self, connector: &dyn SourceConnector) -> PathBuf {
        self.root.join(connector.directory())
    }

    /// The directory of all lists of changes.
    pub fn all_changes(&self) -> PathBuf {
        self.root.join(CHANGES)
    }

    /// The directory of the lists of changes of an epoch.
    pub fn changes_of(&self, epoch: u64) -> PathBuf {
        self.all_changes().join(format!("{epoch:020}"))
    }

    /// The list of what an epoch changed in a table.
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
