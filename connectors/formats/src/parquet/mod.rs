//! Apache Parquet, decoded a row group at a time.
//!
//! - Columns are matched by name, and only columns that the job needs are read; the same holds for fields of structs.
//!   A type must be the declared one or convert to it without loss: wider integers and decimals, any integer whose
//!   value fits, dictionaries to their values, text and lists between their layouts, timestamps between units. A type
//!   that does not convert is an error about the file. A value that does not fit rejects its row; other rows are
//!   decoded.
//! - A rejected row's `line` is its number in the file, from 1. Its `byte_offset` is 0, since rows have no offset in
//!   a columnar file. Its `raw` is the row as JSON, with the columns that the job reads.
//! - Values are those that DataFusion reads from the same file, with one exception: old `INT96` timestamps (as Spark
//!   and Hive write them) are read in microseconds, which is Spark's precision. In nanoseconds, the default
//!   elsewhere, dates outside 1677–2262 would wrap silently.
//! - Timestamps with a zone are instants. A column that is declared without a zone refuses them, or reads them in UTC
//!   with `offsets = 'convert'`. `TIME` is read from any unit, `DATE` from milliseconds too, a UUID as `BYTEA` or as
//!   `TEXT`. All NaNs become the same NaN.
//! - Columns that the job does not read are checked like the others: their types by the footer, their values by the
//!   counts of NULLs in the row group's statistics. If these do not decide, the column is decoded: a `NOT NULL`
//!   column without statistics, or a conversion that may fail. With `check = 'read_columns'`, such columns are
//!   ignored.
//! - Damage is an error that names the file. Page checksums are verified where a file has them.
//!
//! Invariants:
//! 1. Decoded rows + rejected rows = the number of rows in the file's footer.
//! 2. The bytes reported by the pieces of a file add up to the file's size, if it has rows.

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
