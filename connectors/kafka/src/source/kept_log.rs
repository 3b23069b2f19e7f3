//! Where a topic's messages and position are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_contract::source::SourceSpec;

use crate::log::MessageLog;

/// The key of the only entry of a topic's checkpoint.
pub(super) const POSITION: &str = "";

/// The log of a topic's messages.
pub(super) struct KeptLog {
    pub directory: PathBuf,
    pub log: Arc<MessageLog>,
}

/// The directory that keeps the messages of a source.
pub(super) fn log_directory(directory: &Path, spec: &SourceSpec) -> PathBuf {
    directory.join(&spec.name)
}
