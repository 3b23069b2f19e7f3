//! The connectors that a job can name.
//!
//! A connector is a system that rows come from or go to. Each is a crate. A format is a layout of rows. The engine
//! asks the [`Registry`] which connector a location belongs to, and uses connectors only by their contract.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod registry;

pub use registry::Registry;
pub use tidewater_contract::{
    checkpoint, connector, declaration, disk, error, hold, sink, sink_connector, source, status,
};
pub use tidewater_formats as format;
#[cfg(feature = "kafka")]
pub use tidewater_kafka as kafka;

/// Files as sources, and as published tables.
pub mod file {
    pub use tidewater_files::*;
    pub use tidewater_tables as sink;
}
