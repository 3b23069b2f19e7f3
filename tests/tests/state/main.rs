//! Durable state, tested with the real binary: after every commit, crash, fault and change of the job, the tables
//! equal those of one cold batch over the present inputs.

// Tests end by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod assertions;
mod audit;
mod bad_files;
mod beside;
mod corrections;
mod crashes;
mod failing_rows;
mod faults;
mod histories;
mod hold;
mod hold_histories;
mod job_changes;
mod kills;
mod mended;
mod ownership;
mod path_columns;
mod quality;
mod refusals;
mod stops;
