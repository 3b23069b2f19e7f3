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
//! - Timestamps with a zone are instants: a column that is declared without one refuses them, or with
//!   `offsets = 'convert'` is read in UTC. `TIME` is read from any unit, `DATE` from milliseconds too, a UUID as `BYTEA` or
//!   as `TEXT`; NaNs are made one.
//! - Columns that the job does not read are checked like those that it does: their types by the footer, their values by
//!   the counts of NULLs in the row group's statistics. What these leave open is decoded: a `NOT NULL` column without
//!   statistics, a conversion that may fail. With `check = 'read_columns'` they are passed over.
//! - Damage is an error that names the file. Page checksums are verified where a file has them.
//!
//! Invariants:
//! 1. Rows of the decoded batches + rejected rows = rows that the file's footer counts.
//! 2. The bytes that the pieces of a file report sum to the file's size, if it has rows.

mod allowed;
mod apply;
mod coded;
mod columns;
mod convert;
pub mod encode;
mod footer;
mod guard;
mod open;
mod piece;
mod values;

pub use guard::is_guarded;
pub use open::{ParquetFile, ParquetInput, ReadPlan};
pub use piece::RowGroupPiece;
