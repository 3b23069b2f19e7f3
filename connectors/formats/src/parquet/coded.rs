//! Keeps text columns that are dictionaries in the file as dictionaries.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, UInt32Type};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{ConvertedType, Encoding};
use parquet::file::metadata::ColumnChunkMetaData;

use crate::coded_text;

/// A dictionary with at most this many values is kept, however few the rows.
const VALUES_FEW: u64 = 1 << 10;

/// One row in this many may be outside of dictionaries. The last, small row group of a file often has none, since
/// DuckDB writes a dictionary only if values repeat often enough.
const PLAIN_SHARE: i64 = 8;

/// The file's schema, with dictionaries for the `wanted` text columns that are dictionaries in most of their pages;
/// `None` if there are none.
pub(super) fn schema(metadata: &ArrowReaderMetadata, wanted: &BTreeSet<&str>) -> Option<Schema> {
    let file = metadata.parquet_schema();
    let mut fields = metadata.schema().fields().to_vec();
    let mut any = false;
    for leaf in 0..file.num_columns() {
        let (root, of_file) = (file.get_column_root_idx(leaf), file.column(leaf));
        let Some(field) = fields.get_mut(root) else {
            continue;
        };
        if of_file.converted_type() == ConvertedType::UTF8
            && of_file.path().parts().len() == 1
            && wanted.contains(field.name().as_str())
            && is_text(field.data_type())
            && is_dictionary(metadata, leaf)
        {
            *field = Arc::new(field.as_ref().clone().with_data_type(coded_text()));
            any = true;
        }
    }
    any.then(|| Schema::new_with_metadata(fields, metadata.schema().metadata().clone()))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Whether a column has dictionaries, except for few of its rows. Batches of the other rows get new dictionaries, one
/// each.
fn is_dictionary(metadata: &ArrowReaderMetadata, leaf: usize) -> bool {
    let in_dictionary = |column: &ColumnChunkMetaData| {
        let mask = column.page_encoding_stats_mask();
        column.dictionary_page_offset().is_some()
            && mask.is_some_and(|mask| {
                mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY)
            })
    };
    let (mut rows, mut plain) = (0, 0);
    for group in metadata.metadata().row_groups() {
        rows += group.num_rows();
        if !group.columns().get(leaf).is_some_and(in_dictionary) {
            plain += group.num_rows();
        }
    }
    rows > 0 && plain <= rows / PLAIN_SHARE
}

/// The rows, with plain text instead of a dictionary if its values hardly repeat among the rows of the group.
pub(super) fn if_worth_it(rows: RecordBatch, group_rows: u64) -> Result<RecordBatch, ArrowError> {
    let most = (group_rows / 2).max(VALUES_FEW);
    let values = |column: &ArrayRef| {
        let coded = column.as_dictionary_opt::<UInt32Type>()?;
        Some(coded.values().len() as u64)
    };
    let mut columns = rows.columns().to_vec();
    let mut fields = rows.schema_ref().fields().to_vec();
    let mut any = false;
    for (column, field) in columns.iter_mut().zip(&mut fields) {
        if values(column).is_some_and(|values| values > most) {
            *column = cast(column, &DataType::Utf8)?;
            *field = Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8));
            any = true;
        }
    }
    if !any {
        return Ok(rows);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
