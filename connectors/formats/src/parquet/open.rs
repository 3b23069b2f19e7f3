//! A Parquet file before its rows: what its footer says, and how its columns become the declared ones.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use parquet::schema::types::SchemaDescriptor;

use crate::coded_text;
use crate::options::{MissingColumns, ParquetOptions, UnknownColumns};
use tidewater_contract::error::SourceError;
use tidewater_contract::source::SourceSpec;

use super::coded;
use super::convert::{Mismatch, Target};

/// Rows that a step of a piece reads at most.
const BATCH_ROWS: usize = 16 * 1024;

/// First and last bytes of a Parquet file; the latter differ if its footer is encrypted.
const MAGIC: &[u8] = b"PAR1";

/// What all files of a source share.
pub struct Plan {
    source: Arc<str>,
    declared: SchemaRef,
    /// The schema of decoded batches.
    projected: SchemaRef,
    options: ParquetOptions,
    /// Whether rows tell their place.
    ordinals: bool,
    /// Whether columns of text may stay dictionaries.
    dictionaries: bool,
}

impl Plan {
    /// Plans reading the files of `spec`.
    ///
    /// # Errors
    /// When an option's value means nothing.
    pub fn new(spec: &SourceSpec) -> Result<Self, SourceError> {
        let projected = spec.schema.project(&spec.projection);
        let projected = projected.map_err(|error| SourceError::Declaration {
            table: spec.name.clone(),
            column: "*".to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            source: spec.name.as_str().into(),
            declared: Arc::clone(&spec.schema),
            projected: Arc::new(projected),
            options: ParquetOptions::parse(&spec.options)?,
            ordinals: spec.ordinals,
            dictionaries: spec.dictionaries,
        })
    }

    /// The footer of a file whose columns of text are read as dictionaries where that is how they are stored.
    fn with_dictionaries(
        &self,
        metadata: ArrowReaderMetadata,
    ) -> Result<ArrowReaderMetadata, ParquetError> {
        if !self.dictionaries {
            return Ok(metadata);
        }
        let wanted = self.projected.fields().iter();
        let wanted = wanted.filter(|field| *field.data_type() == DataType::Utf8);
        let wanted = wanted.map(|field| field.name().as_str()).collect();
        let Some(schema) = coded::schema(&metadata, &wanted) else {
            return Ok(metadata);
        };
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
    }
}

/// A file whose footer was read and fits the declared columns.
pub struct OpenFile<I> {
    pub(super) source: Arc<str>,
    /// Its name in messages.
    pub name: Arc<str>,
    /// The schema of decoded batches.
    pub(super) schema: SchemaRef,
    /// For each decoded column its place among the columns read (`None` if the file lacks it), and its conversion.
    pub(super) columns: Vec<(Option<usize>, Target)>,
    /// Rows of all row groups.
    pub rows: u64,
    pub(super) bytes: u64,
    /// Whether rows tell their place.
    pub(super) ordinals: bool,
    input: I,
    metadata: ArrowReaderMetadata,
    read: ProjectionMask,
}

/// Where the bytes of a Parquet file come from.
pub trait ParquetInput: Send + Sync {
    /// What is read by range.
    type Bytes: ChunkReader + 'static;

    /// Opens the file, as often as it is asked for: handles that are shared share their position.
    ///
    /// # Errors
    /// When the file cannot be opened, or is not the one that was opened first.
    fn open(&self) -> Result<Self::Bytes, SourceError>;
}

impl<I: ParquetInput> OpenFile<I> {
    /// Reads the footer of a file, which errors call `name`, listed with a size of `bytes`.
    ///
    /// # Errors
    /// When the file cannot be read, is no Parquet file, or does not fit the declared columns.
    pub fn open(plan: &Plan, name: Arc<str>, input: I, bytes: u64) -> Result<Self, SourceError> {
        let file = input.open()?;
        let metadata = read_footer(&file)
            .and_then(|metadata| plan.with_dictionaries(metadata))
            .map_err(|error| not_parquet(&name, &file, &error))?;
        refuse_unknown(plan, &name, metadata.schema())?;
        let (columns, roots) = plan_columns(plan, &name, metadata.schema())?;
        let groups = metadata.metadata().row_groups();
        let rows = groups
            .iter()
            .map(|group| u64::try_from(group.num_rows()).unwrap_or_default())
            .sum();
        Ok(Self {
            source: Arc::clone(&plan.source),
            name,
            schema: Arc::clone(&plan.projected),
            columns,
            rows,
            bytes,
            ordinals: plan.ordinals,
            input,
            read: ProjectionMask::roots(metadata.parquet_schema(), roots),
            metadata,
        })
    }

    /// Where its bytes come from.
    pub fn input(&self) -> &I {
        &self.input
    }

    /// Rows of a row group, `None` after the last.
    pub fn row_group_rows(&self, row_group: usize) -> Option<u64> {
        let group = self.metadata.metadata().row_groups().get(row_group)?;
        Some(u64::try_from(group.num_rows()).unwrap_or_default())
    }

    /// Opens a row group for reading, with a file handle of its own: handles that are shared share their position.
    pub(super) fn read_row_group(
        &self,
        row_group: usize,
    ) -> Result<ParquetRecordBatchReader, SourceError> {
        let file = self.input.open()?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![row_group])
                .with_projection(self.read.clone())
                .with_batch_size(BATCH_ROWS);
        builder
            .build()
            .map_err(|error| self.damaged(row_group, &error))
    }

    /// The error of a row group that does not decode.
    pub(super) fn damaged(&self, row_group: usize, error: &dyn std::fmt::Display) -> SourceError {
        let group = self.metadata.metadata().row_groups().get(row_group);
        let first_column = group.and_then(|group| group.columns().first());
        SourceError::Corrupt {
            file: Arc::clone(&self.name),
            byte_offset: first_column.map_or(0, |column| column.byte_range().0),
            message: format!("row group {row_group}: {error}"),
        }
    }
}

