//! Apache Parquet, decoded a row group at a time.
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
//! 2. The bytes that the pieces of a file report sum to the file's size, if it has rows.

mod allowed;
mod coded;
mod convert;
pub mod encode;
mod open;
mod piece;

pub use open::{OpenFile, ParquetInput, Plan};
pub use piece::RowGroupPiece;
