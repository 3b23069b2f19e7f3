//! Reads the Parquet files of a source, a row group at a time by the worker that takes it.
//!
//! 1. Pieces of a file that changed after its footer was read fail; rows of two versions are never mixed.
//! 2. After an error every worker gets that error.
//! 3. With a depot, a file is copied into it first and decoded from the copy: a writer that still is at work cannot
//!    matter to what is decoded.

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;
use tidewater_formats::parquet::{ParquetFile, ParquetInput, ReadPlan, RowGroupPiece};

use super::delivery::{Content, Delivery, KeptPart};
use super::depot::{Depot, given};
use super::list::modified_ns;
use super::reader::{FilePiece, FileReader, ReadDelivery};

#[cfg(test)]
mod tests;

/// A local Parquet file.
struct LocalFile {
    path: PathBuf,
    name: Arc<str>,
    /// The version that was opened first; `None` for a file that is named by its content: it may be written again,
    /// and never changes.
    version: Option<FileVersion>,
}

/// What tells two versions of a file apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    bytes: u64,
    modified_ns: i64,
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified_ns: modified_ns(metadata),
        }
    }

    /// The present version of the file at `path`.
    fn at(path: &Path) -> Result<Self, SourceError> {
        let metadata = fs::metadata(path);
        let metadata = metadata.map_err(|error| SourceError::io("read", path, error))?;
        Ok(Self::of(&metadata))
    }
}

impl ParquetInput for LocalFile {
    type Bytes = File;

    fn open(&self) -> Result<File, SourceError> {
        let failed = |action| move |error| SourceError::io(action, &self.path, error);
        let file = File::open(&self.path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("read"))?;
        match self.version {
            Some(version) if version != FileVersion::of(&metadata) => {
                let message = "changed while it was being read; run again when it is complete";
                Err(SourceError::file(&self.name, message))
            }
            _ => Ok(file),
        }
    }
}

/// Reads the Parquet files of one source.
pub struct ParquetReader {
    plan: ReadPlan,
    depot: Option<Arc<Depot>>,
    bytes_total: u64,
    state: Mutex<ParquetReaderState>,
}

struct ParquetReaderState {
    waiting: std::iter::Enumerate<std::vec::IntoIter<Delivery>>,
    current: Option<CurrentFile>,
    read: Vec<FileRead>,
    failed: Option<SourceError>,
    warnings: Vec<String>,
}

/// The file whose row groups are being dealt.
struct CurrentFile {
    delivery: usize,
    file: Arc<ParquetFile<LocalFile>>,
    row_group: usize,
    first_row: u64,
}

/// A file that was read from where it was delivered.
enum FileRead {
    /// By way of its copy.
    Copied(ReadDelivery),
    /// In place.
    InPlace {
        delivery: usize,
        path: PathBuf,
        version: FileVersion,
    },
}

