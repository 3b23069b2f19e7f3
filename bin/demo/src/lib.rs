//! Demo data for jobs: card transactions determined by a seed ([`generate`]), and rows of files as messages of a
//! topic (`produce`, with the cargo feature `kafka`).
//!
//! The commands `tidewater generate` and `tidewater produce` add options, progress and a summary. No job needs this
//! crate.

pub mod generate;
#[cfg(feature = "kafka")]
pub mod produce;

use thiserror::Error;

/// Why the data was not written, or not completely.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The options contradict each other or the files.
    #[error("{0}")]
    Options(String),
    /// The operation failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}
