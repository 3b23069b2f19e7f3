//! Whole jobs through the real binary: golden results, determinism, unhappy paths, and the card job against the oracle.

// Tests end by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anomalies;
mod card;
mod card_quality;
mod corpora;
mod declared;
mod deterministic;
mod failures;
mod faults;
mod golden;
mod inputs;
mod interrupted;
mod place;
mod quarantine;
mod replay;
mod retention;
