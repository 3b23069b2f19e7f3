//! Levels of a part: a large table that is seldom changed, and small tables for recent changes.
//!
//! A late file changes scattered pairs, in as many blocks as there are pairs. Its changes go to a small table. When
//! that has grown, it is merged into the large one. This is a log-structured merge tree of three levels.
//!
//! | level | holds for a key | at most, of the base's blocks |
//! |---|---|---|
//! | base | the entry's count and payload | |
//! | recent | a change of the entry ([`MergeOperand`]) | an eighth, with the latest |
//! | latest | a later change | a 64th |
//!
//! 1. A base of fewer than [`LEVELLED_BLOCKS`] blocks has no levels above it. Tests may set a smaller number.
//! 2. While the levels above the base have entries, the base changes only when all of them are merged into it.
//! 3. For each level, the count of an entry summed over it and the levels below is never negative.

use redb::{ReadableTableMetadata, WriteTransaction};

use super::cursor::{EntryWalk, LevelCursor};
use super::error::StoreError;
use super::lookup::PartLookup;
use super::merge_operand::MergeOperand;
use super::part_writer::{BlockTable, LevelKind, PartWriter};
use super::record_tables::Bytes;

/// Prefixes of the tables' names: the base, then the levels above it.
pub const LEVELS: [&str; 3] = ["part ", "recent of ", "latest of "];

/// A base with fewer blocks is changed directly.
pub const LEVELLED_BLOCKS: u64 = 32;

/// The part whose level a table holds; `None` for other tables.
pub fn part_of(table: &str) -> Option<&str> {
    LEVELS.iter().find_map(|level| table.strip_prefix(level))
}

/// Opens a level of a part.
fn open<'txn>(
    transaction: &'txn WriteTransaction,
    level: usize,
    name: &str,
) -> Result<BlockTable<'txn>, StoreError> {
    let table = format!("{}{name}", LEVELS[level]);
    Ok(transaction.open_table(Bytes::new(&table))?)
}

/// Deletes the levels of a part, from level `from` upwards.
///
/// # Errors
/// When the store fails.
pub fn delete(transaction: &WriteTransaction, from: usize, name: &str) -> Result<(), StoreError> {
    for level in &LEVELS[from..] {
        let table = format!("{level}{name}");
        transaction.delete_table(Bytes::new(&table))?;
    }
    Ok(())
}

/// Changes the entries of a part. If the base has at least `levelled_blocks` blocks, the changes go to the latest
/// level.
///
/// # Errors
/// When the store fails or is damaged, or `change` fails.
pub fn change(
    transaction: &WriteTransaction,
    name: &str,
    levelled_blocks: u64,
    change: impl FnOnce(&mut PartWriter<'_, '_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut base = open(transaction, 0, name)?;
    let blocks = base.len()?;
    if blocks < levelled_blocks {
        return write(name, &mut base, LevelKind::Base, change);
    }
    let (recent, mut latest) = (open(transaction, 1, name)?, open(transaction, 2, name)?);
    let above = (!recent.is_empty()?).then_some(&recent);
    let below = PartLookup::new(name, [Some(&base), above].into_iter().flatten());
    write(name, &mut latest, LevelKind::Above(below), change)?;
    compact(transaction, name, [base, recent, latest])
}

fn write<'a, 'txn>(
    name: &'a str,
    level: &'a mut BlockTable<'txn>,
    which: LevelKind<'a, 'txn>,
    change: impl FnOnce(&mut PartWriter<'a, 'txn>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut writer = PartWriter::new(name, level, which);
    change(&mut writer)?;
    writer.finish()
}

/// Merges levels that have grown too large into the one below.
fn compact(
    transaction: &WriteTransaction,
    name: &str,
    [mut base, mut recent, latest]: [BlockTable<'_>; 3],
) -> Result<(), StoreError> {
    let (blocks, recent_blocks, latest_blocks) = (base.len()?, recent.len()?, latest.len()?);
    if recent_blocks + latest_blocks > (blocks / 8).max(2) {
        merge(name, &recent, &mut base, LevelKind::Base)?;
        merge(name, &latest, &mut base, LevelKind::Base)?;
        drop((recent, latest));
        return delete(transaction, 1, name);
    }
    if latest_blocks > (blocks / 64).max(1) {
        merge(name, &latest, &mut recent, LevelKind::Between)?;
        drop(latest);
        return delete(transaction, 2, name);
    }
    Ok(())
}

/// Merges a level into a lower one.
fn merge<'a, 'txn>(
    name: &'a str,
    from: &BlockTable<'txn>,
    into: &'a mut BlockTable<'txn>,
    which: LevelKind<'a, 'txn>,
) -> Result<(), StoreError> {
    if from.is_empty()? {
        return Ok(());
    }
    let mut operands = LevelCursor::new(name, from);
    operands.find(&[])?;
    write(name, into, which, |writer| {
        while let Some(entry) = operands.at() {
            writer.merge(entry.key, MergeOperand::of_entry(entry))?;
            operands.advance()?;
        }
        Ok(())
    })
}
