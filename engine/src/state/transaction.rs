//! Changes the state, in one transaction.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction};
use serde::Serialize;
use tidewater_connectors::checkpoint::CheckpointUpdate;

use super::error::{Damage, StoreError};
use super::levels;
use super::part_writer::PartWriter;
use super::record_tables::{Bytes, CHECKPOINTS, Records, checkpoint_key, seal};

/// The transaction that changes the state.
pub struct StateTransaction {
    transaction: WriteTransaction,
    levelled_blocks: u64,
}

impl StateTransaction {
    pub(super) fn new(transaction: WriteTransaction, levelled_blocks: u64) -> Self {
        Self {
            transaction,
            levelled_blocks,
        }
    }

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
