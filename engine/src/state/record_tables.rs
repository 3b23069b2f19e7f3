//! The tables of the store that hold records: their names, their keys, and the checksums of their documents.

use redb::TableDefinition;
use serde::de::DeserializeOwned;
use tidewater_operators::hash::hash;

use super::error::{Damage, StoreError};

/// A table of the store.
pub(super) type Bytes<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// A kind of records.
#[derive(Clone, Copy, Debug)]
pub struct Records(pub(super) &'static str);

impl Records {
    /// The name of the records' table.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// The state's own records: [`StateRecord`](super::StateRecord) under `""`.
pub const STATE: Records = Records("state");
/// Checkpoints of sources: documents of their connectors, by connector, source and entry.
pub const CHECKPOINTS: Records = Records("checkpoints");
/// [`ViewRecord`](super::ViewRecord)s, by view.
pub const VIEWS: Records = Records("views");
/// [`TableRecord`](super::TableRecord)s, by table.
pub const TABLES: Records = Records("tables");
/// Published files, by table and partition.
pub const PARTITIONS: Records = Records("partitions");
/// The [`JobRecord`](super::JobRecord) under `""`, if the state's job was run from a file.
pub const JOB: Records = Records("job");
/// [`EpochRecord`](super::EpochRecord)s, by epoch in 20 digits.
pub const EPOCHS: Records = Records("epochs");

/// A record's key of two names, such as a table and a partition.
pub fn pair_key(first: &str, second: &str) -> String {
    format!("{first}\0{second}")
}

/// The key of an epoch's record. Keys are in the order of epochs.
pub fn epoch_key(epoch: u64) -> String {
    format!("{epoch:020}")
}

pub(super) fn checkpoint_key(connector: &str, source: &str, entry: &str) -> String {
    pair_key(connector, &pair_key(source, entry))
}

pub(super) fn seal(key: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed = checksum(key, body).to_vec();
    sealed.extend_from_slice(body);
    sealed
}

fn checksum(key: &str, body: &[u8]) -> [u8; 8] {
    (hash(body) ^ hash(key.as_bytes()).rotate_left(1)).to_le_bytes()
}

/// The document of a record, after its checksum was verified.
pub(super) fn document<'a>(
    records: Records,
    key: &str,
    sealed: &'a [u8],
) -> Result<&'a [u8], StoreError> {
    match sealed.split_first_chunk() {
        Some((sum, body)) if *sum == checksum(key, body) => Ok(body),
        _ => Err(damaged(records, key)),
    }
}

pub(super) fn unseal<T: DeserializeOwned>(
    records: Records,
    key: &str,
    sealed: &[u8],
) -> Result<T, StoreError> {
    let body = document(records, key, sealed)?;
    serde_json::from_slice(body).map_err(|_| damaged(records, key))
}

pub(super) fn damaged(records: Records, key: &str) -> StoreError {
    StoreError::damaged(Damage::Record(format!("{} {key:?}", records.0)))
}
