//! The durable state that a job keeps from one run to the next.
//!
//! The state is one file of `redb`, an embedded transactional ordered key-value store, and directories of stored inputs
//! beside it ([`directory`]). One transaction holds everything that a commit changes: checkpoints, operators'
//! entries, the records of published files, and the publish steps that are still to be applied.
//!
//! 1. Records and blocks carry checksums of their own, checked whenever they are read.
//! 2. A graph reads one snapshot, taken before it began.
//! 3. Everything is durable once [`StateTransaction::commit`] has returned. Before that, nothing need be.

mod backend;
mod batch_merge;
mod block;
mod cursor;
pub mod directory;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod layout;
mod levels;
mod lookup;
mod merge_operand;
mod migrate;
mod observed;
pub mod panic;
mod part_writer;
mod record;
mod record_tables;
mod snapshot;
mod store;
mod stored_part;
mod transaction;
mod update_batch;

pub use self::batch_merge::BatchMerge;
pub use self::error::{Damage, StoreError};
pub use self::levels::LEVELLED_BLOCKS;
pub use self::observed::ObservedStore;
pub use self::part_writer::PartWriter;
pub use self::record::*;
pub use self::record_tables::{
    CHECKPOINTS, EPOCHS, JOB, PARTITIONS, Records, STATE, TABLES, VIEWS, epoch_key, pair_key,
};
pub use self::snapshot::StateSnapshot;
pub use self::store::Store;
pub use self::transaction::StateTransaction;
pub use self::update_batch::{UpdateBatch, UpdateBatches};

#[cfg(test)]
mod tests;
