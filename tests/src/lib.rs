//! Helpers for the integration tests.
//!
//! | module | content |
//! |---|---|
//! | [`oracle`] | DataFusion's batch executor over the same SQL, which computes what every table must hold |
//! | [`rows`] | tables as multisets of rows, compared bit by bit |
//! | [`draw`] | random rows of any type, from domains small enough to collide |
//! | [`history`] | random epochs of insertions, retractions and replacements, and their shrinking |
//! | [`shapes`] | a job, a history and three numbers of workers, compared with the oracle at every epoch |
//! | [`binary`] | the real `tidewater`, run as a process |
//! | [`maintained`] | a job with a state: its input, its tables, its runs |
//! | [`sources`] | files of known rows, as sources read them |
//! | [`deliveries`] | random histories of files: added, corrected, withdrawn, renamed, split, touched, appended to |
//! | [`ledger`] | a small job with a table of each kind, for tests of failures |
//! | [`kafka`] | a Kafka broker, the real one or librdkafka's mock cluster, and clients |
//! | [`packed`] | compressed files made by hand |
//! | [`published`] | published tables, read back with their partitions |
//! | [`csv`] | a separate CSV reader, so that ours is not tested against itself |

// A harness is test code and ends a test by panicking.
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
