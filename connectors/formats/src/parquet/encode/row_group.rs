//! Encodes one row group, column by column.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::options::{CHUNK_ROWS, ParquetWriteOptions, to_microseconds};
use super::text::DictionaryColumn;
use tidewater_contract::sink::EncodeError;

/// A row group that is being encoded.
pub(super) struct RowGroup {
    columns: SchemaRef,
    options: ParquetWriteOptions,
    leaves: Vec<Leaf>,
    rows: usize,
}

/// A column of the file.
struct Leaf {
    /// Holds its rows as long as the texts are few and short.
    text: Option<DictionaryColumn>,
    /// Encodes its rows otherwise.
    writer: ArrowColumnWriter,
}

impl RowGroup {
    /// The next row group of `writer`, which has these columns.
    pub fn new<W: Write + Send>(
        columns: &SchemaRef,
        options: ParquetWriteOptions,
        writer: &SerializedFileWriter<W>,
        factory: &ArrowRowGroupWriterFactory,
    ) -> Result<Self, EncodeError> {
        let writers = factory.create_column_writers(writer.flushed_row_groups().len())?;
        let file = writer.schema_descr();
        let leaves = writers.into_iter().enumerate().map(|(leaf, writer)| Leaf {
            text: is_text(columns, file, leaf)
                .then(|| DictionaryColumn::new(options.dictionary_bytes_max())),
            writer,
        });
        Ok(Self {
            columns: Arc::clone(columns),
            options,
            leaves: leaves.collect(),
            rows: 0,
        })
    }

    /// Rows to write at a time. The number is fixed, since the crate's writers may end a page wherever a call ends.
    pub fn chunk_rows(&self) -> usize {
        CHUNK_ROWS.min(self.options.row_group_rows - self.rows)
    }

    /// Whether it is full.
    pub fn is_full(&self) -> bool {
        self.rows >= self.options.row_group_rows
    }

    /// Appends [this number](Self::chunk_rows) of rows, or fewer at the end.
    pub fn write(&mut self, chunk: &RecordBatch) -> Result<(), EncodeError> {
        let mut leaves = self.leaves.iter_mut();
        for (field, column) in self.columns.fields().iter().zip(chunk.columns()) {
            if *field.data_type() == DataType::Utf8 {
                leaves.next().ok_or_else(too_few)?.write_text(column)?;
                continue;
            }
            let column = to_microseconds(field, column)?;
            for values in compute_leaves(field, &column)? {
                leaves.next().ok_or_else(too_few)?.writer.write(&values)?;
            }
        }
        self.rows += chunk.num_rows();
        Ok(())
    }

    /// Ends the row group.
    pub fn close<W: Write + Send>(
        self,
        writer: &mut SerializedFileWriter<W>,
    ) -> Result<(), EncodeError> {
        let file = writer.schema_descr().columns().to_vec();
        let mut group = writer.next_row_group()?;
        for (mut leaf, column) in self.leaves.into_iter().zip(&file) {
            match leaf.text.take() {
                Some(text) if text.has_texts() => {
                    let chunk = text.finish(column, self.options.compression)?;
                    group.append_column(&chunk.pages, chunk.close)?;
                    continue;
                }
                Some(nulls) => leaf.write_plain(nulls.rows())?,
                None => {}
            }
            leaf.writer.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }
}

impl Leaf {
    fn write_text(&mut self, rows: &ArrayRef) -> Result<(), EncodeError> {
        match &mut self.text {
            Some(text) => {
                if !text.push(rows)?
                    && let Some(text) = self.text.take()
                {
                    self.write_plain(text.rows())?;
                }
                Ok(())
            }
            None => {
                let rows = cast(rows, &DataType::Utf8)?;
                self.write_plain(std::iter::once(rows))
            }
        }
    }

    fn write_plain(&mut self, rows: impl Iterator<Item = ArrayRef>) -> Result<(), EncodeError> {
        let field = Field::new("text", DataType::Utf8, true);
        for rows in rows {
            for values in compute_leaves(&field, &rows)? {
                self.writer.write(&values)?;
            }
        }
        Ok(())
    }
}

/// Whether a column of the file is a text column, and not a part of a nested column.
fn is_text(columns: &SchemaRef, file: &SchemaDescriptor, leaf: usize) -> bool {
    let root = columns.fields().get(file.get_column_root_idx(leaf));
    root.is_some_and(|field| *field.data_type() == DataType::Utf8)
}

pub(super) fn too_few() -> ParquetError {
    ParquetError::General("a row group has fewer columns than its file".to_owned())
}
