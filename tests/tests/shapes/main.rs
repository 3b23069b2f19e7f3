//! Every supported shape of SQL, maintained over random histories by one, two and three workers, and compared with
//! DataFusion's batch result at every epoch. `tidewater_tests::seed` describes the variables that choose and
//! reproduce tests.

// Tests end by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregates;
mod errors;
mod guards;
mod joins;
mod limits;
mod nested;
mod numbers;
mod ranks;
mod scalars;
mod times;
mod tiny;
mod unions;
mod using;
mod views;
