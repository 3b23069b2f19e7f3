//! Reads a Parquet file's footer, and checks it as far as possible before anything is read by it.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::coded_text;
use tidewater_contract::error::SourceError;

use super::guard::guarded;

/// First and last bytes of a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// The same for a file with an encrypted footer.
const ENCRYPTED_MAGIC: &[u8] = b"PARE";

/// Metadata of a field whose 16 bytes are a UUID, which Arrow's type does not show.
const UUID: &str = "uuid";

/// A footer, and the file's columns.
pub(super) struct Footer {
    pub(super) metadata: ArrowReaderMetadata,
    /// Arrow's schema of the file. Fields with UUIDs are [marked](is_uuid).
    pub(super) schema: SchemaRef,
    /// Rows of all row groups.
    pub(super) rows: u64,
}

/// Whether a field of a [footer's schema](Footer::schema) holds UUIDs.
pub(super) fn is_uuid(field: &FieldRef) -> bool {
    field.metadata().contains_key(UUID)
}

impl Footer {
    /// Reads the footer of a file.
    pub(super) fn read(file: &impl ChunkReader) -> Result<Self, ParquetError> {
        let loaded = guarded(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::new()))?;
        let parquet = without_zero_offsets(loaded.metadata());
        let rows = check(&parquet, file.len())?;
        let leaves = parquet.file_metadata().schema_descr_ptr();
        let has =
            |test: fn(&ColumnDescriptor) -> bool| leaves.columns().iter().any(|leaf| test(leaf));
        let has_int96 = has(|leaf| leaf.physical_type() == PhysicalType::INT96);
        let mut options = ArrowReaderOptions::new();
        if has_int96 {
            let schema = with_leaves(loaded.schema(), &leaves, in_microseconds);
            options = options.with_schema(Arc::new(schema));
        }
        let metadata = if has_int96 || !Arc::ptr_eq(&parquet, loaded.metadata()) {
            guarded(|| ArrowReaderMetadata::try_new(parquet, options))?
        } else {
            loaded
        };
        let schema = if has(holds_uuid) {
            Arc::new(with_leaves(metadata.schema(), &leaves, marked))
        } else {
            Arc::clone(metadata.schema())
        };
        Ok(Self {
            metadata,
            schema,
            rows,
        })
    }
}

/// The offset and length of a column chunk; `None` if the footer cannot be right.
pub(super) fn byte_range(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let start = column.dictionary_page_offset();
    let start = u64::try_from(start.unwrap_or(column.data_page_offset())).ok()?;
    Some((start, u64::try_from(column.compressed_size()).ok()?))
}

/// Removes the offsets of dictionary pages that do not exist. Some writers give offset 0, or that of the first data
/// page.
fn without_zero_offsets(metadata: &Arc<ParquetMetaData>) -> Arc<ParquetMetaData> {
    let is_zero = |column: &ColumnChunkMetaData| column.dictionary_page_offset() == Some(0);
    let has_zero = |group: &RowGroupMetaData| group.columns().iter().any(is_zero);
    if !metadata.row_groups().iter().any(has_zero) {
        return Arc::clone(metadata);
    }
    let mend = |column: &ColumnChunkMetaData| {
        let builder = column.clone().into_builder();
        let builder = if is_zero(column) {
            builder.set_dictionary_page_offset(None)
        } else {
            builder
        };
        builder.build()
    };
    let mend_group = |group: &RowGroupMetaData| {
        let columns = group.columns().iter().map(mend).collect::<Result<_, _>>()?;
        group
            .clone()
            .into_builder()
            .set_column_metadata(columns)
            .build()
    };
    let groups: Result<Vec<_>, ParquetError> =
        metadata.row_groups().iter().map(mend_group).collect();
    groups.map_or_else(
        |_| Arc::clone(metadata),
        |groups| {
            let builder = metadata.as_ref().clone().into_builder();
            Arc::new(builder.set_row_groups(groups).build())
        },
    )
}

