//! Opens a Parquet file: reads its footer, and plans the conversion of its columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use crate::options::{MissingColumns, ParquetOptions};
use crate::scalar::Offsets;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

use super::coded;
use super::columns::{
    GroupColumns, ParquetColumn, match_columns, names_in_other_case, refuse_unknown,
};
use super::convert::ConversionRules;
use super::footer::{self, Footer};
use super::guard::{guarded, guarded_iter};

/// Most rows of a batch.
const BATCH_ROWS: usize = 16 * 1024;

/// State shared by all files of a source.
pub struct ReadPlan {
    source: Arc<str>,
    pub(super) declared: SchemaRef,
    /// Indices into `declared` of the columns that the job reads.
    pub(super) projection: Vec<usize>,
    /// The schema of decoded batches.
    projected: SchemaRef,
    pub(super) options: ParquetOptions,
    pub(super) rules: ConversionRules,
    /// Whether the place of each row is asked for.
    ordinals: bool,
    /// Whether text columns may stay dictionaries.
    pub(super) dictionaries: bool,
}

impl ReadPlan {
    /// A plan for reading the files of `spec`.
    ///
    /// # Errors
    /// When an option's value is invalid.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let projected = spec.schema.project(&spec.projection);
        let projected = projected.map_err(|error| SourceError::Declaration {
            table: spec.name.clone(),
            column: "*".to_owned(),
            message: error.to_string(),
        })?;
        let options = ParquetOptions::parse(&spec.options)?;
        Ok(Self {
            source: spec.name.as_str().into(),
            declared: Arc::clone(&spec.schema),
            projection: spec.projection.clone(),
            projected: Arc::new(projected),
            rules: ConversionRules {
                nulls_for_missing: options.missing_columns == MissingColumns::Null,
                convert_offsets: options.offsets == Offsets::Convert,
            },
            options,
            ordinals: spec.ordinals,
            dictionaries: spec.dictionaries,
        })
    }

    /// The footer, with text columns read as dictionaries if they are stored so.
    fn with_dictionaries(&self, footer: Footer) -> Result<Footer, ParquetError> {
        if !self.dictionaries {
            return Ok(footer);
        }
        let wanted = self.projected.fields().iter();
        let wanted = wanted.filter(|field| *field.data_type() == DataType::Utf8);
        let wanted = wanted.map(|field| field.name().as_str()).collect();
        let Some(schema) = coded::schema(&footer.metadata, &wanted) else {
            return Ok(footer);
        };
        let schema = Arc::new(schema);
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&schema));
        let parquet = Arc::clone(footer.metadata.metadata());
        let metadata = guarded(|| ArrowReaderMetadata::try_new(parquet, options))?;
        Ok(Footer {
            metadata,
            schema: footer::with_types_of(&footer.schema, &schema),
            rows: footer.rows,
        })
    }
}

/// A file whose footer was read and fits the declared columns.
pub struct ParquetFile<I> {
    pub(super) source: Arc<str>,
    /// Its name in messages.
    pub name: Arc<str>,
    /// The schema of decoded batches.
    pub(super) schema: SchemaRef,
    /// The declared columns, in order.
    pub(super) columns: Vec<ParquetColumn>,
    /// Rows of all row groups.
    pub rows: u64,
    pub(super) bytes: u64,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Whether the place of each row is asked for.
    pub(super) ordinals: bool,
    input: I,
    metadata: ArrowReaderMetadata,
}

/// The source of a Parquet file's bytes.
pub trait ParquetInput: Send + Sync {
    /// Reads ranges of bytes.
    type Bytes: ChunkReader + 'static;

    /// Opens the file. Each call gives a new handle, because shared handles would share their position.
    ///
    /// # Errors
    /// When the file cannot be opened, or is not the same file as the first time.
    fn open(&self) -> Result<Self::Bytes, SourceError>;
}

