//! The contract of sources and sinks: the traits that a connector implements, and the types that it gets from the
//! engine.
//!
//! ```text
//! CREATE EXTERNAL TABLE ─ SourceConnector::parse ─ Source ─┬─ open ─ Reader                       (without a state)
//!                                                          └─ resume ─ SourceSession ─ changes ─ SourceChanges
//!                                                                           └─ Readers, then a CheckpointUpdate
//! COPY … TO ───────────── SinkConnector::parse ─── Sink ──── SinkConnector::open ─ SinkSession ─ recover, stage, publish
//! ```
//!
//! The contract knows no connector and no format. A connector is a crate or folder that implements it, plus a line in
//! the registry. This crate also has the operations on durable files ([`disk`]).

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod checkpoint;
pub mod connector;
pub mod declaration;
pub mod disk;
pub mod error;
pub mod hold;
pub mod sink;
pub mod sink_connector;
pub mod source;
pub mod status;
