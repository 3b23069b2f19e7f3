//! Errors of sources and sinks. Each says what happened, where, and what to do.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::CheckpointError;

/// Why a source cannot be read. Rows that do not decode are not errors; they are [rejected](crate::source::Rejected).
///
/// Cloneable, so that all workers that share a reader get the same error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system refused.
    #[error("cannot {action} {}: {error}", shown_path(.file))]
    Io {
        /// What was tried: `open`, `read`, `list`, `write`.
        action: &'static str,
        /// Path of the file or directory.
        file: Arc<str>,
        /// What the system said.
        #[source]
        error: Arc<io::Error>,
    },
    /// A `LOCATION` that leads to no file.
    #[error("LOCATION '{location}': {message}")]
    Location {
        /// As written in the job.
        location: String,
        /// What was looked for, and what to do.
        message: String,
    },
    /// A file is not what the source declares.
    #[error("{}: {message}", shown_path(.file))]
    File {
        /// Path of the file, as listed.
        file: Arc<str>,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A column of a file is not what the source declares.
    #[error("{}: column '{column}': {message}", shown_path(.file))]
    Column {
        /// Path of the file, as listed.
        file: Arc<str>,
        /// The column at fault.
        column: Arc<str>,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A file's bytes are damaged or cut short.
    #[error(
        "{}: damaged or cut short at byte {byte_offset}: {message}; deliver the file again", shown_path(.file)
    )]
    Corrupt {
        /// Path of the file, as listed.
        file: Arc<str>,
        /// Offset in the stored (compressed) file up to which it was read.
        byte_offset: u64,
        /// How the damage shows.
        message: String,
    },
    /// The source is readable but refused, because publishing it is probably a mistake.
    #[error("{0}")]
    Refused(String),
    /// The kept content of a delivery is damaged.
    #[error(
        "{}: its stored copy, {kept}, {message}; deliver the file again (--rebuild reads the same copy and \
         cannot help)", shown_path(.file)
    )]
    Kept {
        /// Name of the delivery.
        file: Arc<str>,
        /// Path of the kept file.
        kept: Arc<str>,
        /// How the damage shows.
        message: String,
    },
    /// A topic cannot be read, or its messages cannot be kept.
    #[error("{location}: {message}")]
    Kafka {
        /// The topic, and the partition if only one is concerned.
        location: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The kept messages of a topic are damaged.
    #[error(
        "{kept}, which holds messages that were read, {message} at byte {byte_offset}; restore the file from a copy \
         of the state, or remove the state and read the topic again (--rebuild reads the same file and cannot help)"
    )]
    KeptMessages {
        /// Path of the file.
        kept: Arc<str>,
        /// Offset of the damage in that file.
        byte_offset: u64,
        /// How the damage shows.
        message: String,
    },
    /// A declared column that the format cannot hold.
    #[error("source '{table}': column '{column}': {message}")]
    Declaration {
        /// The source's name in the job.
        table: String,
        /// The column at fault.
        column: String,
        /// Why not, and what to write instead.
        message: String,
    },
    /// An option of the source is wrong.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A checkpoint that another connector wrote.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A path for messages. Control characters, such as line breaks, are written as escapes.
pub fn shown_path(path: &str) -> Cow<'_, str> {
    if !path.contains(char::is_control) {
        return Cow::Borrowed(path);
    }
    let mut shown = String::with_capacity(path.len());
    for character in path.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

impl SourceError {
    /// An [`Io`](Self::Io) error: `action` (`open`, `read`, …) failed on `path`.
    pub fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io {
            action,
            file: path.to_string_lossy().into(),
            error: Arc::new(error),
        }
    }

    /// The file whose content is the cause, if it is. Other files may be fine.
    pub fn bad_file(&self) -> Option<&Arc<str>> {
        match self {
            Self::File { file, .. } | Self::Column { file, .. } | Self::Corrupt { file, .. } => {
                Some(file)
            }
            _ => None,
        }
    }

    /// The column at fault, if it is a single one.
    pub fn bad_column(&self) -> Option<&Arc<str>> {
        match self {
            Self::Column { column, .. } => Some(column),
            _ => None,
        }
    }

    /// A [`File`](Self::File) error.
    pub fn file(file: &Arc<str>, message: impl Into<String>) -> Self {
        Self::File {
            file: Arc::clone(file),
            message: message.into(),
        }
    }

    /// A [`Column`](Self::Column) error.
    pub fn column(
        file: &Arc<str>,
        column: impl Into<Arc<str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::Column {
            file: Arc::clone(file),
            column: column.into(),
            message: message.into(),
        }
    }
}

/// An entry of `OPTIONS (…)` that is unknown or has an invalid value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option '{option}': {message}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct OptionError {
    /// The key, as written in the job.
    pub option: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}
