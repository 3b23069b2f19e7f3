//! Data to try jobs on: card transactions that a seed names ([`generate`]), and the rows of files as the messages of a
//! topic ([`produce`]).
//!
//! The commands `tidewater generate` and `tidewater produce` add options, progress and a summary to it. No job needs it.

pub mod generate;
pub mod produce;

use thiserror::Error;

/// Why no data, or not all of it, was written.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The options contradict each other, or the files.
    #[error("{0}")]
    Options(String),
    /// It was tried and did not work.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}
