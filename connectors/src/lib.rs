//! Sources and sinks, and the formats they share.
//!
//! A connector is a system that rows come from or go to, a folder each ([`mod@file`], [`kafka`]). A format is a layout of rows
//! ([`mod@format`]): decoders take bytes and give batches and rejected rows, encoders the reverse; neither does I/O.

pub mod disk;
pub mod error;
pub mod file;
pub mod format;
pub mod kafka;
pub mod sink;
pub mod source;
