//! A file made of row groups: some encoded, some copied byte for byte from another file of the same columns.

use std::fs::File;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::{CHUNK_ROWS, ParquetOptions, RowGroups, to_columns};
use crate::sink::EncodeError;

/// Writes a file row group by row group.
pub struct GroupWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    columns: SchemaRef,
}

impl<W: Write + Send> GroupWriter<W> {
    /// A writer of row groups of `schema` onto `writer`.
    ///
    /// # Errors
    /// When `schema` holds a type that Parquet has not.
    pub fn new(
        writer: W,
        schema: &SchemaRef,
        options: ParquetOptions,
    ) -> Result<Self, EncodeError> {
        let columns = options.columns(schema);
        let (writer, factory) = options.writer(writer, &columns)?.into_serialized_writer()?;
        Ok(Self {
            writer,
            factory,
            columns,
        })
    }

    /// Encodes `batches` as one row group.
    ///
    /// # Errors
    /// When a value cannot be held, or the bytes cannot be written.
    pub fn encode(&mut self, batches: &[RecordBatch]) -> Result<(), EncodeError> {
        let number = self.writer.flushed_row_groups().len();
        let mut columns = self.factory.create_column_writers(number)?;
        for batch in batches {
            let batch = to_columns(&self.columns, batch)?;
            for start in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
                let rows = CHUNK_ROWS.min(batch.num_rows() - start);
                let chunk = batch.slice(start, rows);
                let mut writers = columns.iter_mut();
                for (field, column) in self.columns.fields().iter().zip(chunk.columns()) {
                    for leaf in compute_leaves(field, column)? {
                        let writer = writers.next().ok_or_else(too_few)?;
                        writer.write(&leaf)?;
                    }
                }
            }
        }
        let mut group = self.writer.next_row_group()?;
        for column in columns {
            column.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Copies a row group of another file of the same columns, without decoding it.
    ///
    /// # Errors
    /// When the other file cannot be read, or has other columns.
    pub fn copy(
        &mut self,
        from: &File,
        groups: &RowGroups,
        index: usize,
    ) -> Result<(), EncodeError> {
        let metadata = groups.metadata();
        let group = metadata.row_groups().get(index).ok_or_else(too_few)?;
        let columns_of = metadata.column_index().and_then(|all| all.get(index));
        let offsets_of = metadata.offset_index().and_then(|all| all.get(index));
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        let mut copy = self.writer.next_row_group()?;
        for (number, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                rows_written: rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: columns_of.and_then(|all| all.get(number)).cloned(),
                offset_index: offsets_of.and_then(|all| all.get(number)).cloned(),
            };
            copy.append_column(from, close)?;
        }
        copy.close()?;
        Ok(())
    }

    /// Ends the file and hands its writer back.
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub fn finish(self) -> Result<W, EncodeError> {
        Ok(self.writer.into_inner()?)
    }
}

fn too_few() -> ParquetError {
    ParquetError::General("a row group has fewer columns than its file".to_owned())
}
