//! What the integration tests stand on.
//!
//! | module | what it is |
//! |---|---|
//! | [`oracle`] | DataFusion's batch executor over the same SQL: what every table must hold |
//! | [`rows`] | tables as multisets of rows, compared bit by bit |
//! | [`draw`] | random rows of any type, from domains small enough to collide |
//! | [`history`] | random epochs of insertions, retractions and replacements, and how to make one smaller |
//! | [`shapes`] | a job, a history and three numbers of workers, compared with the oracle at every epoch |
//! | [`binary`] | the real `tidewater`, run as a process |
//! | [`maintained`] | a job that keeps a state: its input, its tables, its runs |
//! | [`sources`] | files of rows that a test knows, as sources read them |
//! | [`deliveries`] | random histories of files: added, corrected, withdrawn, renamed, split, touched, appended to |
//! | [`ledger`] | a small job with a table of each kind, for tests of what goes wrong |
//! | [`kafka`] | a Kafka broker, the real one or librdkafka's mock cluster, and clients of it |
//! | [`packed`] | compressed files made by hand |
//! | [`published`] | published tables, read back with their partitions |
//! | [`csv`] | a CSV reader of its own, so that ours is not tested against itself |

// A harness is test code: it ends a test by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod binary;
pub mod csv;
pub mod deliveries;
pub mod draw;
pub mod history;
pub mod kafka;
pub mod ledger;
pub mod maintained;
pub mod oracle;
pub mod packed;
pub mod published;
pub mod rows;
pub mod seed;
pub mod shapes;
pub mod sources;
