//! Tables as topics: each epoch's changes are the messages of one transaction.
//!
//! ```text
//! store: commit of epoch E ── changes of E ── messages ─┐
//!  (the point of no return)    (a file a table)         ├─ one Kafka transaction a cluster
//!                              marker: "E is held" ─────┘
//! ```
//!
//! A caller commits epoch E in its store, with the net changes of each table durable beside it, and then
//! [publishes](Publisher::publish) E. It begins E + 1 only after that. After a crash it opens a [`Publisher`] and
//! publishes E again. If E is [held](Publisher::held) already, it is not written again.
//!
//! # How Kafka knows which epochs it holds
//! The transaction that writes an epoch also commits the epoch's number, as an *offset* of a consumer group in which
//! nobody consumes, for partition 0 of each topic (`send_offsets_to_transaction`). Kafka keeps offsets in a compacted
//! log, makes them visible together with the transaction, and returns them in one request. The alternative is to read
//! back the ends of the topics. It would need neither the group nor the right to use it. But it may take for ever if
//! others write to the topic or a large transaction was aborted, and it finds nothing once messages were compacted or
//! their retention has passed. Offsets have two drawbacks. They expire `offsets.retention.minutes` (a week) after the
//! last commit, so a caller records for itself that an epoch is published, and does not ask again. And tools that
//! list groups show one whose lag means nothing.
//!
//! # Invariants
//! 1. **One transaction for each epoch** and cluster, over all topics there. An epoch without changes has none.
//! 2. **Fenced first.** A producer calls `init_transactions` with the state's transactional id. Earlier producers can
//!    write no longer, and their last transaction is committed or aborted. Only then does it ask which epoch is held.
//! 3. **Held or not.** Epoch E is held exactly when its marker is, since both are in one transaction. An epoch that
//!    is held is never written again.
//! 4. **One way back.** A failed attempt discards its producer. The next one finds out the fate of the transaction as
//!    after a crash, by 2 and 3.
//! 5. **Bounded.** Memory holds a batch of changes, the rows of one key, and librdkafka's queue (64 MiB).
//! 6. **The same messages.** An epoch's messages, their order and their partitions are a function of its changes and of
//!    the number of partitions.
//!
//! # Guarantee
//! Delivery is exactly-once for consumers with `isolation.level=read_committed`. Whatever crashes, each epoch is in
//! the topics once and completely, in the order of epochs within a partition. It is at-least-once for one epoch in
//! one case: a process dies between the store's commit and its record that the epoch is published, and no run follows
//! before the marker expires. Consumers that read uncommitted messages also see those of aborted attempts.
//!
//! Messages have the headers `tidewater-table`, `tidewater-epoch` (a decimal number) and `tidewater-id` (the state's).

mod cluster;
pub mod connector;
mod messages;
mod publisher;
mod topic;

pub use messages::{Changes, MessageBuilder, OutgoingMessage, each_message};
pub use publisher::Publisher;
pub use topic::{Mode, TopicOptions, TopicSpec};
