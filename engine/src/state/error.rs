//! Why the state cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use tidewater_connectors::error::SourceError;
use tidewater_connectors::sink::SinkError;

/// The damaged item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The entries of an operator.
    Part(String),
    /// A record, by table and key.
    Record(String),
    /// A page of the store.
    Page,
    /// Entries of a table of the store are missing.
    Table(String),
    /// The store's file is missing or empty.
    Gone(PathBuf),
}

/// Why the state cannot be used. The state's directory is added when the error is shown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `create the directory`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store refused.
    #[error("the state cannot be read or written: {0}")]
    Store(Box<redb::Error>),
    /// The stored bytes differ from what was written.
    #[error(
        "the state is damaged: {what}; `tidewater run JOB --state DIR --rebuild` rebuilds it from the stored inputs"
    )]
    Damaged {
        /// The damaged item.
        what: String,
    },
    /// A retraction of something that was never inserted.
    #[error(
        "{0}: a row was retracted more often than it was inserted: the state does not fit its inputs"
    )]
    Negative(String),
    /// Another process uses the state.
    #[error(
        "the state {} is in use by {owner}; run again when it has ended, or give --wait", path.display()
    )]
    InUse {
        /// The state's directory.
        path: PathBuf,
        /// The process that uses it.
        owner: String,
    },
    /// A state of another version.
    #[error("the state {} has format {found}, this is Tidewater {version} with format {known}; {advice}", path.display())]
    Version {
        /// The state's directory.
        path: PathBuf,
        /// The state's format.
        found: u32,
        /// The format of this version.
        known: u32,
        /// This version.
        version: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// No state where one is needed.
    #[error("there is no state in {}; `tidewater run JOB --state {}` makes one", .0.display(), .0.display())]
    Absent(PathBuf),
    /// A directory that holds something else.
    #[error(
        "{} is not a state of Tidewater: it holds {entry}; choose an empty directory, or one that does not exist yet",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first entry in it.
        entry: String,
    },
    /// A state of another job.
    #[error(
        "the state {} belongs to the job {owner}, not to {job}; give each job a state of its own", path.display()
    )]
    OtherJob {
        /// The state's directory.
        path: PathBuf,
        /// The job that the state belongs to.
        owner: String,
        /// The job that was to be run.
        job: String,
    },
    /// The publish steps of the last commit could not be applied, or tables could not be read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A kept input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl StoreError {
    /// An error about damage.
    pub fn damaged(damage: Damage) -> Self {
        let what = match damage {
            Damage::Part(name) => format!("the stored entries of {name} are not what was written"),
            Damage::Record(name) => format!("the record {name} is not what was written"),
            Damage::Page => "a page of its store is not what was written".to_owned(),
            Damage::Table(name) => format!("entries of '{name}' are missing"),
            Damage::Gone(path) => format!("{} is missing or empty", path.display()),
        };
        Self::Damaged { what }
    }

    fn of_store(error: redb::Error) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match &error {
            // All tables have one type, so a table of another type is damage.
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. } => Self::damaged(Damage::Page),
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Self::damaged(Damage::Page)
            }
            _ => Self::Store(Box::new(error)),
        }
    }

    /// For [`Result::map_err`].
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

macro_rules! from_store {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::of_store(error.into())
            }
        })*
    };
}

from_store!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
