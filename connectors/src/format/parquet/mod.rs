//! Apache Parquet, read a row group at a time by the worker that takes it.
//!
//! - Columns are matched by name and read alone; so are the fields of structs. Types must be the declared ones or
//!   convert to them without loss: integers and decimals that widen, any integer whose value fits, dictionaries to
//!   their values, text and lists between their layouts, timestamps between units. A type that does not is an error
//!   of the file; a value that does not fit rejects its row, and its neighbours are decoded.
//! - A rejected row's `line` is its number in the file, from 1; its `byte_offset` is 0 (rows have no place of their
//!   own in a columnar file); its `raw` is the row as JSON, with the columns that the job reads.
//! - Values are those that DataFusion reads from the same file, but for one: its old `INT96` timestamps (as Spark and
//!   Hive write them) are read in microseconds, which is what Spark keeps. Read in nanoseconds, as is the default
//!   elsewhere, dates outside 1677–2262 wrap around silently.
//! - Timestamps with a zone are instants: declared without one, they are read in UTC.
//!
//! Invariants:
//! 1. Rows of the decoded batches + rejected rows = rows that the file's footer counts.
//! 2. Pieces of a file that changed after its footer was read fail; rows of two versions are never mixed.
//! 3. The bytes that the pieces of a file report sum to the file's size, if it has rows.
//! 4. After an error every worker gets that error.
//! 5. With a depot, a file is copied into it first and decoded from the copy: a writer that still is at work cannot
//!    matter to what is decoded.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::SourceError;
use crate::file::depot::{Depot, given};
use crate::file::{Content, Delivery};
use crate::source::{Dealt, KeptPart, Reader, SourceSpec, Taken};

use self::open::{OpenFile, Plan, Version};
use self::piece::RowGroupPiece;

mod allowed;
mod coded;
mod convert;
pub mod encode;
mod open;
mod piece;
#[cfg(test)]
mod tests;

/// Reads the Parquet files of one source.
pub struct ParquetReader {
    plan: Plan,
    depot: Option<Arc<Depot>>,
    bytes_total: u64,
    state: Mutex<State>,
}

struct State {
    waiting: std::iter::Enumerate<std::vec::IntoIter<Delivery>>,
    current: Option<Current>,
    read: Vec<Read>,
    failed: Option<SourceError>,
    warnings: Vec<String>,
}

/// The file whose row groups are being dealt.
struct Current {
    delivery: usize,
    file: Arc<OpenFile>,
    row_group: usize,
    first_row: u64,
}

/// A file that was read from where it was delivered.
enum Read {
    /// By way of its copy.
    Copied(Taken),
    /// In place.
    InPlace {
        delivery: usize,
        path: PathBuf,
        version: Version,
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
            plan: Plan::new(spec)?,
            depot,
            bytes_total: deliveries.iter().map(|delivery| delivery.bytes).sum(),
            state: Mutex::new(State {
                waiting: deliveries.into_iter().enumerate(),
                current: None,
                read: Vec::new(),
                failed: None,
                warnings: Vec::new(),
            }),
        })
    }

    fn advance(&self, state: &mut State) -> Result<Option<Dealt>, SourceError> {
        loop {
            if let Some(current) = &mut state.current
                && let Some(piece) = current.next_piece()
            {
                return Ok(Some(Dealt {
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
            state.read.extend(read);
            state.current = Some(Current {
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
    ) -> Result<(OpenFile, Option<Read>), SourceError> {
        let Delivery { name, from, bytes } = delivery;
        match (from, &self.depot) {
            (Content::File(path), Some(depot)) => {
                let copied = depot.copy(&path)?;
                let read = Read::Copied(Taken {
                    delivery: index,
                    bytes: copied.part.bytes,
                    modified_ns: copied.modified_ns,
                    hash: copied.part.hash.clone(),
                    parts: vec![copied.part],
                    settled: copied.settled,
                });
                let file = OpenFile::open(&self.plan, name, (copied.path, true), bytes)?;
                Ok((file, Some(read)))
            }
            (Content::File(path), None) => {
                let file = OpenFile::open(&self.plan, name, (path.clone(), false), bytes)?;
                let read = Read::InPlace {
                    delivery: index,
                    path,
                    version: file.version(),
                };
                Ok((file, Some(read)))
            }
            (Content::Kept(parts), depot) => {
                let path = kept_file(depot.as_ref(), &name, &parts)?;
                Ok((OpenFile::open(&self.plan, name, (path, true), bytes)?, None))
            }
            (Content::Tail { .. }, _) => Err(SourceError::file(
                &name,
                "Parquet files cannot be appended to; deliver what is new as another file",
            )),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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

impl Read {
    fn taken(&self) -> Result<Taken, SourceError> {
        match self {
            Self::Copied(taken) => Ok(taken.clone()),
            Self::InPlace {
                delivery,
                path,
                version,
            } => Ok(Taken {
                delivery: *delivery,
                bytes: version.bytes,
                modified_ns: version.modified_ns,
                hash: String::new(),
                parts: Vec::new(),
                settled: Version::at(path)? == *version,
            }),
        }
    }
}

impl Reader for ParquetReader {
    fn next_piece(&self) -> Result<Option<Dealt>, SourceError> {
        let mut state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        self.advance(&mut state)
            .inspect_err(|error| state.failed = Some(error.clone()))
    }

    fn taken(&self) -> Result<Vec<Taken>, SourceError> {
        self.lock().read.iter().map(Read::taken).collect()
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn warnings(&self) -> Vec<String> {
        self.lock().warnings.clone()
    }
}

impl Current {
    fn next_piece(&mut self) -> Option<RowGroupPiece> {
        let rows = self.file.row_group_rows(self.row_group)?;
        let piece =
            RowGroupPiece::new(Arc::clone(&self.file), self.row_group, self.first_row, rows);
        self.row_group += 1;
        self.first_row += rows;
        Some(piece)
    }
}