/// The number of rows of a file with this many bytes.
///
/// # Errors
/// When a row group or column chunk cannot be where the footer says.
fn check(metadata: &ParquetMetaData, bytes: u64) -> Result<u64, ParquetError> {
    let mut rows: u64 = 0;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let of_group = u64::try_from(group.num_rows()).ok();
        rows = of_group
            .and_then(|of_group| rows.checked_add(of_group))
            .ok_or_else(|| {
                general(format!(
                    "row group {number} cannot have {} rows",
                    group.num_rows()
                ))
            })?;
        for column in group.columns() {
            let end = byte_range(column).and_then(|(start, length)| start.checked_add(length));
            if end.is_none_or(|end| end > bytes) {
                return Err(general(format!(
                    "column '{}' of row group {number} cannot lie where the footer says, in a file of {bytes} bytes",
                    column.column_path().string()
                )));
            }
        }
    }
    // Row numbers are `i64`.
    if i64::try_from(rows).is_err() {
        return Err(general(format!("it cannot have {rows} rows")));
    }
    Ok(rows)
}

fn general(message: String) -> ParquetError {
    ParquetError::General(message)
}

/// The file's schema, with each leaf replaced by the result of `change`.
fn with_leaves(
    schema: &Schema,
    file: &SchemaDescriptor,
    change: impl Fn(&FieldRef, &ColumnDescriptor) -> FieldRef,
) -> Schema {
    let mut leaves = file.columns().iter();
    let mut next = |field: &FieldRef| match leaves.next() {
        Some(leaf) => change(field, leaf),
        None => Arc::clone(field),
    };
    let fields = change_all(schema.fields(), &mut next);
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn change_all(fields: &Fields, change: &mut dyn FnMut(&FieldRef) -> FieldRef) -> Fields {
    fields
        .iter()
        .map(|field| change_leaves(field, change))
        .collect()
}

fn change_leaves(field: &FieldRef, change: &mut dyn FnMut(&FieldRef) -> FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(change_all(fields, change)),
        DataType::List(element) => DataType::List(change_leaves(element, change)),
        DataType::LargeList(element) => DataType::LargeList(change_leaves(element, change)),
        DataType::FixedSizeList(element, size) => {
            DataType::FixedSizeList(change_leaves(element, change), *size)
        }
        DataType::Map(entries, sorted) => DataType::Map(change_leaves(entries, change), *sorted),
        _ => return change(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn in_microseconds(field: &FieldRef, leaf: &ColumnDescriptor) -> FieldRef {
    match (leaf.physical_type(), field.data_type()) {
        (PhysicalType::INT96, DataType::Timestamp(_, zone)) => {
            let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        }
        _ => Arc::clone(field),
    }
}

fn holds_uuid(leaf: &ColumnDescriptor) -> bool {
    matches!(leaf.logical_type_ref(), Some(LogicalType::Uuid))
}

fn marked(field: &FieldRef, leaf: &ColumnDescriptor) -> FieldRef {
    if !holds_uuid(leaf) {
        return Arc::clone(field);
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(UUID.to_owned(), String::new());
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

/// The error about a file whose footer cannot be read.
pub(super) fn unreadable(
    name: &Arc<str>,
    file: &impl ChunkReader,
    error: &ParquetError,
) -> SourceError {
    let bytes = file.len();
    let has = |magic: &[u8]| {
        let at = |place: u64| {
            file.get_bytes(place, magic.len())
                .is_ok_and(|found| found == magic)
        };
        at(0) || at(bytes.saturating_sub(magic.len() as u64))
    };
    if bytes == 0 {
        SourceError::file(
            name,
            "is empty: a Parquet file has a footer even without rows",
        )
    } else if has(ENCRYPTED_MAGIC) {
        SourceError::file(
            name,
            "is an encrypted Parquet file, which cannot be read: deliver it decrypted",
        )
    } else if has(MAGIC) {
        SourceError::Corrupt {
            file: Arc::clone(name),
            byte_offset: bytes,
            message: error.to_string(),
        }
    } else {
        SourceError::file(name, "is not a Parquet file: check STORED AS and LOCATION")
    }
}

/// `marked` with the types of `other`, which has the same fields.
pub(super) fn with_types_of(marked: &Schema, other: &Schema) -> SchemaRef {
    let fields = marked.fields().iter().zip(other.fields());
    let fields = fields.map(|(field, other)| {
        let coded = *other.data_type() == coded_text();
        if coded {
            Arc::clone(other)
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}
