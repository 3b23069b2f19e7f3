//! The options of a Parquet file, and the types of its columns.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use tidewater_contract::sink::EncodeError;

/// Options of a file.
#[derive(Clone, Copy, Debug)]
pub struct ParquetWriteOptions {
    /// Page compression.
    pub compression: Compression,
    /// The most rows of a row group.
    pub row_group_rows: usize,
    /// Whether Arrow's types are kept exactly, finer timestamps included, for files that only this program reads.
    pub exact: bool,
}

impl ParquetWriteOptions {
    /// The columns of a file for `schema`.
    pub(super) fn columns(self, schema: &SchemaRef) -> SchemaRef {
        if self.exact {
            return Arc::clone(schema);
        }
        let fields: Vec<FieldRef> = schema.fields().iter().map(in_microseconds).collect();
        Arc::new(Schema::new(fields))
    }

    /// The size at which a dictionary is abandoned: one byte a row. A dictionary of mostly distinct values would take
    /// more space than it saves, in small row groups as well.
    pub(super) fn dictionary_bytes_max(self) -> usize {
        self.row_group_rows.clamp(16 * 1024, 1024 * 1024)
    }

    /// A writer of a file with these columns.
    pub(super) fn writer<W: Write + Send>(
        self,
        writer: W,
        columns: &SchemaRef,
    ) -> Result<ArrowWriter<W>, EncodeError> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tidewater ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(self.compression)
            .set_write_batch_size(CHUNK_ROWS)
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_dictionary_page_size_limit(self.dictionary_bytes_max())
            .set_coerce_types(!self.exact)
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        Ok(ArrowWriter::try_new_with_options(
            writer,
            Arc::clone(columns),
            options,
        )?)
    }
}

/// Rows of a row group by default: few, so that the change of one row rewrites little. Runs with and without a state
/// use the same number, so that a table has the same bytes.
pub const DEFAULT_ROW_GROUP_ROWS: usize = 64 * 1024;

/// Rows that are written at a time.
pub(super) const CHUNK_ROWS: usize = 1024;

/// `field` with all its timestamps in microseconds, nested ones included.
fn in_microseconds(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) => DataType::List(in_microseconds(item)),
        DataType::LargeList(item) => DataType::LargeList(in_microseconds(item)),
        DataType::FixedSizeList(item, size) => {
            DataType::FixedSizeList(in_microseconds(item), *size)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(in_microseconds).collect()),
        DataType::Map(entries, sorted) => DataType::Map(in_microseconds(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// `column` converted to the type of `field`, without loss.
pub(super) fn to_microseconds(field: &Field, column: &ArrayRef) -> Result<ArrayRef, EncodeError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let converted = cast(column, field.data_type())?;
    if cast(&converted, column.data_type())?.to_data() != column.to_data() {
        return Err(EncodeError::TimeTooFine {
            column: field.name().clone(),
        });
    }
    Ok(converted)
}
