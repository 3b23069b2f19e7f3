//! The records of the state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidewater_connectors::file::sink::Swap;

/// What the state is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The job's name.
    pub job: String,
    /// Names the state among others on the machine: in the names of staging directories.
    pub id: String,
    /// The last committed epoch; 0 before the first.
    pub epoch: u64,
    /// What was still to be done to the files when the epoch was committed.
    pub swaps: Vec<Swap>,
    /// Directories of the tables, where staging directories lie beside.
    pub table_paths: Vec<std::path::PathBuf>,
    /// Sources that had deliveries: they may have none any more.
    #[serde(default)]
    pub sources: BTreeSet<String>,
    /// When its job first had tables that go to other systems, in milliseconds since 1970, or 0: tells the state from
    /// others that were in the same directory.
    #[serde(default)]
    pub born_ms: u64,
    /// The last epoch that other systems are known to hold, for a job whose tables go there.
    #[serde(default)]
    pub published: u64,
    /// What sinks staged for the last committed epoch, by connector.
    #[serde(default)]
    pub staged: BTreeMap<String, Vec<u8>>,
    /// Entries of each of the store's tables, this one aside.
    #[serde(default)]
    pub sizes: BTreeMap<String, u64>,
}

/// A view of which operators' state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// Of its plan, and of all that it reads.
    pub fingerprint: String,
    /// Names of its operators' parts.
    pub parts: Vec<String>,
    /// The newest of its windows, where they stay open for a time only.
    #[serde(default)]
    pub newest: Option<i64>,
}

/// A published table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Of how it is published.
    pub fingerprint: String,
    /// Its directory.
    pub path: std::path::PathBuf,
    /// The view it publishes.
    pub view: String,
    /// Rows it holds.
    pub rows: u64,
    /// The epoch that changed it last.
    pub epoch: u64,
}

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Its number.
    pub epoch: u64,
    /// When it was committed, in seconds since 1970.
    pub committed_at: u64,
    /// Wall-clock seconds it took.
    pub seconds: f64,
    /// What became of deliveries.
    pub deliveries: Vec<DeliveryRecord>,
    /// Rows taken in.
    pub rows_in: u64,
    /// Rows taken back.
    pub rows_out: u64,
    /// Tables that it changed.
    pub tables: Vec<TableChangeRecord>,
    /// Views that were built anew.
    pub rebuilt: Vec<String>,
}

/// A delivery that a commit took in or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The source.
    pub source: String,
    /// The file; of a stream the topic, the partition and the offsets.
    pub path: String,
    /// `new`, `replaced`, `appended`, `renamed` or `withdrawn`; of a stream `read`.
    pub change: String,
    /// Rows taken in, quarantined ones among them.
    pub rows_in: u64,
    /// Rows taken back.
    pub rows_out: u64,
}

/// What a commit did to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChangeRecord {
    /// The table.
    pub table: String,
    /// Rows that came.
    pub inserted: u64,
    /// Rows that went.
    pub deleted: u64,
    /// Whether it was written anew, without a list of its changes.
    pub replaced: bool,
}
