//! Reads the state as of a moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableError, TableHandle};
use serde::de::DeserializeOwned;
use tidewater_operators::state::StoredEntries;

use super::error::{Damage, StoreError};
use super::levels;
use super::record::StateRecord;
use super::record_tables::{
    Bytes, CHECKPOINTS, EPOCHS, JOB, PARTITIONS, Records, STATE, TABLES, VIEWS, checkpoint_key,
    document, pair_key, unseal,
};
use super::stored_part::StoredPart;

/// A snapshot of the state.
pub struct StateSnapshot {
    transaction: ReadTransaction,
}

impl StateSnapshot {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
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
            .then(|| Arc::new(StoredPart { name, levels }) as Arc<dyn StoredEntries>))
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