impl ParquetReader {
    /// A reader of `deliveries`, in their order, as `spec` declares them; with a depot, they are kept in it. Files are
    /// opened as their pieces are asked for.
    ///
    /// # Errors
    /// When an option's value means nothing.
    pub fn open(
        spec: &SourceSpec,
        deliveries: Vec<Delivery>,
        depot: Option<Arc<Depot>>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            plan: ReadPlan::new(spec)?,
            depot,
            bytes_total: deliveries.iter().map(|delivery| delivery.bytes).sum(),
            state: Mutex::new(ParquetReaderState {
                waiting: deliveries.into_iter().enumerate(),
                current: None,
                read: Vec::new(),
                failed: None,
                warnings: Vec::new(),
            }),
        })
    }

    fn advance(&self, state: &mut ParquetReaderState) -> Result<Option<FilePiece>, SourceError> {
        loop {
            if let Some(current) = &mut state.current
                && let Some(piece) = current.next_piece()
            {
                return Ok(Some(FilePiece {
                    delivery: current.delivery,
                    piece: Box::new(piece),
                }));
            }
            state.current = None;
            let Some((index, delivery)) = state.waiting.next() else {
                return Ok(None);
            };
            let (file, read) = self.open_delivery(index, delivery)?;
            if file.rows == 0 {
                state.warnings.push(format!("{}: holds no rows", file.name));
            }
            state.warnings.extend_from_slice(&file.warnings);
            state.read.extend(read);
            state.current = Some(CurrentFile {
                delivery: index,
                file: Arc::new(file),
                row_group: 0,
                first_row: 0,
            });
        }
    }

    /// Opens a delivery where it is decoded from, and tells what was read of it when it was not kept before.
    fn open_delivery(
        &self,
        index: usize,
        delivery: Delivery,
    ) -> Result<(ParquetFile<LocalFile>, Option<FileRead>), SourceError> {
        let Delivery { name, from, bytes } = delivery;
        match (from, &self.depot) {
            (Content::File(path), Some(depot)) => {
                let copied = depot.copy(&path)?;
                let read = FileRead::Copied(ReadDelivery {
                    delivery: index,
                    bytes: copied.part.bytes,
                    modified_ns: copied.modified_ns,
                    hash: copied.part.hash.clone(),
                    parts: vec![copied.part],
                    settled: copied.settled,
                });
                let file = self.open_file(name, copied.path, None, bytes)?;
                Ok((file, Some(read)))
            }
            (Content::File(path), None) => {
                let version = FileVersion::at(&path)?;
                let file = self.open_file(name, path.clone(), Some(version), bytes)?;
                let read = FileRead::InPlace {
                    delivery: index,
                    path,
                    version,
                };
                Ok((file, Some(read)))
            }
            (Content::Kept(parts), depot) => {
                let path = kept_file(depot.as_ref(), &name, &parts)?;
                Ok((self.open_file(name, path, None, bytes)?, None))
            }
            (Content::Tail { .. }, _) => Err(SourceError::file(
                &name,
                "Parquet files cannot be appended to; deliver what is new as another file",
            )),
        }
    }

    fn open_file(
        &self,
        name: Arc<str>,
        path: PathBuf,
        version: Option<FileVersion>,
        bytes: u64,
    ) -> Result<ParquetFile<LocalFile>, SourceError> {
        let file = LocalFile {
            path,
            name: Arc::clone(&name),
            version,
        };
        ParquetFile::open(&self.plan, name, file, bytes)
    }

    fn lock(&self) -> MutexGuard<'_, ParquetReaderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of the file that was kept as it was.
fn kept_file(
    depot: Option<&Arc<Depot>>,
    name: &Arc<str>,
    parts: &[KeptPart],
) -> Result<PathBuf, SourceError> {
    let depot = given(depot, name)?;
    match parts {
        [part] => depot.whole(name, part),
        _ => Err(SourceError::file(
            name,
            format!("a Parquet file is kept in one part, not in {}", parts.len()),
        )),
    }
}

impl FileRead {
    fn taken(&self) -> Result<ReadDelivery, SourceError> {
        match self {
            Self::Copied(taken) => Ok(taken.clone()),
            Self::InPlace {
                delivery,
                path,
                version,
            } => Ok(ReadDelivery {
                delivery: *delivery,
                bytes: version.bytes,
                modified_ns: version.modified_ns,
                hash: String::new(),
                parts: Vec::new(),
                settled: FileVersion::at(path)? == *version,
            }),
        }
    }
}

impl FileReader for ParquetReader {
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError> {
        let mut state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.advance(&mut state)
            .inspect_err(|error| state.failed = Some(error.clone()))
    }

    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError> {
        self.lock().read.iter().map(FileRead::taken).collect()
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn warnings(&self) -> Vec<String> {
        self.lock().warnings.clone()
    }
}

impl CurrentFile {
    fn next_piece(&mut self) -> Option<RowGroupPiece<LocalFile>> {
        let rows = self.file.row_group_rows(self.row_group)?;
        let piece =
            RowGroupPiece::new(Arc::clone(&self.file), self.row_group, self.first_row, rows);
        self.row_group += 1;
        self.first_row += rows;
        Some(piece)
    }
}
