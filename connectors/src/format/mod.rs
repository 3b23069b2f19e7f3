//! Layouts of rows, without I/O: decoders take bytes and give batches and rejected rows, encoders the reverse.

pub mod csv;
pub mod json_lines;
pub mod lines;
pub mod options;
pub mod parquet;
