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

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::SourceError;
use crate::source::{Piece, Reader, SourceSpec};

use self::open::{OpenFile, Plan};
use self::piece::RowGroupPiece;

mod allowed;
mod convert;
pub mod encode;
mod open;
mod piece;
#[cfg(test)]
mod tests;

/// Reads the Parquet files of one source.
pub struct ParquetReader {
    plan: Plan,
    bytes_total: u64,
    state: Mutex<State>,
}

struct State {
    waiting: std::vec::IntoIter<(PathBuf, u64)>,
    current: Option<Current>,
    warnings: Vec<String>,
}

/// The file whose row groups are being dealt.
struct Current {
    file: Arc<OpenFile>,
    row_group: usize,
    first_row: u64,
}

impl ParquetReader {
    /// A reader of `files` (path and size in bytes), in their order, as `spec` declares them. Files are opened as
    /// their pieces are asked for.
    ///
    /// # Errors
    /// When an option's value means nothing.
    pub fn open(spec: &SourceSpec, files: Vec<(PathBuf, u64)>) -> Result<Self, SourceError> {
        Ok(Self {
            plan: Plan::new(spec)?,
            bytes_total: files.iter().map(|(_, bytes)| bytes).sum(),
            state: Mutex::new(State {
                waiting: files.into_iter(),
                current: None,
                warnings: Vec::new(),
            }),
        })
    }
}

impl Reader for ParquetReader {
    fn next_piece(&self) -> Result<Option<Box<dyn Piece>>, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(piece) = state.current.as_mut().and_then(Current::next_piece) {
                return Ok(Some(Box::new(piece)));
            }
            state.current = None;
            let Some((path, bytes)) = state.waiting.next() else {
                return Ok(None);
            };
            let file = OpenFile::open(&self.plan, path, bytes)?;
            if file.rows == 0 {
                state.warnings.push(format!("{}: holds no rows", file.name));
            }
            state.current = Some(Current {
                file: Arc::new(file),
                row_group: 0,
                first_row: 0,
            });
        }
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn warnings(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.warnings.clone()
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
