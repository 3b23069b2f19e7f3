//! Tables as directories of files, published as a whole.
//!
//! ```text
//! worker 0 ─ TableShard ─ sorted runs ─┐
//! worker 1 ─ TableShard ─ sorted runs ─┼─ merge, a partition at a time ─ encode ─ staging ─ publish (rename)
//! worker n ─ TableShard ─ sorted runs ─┘
//! ```
//!
//! Steps of a run:
//! 1. [`Staging::open`] gets the directories of all tables and checks that each may be replaced.
//! 2. Each worker has a [`TableShard`] for each table. It [pushes](TableShard::push) rows with their diffs and
//!    [finishes](TableShard::finish).
//! 3. [`write_tables`] writes the runs of all shards.
//! 4. [`publish`].
//!
//! A run with a state publishes only changes (see the module `amend`): a [`TableShard`]'s runs go to
//! [`stage_changes`] and [`apply_steps`].
//!
//! Dropping the [`Staging`] before the last step removes all staged files and leaves every table unchanged.
//!
//! # Invariants
//! 1. **Canonical.** The bytes of a table depend only on its spec and the multiset of pushed rows, not on the number
//!    of shards, the order of pushes, the batches, the byte budget or the number of threads.
//! 2. **Exact.** A row is written as often as the sum of its diffs. A negative sum is an error.
//! 3. **Bounded.** A shard needs no more memory than its byte budget, the memory to sort that much, and the texts of
//!    its codes. Writing needs these texts, one small batch of each run, and one row group for each thread.
//! 4. **Old or new.** A reader of one table sees either its old or its new files, since the kernel exchanges the
//!    directories in one step. If the file system cannot do that, the table is absent for a moment between two
//!    renames.
//! 5. **All or nothing.** A run that fails in any step leaves all tables unchanged: tables that were already
//!    exchanged are exchanged back. Only a crash between two exchanges leaves some tables new and some old, each of
//!    them whole. The next run writes them all.
//! 6. **Durable first.** Files and directories are on disk before any table is exchanged.
//! 7. **Nothing foreign is lost.** A directory is replaced only if everything in it looks like a table.
//! 8. **Marked.** A published table names its owner (see the module `owner`).
//! 9. **No litter.** The next run in the same directory removes the staged files of a dead process. Spill files have
//!    no name and disappear with their process.
//!
//! # Guarantee
//! Each run is published exactly once: it replaces the whole content of its tables, so repeating it after a crash
//! gives the same bytes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod amend;
mod amended;
mod changes;
mod codes;
mod durable;
mod exchange;
mod files;
mod gather;
mod hive;
mod layout;
mod look;
mod manifest;
mod merge;
mod options;
mod owner;
mod partition;
mod patch;
mod place;
mod publish;
mod publish_step;
mod published;
mod quarantine;
mod rows;
mod run;
mod shard;
mod staged_name;
mod staging;
mod stop;
mod target;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use amend::{StagedChange, TableChange, stage_changes};
pub use amended::AmendSizes;
pub use changes::write_changes;
pub use durable::sync_all;
pub use layout::can_partition_by;
pub use look::{TableLook, look};
pub use manifest::{
    InodeStamp, PublishedFile, PublishedGroup, PublishedPartition, PublishedRecord, ShadowFile,
};
pub use options::parse_encoding;
pub use owner::{OwnerCommit, TableOwner, looks_like};
pub use publish::publish;
pub use publish_step::{CRASH_POINTS, PublishStep, apply_steps};
pub use published::{FileFault, FoundFile, PublishedTable, changes};
pub use quarantine::{
    QUARANTINE_TABLE, quarantine_beside, quarantine_schema, quarantine_spec, rejected_to_batch,
};
pub use rows::rows_of;
pub use run::Run;
pub use shard::{DEFAULT_SHARD_BYTES, TableShard};
pub use staging::{Staging, remove_staged};
pub use stop::StopFlag;
pub use target::is_only_table;
pub use write::{StagedTable, TableRuns, WriteOptions, write_tables};
