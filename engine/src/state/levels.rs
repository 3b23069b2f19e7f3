//! Levels: a part is a large table that is seldom changed, and small ones beside it for what changed of late.
//!
//! A late file touches a pair here and a pair there, in as many blocks as there are pairs. So what it changes is put into
//! a small table of its own, and brought down to the large one when it has become much: a log-structured merge tree of
//! three levels.
//!
//! | level | says of a key | at most, of the base's blocks |
//! |---|---|---|
//! | base | how often the entry is there, and what is kept for it | |
//! | recent | what came to that, or what it is now ([`Said`]) | an eighth, with the latest |
//! | latest | the same, later | a 64th |
//!
//! 1. There is nothing above a base of fewer than [`LEVELLED_BLOCKS`] blocks.
//! 2. The base does not change while there is something above it, but when all of that is brought down.
//! 3. No level says that an entry is there less than not at all, together with those below it.

use redb::{ReadableTableMetadata, WriteTransaction};

use super::Bytes;
use super::cursor::{Cursor, Walk};
use super::error::StoreError;
use super::lookup::Lookup;
use super::said::Said;
use super::write::{Blocks, Level, PartWriter};

/// How the names of the tables begin, of the base and of what is above it.
pub const LEVELS: [&str; 3] = ["part ", "recent of ", "latest of "];

/// A base of fewer blocks is changed itself. Tests have small ones.
const LEVELLED_BLOCKS: u64 = if cfg!(debug_assertions) { 1 } else { 32 };

/// The part that a table holds a level of; none, when it is of something else.
pub fn part_of(table: &str) -> Option<&str> {
    LEVELS.iter().find_map(|level| table.strip_prefix(level))
}

/// Opens a level of a part.
fn open<'txn>(
    transaction: &'txn WriteTransaction,
    level: usize,
    name: &str,
) -> Result<Blocks<'txn>, StoreError> {
    let table = format!("{}{name}", LEVELS[level]);
    Ok(transaction.open_table(Bytes::new(&table))?)
}

/// Forgets levels of a part, from one on.
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

/// Changes the entries of a part.
///
/// # Errors
/// When the store fails or is damaged, or what `change` says.
pub fn change(
    transaction: &WriteTransaction,
    name: &str,
    change: impl FnOnce(&mut PartWriter<'_, '_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut base = open(transaction, 0, name)?;
    let blocks = base.len()?;
    if blocks < LEVELLED_BLOCKS {
        return write(name, &mut base, Level::Base, change);
    }
    let (recent, mut latest) = (open(transaction, 1, name)?, open(transaction, 2, name)?);
    let above = (!recent.is_empty()?).then_some(&recent);
    let below = Lookup::new(name, [Some(&base), above].into_iter().flatten());
    write(name, &mut latest, Level::Above(below), change)?;
    bring_down(transaction, name, [base, recent, latest])
}

fn write<'a, 'txn>(
    name: &'a str,
    level: &'a mut Blocks<'txn>,
    which: Level<'a, 'txn>,
    change: impl FnOnce(&mut PartWriter<'a, 'txn>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut writer = PartWriter::new(name, level, which);
    change(&mut writer)?;
    writer.finish()
}

/// Brings down what has become too much for its level.
fn bring_down(
    transaction: &WriteTransaction,
    name: &str,
    [mut base, mut recent, latest]: [Blocks<'_>; 3],
) -> Result<(), StoreError> {
    let (blocks, recent_blocks, latest_blocks) = (base.len()?, recent.len()?, latest.len()?);
    if recent_blocks + latest_blocks > (blocks / 8).max(2) {
        merge(name, &recent, &mut base, Level::Base)?;
        merge(name, &latest, &mut base, Level::Base)?;
        drop((recent, latest));
        return delete(transaction, 1, name);
    }
    if latest_blocks > (blocks / 64).max(1) {
        merge(name, &latest, &mut recent, Level::Between)?;
        drop(latest);
        return delete(transaction, 2, name);
    }
    Ok(())
}

/// Says in one level what another one, above it, says.
fn merge<'a, 'txn>(
    name: &'a str,
    from: &Blocks<'txn>,
    into: &'a mut Blocks<'txn>,
    which: Level<'a, 'txn>,
) -> Result<(), StoreError> {
    if from.is_empty()? {
        return Ok(());
    }
    let mut said = Cursor::new(name, from);
    said.find(&[])?;
    write(name, into, which, |writer| {
        while let Some(entry) = said.at() {
            writer.say(entry.key, Said::read(entry))?;
            said.advance()?;
        }
        Ok(())
    })
}
