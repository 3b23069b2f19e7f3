//! The published tables by the state's records.

use std::collections::BTreeMap;

use tidewater_connectors::file::sink::{PublishedPartition, PublishedRecord};
use tidewater_connectors::sink::SinkError;

use super::standing::Standing;
use crate::state::{PARTITIONS, StateSnapshot, StoreError, pair_key};

/// The published tables by the state's record.
pub struct FromState<'a> {
    /// The last commit.
    pub snapshot: &'a StateSnapshot,
    /// The condition of the published tables.
    pub standing: &'a Standing,
}

impl FromState<'_> {
    fn told<T>(table: &str, result: Result<T, StoreError>) -> Result<T, SinkError> {
        result.map_err(|error| SinkError::Record {
            table: table.to_owned(),
            message: error.to_string(),
        })
    }
}

impl PublishedRecord for FromState<'_> {
    fn partition(&self, table: &str, path: &str) -> Result<Option<PublishedPartition>, SinkError> {
        let restamped = self.standing.restamped.get(table);
        if let Some(partition) = restamped.and_then(|partitions| partitions.get(path)) {
            return Ok(Some(partition.clone()));
        }
        Self::told(
            table,
            self.snapshot.record(PARTITIONS, &pair_key(table, path)),
        )
    }

    fn partitions(&self, table: &str) -> Result<Vec<String>, SinkError> {
        let prefix = pair_key(table, "");
        let records: Result<BTreeMap<String, PublishedPartition>, _> =
            self.snapshot.records(PARTITIONS, &prefix);
        Ok(Self::told(table, records)?.into_keys().collect())
    }
}
