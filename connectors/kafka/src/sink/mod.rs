//! Tables as topics: each epoch's changes are the messages of one transaction.
//!
//! ```text
//! store: commit of epoch E ── changes of E ── messages ─┐
//!  (the point of no return)    (a file a table)         ├─ one Kafka transaction a cluster
//!                              marker: "E is held" ─────┘
//! ```
//!
//! A caller commits epoch E in its store, with the net changes of each table durable beside it, and then
//! [publishes](Publisher::publish) E; it does not begin E + 1 before. After a crash it opens a [`Publisher`] and publishes
//! E once more: what is [held](Publisher::held) already is not written again.
//!
//! # How Kafka knows which epochs it holds
//! The transaction that writes an epoch also commits the epoch's number as an *offset* of a consumer group that nobody
//! consumes in, for partition 0 of each topic (`send_offsets_to_transaction`). Kafka keeps offsets in a compacted log, makes
//! them visible with the transaction and not before, and gives them in one request. Reading back the ends of the topics
//! would need neither the group nor the right to use it, but it has no end where others write to the topic too or a large
//! transaction was aborted, and it finds nothing once messages were compacted or their retention has passed. What
//! offsets cost: they expire `offsets.retention.minutes` (a week) after the last one, so a caller notes for itself that an
//! epoch is published and does not ask again; and tools that list groups show one whose lag means nothing.
//!
//! # Invariants
//! 1. **One transaction an epoch** and cluster, of all topics there, or none for an epoch without changes.
//! 2. **Fenced first.** A producer is made by `init_transactions` under the state's transactional id: whoever wrote before
//!    can no longer, and its last transaction is committed or aborted. Only then is read what is held.
//! 3. **Held or not.** Epoch E is held exactly when its marker is: they are one transaction. An epoch that is held is never
//!    written again.
//! 4. **One way back.** An attempt that fails takes its producer with it. What became of its transaction is found out as
//!    after a crash: by 2 and 3.
//! 5. **Bounded.** What is in memory is a batch of changes, the rows of one key, and librdkafka's queue (64 MiB).
//! 6. **The same messages.** An epoch's messages, their order and their partitions are a function of its changes and of
//!    the number of partitions.
//!
//! # Guarantee
//! Exactly-once for consumers with `isolation.level=read_committed`: whatever crashes, each epoch is in the topics once and
//! whole, in the order of epochs within a partition. It weakens to at-least-once for one epoch if a process dies between the
//! store's commit and its note, and no run follows before the marker has expired. Consumers that read uncommitted messages
//! see those of aborted attempts.
//!
//! Messages have the headers `tidewater-table`, `tidewater-epoch` (a decimal number) and `tidewater-id` (the state's).

mod cluster;
pub mod connector;
mod messages;
mod publisher;
mod topic;

pub use messages::{Message, Messages, each_message};
pub use publisher::{Changes, Publisher};
pub use topic::{Mode, TopicOptions, TopicSpec};
