//! Migrates states of older formats.
//!
//! Format 5 has positions of files by source and path, and positions of topics by source. Since format 6, both are
//! checkpoints of their connectors.
//!
//! 1. The migration is one transaction. It runs whenever the old tables exist, whatever the format's number is. If a
//!    process dies after it wrote the new number and before the transaction, the state has the new number and the old
//!    tables.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableHandle, WriteTransaction,
};
use serde_json::Value;

use super::error::StoreError;
use super::record_tables::{
    Bytes, CHECKPOINTS, Records, STATE, checkpoint_key, damaged, document, seal,
};

/// The oldest format that can be migrated.
pub const OLDEST_FORMAT: u32 = 5;

/// Positions of files, by source and path.
const POSITIONS: Records = Records("positions");
/// Positions of topics, by source.
const STREAMS: Records = Records("streams");

/// Migrates the records of an older format, if there are any.
///
/// # Errors
/// When the store fails, or a record is damaged.
pub fn migrate(database: &Database) -> Result<(), StoreError> {
    if !is_needed(&database.begin_read()?)? {
        return Ok(());
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    move_records(&transaction, POSITIONS, |key| match key.split_once('\0') {
        Some((source, path)) => checkpoint_key("files", source, path),
        None => checkpoint_key("files", key, ""),
    })?;
    move_records(&transaction, STREAMS, |source| {
        checkpoint_key("kafka", source, "")
    })?;
    count_records(&transaction)?;
    Ok(transaction.commit()?)
}

/// Whether there are records of an older format.
///
/// # Errors
/// When the store fails.
pub fn is_needed(snapshot: &ReadTransaction) -> Result<bool, StoreError> {
    let old = [POSITIONS, STREAMS];
    let mut tables = snapshot.list_tables()?;
    Ok(tables.any(|table| old.iter().any(|records| records.0 == table.name())))
}

fn move_records(
    transaction: &WriteTransaction,
    records: Records,
    new_key: impl Fn(&str) -> String,
) -> Result<(), StoreError> {
    {
        let old = transaction.open_table(Bytes::new(records.0))?;
        let mut new = transaction.open_table(Bytes::new(CHECKPOINTS.0))?;
        for entry in old.iter()? {
            let (key, sealed) = entry?;
            let key = String::from_utf8_lossy(key.value()).into_owned();
            let body = document(records, &key, sealed.value())?;
            let key = new_key(&key);
            new.insert(key.as_bytes(), seal(&key, body).as_slice())?;
        }
    }
    transaction.delete_table(Bytes::new(records.0))?;
    Ok(())
}

/// Corrects the numbers of entries in the state's own record.
fn count_records(transaction: &WriteTransaction) -> Result<(), StoreError> {
    use redb::ReadableTableMetadata;
    let moved = transaction.open_table(Bytes::new(CHECKPOINTS.0))?.len()?;
    let mut table = transaction.open_table(Bytes::new(STATE.0))?;
    let state = table.get("".as_bytes())?.map(|sealed| {
        let body = document(STATE, "", sealed.value())?;
        serde_json::from_slice::<Value>(body).map_err(|_| damaged(STATE, ""))
    });
    let Some(mut state) = state.transpose()? else {
        return Ok(());
    };
    if let Some(sizes) = state.get_mut("sizes").and_then(Value::as_object_mut) {
        let had = [POSITIONS, STREAMS].map(|records| sizes.remove(records.0).is_some());
        if had.contains(&true) {
            sizes.insert(CHECKPOINTS.0.to_owned(), moved.into());
        }
    }
    let body = serde_json::to_vec(&state).map_err(|_| damaged(STATE, ""))?;
    table.insert("".as_bytes(), seal("", &body).as_slice())?;
    Ok(())
}
