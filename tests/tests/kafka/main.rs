//! Kafka in and out, against Apache Kafka where it was fetched, else against librdkafka's mock cluster.

// Tests end by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod exactly_once;
mod failures;
mod harness;
mod place;
mod produce;
mod rows;
mod sink;
