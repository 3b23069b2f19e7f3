//! Tables as directories of files, published as a whole.
//!
//! ```text
//! worker 0 ─ TableShard ─ sorted runs ─┐
//! worker 1 ─ TableShard ─ sorted runs ─┼─ merge, a partition at a time ─ encode ─ staging ─ publish (rename)
//! worker n ─ TableShard ─ sorted runs ─┘
//! ```
//!
//! A run of a job goes through it once:
//! 1. [`Staging::open`] with the directories of all tables: checks that each may be replaced.
//! 2. A [`TableShard`] per worker and table; [`push`](TableShard::push) rows with their diffs; [`finish`](TableShard::finish).
//! 3. [`write_tables`] with the runs of all shards.
//! 4. [`publish`].
//!
//! A run with durable state publishes what changed instead, see the module `amend`: a [`TableShard`]'s runs go to
//! [`stage_changes`] and [`apply_swaps`].
//!
//! Dropping the [`Staging`] before the last step removes what was staged and leaves every table as it was.
//!
//! # Invariants
//! 1. **Canonical.** The bytes of a table are a function of its spec and of the multiset of rows pushed: not of the
//!    number of shards, the order of pushes, how rows were cut into batches, the byte budget or the number of threads.
//! 2. **Exact.** A row is written as often as its diffs sum up to. A sum below zero is an error, never a missing row.
//! 3. **Bounded.** A shard holds no more than its byte budget, what sorting that takes, and the texts that it has codes of;
//!    writing holds these texts, one small batch of each run and one row group for each thread.
//! 4. **Old or new.** A reader of one table sees its old files or its new ones, never a mix and never none: the
//!    directories are exchanged in one step by the kernel. Where the file system cannot do that, there is a moment
//!    between two renames in which the table is absent.
//! 5. **All or nothing.** A run that fails, in whatever step, leaves all tables as they were: those already
//!    exchanged are exchanged back. Only a crash between two exchanges leaves some tables new and some old, each of
//!    them whole; the next run writes them all.
//! 6. **Durable first.** Files and directories are on the disk before any table is exchanged.
//! 7. **Nothing foreign is lost.** A directory is replaced only if all it holds looks like a table.
//! 8. **Marked.** A published table says whose it is (the module `owner`).
//! 9. **No litter.** What a dead process staged is removed by the next run beside it; spilled runs have no name and go
//!    with their process.
//!
//! # Guarantee
//! Exactly-once for each run: publishing replaces a table's whole content, so a run that is repeated after a crash ends
//! in the same bytes.

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
mod published;
mod quarantine;
mod run;
mod shard;
mod staged_name;
mod staging;
mod stop;
mod swap;
mod target;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use amend::{StagedChange, TableChange, stage_changes};
pub use amended::AmendSizes;
pub use changes::write_changes;
pub use durable::sync_all;
pub use hive::can_partition_by;
pub use look::{FileStamp, TableLook, look};
pub use manifest::{Published, PublishedFile, PublishedGroup, PublishedPartition, ShadowFile};
pub use options::parse_encoding;
pub use owner::{OwnerCommit, TableOwner, looks_like};
pub use publish::publish;
pub use published::{Fault, FoundFile, PublishedTable, changes};
pub use quarantine::{
    QUARANTINE_TABLE, quarantine_beside, quarantine_schema, quarantine_spec, rejected_to_batch,
};
pub use run::Run;
pub use shard::{DEFAULT_SHARD_BYTES, TableShard};
pub use staging::{Staging, remove_staged};
pub use stop::StopFlag;
pub use swap::{CRASH_POINTS, Swap, apply_swaps};
pub use target::is_only_table;
pub use write::{StagedTable, TableRuns, WriteOptions, write_tables};
