//! Reads files that this program wrote. Every value is read with exactly the bits that were written.

use std::fs::File;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::super::guard::{guarded, guarded_iter};
use super::options::ParquetWriteOptions;
use tidewater_contract::sink::EncodeError;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// The footer of a file that is read row group by row group.
#[derive(Clone)]
pub struct RowGroups {
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
}

impl RowGroups {
    /// Reads the footer of a file that was written with `schema` and `options`.
    ///
    /// # Errors
    /// When the file is not such a file.
    pub fn open(
        file: &File,
        schema: &SchemaRef,
        options: ParquetWriteOptions,
    ) -> Result<Self, EncodeError> {
        let hints = ArrowReaderOptions::new()
            .with_schema(options.columns(schema))
            .with_page_index_policy(PageIndexPolicy::Optional);
        Ok(Self {
            metadata: guarded(|| ArrowReaderMetadata::load(file, hints))?,
            schema: Arc::clone(schema),
        })
    }

    /// The footer.
    pub fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }
}

/// The rows of some row groups, or of all, in order.
///
/// # Errors
/// When the file cannot be read.
pub fn read_back(
    file: File,
    groups: &RowGroups,
    only: Option<Vec<usize>>,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<>, EncodeError> {
    let schema = Arc::clone(&groups.schema);
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, groups.metadata.clone())
            .with_batch_size(BATCH_ROWS);
    if let Some(only) = only {
        builder = builder.with_row_groups(only);
    }
    let reader = guarded(|| builder.build())?;
    Ok(guarded_iter(reader).map(move |batch| to_stored(&schema, &batch?)))
}

/// The rows of a file that this program wrote and whose columns are no longer known.
///
/// # Errors
/// When the file cannot be read.
pub fn read_all(
    file: File,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<>, EncodeError> {
    let open = || ParquetRecordBatchReaderBuilder::try_new(file)?.build();
    Ok(guarded_iter(guarded(open)?))
}

fn to_stored(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns
        .map(|(field, column)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}
