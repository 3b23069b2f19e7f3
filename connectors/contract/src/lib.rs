//! The contract of sources and sinks: what the engine asks of a connector, and what a connector gets.
//!
//! ```text
//! CREATE EXTERNAL TABLE ─ SourceConnector::parse ─ Source ─┬─ open ─ Reader                       (without a state)
//!                                                          └─ resume ─ SourceSession ─ changes ─ SourceChanges
//!                                                                           └─ Readers, then a CheckpointUpdate
//! COPY … TO ───────────── SinkConnector::parse ─── Sink ──── SinkConnector::open ─ SinkSession ─ recover, stage, publish
//! ```
//!
//! The contract knows no connector and no format. A connector is a crate or a folder that implements it, and a line of the
//! registry. The crate also has the file operations that durable data goes through ([`disk`]).

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod checkpoint;
pub mod connector;
pub mod declaration;
pub mod disk;
pub mod error;
pub mod sink;
pub mod sink_connector;
pub mod source;
pub mod status;
