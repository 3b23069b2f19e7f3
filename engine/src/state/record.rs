//! The records of the state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidewater_connectors::file::sink::PublishStep;

/// The state's own record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The job's name.
    pub job: String,
    /// An id that is unique on the machine, used in the names of staging directories.
    pub id: String,
    /// The last committed epoch; 0 before the first.
    pub epoch: u64,
    /// The publish steps of the last commit, which may not have been applied. States of format 6 call them swaps.
    #[serde(rename = "swaps")]
    pub publish_steps: Vec<PublishStep>,
    /// Directories of the tables. Staging directories are beside them.
    pub table_paths: Vec<std::path::PathBuf>,
    /// Sources that have had deliveries. They may have none any more.
    #[serde(default)]
    pub sources: BTreeSet<String>,
    /// When the job first had tables that are published to other systems, in milliseconds since 1970; 0 if never. It
    /// distinguishes the state from earlier ones in the same directory.
    #[serde(default)]
    pub born_ms: u64,
    /// The last epoch that other systems are known to hold, if tables are published there.
    #[serde(default)]
    pub published: u64,
    /// Data that sinks staged for the last committed epoch, by connector.
    #[serde(default)]
    pub staged: BTreeMap<String, Vec<u8>>,
    /// Failures of assertions that were accepted.
    #[serde(default)]
    pub accepted: Vec<AcceptedFailure>,
    /// The fingerprint of the rules by which the deliveries of each source were judged, for sources whose deliveries
    /// can be held.
    #[serde(default)]
    pub hold_rules: BTreeMap<String, String>,
    /// Number of entries of each table of the store, except the table of this record.
    #[serde(default)]
    pub sizes: BTreeMap<String, u64>,
}

/// The job as it was last run, so that commands can read a state without naming it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The path of its file, as given.
    pub path: std::path::PathBuf,
    /// The working directory, to which paths in the job are relative.
    pub directory: std::path::PathBuf,
    /// Its text.
    pub text: String,
    /// The variables that were given. Those of the environment are not recorded.
    pub settings: BTreeMap<String, String>,
}

/// A view and the state of its operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// The fingerprint of its plan and of everything that it reads.
    pub fingerprint: String,
    /// Names of its operators' parts.
    pub parts: Vec<String>,
    /// For retained windows: windows before this time are closed, and their state is dropped.
    #[serde(default)]
    pub closed: Option<i64>,
    /// For retained windows: the greatest time of a late row.
    #[serde(default)]
    pub newest_late: Option<i64>,
    /// For retained windows, in states that do not have `closed` yet: the greatest time of a row.
    #[serde(default)]
    pub newest: Option<i64>,
}

/// A published table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Fingerprint of its declaration.
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

/// The record of a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Its number.
    pub epoch: u64,
    /// When it was committed, in seconds since 1970.
    pub committed_at: u64,
    /// Wall-clock seconds it took.
    pub seconds: f64,
    /// The deliveries that it inserted, replaced or retracted.
    pub deliveries: Vec<DeliveryRecord>,
    /// Rows inserted.
    pub rows_in: u64,
    /// Rows retracted.
    pub rows_out: u64,
    /// Tables that it changed.
    pub tables: Vec<TableChangeRecord>,
    /// Views that were rebuilt.
    pub rebuilt: Vec<String>,
    /// The results of the job's assertions.
    #[serde(default)]
    pub assertions: Vec<AssertionRecord>,
}

/// What an assertion was found to be, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssertionVerdict {
    /// No more rows break the rule than it allows.
    Pass,
    /// It was published with a warning.
    Warn,
    /// Deliveries that break it are held, and the rest was published.
    Held,
    /// It fails, and was published all the same because a person said so.
    Accepted,
    /// It fails. Nothing may be published, unless the rule says so.
    Fail,
}

/// The result of an assertion at a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionRecord {
    /// The assertion.
    pub assertion: String,
    /// The worst verdict of its deliveries.
    pub verdict: AssertionVerdict,
    /// The rows that break the rule.
    pub broken: u64,
    /// The rows that the rule was checked on; `None` for a rule about queries.
    pub rows: Option<u64>,
    /// Why a failure was accepted.
    pub because: Option<String>,
    /// The deliveries that are held because they break the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldRecord>,
}

/// A delivery that was held at a commit because it breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// Its path.
    pub delivery: String,
    /// Its rows that break the rule.
    pub broken: u64,
    /// Its rows that the rule was checked on.
    pub rows: u64,
    /// The epoch that began to hold it.
    pub since: u64,
}

/// A failure of an assertion that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedFailure {
    /// The assertion.
    pub assertion: String,
    /// The delivery; `None` if the rule is judged as a whole.
    pub delivery: Option<String>,
    /// The rows that broke the rule at the last commit. More are a new failure.
    pub broken: u64,
    /// Why it was accepted.
    pub because: String,
    /// The epoch that accepted it.
    pub epoch: u64,
}

/// A delivery that a commit inserted, replaced or retracted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The source.
    pub source: String,
    /// The file. For a stream, the topic, partition and offsets.
    pub path: String,
    /// `new`, `replaced`, `appended`, `renamed` or `withdrawn`; for a stream, `read`.
    pub change: String,
    /// Rows inserted, including quarantined ones.
    pub rows_in: u64,
    /// Rows retracted.
    pub rows_out: u64,
}

/// A commit's changes to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChangeRecord {
    /// The table.
    pub table: String,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Whether the table was written from scratch, without a file of its changes.
    pub replaced: bool,
}
