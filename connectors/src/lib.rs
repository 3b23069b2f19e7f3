//! The connectors that a job can name.
//!
//! A connector is a system that rows come from or go to, a crate each; a format is a layout of rows.

pub use tidewater_contract::{disk, error, sink, source};
pub use tidewater_formats as format;
#[cfg(feature = "kafka")]
pub use tidewater_kafka as kafka;

/// Files as sources, and as published tables.
pub mod file {
    pub use tidewater_files::*;
    pub use tidewater_tables as sink;
}
