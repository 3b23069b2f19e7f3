//! Every supported shape of SQL, maintained over random histories by one, two and three workers, against DataFusion's
//! batch answer at every epoch. See `tidewater_tests::seed` for the variables that choose and reproduce.

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
mod views;
