//! Kafka as source and sink, with Apache Kafka if it was fetched, otherwise with librdkafka's mock cluster.

// Tests end by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod changes;
mod exactly_once;
mod failures;
mod harness;
mod place;
mod produce;
mod rows;
mod sink;
