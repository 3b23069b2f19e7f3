//! What an intake hands out once more when all is read: what was read of deliveries that are not inserted after all, and
//! what takes its place.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Piece, RowChange};

use crate::position::SetAside;
use crate::reader::{FilePiece, FileReader};
use crate::storage::{EntryKind, FileStamp, Storage};

/// Some deliveries once more.
pub(super) enum Correction {
    /// Kept content.
    Kept {
        /// Whether it is inserted or retracted.
        change: RowChange,
        /// Reads it.
        reader: Arc<dyn FileReader>,
        /// Which delivery of the intake each of the reader's is.
        deliveries: Vec<CorrectedDelivery>,
    },
    /// What was handed out of a bad delivery, retracted.
    Undone(UndoneDelivery),
    /// The row that stands for a delivery that is set aside.
    SetAside {
        /// The delivery.
        index: usize,
        /// Why it is set aside.
        set_aside: SetAside,
    },
}

/// A delivery of the intake, and when the content was modified that is read of it.
#[derive(Clone, Copy)]
pub(super) struct CorrectedDelivery {
    pub(super) index: usize,
    pub(super) modified_ns: i64,
}

/// A delivery of which some steps were decoded before it turned out to be bad: these are read once more, and no others.
pub(super) struct UndoneDelivery {
    pub(super) delivery: CorrectedDelivery,
    pub(super) reader: Arc<dyn FileReader>,
    /// Steps of each piece that was handed out.
    pub(super) steps: VecDeque<usize>,
    /// The file that is read, where it is one that may change meanwhile, as it was.
    pub(super) file: Option<FileVersion>,
}

/// A file at a time.
#[derive(Clone, Debug)]
pub(super) struct FileVersion {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    stamp: FileStamp,
}

impl FileVersion {
    /// A file as it is.
    ///
    /// # Errors
    /// When it cannot be looked at, or is gone.
    pub(super) fn of(storage: &Arc<dyn Storage>, path: PathBuf) -> Result<Self, SourceError> {
        match storage.head(&path)? {
            Some(EntryKind::File(stamp)) => Ok(Self {
                storage: Arc::clone(storage),
                path,
                stamp,
            }),
            Some(EntryKind::Directory { .. }) | None => Err(changed(&path)),
        }
    }

    /// Whether it has this size and time.
    pub(super) fn is(&self, bytes: u64, modified_ns: i64) -> bool {
        (self.stamp.bytes, self.stamp.modified_ns) == (bytes, modified_ns)
    }

    fn check(&self) -> Result<(), SourceError> {
        if Self::of(&self.storage, self.path.clone())?.stamp == self.stamp {
            return Ok(());
        }
        Err(changed(&self.path))
    }
}

fn changed(path: &Path) -> SourceError {
    let changed = io::Error::other("it changed while it was read; run again when it is complete");
    SourceError::io("read", path, changed)
}

impl UndoneDelivery {
    /// The next piece, as far as it was decoded.
    ///
    /// # Errors
    /// When the delivery does not read as it did.
    pub(super) fn next_piece(&mut self) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let Some(steps) = self.steps.pop_front() else {
            self.file.as_ref().map_or(Ok(()), FileVersion::check)?;
            return Ok(None);
        };
        let read = self.reader.next_piece();
        let Some(FilePiece { piece, .. }) = read? else {
            self.file.as_ref().map_or(Ok(()), FileVersion::check)?;
            return Ok(None);
        };
        Ok(Some(Box::new(piece.take(steps))))
    }
}