/// The rows of a row group, in batches.
pub(super) type RowGroupBatches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl<I: ParquetInput> ParquetFile<I> {
    /// Reads the footer of a file, which errors call `name`, listed with a size of `bytes`.
    ///
    /// # Errors
    /// When the file cannot be read, is not a Parquet file, or does not fit the declared columns.
    pub fn open(
        plan: &ReadPlan,
        name: Arc<str>,
        input: I,
        bytes: u64,
    ) -> Result<Self, SourceError> {
        let file = input.open()?;
        let footer = Footer::read(&file)
            .and_then(|footer| plan.with_dictionaries(footer))
            .map_err(|error| footer::unreadable(&name, &file, &error))?;
        refuse_unknown(plan, &name, &footer.schema)?;
        let columns = match_columns(plan, &name, &footer.schema)?;
        let warnings = names_in_other_case(plan, &name, &footer.schema);
        let file = Self {
            source: Arc::clone(&plan.source),
            name,
            schema: Arc::clone(&plan.projected),
            columns,
            rows: footer.rows,
            bytes,
            warnings,
            ordinals: plan.ordinals,
            input,
            metadata: footer.metadata,
        };
        file.refuse_compression()?;
        Ok(file)
    }

    /// The source of the file's bytes.
    pub fn input(&self) -> &I {
        &self.input
    }

    /// Rows of a row group; `None` after the last one.
    pub fn row_group_rows(&self, row_group: usize) -> Option<u64> {
        let group = self.metadata.metadata().row_groups().get(row_group)?;
        Some(u64::try_from(group.num_rows()).unwrap_or_default())
    }

    /// The columns that are decoded of a row group.
    pub(super) fn group_columns(&self, row_group: usize) -> Option<GroupColumns> {
        let group = self.metadata.metadata().row_groups().get(row_group)?;
        let file = self.metadata.parquet_schema();
        Some(GroupColumns::of(&self.columns, group, file))
    }

    /// Opens a row group for reading, with a file handle of its own, because shared handles would share their
    /// position.
    pub(super) fn read_row_group(
        &self,
        row_group: usize,
        columns: &GroupColumns,
    ) -> Result<RowGroupBatches, SourceError> {
        let file = self.input.open()?;
        let open = || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![row_group])
                .with_projection(columns.mask.clone())
                .with_batch_size(BATCH_ROWS)
                .build()
        };
        let reader = guarded(open).map_err(|error| self.damaged(row_group, &error))?;
        Ok(Box::new(guarded_iter(reader)))
    }

    /// The error about a row group that does not decode.
    pub(super) fn damaged(&self, row_group: usize, error: &dyn std::fmt::Display) -> SourceError {
        let group = self.metadata.metadata().row_groups().get(row_group);
        let first_column = group.and_then(|group| group.columns().first());
        let (byte_offset, _) = first_column
            .and_then(footer::byte_range)
            .unwrap_or_default();
        SourceError::Corrupt {
            file: Arc::clone(&self.name),
            byte_offset,
            message: format!("row group {row_group}: {error}"),
        }
    }

    /// Refuses columns with an unsupported compression, which would otherwise look like damage.
    fn refuse_compression(&self) -> Result<(), SourceError> {
        let metadata = self.metadata.metadata();
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let Some(columns) = self.group_columns(number) else {
                continue;
            };
            for (leaf, chunk) in group.columns().iter().enumerate() {
                let unread = matches!(
                    chunk.compression(),
                    Compression::BROTLI(_) | Compression::LZO
                );
                if unread && columns.mask.leaf_included(leaf) {
                    let message = format!(
                        "is compressed with {}, which is not read: write the file with zstd, snappy, gzip or lz4",
                        if chunk.compression() == Compression::LZO {
                            "LZO"
                        } else {
                            "Brotli"
                        }
                    );
                    let column = chunk.column_path().string();
                    return Err(SourceError::column(&self.name, column, message));
                }
            }
        }
        Ok(())
    }
}
