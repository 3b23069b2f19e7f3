//! Why a run ended without publishing.

use tidewater_connectors::error::{OptionError, SourceError};
use tidewater_connectors::sink::SinkError;
use tidewater_operators::{Fault, FaultKind};

use super::assertions::AssertionReport;
use super::not_owned::NotOwned;
use crate::job::Source;
use crate::plan::assemble::ViewError;
use crate::state::StoreError;

/// Why a run ended. The tables are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A source cannot be read.
    #[error("source {source_name}: {error}")]
    Source {
        /// The source.
        source_name: String,
        /// Why.
        #[source]
        error: SourceError,
    },
    /// An option of a source is invalid.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A table cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StoreError),
    /// A view has no dataflow.
    #[error(transparent)]
    Plan(#[from] ViewError),
    /// An operator failed.
    #[error(transparent)]
    Fault(Fault),
    /// Too many rows went to the quarantine.
    #[error("{0}")]
    Gate(String),
    /// Assertions fail.
    #[error("{message}")]
    Refused {
        /// What failed, where, and what to do.
        message: String,
        /// The results of all assertions.
        assertions: Vec<AssertionReport>,
    },
    /// The results of the assertions cannot be read.
    #[error("the results of the assertions cannot be read: {0}")]
    Quality(#[source] arrow::error::ArrowError),
    /// Rows were lost or made up, which is a bug. Nothing was published.
    #[error(
        "{rows_read} rows were read, but {rows_entered} entered the dataflow and {rows_quarantined} the quarantine; \
         nothing was published. This is a bug in Tidewater: please report it"
    )]
    Unbalanced {
        /// Rows decoded or rejected, minus those of retracted deliveries.
        rows_read: i64,
        /// Rows that sources emitted: inserted minus retracted.
        rows_entered: i64,
        /// Rows that the quarantine table gained.
        rows_quarantined: i64,
    },
    /// Workers could not be started, or one ended without a result.
    #[error("the workers failed: {0}")]
    Workers(String),
    /// A delivery that does not fit the job.
    #[error("{0}")]
    Delivery(String),
    /// A stop was requested.
    #[error("interrupted: nothing was published")]
    Stopped,
    /// Tables that this run may not publish.
    #[error("{}", super::not_owned::describe(.0))]
    NotOwned(Vec<NotOwned>),
    /// Options that do not fit the job.
    #[error("{0}")]
    Usage(String),
    /// There is nothing to replay.
    #[error("{0}")]
    Empty(String),
    /// Rows could not be written to a temporary file or read back from it.
    #[error(
        "cannot keep rows in a temporary file in {directory}: {error}; set TMPDIR to a directory with room"
    )]
    Spill {
        /// The directory.
        directory: std::path::PathBuf,
        /// Why.
        #[source]
        error: arrow::error::ArrowError,
    },
}

impl RunError {
    /// For errors of a source.
    pub(super) fn of_source(source: &Source) -> impl Fn(SourceError) -> Self {
        let source_name = source.spec.name.clone();
        move |error| Self::Source {
            source_name: source_name.clone(),
            error,
        }
    }

    /// Whether the data was refused. The next run finds the same unless the data is corrected or the failure accepted.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Gate(_)
            | Self::Refused { .. }
            | Self::Source {
                error: SourceError::Refused(_),
                ..
            } => true,
            Self::Fault(fault) => fault.kind == FaultKind::Refused,
            _ => false,
        }
    }

    /// The process's exit code: 1 failed, 2 invalid job, 3 data gate.
    pub fn exit_code(&self) -> i32 {
        match self {
            refusal if refusal.is_refusal() => 3,
            Self::Plan(_) | Self::Option(_) | Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
