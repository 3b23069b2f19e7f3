//! The corrections of an intake after everything was read: it retracts deliveries that are not inserted after all,
//! and inserts others in their place.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Piece, RowChange};

use crate::position::SetAside;
use crate::reader::{FilePiece, FileReader};
use crate::storage::{EntryKind, FileStamp, Storage};

/// Some deliveries, handed out again.
pub(super) enum Correction {
    /// Stored content.
    Kept {
        /// Whether it is inserted or retracted.
        change: RowChange,
        /// Its reader.
        reader: Arc<dyn FileReader>,
        /// For each delivery of the reader, its index in the intake.
        deliveries: Vec<CorrectedDelivery>,
    },
    /// The pieces of a bad delivery that were handed out, retracted.
    Undone(UndoneDelivery),
    /// The quarantine row of a delivery that is set aside.
    SetAside {
        /// The delivery.
        index: usize,
        /// Why it is set aside.
        set_aside: SetAside,
    },
}

/// A delivery of the intake, and the time of modification of the content that is read.
#[derive(Clone, Copy)]
pub(super) struct CorrectedDelivery {
    pub(super) index: usize,
    pub(super) modified_ns: i64,
}

/// A delivery of which some steps were decoded before it proved bad. Exactly these steps are read again.
pub(super) struct UndoneDelivery {
    pub(super) delivery: CorrectedDelivery,
    pub(super) reader: Arc<dyn FileReader>,
    /// The number of steps of each piece that was handed out.
    pub(super) steps: VecDeque<usize>,
    /// The version of the file that was read, if the file may change meanwhile.
    pub(super) file: Option<FileVersion>,
}

/// A version of a file.
#[derive(Clone, Debug)]
pub(super) struct FileVersion {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    stamp: FileStamp,
}

impl FileVersion {
    /// The current version of a file.
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

    /// Whether it has this size and time of modification.
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
    /// The next piece, up to the step to which it was decoded.
    ///
    /// # Errors
    /// When the delivery is not read as before.
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
