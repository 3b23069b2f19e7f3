//! The places of rows of files, and the place columns of a source with a primary key.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use tidewater_contract::error::SourceError;
use tidewater_contract::source::{Decoded, RowPlaces};

/// The columns with the place of a row: time, path, and number in the file.
pub(super) fn place_fields() -> [FieldRef; 3] {
    [
        Field::new("modified", DataType::Int64, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("ordinal", DataType::UInt64, false),
    ]
    .map(Arc::new)
}

/// The file of a piece.
pub(super) struct FilePlace {
    /// The time of modification of the file.
    pub(super) modified_ns: i64,
    /// Its path.
    pub(super) path: Arc<str>,
    /// Whether rows have their place as columns.
    pub(super) is_column: bool,
}

impl FilePlace {
    /// Adds places to decoded rows that have ordinals.
    pub(super) fn of(&self, mut decoded: Decoded) -> Result<Decoded, SourceError> {
        let Some(ordinals) = decoded.ordinals.take() else {
            return Ok(decoded);
        };
        if decoded.places.is_none() {
            // Without lines, rows are counted from 1.
            decoded.places = Some(RowPlaces {
                file: Arc::clone(&self.path),
                lines: ordinals.iter().map(|row| row + 1).collect(),
                byte_offsets: Vec::new(),
            });
        }
        if self.is_column {
            let placed = self.columns(&decoded.batch, ordinals);
            decoded.batch =
                placed.map_err(|error| SourceError::file(&self.path, error.to_string()))?;
        }
        Ok(decoded)
    }

    /// The rows with their places. Dictionary-encoded texts stay so.
    fn columns(&self, rows: &RecordBatch, ordinals: Vec<u64>) -> Result<RecordBatch, ArrowError> {
        let number = rows.num_rows();
        let paths = std::iter::repeat_n(&self.path, number);
        let places: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![self.modified_ns; number])),
            Arc::new(StringArray::from_iter_values(paths)),
            Arc::new(UInt64Array::from(ordinals)),
        ];
        let mut columns = rows.columns().to_vec();
        columns.extend(places);
        let fields = rows.schema_ref().fields().iter().cloned();
        let fields: Vec<FieldRef> = fields.chain(place_fields()).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}