fn read_footer(file: &impl ChunkReader) -> Result<ArrowReaderMetadata, ParquetError> {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let leaves = metadata.parquet_schema().columns();
    if leaves
        .iter()
        .all(|leaf| leaf.physical_type() != PhysicalType::INT96)
    {
        return Ok(metadata);
    }
    let schema = int96_in_microseconds(metadata.schema(), metadata.parquet_schema());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// The file's schema, its INT96 columns in microseconds.
fn int96_in_microseconds(schema: &Schema, file: &SchemaDescriptor) -> Schema {
    let mut leaves = file.columns().iter().map(|leaf| leaf.physical_type());
    let fields = retype_all(schema.fields(), &mut leaves);
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn retype_all(fields: &Fields, leaves: &mut impl Iterator<Item = PhysicalType>) -> Fields {
    fields.iter().map(|field| retype(field, leaves)).collect()
}

fn retype(field: &FieldRef, leaves: &mut impl Iterator<Item = PhysicalType>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(retype_all(fields, leaves)),
        DataType::List(element) => DataType::List(retype(element, leaves)),
        DataType::LargeList(element) => DataType::LargeList(retype(element, leaves)),
        DataType::FixedSizeList(element, size) => {
            DataType::FixedSizeList(retype(element, leaves), *size)
        }
        DataType::Map(entries, sorted) => DataType::Map(retype(entries, leaves), *sorted),
        leaf => match (leaves.next(), leaf) {
            (Some(PhysicalType::INT96), DataType::Timestamp(_, zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            _ => leaf.clone(),
        },
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn not_parquet(name: &Arc<str>, file: &impl ChunkReader, error: &ParquetError) -> SourceError {
    let bytes = file.len();
    let begins_like_parquet = || {
        let head = file.get_bytes(0, MAGIC.len());
        head.is_ok_and(|head| head == MAGIC)
    };
    if bytes == 0 {
        SourceError::file(
            name,
            "is empty: a Parquet file has a footer even without rows",
        )
    } else if begins_like_parquet() {
        SourceError::Corrupt {
            file: Arc::clone(name),
            byte_offset: bytes,
            message: error.to_string(),
        }
    } else {
        SourceError::file(name, "is not a Parquet file: check STORED AS and LOCATION")
    }
}

fn refuse_unknown(plan: &Plan, name: &Arc<str>, found: &Schema) -> Result<(), SourceError> {
    if plan.options.unknown_columns == UnknownColumns::Ignore {
        return Ok(());
    }
    let unknown = found
        .fields()
        .iter()
        .find(|field| plan.declared.column_with_name(field.name()).is_none());
    unknown.map_or(Ok(()), |field| {
        let message = format!(
            "is in the file, but not declared: declare it ({}), or set unknown_columns to 'ignore'",
            field.data_type()
        );
        Err(SourceError::column(name, field.name().as_str(), message))
    })
}

/// The conversions of the projected columns, and which of the file's columns are read for them, ascending.
fn plan_columns(
    plan: &Plan,
    name: &Arc<str>,
    found: &Schema,
) -> Result<(Vec<(Option<usize>, Target)>, Vec<usize>), SourceError> {
    let mut targets = Vec::with_capacity(plan.projected.fields().len());
    for field in plan.projected.fields() {
        let planned = plan_column(plan, field, found);
        let in_column = |error: Mismatch| {
            SourceError::column(
                name,
                format!("{}{}", field.name(), error.path),
                error.message,
            )
        };
        targets.push(planned.map_err(in_column)?);
    }
    let mut roots: Vec<usize> = targets.iter().filter_map(|(root, _)| *root).collect();
    roots.sort_unstable();
    roots.dedup();
    let columns = targets.into_iter().map(|(root, target)| {
        let place = root.and_then(|root| roots.binary_search(&root).ok());
        (place, target)
    });
    Ok((columns.collect(), roots))
}

fn plan_column(
    plan: &Plan,
    field: &FieldRef,
    found: &Schema,
) -> Result<(Option<usize>, Target), Mismatch> {
    let nulls_for_missing = plan.options.missing_columns == MissingColumns::Null;
    let stays_coded = |found: &DataType| {
        plan.dictionaries && *field.data_type() == DataType::Utf8 && *found == coded_text()
    };
    let mut same_name = found
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, other)| other.name() == field.name());
    match (same_name.next(), same_name.next()) {
        (Some((root, only)), None) if stays_coded(only.data_type()) => {
            Ok((Some(root), Target::coded(field)))
        }
        (Some((root, only)), None) => Ok((
            Some(root),
            Target::plan(only.data_type(), field, nulls_for_missing)?,
        )),
        (Some(_), Some(_)) => Err(Mismatch {
            path: String::new(),
            message: "is in the file more than once".to_owned(),
        }),
        (None, _) if nulls_for_missing => Ok((None, Target::missing(field)?)),
        (None, _) => {
            let names: Vec<_> = found
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            Err(Mismatch {
                path: String::new(),
                message: format!(
                    "is not in the file, whose columns are {}; set missing_columns to 'null' to read it as NULL",
                    names.join(", ")
                ),
            })
        }
    }
}
