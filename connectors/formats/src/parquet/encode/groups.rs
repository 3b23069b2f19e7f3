//! A file made of row groups: some encoded, some copied byte for byte from another file of the same columns.

use std::fs::File;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::writer::SerializedFileWriter;

use super::options::{CHUNK_ROWS, ParquetWriteOptions};
use super::read_back::RowGroups;
use super::row_group::{RowGroup, too_few};
use tidewater_contract::sink::EncodeError;

/// Writes a file row group by row group.
pub struct GroupWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    columns: SchemaRef,
    options: ParquetWriteOptions,
}

impl<W: Write + Send> GroupWriter<W> {
    /// A writer of row groups of `schema` onto `writer`.
    ///
    /// # Errors
    /// When `schema` has a type that Parquet does not have.
    pub fn new(
        writer: W,
        schema: &SchemaRef,
        options: ParquetWriteOptions,
    ) -> Result<Self, EncodeError> {
        let columns = options.columns(schema);
        let (writer, factory) = options.writer(writer, &columns)?.into_serialized_writer()?;
        Ok(Self {
            writer,
            factory,
            columns,
            options,
        })
    }

    /// Encodes `batches` as one row group.
    ///
    /// # Errors
    /// When a value does not fit, or the bytes cannot be written.
    pub fn encode(&mut self, batches: &[RecordBatch]) -> Result<(), EncodeError> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        let batch = concat_batches(first.schema_ref(), batches)?;
        let mut group = self.begin()?;
        for start in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
            let rows = CHUNK_ROWS.min(batch.num_rows() - start);
            group.write(&batch.slice(start, rows))?;
        }
        self.end(group)
    }

    /// Begins a row group. It must [end](Self::end) before the next begins.
    pub(super) fn begin(&self) -> Result<RowGroup, EncodeError> {
        RowGroup::new(&self.columns, self.options, &self.writer, &self.factory)
    }

    /// Appends a row group to the file.
    pub(super) fn end(&mut self, group: RowGroup) -> Result<(), EncodeError> {
        group.close(&mut self.writer)
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

    /// Ends the file and returns its writer.
    ///
    /// # Errors
    /// When the bytes cannot be written.
    pub fn finish(self) -> Result<W, EncodeError> {
        Ok(self.writer.into_inner()?)
    }
}
