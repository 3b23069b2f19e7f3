//! Reads the Parquet files of a source, one row group at a time for each worker.
//!
//! 1. All pieces of a file are read from the same open file. If the file is written to after its footer was read,
//!    they fail, so that rows of two versions are never mixed.
//! 2. After an error every worker gets that error.
//! 3. With a content store, a file is first copied into it and then decoded from the copy, so that a program that
//!    still writes to the file has no effect.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;
use tidewater_formats::parquet::{ParquetFile, ParquetInput, ReadPlan, RowGroupPiece};

use super::content_store::{ContentStore, given};
use super::delivery::{Content, Delivery, KeptPart};
use super::latch::Latch;
use super::reader::{FilePiece, FileReader, ReadDelivery};
use super::storage::{EntryKind, FileStamp, ParquetBytes, Storage, StoredFile};

#[cfg(test)]
mod tests;

/// An open Parquet file.
struct OpenParquet {
    file: Arc<dyn StoredFile>,
    name: Arc<str>,
    /// When it was opened.
    stamp: FileStamp,
    /// Whether it is stored content, which never changes.
    is_kept: bool,
}

impl OpenParquet {
    fn new(name: &Arc<str>, file: Arc<dyn StoredFile>, is_kept: bool) -> Result<Self, SourceError> {
        let stamp = file.stamp();
        Ok(Self {
            stamp: stamp.map_err(|error| SourceError::io("read", Path::new(&**name), error))?,
            file,
            name: Arc::clone(name),
            is_kept,
        })
    }
}

impl ParquetInput for OpenParquet {
    type Bytes = ParquetBytes;

    fn open(&self) -> Result<ParquetBytes, SourceError> {
        if !self.is_kept {
            let found = self.file.stamp();
            let found =
                found.map_err(|error| SourceError::io("read", Path::new(&*self.name), error))?;
            if !found.looks_like(&self.stamp) {
                let changed = "it changed while it was being read; run again when it is complete";
                let changed = io::Error::other(changed);
                return Err(SourceError::io("read", Path::new(&*self.name), changed));
            }
        }
        let file = Arc::clone(&self.file);
        Ok(ParquetBytes::new(file, self.stamp.bytes))
    }
}

/// Reads the Parquet files of one source.
pub struct ParquetReader {
    plan: ReadPlan,
    storage: Arc<dyn Storage>,
    store: Option<Arc<ContentStore>>,
    bytes_total: u64,
    state: Latch<ParquetReaderState>,
}

struct ParquetReaderState {
    waiting: std::iter::Enumerate<std::vec::IntoIter<Delivery>>,
    current: Option<CurrentFile>,
    read: Vec<FileRead>,
    warnings: Vec<String>,
}

/// The file whose row groups are being handed out.
struct CurrentFile {
    delivery: usize,
    file: Arc<ParquetFile<OpenParquet>>,
    row_group: usize,
    first_row: u64,
}

/// A file that was read, other than stored content.
enum FileRead {
    /// It was read from its copy.
    Copied(ReadDelivery),
    /// It was read in place.
    InPlace {
        delivery: usize,
        path: PathBuf,
        stamp: FileStamp,
    },
}

impl ParquetReader {
    /// A reader of `deliveries`, in order, as `spec` declares them. With a content store, their content is stored.
    /// Files are opened as their pieces are requested.
    ///
    /// # Errors
    /// When the value of an option is invalid.
    pub fn open(
        spec: &SourceSpec,
        deliveries: Vec<Delivery>,
        storage: Arc<dyn Storage>,
        store: Option<Arc<ContentStore>>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            plan: ReadPlan::new(spec)?,
            storage,
            store,
            bytes_total: deliveries.iter().map(|delivery| delivery.bytes).sum(),
            state: Latch::new(ParquetReaderState {
                waiting: deliveries.into_iter().enumerate(),
                current: None,
                read: Vec::new(),
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

    /// Opens the file from which a delivery is decoded. Also returns what was read, unless it is stored content.
    fn open_delivery(
        &self,
        index: usize,
        delivery: Delivery,
    ) -> Result<(ParquetFile<OpenParquet>, Option<FileRead>), SourceError> {
        let Delivery { name, from, bytes } = delivery;
        let (input, read) = match (from, &self.store) {
            (Content::File(path), Some(store)) => {
                let kept = store.copy(&*self.storage, &path)?;
                let read = FileRead::Copied(ReadDelivery {
                    delivery: index,
                    bytes: kept.part.bytes,
                    hash: kept.part.hash.clone(),
                    parts: vec![kept.part],
                    settled: kept.settled,
                });
                (OpenParquet::new(&name, kept.file, true)?, Some(read))
            }
            (Content::File(path), None) => {
                let file = self.storage.open(&path);
                let file = file.map_err(|error| SourceError::io("open", &path, error))?;
                let input = OpenParquet::new(&name, file, false)?;
                let read = FileRead::InPlace {
                    delivery: index,
                    path,
                    stamp: input.stamp.clone(),
                };
                (input, Some(read))
            }
            (Content::Kept(parts), store) => {
                let file = kept_file(store.as_ref(), &name, &parts)?;
                (OpenParquet::new(&name, file, true)?, None)
            }
            (Content::Tail { .. } | Content::KeptStored(_), _) => {
                return Err(SourceError::file(
                    &name,
                    "Parquet files cannot be appended to; deliver what is new as another file",
                ));
            }
        };
        let file = ParquetFile::open(&self.plan, name, input, bytes)?;
        Ok((file, read))
    }
}

/// A file that was stored as it was.
fn kept_file(
    store: Option<&Arc<ContentStore>>,
    name: &Arc<str>,
    parts: &[KeptPart],
) -> Result<Arc<dyn StoredFile>, SourceError> {
    let store = given(store, name)?;
    match parts {
        [part] => store.whole(name, part),
        _ => Err(SourceError::file(
            name,
            format!("a Parquet file is kept in one part, not in {}", parts.len()),
        )),
    }
}

impl FileRead {
    fn taken(&self, storage: &dyn Storage) -> Result<ReadDelivery, SourceError> {
        match self {
            Self::Copied(taken) => Ok(taken.clone()),
            Self::InPlace {
                delivery,
                path,
                stamp,
            } => {
                // A file that was removed meanwhile was read unchanged.
                let settled = match storage.head(path)? {
                    Some(EntryKind::File(found)) => found.looks_like(stamp),
                    Some(EntryKind::Directory { .. }) => false,
                    None => true,
                };
                Ok(ReadDelivery {
                    delivery: *delivery,
                    bytes: stamp.bytes,
                    hash: String::new(),
                    parts: Vec::new(),
                    settled,
                })
            }
        }
    }
}

impl FileReader for ParquetReader {
    fn next_piece(&self) -> Result<Option<FilePiece>, SourceError> {
        self.state.advance(|state| self.advance(state))
    }

    fn read_deliveries(&self) -> Result<Vec<ReadDelivery>, SourceError> {
        let taken = |state: &ParquetReaderState| {
            let read = state.read.iter();
            read.map(|read| read.taken(&*self.storage)).collect()
        };
        self.state.look(taken)
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn warnings(&self) -> Vec<String> {
        self.state.look(|state| state.warnings.clone())
    }
}

impl CurrentFile {
    fn next_piece(&mut self) -> Option<RowGroupPiece<OpenParquet>> {
        let rows = self.file.row_group_rows(self.row_group)?;
        let piece =
            RowGroupPiece::new(Arc::clone(&self.file), self.row_group, self.first_row, rows);
        self.row_group += 1;
        self.first_row += rows;
        Some(piece)
    }
}
